package consumer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/metrics"
)

// A record whose event exceeds the payload limit does not reach the handler. It fails, with attempts and backoffs, and
// what is around it is handled in batches of its own. Its document has no response.
func TestContractOversizedRecord(t *testing.T) {
	t.Parallel()
	proves(t, "L19", "L32", "L17", "C18", "C6")
	for _, bisect := range []bool{false, true} {
		t.Run(fmt.Sprintf("bisect %v", bisect), func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				tr, snap := new(trace), new(metrics.Snapshot)
				f.letters(shard0, "ab")
				f.srv.PutHash("orders", "big", "0", make([]byte, 5000))
				f.letters(shard0, "cd")
				begun := time.Now()
				life := f.startTrace(tr, tr.fails(""), consumer.WithPayloadLimit(5000), consumer.WithMaxRetryAttempts(2),
					consumer.WithBisectOnError(bisect), consumer.WithMetrics(snap), consumer.WithBackoff(4*time.Second, 1, 4*time.Second))
				time.Sleep(time.Minute)
				want(t, "attempts", tr.lines(), "1 ab", "1 cd")
				docs := tr.partings()
				if len(docs) != 1 || docs[0].InvokeCount != 3 || docs[0].Condition != "RetryAttemptsExhausted" || len(docs[0].Records) != 1 ||
					docs[0].Err == nil || strings.Contains(string(docs[0].Document()), "responseContext") {
					t.Errorf("documents %.60q, want one of the big record without a response", tr.documents())
				}
				if d := docs[0].at.Sub(begun); d < 8*time.Second || d > 11*time.Second {
					t.Errorf("it was given up after %v, want two backoffs of 4 s", d)
				}
				totals(t, snap, map[*metrics.Metric]float64{
					metrics.InvokedEventCount: 4, metrics.FailedInvokeEventCount: 3, metrics.OnFailureDestinationDeliveredEventCount: 1,
				})
				if d := snap.Distribution(metrics.IteratorAge); d.Count != 2 {
					t.Errorf("IteratorAge has %d values, want one for each of 2 calls", d.Count)
				}
				life.stop()
			})
		})
	}
}

// With a higher limit, or none, the same record is handled; without one, beside whatever comes with it. The limit is
// exact: an event of that many bytes is within it.
func TestContractPayloadLimit(t *testing.T) {
	t.Parallel()
	proves(t, "B2", "L19", "L18", "L17", "C6")
	overhead := len(batch.AppendEvent(nil, events.KinesisEvent{Records: []events.KinesisEventRecord{}}))
	for _, tt := range []struct {
		limit func(one int) int // of the bytes of an event with one record
		want  []string
	}{
		{func(int) int { return -1 }, []string{"1 abc"}},
		{func(int) int { return 6 << 20 }, []string{"1 abc"}},
		{func(one int) int { return 2*one - overhead + len(",") }, []string{"1 ab", "1 c"}},
		{func(one int) int { return 2*one - overhead }, []string{"1 a", "1 b", "1 c"}},
		{func(one int) int { return one }, []string{"1 a", "1 b", "1 c"}},
		{func(one int) int { return one - 1 }, nil},
	} {
		inContract(t, 1, func(f *field) {
			tr := new(trace)
			for _, letter := range []string{"a", "b", "c"} {
				f.srv.PutHash("orders", "key", "0", []byte(strings.Repeat(letter, 3000)))
			}
			one := 0
			life := startField(f, func(_ context.Context, ev events.KinesisEvent) error {
				one = len(batch.AppendEvent(nil, ev))
				return nil
			}, consumer.WithBatchSize(1))
			time.Sleep(time.Second)
			life.stop()
			life = f.startTrace(tr, tr.fails(""), consumer.WithGroup("other"), consumer.WithPayloadLimit(tt.limit(one)), consumer.WithMaxRetryAttempts(0))
			time.Sleep(time.Minute)
			var got []string
			for _, a := range tr.attempts() {
				got = append(got, "1 "+string(slices.Compact([]byte(a.data))))
			}
			want(t, fmt.Sprintf("attempts with a limit of %d for events of %d bytes", tt.limit(one), one), got, tt.want...)
			if n := len(tr.partings()); n != 3*max(0, 1-len(tt.want)) {
				t.Errorf("%d records were given up", n)
			}
			life.stop()
		})
	}
}

// Nothing that a stream can hold is too big without a limit.
func TestContractLargestRecord(t *testing.T) {
	t.Parallel()
	proves(t, "B2", "L32", "C18", "L67")
	for limit, handled := range map[int]bool{-1: true, 16 << 20: true, 6 << 20: false} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				f.srv.SetMaxRecordSize("orders", 10<<20)
				f.srv.PutHash("orders", "big", "0", make([]byte, 5<<20)) // more than 6 MiB in base64
				tr, snap := new(trace), new(metrics.Snapshot)
				life := startField(f, tr.fails(""), consumer.WithPayloadLimit(limit), consumer.WithMaxRetryAttempts(0), consumer.WithMetrics(snap))
				time.Sleep(time.Minute)
				if n := len(tr.attempts()); n == 1 != handled {
					t.Errorf("%d attempts", n)
				}
				if !handled {
					totals(t, snap, map[*metrics.Metric]float64{
						metrics.InvokedEventCount: 0, metrics.FailedInvokeEventCount: 1, metrics.DroppedEventCount: 1,
					})
				}
				life.stop()
			})
		})
	}
}
