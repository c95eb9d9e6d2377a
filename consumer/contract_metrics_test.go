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

// A run in which everything happens once, with every one of Lambda's metrics by its name and to the record.
func TestContractMetrics(t *testing.T) {
	t.Parallel()
	proves(t, "L67", "C18", "L21", "L22", "L58", "L18")
	inContract(t, 1, func(f *field) {
		tr, snap := new(trace), new(metrics.Snapshot)
		data := func(letters string) { // one record for each, of which the filter lets the upper-case ones through
			for letter := range strings.SplitSeq(letters, "") {
				f.srv.PutHash("orders", "key", "0", []byte(`{"letter":"`+letter+`"}`))
			}
		}
		letters := func(recs []events.KinesisEventRecord) string {
			return strings.NewReplacer(`{"letter":"`, "", `"}`, "").Replace(dataOf(recs))
		}
		refused := false
		handle := func(ctx context.Context, ev events.KinesisEvent) (events.KinesisEventResponse, error) {
			got := letters(ev.Records)
			a := attempt{data: got, at: time.Now()}
			a.Invocation, _ = batch.InvocationFrom(ctx)
			tr.mu.Lock()
			tr.all = append(tr.all, a)
			tr.mu.Unlock()
			switch {
			case got == "T" && !refused:
				refused = true
				return events.KinesisEventResponse{}, batch.ErrThrottled
			case got == "ABCD":
				return events.KinesisEventResponse{BatchItemFailures: []events.KinesisBatchItemFailure{{ItemIdentifier: ev.Records[2].Kinesis.SequenceNumber}}}, nil
			case strings.ContainsAny(got, "CX"):
				return events.KinesisEventResponse{}, errPoison
			}
			return events.KinesisEventResponse{}, nil
		}
		destination := batch.DestinationFunc(func(_ context.Context, failure *batch.Failure) error {
			if letters(failure.Records) == "XY" {
				return errors.New("the queue does not exist")
			}
			return nil
		})
		data("OPq") // too old at the start
		time.Sleep(2 * time.Minute)
		life := startField(f, handle, consumer.WithFilter(`{"data":{"letter":[{"anything-but":["q","r"]}]}}`), consumer.WithMetrics(snap),
			consumer.WithMaxRecordAge(time.Minute), consumer.WithMaxRetryAttempts(1), consumer.WithOnFailure(destination))
		time.Sleep(3 * time.Second) // OP are given up: delivered
		check := func(what string, want map[string]float64) {
			t.Helper()
			time.Sleep(3 * time.Second)
			for name, n := range want {
				total := -1.0
				for s := range snap.All() {
					if s.Metric.Name == name {
						total = max(0, total) + s.Value
					}
				}
				if total != n && (n != 0 || total != -1) {
					t.Errorf("%s: %s is %v, want %v", what, name, total, n)
				}
			}
		}
		count := func(polled, filtered, invoked, failed, dropped, delivered, failures float64) map[string]float64 {
			return map[string]float64{
				"PolledEventCount": polled, "FilteredOutEventCount": filtered, "InvokedEventCount": invoked, "FailedInvokeEventCount": failed,
				"DroppedEventCount": dropped, "OnFailureDestinationDeliveredEventCount": delivered, "DestinationDeliveryFailures": failures,
			}
		}
		check("too old", count(3, 1, 0, 0, 0, 2, 0))
		data("rqr") // nothing for the handler
		check("filtered", count(6, 4, 0, 0, 0, 2, 0))
		data("G")
		check("success", count(7, 4, 1, 0, 0, 2, 0))
		data("T")
		check("throttled", count(8, 4, 3, 1, 0, 2, 0))
		data("ABqCD") // ABCD fails with its third record; CD fails twice and is given up: delivered
		check("progress", count(13, 5, 3+4+2+2, 1+4+2+2, 0, 4, 0))
		data("XY") // fails twice and is given up: not delivered
		check("not delivered", count(15, 5, 11+2+2, 9+2+2, 2, 4, 1))
		want(t, "attempts", tr.lines(), "1 G", "1 T", "1 T", "1 ABCD", "1 CD", "2 CD", "1 XY", "2 XY")
		ages := snap.Distribution(metrics.IteratorAge)
		if ages.Count != 8 || ages.Min < 1 || ages.Max > 1000 {
			t.Errorf("IteratorAge has %d values from %v to %v ms, want one for each of 8 attempts below a second", ages.Count, ages.Min, ages.Max)
		}
		var sum float64
		for _, a := range tr.attempts() {
			sum += float64(a.IteratorAge.Milliseconds())
		}
		if ages.Sum != sum {
			t.Errorf("IteratorAge sums up to %v ms, want %v, as the handlers were told", ages.Sum, sum)
		}
		life.stop()
		if ck := f.checkpoint(); !strings.Contains(ck, f.srv.Records("orders")[14].SequenceNumber) {
			t.Errorf("checkpoint %s, want it behind the last record", ck)
		}
	})
}

