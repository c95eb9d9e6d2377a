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
	"github.com/shardlane/shardlane/metrics"
)

// bisected is what a slice goes through whose letters bad fail: the attempts, and those that are given up.
func bisected(slice, bad string, retries int) (attempts, gone []string) {
	if !strings.ContainsAny(slice, bad) {
		return []string{"1 " + slice}, nil
	}
	if len(slice) == 1 {
		for n := range retries + 1 {
			attempts = append(attempts, fmt.Sprint(n+1, " ", slice))
		}
		return attempts, []string{fmt.Sprint(slice, " RetryAttemptsExhausted ", retries+1)}
	}
	attempts = []string{"1 " + slice}
	for _, half := range []string{slice[:len(slice)/2], slice[len(slice)/2:]} {
		a, g := bisected(half, bad, retries)
		attempts, gone = append(attempts, a...), append(gone, g...)
	}
	return attempts, gone
}

// Bisecting isolates what fails, wherever it is: halves of ⌊n/2⌋, the left one and all that is cut from it before the
// right one. Each poison is given up alone, with all its retries and one document.
func TestContractBisect(t *testing.T) {
	t.Parallel()
	proves(t, "L27", "L28", "L29", "L43", "L23")
	for _, tt := range []struct {
		slice, bad string
		retries    int
	}{
		{"a", "a", 0},
		{"ab", "a", 2},
		{"ab", "b", 0},
		{"abc", "b", 1},
		{"abcde", "e", 0},
		{"abcde", "a", 1},
		{"abcdefg", "d", 3},
		{"abcdefgh", "ah", 1},
		{"abcdefgh", "cd", 0},
		{"abcdefghijk", "fk", 1},
		{"abc", "abc", 1},
	} {
		t.Run(fmt.Sprintf("%s of %s, %d retries", tt.bad, tt.slice, tt.retries), func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				tr := new(trace)
				f.letters(shard0, tt.slice)
				life := f.startTrace(tr, tr.fails(tt.bad), consumer.WithBisectOnError(true), consumer.WithMaxRetryAttempts(tt.retries))
				time.Sleep(time.Minute)
				attempts, gone := bisected(tt.slice, tt.bad, tt.retries)
				want(t, "attempts", tr.lines(), attempts...)
				want(t, "documents", tr.documents(), gone...)
				life.stop()
				last := f.srv.Records("orders")[len(tt.slice)-1].SequenceNumber
				if ck := f.checkpoint(); !strings.Contains(ck, last) {
					t.Errorf("checkpoint %s, want it behind the last record, %s", ck, last)
				}
			})
		})
	}
}

// startTrace starts a consumer whose destination is tr.
func (f *field) startTrace(tr *trace, h wholeBatch, opts ...consumer.Option) *fieldLife {
	f.t.Helper()
	return startField(f, h, append([]consumer.Option{consumer.WithOnFailure(tr)}, opts...)...)
}

// There is no backoff after a split, and the pieces of a slice go on without one after a discard.
func TestContractNoBackoffAfterSplit(t *testing.T) {
	t.Parallel()
	proves(t, "L34", "L29")
	inContract(t, 1, func(f *field) {
		tr := new(trace)
		f.letters(shard0, "abcdefgh")
		life := f.startTrace(tr, tr.fails("d"), consumer.WithBisectOnError(true), consumer.WithMaxRetryAttempts(0))
		time.Sleep(time.Minute)
		all := tr.attempts()
		if d := all[len(all)-1].at.Sub(all[0].at); len(all) != 7 || d > 10*time.Millisecond {
			t.Errorf("%q took %v, want 7 attempts at once", tr.lines(), d)
		}
		life.stop()
	})
}

// Retries are counted by the slice: none means none, and without a limit the lane waits for as long as it takes, while
// the other lanes of the shard go on. The backoff doubles up to its limit.
func TestContractRetryLimit(t *testing.T) {
	t.Parallel()
	proves(t, "L7", "L8", "L34", "C9")
	for retries, lines := range map[int][]string{0: {"1 ab"}, 1: {"1 ab", "2 ab"}, 3: {"1 ab", "2 ab", "3 ab", "4 ab"}} {
		t.Run(fmt.Sprint(retries), func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				tr := new(trace)
				f.letters(shard0, "ab")
				life := f.startTrace(tr, tr.fails("b"), consumer.WithMaxRetryAttempts(retries), consumer.WithBackoff(2*time.Second, 3, 9*time.Second))
				time.Sleep(time.Minute)
				want(t, "attempts", tr.lines(), lines...)
				want(t, "documents", tr.documents(), fmt.Sprint("ab RetryAttemptsExhausted ", retries+1))
				all := tr.attempts()
				for i, base := range []time.Duration{2 * time.Second, 6 * time.Second, 9 * time.Second}[:retries] {
					between(t, fmt.Sprint("backoff ", i+1), all[i+1].at.Sub(all[i].at), base)
				}
				life.stop()
			})
		})
	}
	t.Run("none", func(t *testing.T) {
		proves(t, "L33", "L27", "C3", "L24")
		inField(t, 1, func(f *field) {
			bad, other := laneKey("bad", 0), laneKey("other", 1)
			over := time.Now().Add(time.Hour)
			f.work = func(_ context.Context, b fieldBatch) error {
				if b.has(bad) && time.Now().Before(over) {
					return errPoison
				}
				return nil
			}
			f.rareReads()
			f.put(shard0, bad, 2)
			life := f.start(consumer.WithParallelizationFactor(4), consumer.WithOnFailure(f))
			for range 55 {
				time.Sleep(time.Minute)
				f.put(shard0, other, 1)
			}
			if times, _ := f.handled(); len(times) != 54 && len(times) != 55 {
				t.Errorf("%d records of the other lane were handled, want them all", len(times))
			}
			if n := f.seen()[len(f.seen())-1]; f.noticed("RecordsDiscarded") > 0 || len(f.givenUp()) > 0 {
				t.Errorf("records were given up: %v", n)
			}
			time.Sleep(7 * time.Minute)
			f.once()
			life.stop()
		})
	})
}

