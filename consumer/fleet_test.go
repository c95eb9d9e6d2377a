package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A fleet is several workers of one group: each has its own link to one store. What happened is logged by the handlers.
type fleet struct {
	t     *testing.T
	srv   *kinesistest.Server
	store checkpoint.Store
	work  time.Duration // of a handler, for a batch

	mu   sync.Mutex
	dice *rand.Rand // decides how long calls take; nil: they all take the same
	log  []fleetCall
	sent int
	stop chan struct{}
}

// A fleetCall is a record in a handler.
type fleetCall struct {
	worker, shard, key, data string
	epoch                    int64
	began, ended             time.Time // ended is zero where it had no effect
	left                     time.Time // when the handler returned, if it has
	call                     int       // of the handler: the same for all records of a batch
}

// A replica is a worker of the fleet.
type replica struct {
	*running
	f    *fleet
	name string
	link *link
}

// A link is a worker's way to the store, which takes 10 ms.
type link struct {
	checkpoint.Store
	f     *fleet
	cut   atomic.Bool // calls fail: whether they were applied is not known
	calls atomic.Int64
}

var errNoWay = errors.New("no way to the store")

func (l *link) call() error {
	l.calls.Add(1)
	time.Sleep(l.f.takes(10 * time.Millisecond))
	if l.cut.Load() {
		return errNoWay
	}
	return nil
}

func (l *link) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	if err := l.call(); err != nil {
		return nil, err
	}
	return l.Store.List(ctx, prefix)
}

func (l *link) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	if err := l.call(); err != nil {
		return checkpoint.Entry{}, err
	}
	return l.Store.Get(ctx, key)
}

func (l *link) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	if err := l.call(); err != nil {
		return e, err
	}
	return l.Store.Swap(ctx, e)
}

func (l *link) Delete(ctx context.Context, e checkpoint.Entry) error {
	if err := l.call(); err != nil {
		return err
	}
	return l.Store.Delete(ctx, e)
}

// inFleet runs a test in a bubble of virtual time with a stream of so many shards, into which 10 keys put a record every
// 100 ms. At the end all that was put must have been handled, in the order of each key, one after the other, and never by two
// workers at once.
func inFleet(t *testing.T, shards int, test func(f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{t: t, srv: kinesistest.NewServer("orders", shards), store: new(checkpoint.Memory), work: 20 * time.Millisecond, stop: make(chan struct{})}
		t.Cleanup(f.srv.Close)
		done := make(chan struct{})
		go func() { defer close(done); f.produce("orders") }()
		test(f)
		close(f.stop)
		<-done
		f.sound()
	})
}

func (f *fleet) produce(stream string) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		for k := range 10 {
			f.srv.Put(stream, fmt.Sprint("key", k), fmt.Append(nil, n))
		}
		f.mu.Lock()
		f.sent = n + 1
		f.mu.Unlock()
		select {
		case <-tick.C:
		case <-f.stop:
			return
		}
	}
}

