package consumer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/adapt"
	"github.com/shardlane/shardlane/consumer"
)

// A gauge counts calls that run, and the most that ever did, in all and by shard.
type gauge struct {
	mu        sync.Mutex
	now, most map[string]int
}

// during counts f as running, in all and for a shard.
func (g *gauge) during(shard string, f func()) {
	g.count(shard, 1)
	defer g.count(shard, -1)
	f()
}

func (g *gauge) count(shard string, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.now == nil {
		g.now, g.most = map[string]int{}, map[string]int{}
	}
	for _, of := range []string{"", shard} {
		g.now[of] += n
		g.most[of] = max(g.most[of], g.now[of])
	}
}

// peak returns the most that ran at once of a shard, or in all, since the last call of clear.
func (g *gauge) peak(of string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most[of]
}

func (g *gauge) clear() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.most)
}

// spread puts a record into every lane of every shard, n times.
func (f *field) spread(factor uint64, n int) {
	for _, sh := range f.srv.Shards("orders") {
		for lane := range factor {
			f.put(sh.ID, laneKey(sh.ID+".", lane), n)
		}
	}
}

// Never do more handlers run in the worker than its cap, over shards and lanes; while others wait, none of the shards has
// more than half of it, rounded up; and no capacity is left unused.
func TestContractMaxConcurrency(t *testing.T) {
	t.Parallel()
	proves(t, "C13", "L24")
	for limit := 1; limit <= 7; limit++ {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			inField(t, 3, func(f *field) {
				var g gauge
				f.work = func(_ context.Context, b fieldBatch) error {
					g.during(b.Shard, func() { time.Sleep(time.Second) })
					return nil
				}
				f.spread(4, 4)
				begun := time.Now()
				life := f.start(consumer.WithMaxConcurrency(limit), consumer.WithParallelizationFactor(4), consumer.WithBatchSize(1))
				time.Sleep(time.Minute)
				f.once()
				if g.peak("") != limit {
					t.Errorf("at most %d handlers ran at once, want %d", g.peak(""), limit)
				}
				last := time.Time{}
				for _, b := range f.seen() {
					last = slices.MaxFunc([]time.Time{last, b.ended}, time.Time.Compare)
				}
				if d := last.Sub(begun); d > time.Duration(48/limit+4)*time.Second {
					t.Errorf("48 calls of 1 s took %v", d)
				}
				life.stop()
			})
		})
	}
}

// While lanes of another shard wait, a shard has half of the cap, rounded up, however many of its own lanes came first.
// Alone it has all of it. Within a shard lanes get on in the order in which they came.
func TestContractMaxConcurrencyIsShared(t *testing.T) {
	t.Parallel()
	proves(t, "C13")
	inField(t, 2, func(f *field) {
		var g gauge
		f.work = func(_ context.Context, b fieldBatch) error {
			g.during(b.Shard, func() { time.Sleep(time.Second) })
			return nil
		}
		busy := func(lanes int, of string) (keys []string) {
			for i := 0; len(keys) < lanes; i++ {
				keys = append(keys, fmt.Sprint(of, i))
			}
			return keys
		}
		life := f.start(consumer.WithMaxConcurrency(5), consumer.WithParallelizationFactor(100), consumer.WithBatchSize(1))
		time.Sleep(3 * time.Second)
		for _, key := range busy(40, "first") {
			f.put(shardID(0), key, 10)
		}
		time.Sleep(10 * time.Second)
		if g.peak(shardID(0)) != 5 {
			t.Errorf("alone the shard ran %d handlers at once, want 5", g.peak(shardID(0)))
		}
		for _, key := range busy(40, "second") {
			f.put(shardID(1), key, 10)
		}
		time.Sleep(3 * time.Second)
		g.clear()
		time.Sleep(20 * time.Second)
		if a, b, all := g.peak(shardID(0)), g.peak(shardID(1)), g.peak(""); a != 3 || b != 3 || all != 5 {
			t.Errorf("%d and %d handlers of the shards ran at once, and %d in all, want 3, 3 and 5", a, b, all)
		}
		time.Sleep(5 * time.Minute)
		f.once()
		waits := map[string][]time.Time{} // first come, first served: all lanes get on alike
		for _, b := range f.seen() {
			waits[b.Shard+b.key(0)] = append(waits[b.Shard+b.key(0)], b.begun)
		}
		for lane, at := range waits {
			for i := range at[1:] {
				if d := at[i+1].Sub(at[i]); d > 41*time.Second {
					t.Errorf("lane of %s waited %v between two calls", lane, d)
				}
			}
		}
		life.stop()
	})
}

