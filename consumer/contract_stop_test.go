package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer"
)

// unresolved fails the test if the first record of the shard counts as resolved.
func (f *field) unresolved() {
	f.t.Helper()
	if ck := f.checkpoint(); strings.Contains(ck, f.srv.Records("orders")[0].SequenceNumber) {
		f.t.Errorf("checkpoint %s is behind the first record, want nothing resolved", ck)
	}
}

// An attempt that fails during the drain is aborted, even if it is the last one of its slice: nothing is given up, and
// the records come again, with attempts from 1.
func TestContractFailureInDrain(t *testing.T) {
	t.Parallel()
	proves(t, "C15", "L26")
	for name, fail := range map[string]func() error{
		"error": func() error { return errPoison }, "throttled": func() error { return batch.ErrThrottled },
		"panic": func() error { panic("handler") }, "Goexit": func() error { goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				tr := new(trace)
				f.letters(shard0, "ab")
				handle := func(ctx context.Context, ev events.KinesisEvent) error {
					if tr.add(ctx, ev.Records); len(tr.attempts()) > 2 {
						return nil
					}
					time.Sleep(10 * time.Second)
					return fail()
				}
				opts := consumer.Options(consumer.WithMaxRetryAttempts(0), consumer.WithBisectOnError(true), consumer.WithOnFailure(tr))
				if name != "error" {
					opts = consumer.Options(consumer.WithMaxRetryAttempts(0), consumer.WithOnFailure(tr))
				}
				life := startField(f, handle, opts)
				time.Sleep(5 * time.Second)
				begun := time.Now()
				life.stop()
				if d := time.Since(begun); d < 5*time.Second || d > 6*time.Second {
					t.Errorf("Run took %v to return, want that of the handler, 5s", d)
				}
				want(t, "documents", tr.documents())
				f.unresolved()
				life = startField(f, handle, opts)
				time.Sleep(time.Second)
				life.stop()
				f.unresolved()
				life = startField(f, handle, opts)
				time.Sleep(15 * time.Second)
				want(t, "attempts", tr.lines(), "1 ab", "1 ab", "1 ab")
				want(t, "documents", tr.documents())
				life.stop()
			})
		})
	}
}

// A handler that a stop without a drain cuts off at once has not failed: its batch is not given up.
func TestContractStopWithoutDrain(t *testing.T) {
	t.Parallel()
	proves(t, "C15")
	for range 40 { // the stop and the cut come at one instant, while handlers begin
		inContract(t, 16, func(f *field) {
			for i := range 16 {
				f.letters(fmt.Sprintf("shardId-%012d", i), "abcdefgh")
			}
			tr := new(trace)
			var life *fieldLife
			begun := make(chan struct{})
			life = startField(f, func(ctx context.Context, ev events.KinesisEvent) error {
				<-begun
				tr.add(ctx, ev.Records)
				life.cancel()
				<-ctx.Done()
				return ctx.Err()
			}, consumer.WithParallelizationFactor(10), consumer.WithMaxRetryAttempts(0), consumer.WithOnFailure(tr), consumer.WithDrainTimeout(0))
			close(begun)
			if err := life.wait(time.Minute); !errors.Is(err, consumer.ErrDrainTimeout) {
				t.Errorf("Run: %v, want %v", err, consumer.ErrDrainTimeout)
			}
			want(t, "documents", tr.documents())
		})
	}
}

// Progress during the drain counts: what was handled before the lowest record that is reported does not come again.
func TestContractProgressInDrain(t *testing.T) {
	t.Parallel()
	proves(t, "C15")
	inContract(t, 1, func(f *field) {
		tr := new(trace)
		f.letters(shard0, "ab")
		life := startField(f, func(ctx context.Context, ev events.KinesisEvent) (events.KinesisEventResponse, error) {
			defer time.Sleep(10 * time.Second)
			return tr.reports("b")(ctx, ev)
		})
		time.Sleep(5 * time.Second)
		life.stop()
		if ck, first := f.checkpoint(), f.srv.Records("orders")[0].SequenceNumber; !strings.Contains(ck, first) {
			t.Errorf("checkpoint %s, want it behind the first record", ck)
		}
		life = startField(f, tr.fails(""))
		time.Sleep(5 * time.Second)
		life.stop()
		want(t, "attempts", tr.lines(), "1 ab", "1 b")
	})
}

