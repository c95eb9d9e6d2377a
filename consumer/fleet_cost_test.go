package consumer_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A meter is a store that counts what is asked of it.
type meter struct {
	checkpoint.Store

	mu     sync.Mutex
	sum    tally
	owners map[string]string // of the shards, by key
}

// A tally is what was asked of a store, in calls and in what DynamoDB bills for them.
type tally struct {
	calls       map[string]int // by operation and kind of row: "swap lease"
	bytes       map[string]int // of the largest, likewise
	claims      int            // of shards, by another owner than before
	releases    int
	read, write float64 // units
}

// billed is the size of a row in checkpoint/dynamostore: the names and values of its partition, key, revision and value.
func billed(e checkpoint.Entry) int {
	group, _, _ := strings.Cut(e.Key, "/")
	return 4 + len(group) + 1 + len(e.Key) + 26 + len(e.Value)
}

// units of so many bytes; none is one.
func units(bytes, unit int) float64 { return float64(max(1, (bytes+unit-1)/unit)) }

// note counts a call.
func (m *meter) note(op, key string, size int, read, write float64) {
	_, rest, _ := strings.Cut(key, "/")
	kind, _, _ := strings.Cut(rest, "/")
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sum.calls == nil {
		m.sum.calls, m.sum.bytes = map[string]int{}, map[string]int{}
	}
	m.sum.calls[op+" "+kind]++
	m.sum.bytes[op+" "+kind] = max(m.sum.bytes[op+" "+kind], size)
	m.sum.read += read
	m.sum.write += write
}

func (m *meter) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	found, err := m.Store.List(ctx, prefix)
	size := 0
	for _, e := range found {
		size += billed(e)
	}
	m.note("list", prefix, size, units(size, 4096)/2, 0)
	return found, err
}

func (m *meter) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	e, err := m.Store.Get(ctx, key)
	m.note("get", key, billed(e), units(billed(e), 4096), 0)
	return e, err
}

func (m *meter) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	stored, err := m.Store.Swap(ctx, e)
	m.note("swap", e.Key, billed(e), 0, units(billed(e), 1024))
	if err == nil && strings.Contains(e.Key, "/lease/") {
		m.owned(e.Key, ownerOf(string(e.Value)))
	}
	return stored, err
}

func (m *meter) Delete(ctx context.Context, e checkpoint.Entry) error {
	err := m.Store.Delete(ctx, e)
	m.note("delete", e.Key, billed(e), 0, units(billed(e), 1024))
	return err
}

// owned notes who owns a shard now.
func (m *meter) owned(key, owner string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.owners == nil {
		m.owners = map[string]string{}
	}
	switch owner {
	case m.owners[key]:
	case "":
		m.sum.releases++
	default:
		m.sum.claims++
	}
	m.owners[key] = owner
}

// ownerOf is whom a lease row names.
func ownerOf(row string) string {
	_, rest, _ := strings.Cut(row, `"owner":"`)
	owner, _, _ := strings.Cut(rest, `"`)
	return owner
}

// reset forgets what was counted, and returns it.
func (m *meter) reset() (t tally) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, m.sum = m.sum, tally{}
	return t
}

// A rate is what the formulas of a fleet's cost say, per second.
type rate struct{ reads, writes float64 }

func formula(shards, workers, active int) rate {
	const h, c, lists = 2.5, 10, 600 // seconds
	reads := float64(workers) * units(200*workers, 4096) / 2 / h
	if workers >= 100 {
		reads /= 2
	}
	return rate{
		reads:  reads + float64(workers)*units(400*shards, 4096)/2/lists,
		writes: float64(workers)/h + float64(active)/c,
	}
}

// month is what it costs, for the prices of DynamoDB that the design was compared at.
func (b rate) month() float64 { return (b.writes*0.625 + b.reads*0.125) * 30 * 24 * 3600 / 1e6 }

// inSteadyFleet runs a test with workers that share the shards of a stream evenly, and have done so for a while. Each shard
// gets a record every 4 s.
func inSteadyFleet(t *testing.T, shards, workers int, test func(f *fleet, m *meter, rs []*replica)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := &meter{Store: new(checkpoint.Memory)}
		f := &fleet{t: t, srv: kinesistest.NewServer("orders", shards), store: m, work: 20 * time.Millisecond, stop: make(chan struct{})}
		t.Cleanup(f.srv.Close)
		f.srv.SetLatencyFunc(func(op string) time.Duration {
			if op == "GetRecords" {
				return 8 * time.Second // reads are not what is counted, and each brings a record
			}
			return 0
		})
		var rs []*replica
		for i := range workers {
			rs = append(rs, f.start(fmt.Sprintf("orders-7d9f8b6c5d-x%04d", i)))
		}
		f.shared(rs)
		go f.feed(4 * time.Second)
		time.Sleep(90 * time.Second)
		test(f, m, rs)
		close(f.stop)
		for _, r := range rs {
			if _, err := r.running.stop(); err != nil {
				t.Errorf("%s ends with %v", r.name, err)
			}
		}
	})
}

// shared waits until the shards are shared evenly.
func (f *fleet) shared(rs []*replica) {
	f.t.Helper()
	shards := len(f.srv.Shards("orders"))
	f.until("the shards are shared", 5*time.Minute, func() bool {
		for _, r := range rs {
			if n := r.owned(); n < shards/len(rs) || n > (shards+len(rs)-1)/len(rs) {
				return false
			}
		}
		return true
	})
}