// Ages are looked at behind the wait for the cap: what becomes too old in it is not handled.
func TestContractAgeBehindTheWait(t *testing.T) {
	t.Parallel()
	proves(t, "C13", "L31", "C18")
	inContract(t, 2, func(f *field) {
		tr := new(trace)
		life := f.startTrace(tr, func(ctx context.Context, ev events.KinesisEvent) error {
			tr.add(ctx, ev.Records)
			time.Sleep(50 * time.Second)
			return nil
		}, consumer.WithMaxConcurrency(1), consumer.WithMaxRecordAge(time.Minute))
		time.Sleep(3 * time.Second)
		f.letters(shardID(0), "a")
		time.Sleep(time.Second)
		f.letters(shardID(1), "b") // waits for 50 s
		time.Sleep(time.Second)
		f.letters(shardID(0), "c") // waits for 100 s
		time.Sleep(3 * time.Minute)
		want(t, "attempts", tr.lines(), "1 a", "1 b")
		want(t, "documents", tr.documents(), "c RecordAgeExceeded 1")
		if age := tr.attempts()[1].IteratorAge; age < 48*time.Second || age > 51*time.Second {
			t.Errorf("iterator age %v, want what it is at the call, about 49s", age)
		}
		life.stop()
	})
}

// A stop ends the wait for the cap at once; only the handler that runs is waited for.
func TestContractStopInTheWait(t *testing.T) {
	t.Parallel()
	proves(t, "C13", "C15")
	inField(t, 3, func(f *field) {
		f.work = func(context.Context, fieldBatch) error {
			time.Sleep(20 * time.Second)
			return nil
		}
		f.spread(4, 1)
		life := f.start(consumer.WithMaxConcurrency(1), consumer.WithParallelizationFactor(4))
		time.Sleep(15 * time.Second)
		begun := time.Now()
		life.stop()
		if d := time.Since(begun); d > 6*time.Second || len(f.seen()) != 1 {
			t.Errorf("Run took %v to return, after %d calls, want about 5s and 1", d, len(f.seen()))
		}
	})
}

// jsonHandler counts the calls of a handler of the JSON form.
func jsonHandler(g *gauge) func(context.Context, []byte) ([]byte, error) {
	return func(ctx context.Context, _ []byte) ([]byte, error) {
		inv, _ := batch.InvocationFrom(ctx)
		g.during(inv.Shard, func() { time.Sleep(100 * time.Millisecond) })
		return nil, nil
	}
}

// Calls of a handler of the JSON form do not overlap, at any factor and over all shards, unless it says that they may.
func TestContractJSONIsSerial(t *testing.T) {
	t.Parallel()
	proves(t, "P1", "L2", "L6")
	for name, most := range map[string]int{"plain": 1, "Concurrent": 16, "adapt": 16, "typed": 16} {
		t.Run(name, func(t *testing.T) {
			inContract(t, 4, func(f *field) {
				var g gauge
				f.spread(4, 3)
				opts := consumer.Options(consumer.WithParallelizationFactor(4), consumer.WithBatchSize(1), consumer.WithHandlerTimeout(2*time.Second))
				h := jsonHandler(&g)
				typed := func(ctx context.Context, _ events.KinesisEvent) error {
					_, err := h(ctx, nil)
					return err
				}
				var life *fieldLife
				switch name {
				case "plain":
					life = startField(f, h, opts)
				case "Concurrent":
					life = startField(f, batch.Concurrent(h), opts)
				case "adapt":
					life = startField(f, adapt.Func(typed), opts)
				default:
					life = startField(f, typed, opts)
				}
				time.Sleep(30 * time.Second)
				if g.peak("") != most {
					t.Errorf("at most %d calls ran at once, want %d", g.peak(""), most)
				}
				if n := f.noticed("HandlerFailed"); n != 0 { // its time does not run while it waits
					t.Errorf("%d attempts failed", n)
				}
				life.stop()
				for _, row := range rows(t, f.store) {
					if strings.Contains(row, `"owner"`) {
						t.Errorf("row %s: not released", row)
					}
				}
			})
		})
	}
}