// A delivery that the drain timeout cuts off resolves nothing; one that ends before it counts.
func TestContractDeliveryInDrain(t *testing.T) {
	t.Parallel()
	proves(t, "C15", "L35", "C23")
	for name, takes := range map[string]time.Duration{"cut off": 25 * time.Second, "in time": 10 * time.Second} {
		t.Run(name, func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				tr := new(trace)
				f.letters(shard0, "a")
				destination := batch.DestinationFunc(func(ctx context.Context, failure *batch.Failure) error {
					select {
					case <-time.After(takes):
						return tr.Deliver(ctx, failure)
					case <-ctx.Done():
						return ctx.Err()
					}
				})
				opts := consumer.Options(consumer.WithMaxRetryAttempts(0), consumer.WithDrainTimeout(10*time.Second), consumer.WithOnFailure(destination))
				life := startField(f, tr.fails("a"), opts)
				time.Sleep(5 * time.Second)
				life.cancel()
				if err := life.wait(15 * time.Second); errors.Is(err, consumer.ErrDrainTimeout) != (name == "cut off") {
					t.Errorf("Run: %v", err)
				}
				if name == "in time" {
					want(t, "documents", tr.documents(), "a RetryAttemptsExhausted 1")
					if ck := f.checkpoint(); !strings.Contains(ck, f.srv.Records("orders")[0].SequenceNumber) {
						t.Errorf("checkpoint %s, want it behind the record", ck)
					}
					return
				}
				want(t, "documents", tr.documents())
				f.unresolved()
				if n := f.noticed("DestinationFailed") + f.noticed("RecordsDiscarded"); n != 0 {
					t.Errorf("%d notices of what is given up, want none", n)
				}
				life = startField(f, tr.fails("a"), opts)
				time.Sleep(time.Minute)
				want(t, "documents", tr.documents(), "a RetryAttemptsExhausted 1")
				want(t, "attempts", tr.lines(), "1 a", "1 a")
				life.stop()
			})
		})
	}
}

// One that ignores its context does not keep Run from returning in time.
func TestContractDeliveryHangsInDrain(t *testing.T) {
	t.Parallel()
	proves(t, "C15", "C23")
	inContract(t, 1, func(f *field) {
		tr, free := new(trace), make(chan struct{})
		defer close(free)
		f.letters(shard0, "a")
		life := startField(f, tr.fails("a"), consumer.WithMaxRetryAttempts(0), consumer.WithDrainTimeout(3*time.Second),
			consumer.WithOnFailure(batch.DestinationFunc(func(context.Context, *batch.Failure) error { <-free; return nil })))
		time.Sleep(5 * time.Second)
		life.cancel()
		if err := life.wait(8 * time.Second); !errors.Is(err, consumer.ErrDrainTimeout) {
			t.Errorf("Run: %v, want ErrDrainTimeout", err)
		}
		f.unresolved()
	})
}

// A worker that loses its shard during a delivery, or during an attempt that fails, resolves nothing of it: the one that
// took the shard over does.
func TestContractShardLostMeanwhile(t *testing.T) {
	t.Parallel()
	proves(t, "C15", "L26", "L41")
	for _, during := range []string{"delivery", "attempt"} {
		t.Run(during, func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				first, second := new(trace), new(trace)
				f.letters(shard0, "ab")
				slow := batch.DestinationFunc(func(ctx context.Context, failure *batch.Failure) error {
					if during == "delivery" && string(failure.Records[0].Kinesis.Data) == "b" {
						<-ctx.Done()
						return ctx.Err()
					}
					return first.Deliver(ctx, failure)
				})
				opts := consumer.Options(consumer.WithMaxRetryAttempts(0), consumer.WithBatchSize(1))
				life := startField(f, func(ctx context.Context, ev events.KinesisEvent) error {
					f.store.fail(func(op, _ string) error { // no checkpoint of the first one
						if op == "Swap" {
							return errors.New("down")
						}
						return nil
					})
					if data := first.add(ctx, ev.Records).data; during == "attempt" && data == "b" {
						<-ctx.Done()
					}
					return errPoison
				}, opts, consumer.WithOnFailure(slow))
				time.Sleep(300 * time.Millisecond)
				f.store.fail(nil)
				other := startField(f, second.fails("ab"), opts, consumer.WithOnFailure(second))
				time.Sleep(20 * time.Second) // the first one's next checkpoint tells it
				want(t, "documents of the first", first.documents(), "a RetryAttemptsExhausted 1")
				want(t, "documents of the second", second.documents(), "a RetryAttemptsExhausted 1", "b RetryAttemptsExhausted 1")
				if f.noticed("LeaseLost") != 1 || f.noticed("DestinationFailed") != 0 || f.noticed("RecordsDiscarded") != 3 {
					t.Errorf("notices %v", f.notices)
				}
				life.stop()
				other.stop()
				if ck := f.checkpoint(); !strings.Contains(ck, f.srv.Records("orders")[1].SequenceNumber) {
					t.Errorf("checkpoint %s, want that of the second", ck)
				}
			})
		})
	}
}

// A success during the drain counts, and is the last of its lane: pieces of its batch that wait are not begun.
func TestContractPiecesInDrain(t *testing.T) {
	t.Parallel()
	proves(t, "C15", "L39")
	inContract(t, 1, func(f *field) {
		tr := new(trace)
		f.letters(shard0, "abcd")
		life := f.startTrace(tr, func(ctx context.Context, ev events.KinesisEvent) error {
			if tr.add(ctx, ev.Records).data == "abcd" {
				return errPoison
			}
			time.Sleep(10 * time.Second)
			return nil
		}, consumer.WithBisectOnError(true))
		time.Sleep(5 * time.Second)
		life.stop()
		want(t, "attempts", tr.lines(), "1 abcd", "1 ab")
		if ck := f.checkpoint(); !strings.Contains(ck, f.srv.Records("orders")[1].SequenceNumber) {
			t.Errorf("checkpoint %s, want it behind the second record", ck)
		}
	})
}