// takes is how long something takes that takes d as a rule: with dice, now and then five times as long, and sometimes twenty.
func (f *fleet) takes(d time.Duration) time.Duration {
	if f == nil {
		return d
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dice == nil {
		return d
	}
	switch n := f.dice.IntN(1000); {
	case n < 2:
		return 20 * d
	case n < 20:
		return 5 * d
	}
	return d/2 + time.Duration(f.dice.Int64N(int64(d)))
}

// start starts a worker.
func (f *fleet) start(name string, opts ...consumer.Option) *replica {
	r := &replica{f: f, name: name, link: &link{Store: f.store, f: f}}
	r.running = start(f.t, f.srv, r.handle, append([]consumer.Option{
		consumer.WithGroup("g"), consumer.WithCheckpointer(r.link), consumer.WithWorker(name), consumer.WithDrainTimeout(20 * time.Second),
	}, opts...)...)
	return r
}

func (r *replica) handle(ctx context.Context, ev events.KinesisEvent) error {
	inv, _ := batch.InvocationFrom(ctx)
	began := time.Now()
	r.f.mu.Lock()
	at := len(r.f.log)
	for _, rec := range ev.Records {
		r.f.log = append(r.f.log, fleetCall{
			worker: r.name, shard: inv.Shard, key: rec.Kinesis.PartitionKey, data: string(rec.Kinesis.Data), epoch: inv.Epoch,
			began: began, call: at,
		})
	}
	r.f.mu.Unlock()
	defer func() {
		r.f.mu.Lock()
		defer r.f.mu.Unlock()
		for i := range ev.Records {
			r.f.log[at+i].left = time.Now()
		}
	}()
	select {
	case <-time.After(r.f.takes(r.f.work)):
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.link.cut.Load() && ctx.Err() != nil {
		return ctx.Err()
	}
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	for i := range ev.Records {
		r.f.log[at+i].ended = time.Now()
	}
	return nil
}

// kill takes a worker's way to the store away: to the others that is what a crash is. What it still handles counts.
func (r *replica) kill() { r.link.cut.Store(true) }

// owned is how many shards a worker says that it runs.
func (r *replica) owned() (n int) {
	for _, sh := range r.c.Status().Shards {
		if sh.State == consumer.Running {
			n++
		}
	}
	return n
}

// until waits for something that must come within a limit, and returns how long it took.
func (f *fleet) until(what string, limit time.Duration, ok func() bool) time.Duration {
	f.t.Helper()
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if took := time.Since(start); ok() {
			return took
		} else if took > limit {
			f.t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// first is when a worker first handled a record of any shard behind a time.
func (f *fleet) first(worker string, after time.Time) (at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.log {
		if c.worker == worker && c.began.After(after) {
			return c.began
		}
	}
	return time.Time{}
}

// handOvers returns for how long shards were not handled while they changed hands.
func (f *fleet) handOvers() (gaps []time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := slices.Clone(f.log)
	slices.SortStableFunc(calls, func(a, b fleetCall) int { return a.began.Compare(b.began) })
	last := map[string]fleetCall{}
	for _, c := range calls {
		if was, ok := last[c.shard]; ok && was.worker != c.worker {
			gaps = append(gaps, c.began.Sub(was.ended))
		}
		last[c.shard] = c
	}
	return gaps
}

// twice counts the records that had effect more than once.
func (f *fleet) twice() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := map[string]bool{}
	for _, c := range f.log {
		if id := c.key + "/" + c.data; !c.ended.IsZero() {
			if seen[id] {
				n++
			}
			seen[id] = true
		}
	}
	return n
}

// sound holds what happened to the contract.
func (f *fleet) sound() {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	seen, next := map[string]bool{}, map[string]int{}
	calls := slices.Clone(f.log)
	slices.SortStableFunc(calls, func(a, b fleetCall) int { return a.began.Compare(b.began) })
	busy, keys := map[string]fleetCall{}, map[string]fleetCall{} // by shard, by key
	for _, c := range calls {
		if last, ok := keys[c.key]; ok && last.call != c.call && c.began.Before(last.left) {
			f.t.Errorf("%s handles %s of %s at %v, while %s handles %s until %v", c.worker, c.data, c.key, c.began, last.worker, last.data, last.left)
		}
		keys[c.key] = c
		if last, ok := busy[c.shard]; ok && last.worker != c.worker && c.began.Before(last.ended) {
			f.t.Errorf("%s handles %s of %s at %v, while %s does until %v", c.worker, c.data, c.shard, c.began, last.worker, last.ended)
		}
		if c.ended.After(busy[c.shard].ended) {
			busy[c.shard] = c
		}
		if c.ended.IsZero() {
			continue
		}
		var n int
		_, _ = fmt.Sscan(c.data, &n)
		if n > next[c.key] {
			f.t.Fatalf("%s of %s was handled before %d", c.data, c.key, next[c.key])
		}
		next[c.key] = max(next[c.key], n+1)
		seen[c.key+"/"+c.data] = true
	}
	for k := range 10 {
		for n := range f.sent {
			if !seen[fmt.Sprintf("key%d/%d", k, n)] {
				f.t.Fatalf("%d of key%d was never handled", n, k)
			}
		}
	}
}

// end lets all workers handle the rest and stops them.
func (f *fleet) end(rs ...*replica) {
	f.t.Helper()
	f.stop <- struct{}{}
	go func() { <-f.stop }()
	time.Sleep(5 * time.Second)
	for _, r := range rs {
		if _, err := r.running.stop(); err != nil {
			f.t.Errorf("%s ends with %v", r.name, err)
		}
	}
}

// A second worker gets its half of the shards, without a record handled twice, and all of them when the first one stops.
func TestFleetShares(t *testing.T) {
	inFleet(t, 4, func(f *fleet) {
		one := f.start("one")
		f.until("one has 4 shards", 3*time.Second, func() bool { return one.owned() == 4 })
		time.Sleep(10 * time.Second)
		two := f.start("two")
		took := f.until("2 shards each", 15*time.Second, func() bool { return one.owned() == 2 && two.owned() == 2 })
		t.Logf("shared after %v", took)
		time.Sleep(time.Second)
		if err := errors.Join(one.c.Status().Err(), two.c.Status().Err(), one.c.Status().Ready(), two.c.Status().Ready()); err != nil {
			t.Error(err)
		}
		time.Sleep(30 * time.Second)
		stopped := time.Now()
		if _, err := one.running.stop(); err != nil {
			t.Error(err)
		}
		f.until("two has 4 shards", 2*time.Second, func() bool { return two.owned() == 4 })
		t.Logf("all with two %v after the stop", time.Since(stopped))
		time.Sleep(5 * time.Second)
		f.end(two)
		for _, gap := range f.handOvers() {
			t.Logf("handed over with a gap of %v", gap)
			if gap > time.Second {
				t.Errorf("a shard was not handled for %v while it changed hands", gap)
			}
		}
		if n := f.twice(); n > 0 {
			t.Errorf("%d records were handled twice", n)
		}
		for key := range memberRows(t, f.store) {
			t.Errorf("row %s is left over", key)
		}
	})
}

// The shards of a worker that is gone have a new one within 13 s.
func TestFleetTakesOver(t *testing.T) {
	inFleet(t, 4, func(f *fleet) {
		one, two := f.start("one"), f.start("two")
		f.until("2 shards each", 30*time.Second, func() bool { return one.owned() == 2 && two.owned() == 2 })
		time.Sleep(10 * time.Second)
		killed := time.Now()
		one.kill()
		f.until("two has 4 shards", 13*time.Second, func() bool { return two.owned() == 4 })
		t.Logf("taken over %v after the crash", time.Since(killed))
		time.Sleep(5 * time.Second)
		if n := one.owned(); n != 0 && one.c.Status().Err() == nil {
			t.Errorf("a worker without a way to the store says that it runs %d shards and is well", n)
		}
		one.link.cut.Store(false) // it was a pause: it comes back under a new name
		f.until("2 shards each", 30*time.Second, func() bool { return one.owned() == 2 && two.owned() == 2 })
		if err := one.c.Status().Err(); err != nil {
			t.Error(err)
		}
		f.end(one, two)
	})
}

// Without the store nobody works on, and nobody takes anything over: everybody goes on as before when it is back.
func TestFleetOutage(t *testing.T) {
	inFleet(t, 4, func(f *fleet) {
		one, two := f.start("one"), f.start("two")
		f.until("2 shards each", 30*time.Second, func() bool { return one.owned() == 2 && two.owned() == 2 })
		time.Sleep(70 * time.Second)
		before := owners(t, f.store)
		one.link.cut.Store(true)
		two.link.cut.Store(true)
		time.Sleep(9 * time.Second)
		quiet := time.Now()
		time.Sleep(50 * time.Second)
		for _, name := range []string{"one", "two"} {
			if at := f.first(name, quiet); !at.IsZero() {
				t.Errorf("%s begins something %v after its last heartbeat", name, at.Sub(quiet)+9*time.Second)
			}
		}
		one.link.cut.Store(false)
		two.link.cut.Store(false)
		back := time.Now()
		f.until("both work again", 10*time.Second, func() bool {
			return !f.first("one", back).IsZero() && !f.first("two", back).IsZero()
		})
		time.Sleep(20 * time.Second)
		if after := owners(t, f.store); after != before {
			t.Errorf("owners were\n%s and are\n%s", before, after)
		}
		f.end(one, two)
	})
}

// memberRows returns the rows of the workers by key.
func memberRows(t *testing.T, s checkpoint.Store) map[string]string {
	t.Helper()
	return rowsBelow(t, s, "g/member/")
}

// rowsBelow returns the rows whose keys begin with a prefix.
func rowsBelow(t *testing.T, s checkpoint.Store, prefix string) map[string]string {
	t.Helper()
	entries, err := s.List(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, e := range entries {
		found[e.Key] = string(e.Value)
	}
	return found
}

// owners says who owns which shard in which epoch.
func owners(t *testing.T, s checkpoint.Store) string {
	t.Helper()
	var lines []string
	for shard, row := range rows(t, s) {
		from := strings.Index(row, `"owner"`)
		lines = append(lines, shard+" "+row[max(0, from):strings.Index(row, `"ck"`)]+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}