// What is given up is told to the destination first and resolved then: a process that dies in between repeats the
// document and loses none.
func TestContractDocumentBeforeCheckpoint(t *testing.T) {
	t.Parallel()
	proves(t, "L35", "L26")
	inContract(t, 1, func(f *field) {
		tr := new(trace)
		f.letters(shard0, "abc")
		before := ""
		destination := batch.DestinationFunc(func(ctx context.Context, failure *batch.Failure) error {
			time.Sleep(20 * time.Second) // checkpoints are written meanwhile
			before = f.checkpoint()
			return tr.Deliver(ctx, failure)
		})
		opts := consumer.Options(consumer.WithMaxRetryAttempts(0), consumer.WithBisectOnError(true), consumer.WithOnFailure(destination), consumer.WithDrainTimeout(0))
		life := startField(f, tr.fails("b"), opts)
		for len(tr.documents()) == 0 {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(5 * time.Millisecond) // for record c
		first, second := f.srv.Records("orders")[0].SequenceNumber, f.srv.Records("orders")[1].SequenceNumber
		if !strings.Contains(before, first) || strings.Contains(before, second) {
			t.Errorf("checkpoint %s during the delivery, want it behind %s", before, first)
		}
		want(t, "documents", tr.documents(), "b RetryAttemptsExhausted 1")
		life.kill() // before the next checkpoint
		life = startField(f, tr.fails("b"), opts)
		time.Sleep(time.Minute)
		want(t, "documents", tr.documents(), "b RetryAttemptsExhausted 1", "b RetryAttemptsExhausted 1")
		want(t, "attempts", tr.lines(), "1 abc", "1 a", "1 bc", "1 b", "1 c", "1 bc", "1 b", "1 c")
		life.stop()
		life = startField(f, tr.fails("b"), opts)
		time.Sleep(time.Minute)
		if n := len(tr.attempts()); n != 8 {
			t.Errorf("%d attempts after a restart, want none more than 8", n)
		}
		life.stop()
	})
}

// A panic, and a handler that ends its goroutine, is a failed attempt like any other, of its slice alone.
func TestContractPanicAndGoexit(t *testing.T) {
	t.Parallel()
	proves(t, "L1", "L28")
	none := fmt.Errorf("%w", error(nil))
	none = errors.Unwrap(none)
	for name, end := range map[string]func(){
		"panic": func() { panic("handler") }, "nil panic": func() { panic(none) }, "Goexit": goexit,
	} {
		t.Run(name, func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				tr, snap := new(trace), new(metrics.Snapshot)
				f.letters(shard0, "abcd")
				life := f.startTrace(tr, func(ctx context.Context, ev events.KinesisEvent) error {
					if strings.Contains(tr.add(ctx, ev.Records).data, "c") {
						end()
					}
					return nil
				}, consumer.WithMaxRetryAttempts(1), consumer.WithBisectOnError(true), consumer.WithMetrics(snap))
				time.Sleep(time.Minute)
				attempts, gone := bisected("abcd", "c", 1)
				want(t, "attempts", tr.lines(), attempts...)
				want(t, "documents", tr.documents(), gone...)
				doc, err := string(tr.partings()[0].Document()), tr.partings()[0].Err
				if !strings.Contains(doc, `"functionError":"Unhandled"`) {
					t.Errorf("document %s: want Unhandled", doc)
				}
				var panicked *batch.PanicError
				if name == "Goexit" && !errors.Is(err, batch.ErrGoexit) || name != "Goexit" && (!errors.As(err, &panicked) || len(panicked.Stack) == 0) {
					t.Errorf("the destination got %v", err)
				}
				totals(t, snap, map[*metrics.Metric]float64{metrics.InvokedEventCount: 11, metrics.FailedInvokeEventCount: 8})
				if got := f.noticed("HandlerPanicked") + f.noticed("HandlerFailed"); got != 4 {
					t.Errorf("%d notices of failed attempts, want 4", got)
				}
				life.stop()
			})
		})
	}
}
