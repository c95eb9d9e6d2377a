package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/metrics"
)

// A delivery that fails, however it does, is told of and counted once, its records as dropped; nothing tries again, and
// the lane goes on behind them.
func TestContractDeliveryFails(t *testing.T) {
	t.Parallel()
	proves(t, "C23", "L67", "B6", "L27", "C18")
	errQueue := errors.New("the queue does not exist")
	for name, tt := range map[string]struct {
		deliver func(context.Context) error
		takes   time.Duration
		want    error
	}{
		"error":  {func(context.Context) error { return errQueue }, 0, errQueue},
		"panic":  {func(context.Context) error { panic("destination") }, 0, nil},
		"Goexit": {func(context.Context) error { goexit(); return nil }, 0, nil},
		"obeys its context": {
			func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 30 * time.Second, context.DeadlineExceeded,
		},
		"hangs for ever": {nil, 31 * time.Second, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				if name == "hangs for ever" {
					free := make(chan struct{}) // of the bubble
					f.t.Cleanup(func() { close(free) })
					tt.deliver = func(context.Context) error { <-free; return nil }
				}
				tr, snap := new(trace), new(metrics.Snapshot)
				var failed error
				calls := 0
				f.letters(shard0, "abc")
				life := startField(f, tr.fails("b"), consumer.WithMaxRetryAttempts(1), consumer.WithBisectOnError(true), consumer.WithMetrics(snap),
					consumer.WithOnFailure(batch.DestinationFunc(func(ctx context.Context, _ *batch.Failure) error {
						if at, ok := ctx.Deadline(); !ok || time.Until(at) != 30*time.Second {
							t.Errorf("deadline %v, %v, want it in 30 s", at, ok)
						}
						calls++
						return tt.deliver(ctx)
					})),
					consumer.WithNotify(func(n consumer.Notice) {
						f.mu.Lock()
						defer f.mu.Unlock()
						if f.notices[n.Name]++; n.Name == "DestinationFailed" {
							failed = n.Err
						}
					}))
				time.Sleep(2 * time.Minute)
				want(t, "attempts", tr.lines(), "1 abc", "1 a", "1 bc", "1 b", "2 b", "1 c")
				all := tr.attempts()
				if d := all[5].at.Sub(all[4].at); d < tt.takes || d > tt.takes+100*time.Millisecond {
					t.Errorf("the lane went on after %v, want %v", d, tt.takes)
				}
				if f.noticed("DestinationFailed") != 1 || f.noticed("RecordsDiscarded") != 1 || calls != 1 {
					t.Errorf("notices %v after %d deliveries", f.notices, calls)
				}
				if e := new(consumer.Error); !errors.As(failed, &e) || e.Shard != shard0 || e.Hint == "" || tt.want != nil && !errors.Is(failed, tt.want) {
					t.Errorf("DestinationFailed came with %v, want a *consumer.Error with %v", failed, tt.want)
				}
				totals(t, snap, map[*metrics.Metric]float64{
					metrics.DestinationDeliveryFailures: 1, metrics.DroppedEventCount: 1, metrics.OnFailureDestinationDeliveredEventCount: 0,
				})
				life.stop()
				if ck := f.checkpoint(); !strings.Contains(ck, f.srv.Records("orders")[2].SequenceNumber) {
					t.Errorf("checkpoint %s, want it behind the last record", ck)
				}
			})
		})
	}
}

// All destinations get every document, also behind one that fails; then it has not been delivered.
func TestContractAllDestinations(t *testing.T) {
	t.Parallel()
	proves(t, "C23", "L67", "B6")
	for _, fails := range []bool{false, true} {
		inContract(t, 1, func(f *field) {
			tr, first, last, snap := new(trace), new(trace), new(trace), new(metrics.Snapshot)
			f.letters(shard0, "ab")
			middle := batch.DestinationFunc(func(context.Context, *batch.Failure) error {
				if fails {
					return errPoison
				}
				return nil
			})
			life := startField(f, tr.fails("ab"), consumer.WithMaxRetryAttempts(0), consumer.WithMetrics(snap),
				consumer.WithOnFailure(batch.All(first, middle, last)))
			time.Sleep(time.Minute)
			want(t, "documents of the first", first.documents(), "ab RetryAttemptsExhausted 1")
			want(t, "documents of the last", last.documents(), "ab RetryAttemptsExhausted 1")
			wanted := map[*metrics.Metric]float64{
				metrics.DestinationDeliveryFailures: 0, metrics.DroppedEventCount: 0, metrics.OnFailureDestinationDeliveredEventCount: 2,
			}
			if fails {
				wanted = map[*metrics.Metric]float64{
					metrics.DestinationDeliveryFailures: 1, metrics.DroppedEventCount: 2, metrics.OnFailureDestinationDeliveredEventCount: 0,
				}
			}
			totals(t, snap, wanted)
			life.stop()
		})
	}
}

// Without a destination what is given up is dropped: told of and counted.
func TestContractNoDestination(t *testing.T) {
	t.Parallel()
	proves(t, "C18", "L27", "L67")
	inContract(t, 1, func(f *field) {
		tr, snap := new(trace), new(metrics.Snapshot)
		f.letters(shard0, "a")
		time.Sleep(2 * time.Minute)
		f.letters(shard0, "bc")
		life := startField(f, tr.fails("b"), consumer.WithMaxRetryAttempts(1), consumer.WithMaxRecordAge(time.Minute), consumer.WithMetrics(snap))
		time.Sleep(10 * time.Second)
		f.letters(shard0, "d")
		time.Sleep(10 * time.Second)
		want(t, "attempts", tr.lines(), "1 bc", "2 bc", "1 d")
		totals(t, snap, map[*metrics.Metric]float64{
			metrics.DestinationDeliveryFailures: 0, metrics.DroppedEventCount: 3, metrics.OnFailureDestinationDeliveredEventCount: 0,
		})
		if n := f.noticed("RecordsDiscarded"); n != 2 {
			t.Errorf("%d notices of RecordsDiscarded, want 2", n)
		}
		life.stop()
		if ck := f.checkpoint(); !strings.Contains(ck, f.srv.Records("orders")[3].SequenceNumber) {
			t.Errorf("checkpoint %s, want it behind the last record", ck)
		}
	})
}

// Destinations of lanes and shards are called side by side, and one that is slow holds up its lane alone.
func TestContractSlowDestination(t *testing.T) {
	t.Parallel()
	proves(t, "C3", "L35")
	inField(t, 2, func(f *field) {
		bad := laneKey("bad", 0)
		f.work = func(_ context.Context, b fieldBatch) error {
			if b.has(bad) {
				return errPoison
			}
			return nil
		}
		f.put(shardID(0), bad, 1)
		f.put(shardID(0), laneKey("fine", 1), 10)
		f.put(shardID(1), "elsewhere", 10)
		life := f.start(consumer.WithParallelizationFactor(4), consumer.WithMaxRetryAttempts(0),
			consumer.WithOnFailure(batch.DestinationFunc(func(ctx context.Context, failure *batch.Failure) error {
				time.Sleep(20 * time.Second)
				return f.Deliver(ctx, failure)
			})))
		time.Sleep(5 * time.Second)
		if times, _ := f.handled(); len(times) != 20 {
			t.Errorf("%d records were handled during the delivery, want 20", len(times))
		}
		time.Sleep(30 * time.Second)
		f.once()
		life.stop()
	})
}