// feed puts a record into each shard, again and again.
func (f *fleet) feed(every time.Duration) {
	shards := f.srv.Shards("orders")
	for {
		for _, s := range shards {
			f.srv.PutHash("orders", s.ID, s.HashStart, []byte("1"))
		}
		select {
		case <-time.After(every):
		case <-f.stop:
			return
		}
	}
}

// A fleet at work asks of its store what the formulas say, and no more, and nothing moves.
func TestFleetCosts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		shards, workers int
		time            time.Duration
	}{{1, 1, time.Hour}, {12, 3, time.Hour}, {100, 5, 10 * time.Minute}} {
		t.Run(fmt.Sprintf("%d shards, %d workers", c.shards, c.workers), func(t *testing.T) {
			inSteadyFleet(t, c.shards, c.workers, func(_ *fleet, m *meter, _ []*replica) {
				m.reset()
				time.Sleep(c.time)
				m.reset().within(t, c.shards, c.workers, c.time)
			})
		})
	}
}

// within holds what was asked for in a time to the formulas.
func (sum tally) within(t *testing.T, shards, workers int, d time.Duration) {
	t.Helper()
	got, want := rate{reads: sum.read / d.Seconds(), writes: sum.write / d.Seconds()}, formula(shards, workers, shards)
	t.Logf("%.3f writes/s, %.3f reads/s, $%.2f a month; by the formulas %.3f, %.3f, $%.2f", got.writes, got.reads, got.month(), want.writes, want.reads, want.month())
	for _, kind := range slices.Sorted(maps.Keys(sum.calls)) {
		t.Logf("%8d %s, up to %d bytes", sum.calls[kind], kind, sum.bytes[kind])
	}
	if got.reads > want.reads*1.1 || got.writes > want.writes*1.1 || got.writes < want.writes*0.9 {
		t.Error("that is not within 10 %")
	}
	if sum.claims+sum.releases > 0 {
		t.Errorf("%d claims and %d releases, though nobody came or went", sum.claims, sum.releases)
	}
}

// Who comes gets its part of the shards, and who goes gives it up: no other shard moves.
func TestFleetMovesTheLeast(t *testing.T) {
	t.Parallel()
	for n := range trials(t, 1) {
		dice, shards, workers := rand.New(rand.NewPCG(uint64(n), 3)), 100, 4
		if n > 0 {
			shards, workers = 1+dice.IntN(40), 1+dice.IntN(5)
		}
		part := shards / (workers + 1)
		inSteadyFleet(t, shards, workers, func(f *fleet, m *meter, rs []*replica) {
			time.Sleep(time.Duration(dice.Int64N(int64(10 * time.Second))))
			m.reset()
			last := f.start("last")
			f.shared(append(rs, last))
			time.Sleep(3 * time.Minute)
			if sum := m.reset(); sum.claims != part || sum.releases != part {
				t.Errorf("%d claims and %d releases of %d shards for a worker that joins %d, want %d", sum.claims, sum.releases, shards, workers, part)
			}
			if _, err := last.running.stop(); err != nil {
				t.Error(err)
			}
			f.shared(rs)
			time.Sleep(3 * time.Minute)
			if sum := m.reset(); sum.claims != part || sum.releases != part {
				t.Errorf("%d claims and %d releases of %d shards for a worker that leaves %d, want %d", sum.claims, sum.releases, shards, workers, part)
			}
		})
	}
}

// A shard that cannot be had costs three calls of the store in each interval of heartbeats at most, however long that lasts.
func TestFleetWaitsQuietly(t *testing.T) {
	t.Parallel()
	const ghost = "ghost/0123456789ABCDEFGHIJKLMNOP"
	owner := regexp.MustCompile(`"owner":"[^"]*"`)
	haunted := func(row string) string { return owner.ReplaceAllString(row, `"owner":"`+ghost+`"`) }
	for name, c := range map[string]struct {
		member string              // the row of the ghost, if it has one
		row    func(string) string // of each shard
	}{
		"of somebody without a row":    {"", haunted},
		"of somebody who stands still": {`{"v":1,"by":"x.1","st":"ALIVE","cap":1}`, haunted},
		"of a newer version's worker":  {`{"v":2}`, haunted},
		"unreadable":                   {"", func(string) string { return "?" }},
		"of a newer version":           {"", func(string) string { return `{"v":2}` }},
		"with an epoch of an older day": {"", func(row string) string {
			return strings.Replace(owner.ReplaceAllString(row, `"owner":""`), `"epoch":1`, `"epoch":0`, 1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inSteadyFleet(t, 2, 1, func(_ *fleet, m *meter, _ []*replica) {
				if c.member != "" {
					put(t, m.Store, "g/member/"+ghost, c.member)
				}
				for key, row := range rowsBelow(t, m.Store, "g/lease/") {
					put(t, m.Store, key, c.row(row))
				}
				for range 12 {
					m.reset()
					time.Sleep(10 * time.Second)
					sum, n := m.reset(), 0
					for _, calls := range sum.calls {
						n += calls
					}
					if most := 4 * (2 + 3*len(rowsBelow(t, m.Store, "g/lease/"))); n > most { // in four intervals
						t.Errorf("%d calls in 10 s, more than %d: %v", n, most, sum.calls)
					}
				}
			})
		})
	}
}

// put stores a row, whatever is there.
func put(t *testing.T, s checkpoint.Store, key, value string) {
	t.Helper()
	e, err := s.Get(t.Context(), key)
	if err == nil {
		e.Value = []byte(value)
		_, err = s.Swap(t.Context(), e)
	}
	if err != nil {
		t.Fatal(err)
	}
}