// A read that brings nothing records 0, and nothing that has not happened is recorded.
func TestContractMetricsOfAnIdleShard(t *testing.T) {
	t.Parallel()
	proves(t, "L67", "C18", "L22")
	inContract(t, 1, func(f *field) {
		snap := new(metrics.Snapshot)
		life := startField(f, nothing, consumer.WithMetrics(snap))
		time.Sleep(time.Minute)
		life.stop()
		found := map[string]float64{}
		for s := range snap.All() {
			found[s.Metric.Name] += s.Value
		}
		if n, ok := found["PolledEventCount"]; !ok || n != 0 {
			t.Errorf("PolledEventCount is %v, %v, want a recorded 0", n, ok)
		}
		for _, name := range []string{
			"IteratorAge", "FilteredOutEventCount", "InvokedEventCount", "FailedInvokeEventCount", "DroppedEventCount",
			"OnFailureDestinationDeliveredEventCount", "DestinationDeliveryFailures", "RetentionLostEventCount", "OutOfRangeEventCount",
		} {
			if n, ok := found[name]; ok {
				t.Errorf("%s was recorded: %v", name, n)
			}
		}
	})
}

// What is filtered out is resolved without a call, also at the end of what was read, and is in no document.
func TestContractFilteredIsResolved(t *testing.T) {
	t.Parallel()
	proves(t, "L22", "L39", "L58", "L21")
	inContract(t, 1, func(f *field) {
		tr, snap := new(trace), new(metrics.Snapshot)
		put := func(kinds string) {
			for k := range strings.SplitSeq(kinds, "") {
				f.srv.PutHash("orders", k, "0", []byte(`{"k":"`+k+`"}`))
			}
		}
		put("-a-bc--d-")
		life := f.startTrace(tr, func(ctx context.Context, ev events.KinesisEvent) error {
			tr.add(ctx, ev.Records)
			return errPoison
		}, consumer.WithFilter(`{"data":{"k":["a","b"]}}`, `{"data":{"k":["c","d"]}}`), consumer.WithBatchSize(3),
			consumer.WithMaxRetryAttempts(0), consumer.WithMetrics(snap))
		time.Sleep(3 * time.Second)
		want(t, "documents", tr.documents(), `{"k":"a"}{"k":"b"}{"k":"c"} RetryAttemptsExhausted 1`, `{"k":"d"} RetryAttemptsExhausted 1`)
		put("---")
		time.Sleep(12 * time.Second)
		if ck := f.checkpoint(); !strings.Contains(ck, f.srv.Records("orders")[11].SequenceNumber) {
			t.Errorf("checkpoint %s, want it behind the last record, which is filtered out", ck)
		}
		totals(t, snap, map[*metrics.Metric]float64{metrics.FilteredOutEventCount: 8, metrics.PolledEventCount: 12, metrics.InvokedEventCount: 4})
		life.stop()
	})
}
