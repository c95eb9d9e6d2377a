package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/metrics"
)

// A handler sees its deadline. At the deadline its context ends and the attempt has failed, whatever it returns later;
// its lane waits for it to return, and is told of.
func TestContractHandlerTimeout(t *testing.T) {
	t.Parallel()
	proves(t, "C14", "L1", "L27", "L28")
	for _, tt := range []struct {
		name  string
		stays time.Duration // after the deadline
		err   error
		told  int
	}{
		{"obeys", 0, context.DeadlineExceeded, 0}, {"succeeds too late", time.Second, nil, 0}, {"overstays", 40 * time.Second, nil, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inField(t, 1, func(f *field) {
				tr, snap := new(trace), new(metrics.Snapshot)
				f.work = func(ctx context.Context, b fieldBatch) error {
					tr.add(ctx, b.recs)
					if b.has("c") {
						return nil
					}
					if at, ok := ctx.Deadline(); !ok || time.Until(at) != 7*time.Second {
						t.Errorf("deadline %v, %v, want it in 7 s", at, ok)
					}
					<-ctx.Done()
					if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
						t.Errorf("the context ended with %v", ctx.Err())
					}
					time.Sleep(tt.stays)
					if tt.err == nil {
						return errLate // a success, but not for the checks of the field
					}
					return tt.err
				}
				late := func(ctx context.Context, ev events.KinesisEvent) error {
					err := f.handle(ctx, ev)
					if errors.Is(err, errLate) {
						return nil
					}
					return err
				}
				f.letters(shard0, "a")
				life := startField(f, late, consumer.WithHandlerTimeout(7*time.Second), consumer.WithMaxRetryAttempts(1),
					consumer.WithOnFailure(batch.All(f, tr)), consumer.WithBatchSize(1), consumer.WithMetrics(snap))
				time.Sleep(2 * time.Second)
				f.letters(shard0, "c")
				time.Sleep(2 * time.Minute)
				want(t, "attempts", tr.lines(), "1 a", "2 a", "1 c")
				want(t, "documents", tr.documents(), "a RetryAttemptsExhausted 2")
				if doc := string(tr.partings()[0].Document()); !strings.Contains(doc, `"functionError":"Unhandled"`) {
					t.Errorf("document %s: want Unhandled", doc)
				}
				all := f.seen()
				if d := all[1].begun.Sub(all[0].ended); d < 200*time.Millisecond || d > 300*time.Millisecond {
					t.Errorf("the second attempt began %v after the return of the first one, want the backoff", d)
				}
				totals(t, snap, map[*metrics.Metric]float64{
					metrics.HandlerOverstayed: float64(tt.told), metrics.FailedInvokeEventCount: 2, metrics.InvokedEventCount: 3,
				})
				if n := f.noticed("HandlerOverstayed"); n != tt.told {
					t.Errorf("%d notices of HandlerOverstayed, want %d", n, tt.told)
				}
				life.stop()
			})
		})
	}
}

// The default is Lambda's maximum, 900 s; -1 is none.
func TestContractDefaultTimeout(t *testing.T) {
	t.Parallel()
	proves(t, "C14")
	for name, opt := range map[string]consumer.Option{"default": nil, "none": consumer.WithHandlerTimeout(-1)} {
		t.Run(name, func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				f.rareReads()
				tr := new(trace)
				var left time.Duration
				f.letters(shard0, "a")
				life := f.startTrace(tr, func(ctx context.Context, ev events.KinesisEvent) error {
					tr.add(ctx, ev.Records)
					if at, ok := ctx.Deadline(); ok {
						left = time.Until(at)
					}
					select {
					case <-ctx.Done():
						return ctx.Err()
					case <-time.After(24 * time.Hour):
						return nil
					}
				}, opt, consumer.WithMaxRetryAttempts(0))
				if name == "default" {
					time.Sleep(time.Hour)
				} else {
					time.Sleep(25 * time.Hour)
				}
				if name == "default" {
					want(t, "documents", tr.documents(), "a RetryAttemptsExhausted 1")
					if left != 900*time.Second {
						t.Errorf("deadline in %v, want 15m0s", left)
					}
				} else {
					want(t, "documents", tr.documents())
					if left != 0 {
						t.Errorf("deadline in %v, want none", left)
					}
				}
				life.stop()
			})
		})
	}
}

// Every attempt gets the original records, whatever an earlier one has done to its event and whatever it keeps of it.
func TestContractFreshEvents(t *testing.T) {
	t.Parallel()
	proves(t, "L5")
	inContract(t, 1, func(f *field) {
		tr := new(trace)
		f.letters(shard0, "abcd")
		var kept []events.KinesisEventRecord
		life := f.startTrace(tr, func(ctx context.Context, ev events.KinesisEvent) error {
			for i, r := range ev.Records {
				if len(r.Kinesis.Data) != cap(r.Kinesis.Data) {
					t.Errorf("data of %d bytes with a capacity of %d", len(r.Kinesis.Data), cap(r.Kinesis.Data))
				}
				if key := r.Kinesis.PartitionKey; r.EventID != shard0+":"+r.Kinesis.SequenceNumber || key != string(r.Kinesis.Data) {
					t.Errorf("record %d: event id %s, key %s, data %s", i, r.EventID, key, r.Kinesis.Data)
				}
			}
			tr.add(ctx, ev.Records)
			kept = append(kept, ev.Records...)
			for i := range kept { // those of earlier attempts, too, while the destination and the next attempt get theirs
				_ = append(kept[i].Kinesis.Data, "overflow"...)
				kept[i].Kinesis.Data[0] = 'x'
				kept[i].Kinesis.SequenceNumber, kept[i].Kinesis.PartitionKey, kept[i].EventID = "1", "x", "x"
			}
			clear(ev.Records)
			return errPoison
		}, consumer.WithMaxRetryAttempts(2), consumer.WithBisectOnError(true))
		time.Sleep(time.Minute)
		var attempts, gone []string
		attempts, gone = bisected("abcd", "abcd", 2)
		want(t, "attempts", tr.lines(), attempts...)
		want(t, "documents", tr.documents(), gone...)
		for i, p := range tr.partings() {
			if seq := f.srv.Records("orders")[i].SequenceNumber; p.Records[0].Kinesis.SequenceNumber != seq {
				t.Errorf("document %d is of %s, want %s", i+1, p.Records[0].Kinesis.SequenceNumber, seq)
			}
		}
		life.stop()
	})
}

var errLate = errors.New("late")

// An attempt that is past its deadline has failed, also when the drain ends while it still runs: the record comes again.
func TestContractTimeoutInDrain(t *testing.T) {
	t.Parallel()
	proves(t, "C14", "C15")
	inContract(t, 1, func(f *field) {
		tr := new(trace)
		h := func(ctx context.Context, ev events.KinesisEvent) error {
			if tr.add(ctx, ev.Records); len(tr.attempts()) == 1 {
				time.Sleep(4500 * time.Millisecond) // a success, but too late
			}
			return nil
		}
		f.letters(shard0, "a")
		life := f.startTrace(tr, h, consumer.WithHandlerTimeout(2*time.Second), consumer.WithDrainTimeout(2*time.Second))
		time.Sleep(2 * time.Second)
		life.cancel()
		if err := life.wait(10 * time.Second); !errors.Is(err, consumer.ErrDrainTimeout) {
			t.Errorf("Run returned %v", err)
		}
		life.run()
		time.Sleep(2 * time.Second)
		life.stop()
		want(t, "attempts", tr.lines(), "1 a", "1 a")
	})
}
