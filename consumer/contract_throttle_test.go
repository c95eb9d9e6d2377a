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

// refuses is a handler that has no capacity for the first n calls, and fails then.
func (tr *trace) refuses(n int) wholeBatch {
	return func(ctx context.Context, ev events.KinesisEvent) error {
		if tr.add(ctx, ev.Records); len(tr.attempts()) <= n {
			return fmt.Errorf("the database: %w", batch.ErrThrottled)
		}
		return errPoison
	}
}

// A handler that has no capacity is asked again, by a backoff of its own, and loses no retry. It is never split, and
// nothing moves meanwhile. Its calls count as invoked and as failed.
func TestContractThrottled(t *testing.T) {
	t.Parallel()
	proves(t, "C13", "L27", "L39", "C18")
	inContract(t, 1, func(f *field) {
		tr, snap := new(trace), new(metrics.Snapshot)
		f.letters(shard0, "ab")
		life := f.startTrace(tr, tr.refuses(5), consumer.WithMaxRetryAttempts(1), consumer.WithMetrics(snap), consumer.WithBackoff(time.Second, 2, time.Minute))
		time.Sleep(2 * time.Minute)
		want(t, "attempts", tr.lines(), "1 ab", "1 ab", "1 ab", "1 ab", "1 ab", "1 ab", "2 ab")
		want(t, "documents", tr.documents(), "ab RetryAttemptsExhausted 2")
		all := tr.attempts()
		for i, seconds := range []int{1, 2, 4, 8, 16, 1} { // a failure has the first backoff
			between(t, fmt.Sprint("backoff ", i+1), all[i+1].at.Sub(all[i].at), time.Duration(seconds)*time.Second)
			if all[i+1].RequestID != all[0].RequestID {
				t.Errorf("attempt %d has another request id", i+2)
			}
		}
		totals(t, snap, map[*metrics.Metric]float64{metrics.InvokedEventCount: 14, metrics.FailedInvokeEventCount: 14})
		life.stop()
	})
	t.Run("bisect", func(t *testing.T) {
		inContract(t, 1, func(f *field) {
			tr := new(trace)
			f.letters(shard0, "ab")
			life := f.startTrace(tr, tr.refuses(3), consumer.WithMaxRetryAttempts(0), consumer.WithBisectOnError(true))
			time.Sleep(2 * time.Minute)
			want(t, "attempts", tr.lines(), "1 ab", "1 ab", "1 ab", "1 ab", "1 a", "1 b")
			life.stop()
		})
	})
}

// Only the age of its records ends what is refused for ever: not the retry limit.
func TestContractThrottledUntilTooOld(t *testing.T) {
	t.Parallel()
	proves(t, "C13", "C7", "L31")
	inContract(t, 1, func(f *field) {
		tr := new(trace)
		f.letters(shard0, "a")
		life := f.startTrace(tr, tr.refuses(1000), consumer.WithMaxRetryAttempts(0), consumer.WithMaxRecordAge(5*time.Minute))
		time.Sleep(20 * time.Minute)
		want(t, "documents", tr.documents(), "a RecordAgeExceeded 1")
		p := tr.partings()[0]
		if n := len(tr.attempts()); n < 10 || p.at.Sub(f.srv.Records("orders")[0].Arrival) != 5*time.Minute {
			t.Errorf("%d attempts, and a document %v after the arrival, want some and 5m0s", n, p.at.Sub(f.srv.Records("orders")[0].Arrival))
		}
		if !errors.Is(p.Err, batch.ErrThrottled) || strings.Contains(string(p.Document()), "responseContext") {
			t.Errorf("document %s with error %v", p.Document(), p.Err)
		}
		life.stop()
	})
}

// A record that is refused, of a batch of records that are handled one by one, is throttled, too.
func TestContractThrottledRecord(t *testing.T) {
	t.Parallel()
	proves(t, "C13", "L36")
	inContract(t, 1, func(f *field) {
		tr := new(trace)
		f.letters(shard0, "abc")
		refused := 0
		life := startField(f, batch.Each(func(ctx context.Context, r events.KinesisEventRecord) error {
			tr.add(ctx, []events.KinesisEventRecord{r})
			if string(r.Kinesis.Data) == "b" && refused < 4 {
				refused++
				return batch.ErrThrottled
			}
			return nil
		}), consumer.WithMaxRetryAttempts(0), consumer.WithOnFailure(tr))
		time.Sleep(time.Minute)
		want(t, "documents", tr.documents())
		if lines := strings.Join(tr.lines(), " "); refused != 4 || strings.Count(lines, "1 a") != 1 || !strings.HasSuffix(lines, "1 b 1 c") {
			t.Errorf("records %q", lines)
		}
		life.stop()
	})
}

// A stop ends the wait at once.
func TestContractThrottledStop(t *testing.T) {
	t.Parallel()
	proves(t, "C9", "C15")
	inContract(t, 1, func(f *field) {
		tr := new(trace)
		f.letters(shard0, "a")
		life := f.startTrace(tr, tr.refuses(1000), consumer.WithBackoff(time.Hour, 1, time.Hour))
		time.Sleep(time.Minute)
		begun := time.Now()
		life.stop()
		if d := time.Since(begun); d > time.Second || len(tr.attempts()) != 1 {
			t.Errorf("Run took %v to return, after %q", d, tr.lines())
		}
		if len(tr.partings()) != 0 || strings.Contains(f.checkpoint(), f.srv.Records("orders")[0].SequenceNumber) {
			t.Errorf("documents %q, checkpoint %s: want nothing resolved", tr.documents(), f.checkpoint())
		}
	})
}
