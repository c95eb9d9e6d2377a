package batch_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/shardlane/shardlane/batch"
)

// bare is the event of a record that has neither a partition key nor a time of arrival, to the byte.
const bare = `{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":null,"sequenceNumber":"4967",` +
	`"data":"eA==","approximateArrivalTimestamp":null},"eventSource":"aws:kinesis","eventVersion":"1.0",` +
	`"eventID":"shardId-000000000007:4967","eventName":"aws:kinesis:record","invokeIdentityArn":"",` +
	`"awsRegion":"eu-west-1","eventSourceARN":"arn:aws:kinesis:eu-west-1:123456789012:stream/orders"}]}`

// TestAbsent has a record without partition key and arrival: null in JSON, and counted as that; zero in typed events.
func TestAbsent(t *testing.T) {
	for _, rule := range []string{"L60", "C6", "C26", "C27"} {
		t.Attr("rule", rule)
	}
	r := batch.Record{SequenceNumber: "4967", Data: []byte("x")}
	ev := source.Event(1, func(int) batch.Record { return r })
	if k := ev.Records[0].Kinesis; k.PartitionKey != "" || !k.ApproximateArrivalTimestamp.IsZero() {
		t.Errorf("the typed event has %+v", k)
	}
	if got := string(batch.AppendEvent(nil, ev)); got != bare {
		t.Errorf("got  %s\nwant %s", got, bare)
	}
	if n, m := batch.EventSize(ev), source.Sizer()(r)+batch.EventOverhead; n != len(bare) || m != len(bare) {
		t.Errorf("EventSize %d, Sizer %d, want %d", n, m, len(bare))
	}
	if f := (&batch.Failure{Records: ev.Records}); string(f.Event()) != bare || !strings.Contains(string(f.PayloadDocument()), `\"partitionKey\":null`) {
		t.Errorf("the payload is %s", f.PayloadDocument())
	}
	h, _ := batch.HandlerOf(func(_ context.Context, in []byte) ([]byte, error) {
		if string(in) != bare {
			t.Errorf("the handler got %s", in)
		}
		return nil, nil
	})
	h.Call(t.Context(), ev, nil)
	if batch.PartitionKey(ev.Records[0]) != "" {
		t.Error("PartitionKey makes up a key")
	}
}

// TestAge holds the age of records to the clock; without an arrival there is none.
func TestAge(t *testing.T) {
	t.Attr("rule", "C18")
	t.Attr("rule", "C27")
	now := time.Unix(1000, 0)
	for arrival, want := range map[time.Time]time.Duration{
		time.Unix(990, 0): 10 * time.Second, now: 0, now.Add(time.Second): 0, {}: batch.NoAge, time.Unix(0, 0): 1000 * time.Second,
	} {
		if got := (batch.Record{Arrival: arrival}).Age(now); got != want {
			t.Errorf("arrival %v: age %v, want %v", arrival, got, want)
		}
	}
	if batch.NoAge >= 0 || batch.NoAge.Milliseconds() != 0 {
		t.Error("NoAge can be taken for an age, or disturbs a chart")
	}
}

// TestLaneWithoutArrival gives a lane records that have no age, between ones that are too old: they stay, whatever the
// limit, and what is behind them stays, too (L31).
func TestLaneWithoutArrival(t *testing.T) {
	t.Attr("rule", "C27")
	t.Attr("rule", "L31")
	old := time.Unix(0, 0)
	for name, policy := range map[string]batch.Policy{"age": {MaxAge: time.Minute}, "retention": {Retention: time.Minute}} {
		lane := batch.Lane[time.Time]{Arrival: func(at time.Time) time.Time { return at }, Policy: policy}
		lane.Push([]time.Time{old, {}, old})
		now := time.Unix(1_000_000, 0)
		if step := lane.Expire(now); len(step.Resolved) != 1 || step.Over {
			t.Errorf("%s: %+v", name, step)
		}
		if step := lane.Expire(now); len(step.Resolved) != 0 || step.Discarded != nil || step.Lost != nil {
			t.Errorf("%s: a record without an age expired: %+v", name, step)
		}
		if due, ok := lane.Due(); ok {
			t.Errorf("%s: it is due at %v", name, due)
		}
		if s, _ := lane.Current(); len(s.Records) != 2 {
			t.Errorf("%s: left are %v", name, s.Records)
		}
	}
}

// TestHalvesKeepTheError splits a slice: what a half is given up for is what failed before, though nobody attempted it.
func TestHalvesKeepTheError(t *testing.T) {
	t.Attr("rule", "L29")
	t.Attr("rule", "C23")
	lane := batch.Lane[time.Time]{
		Arrival: func(at time.Time) time.Time { return at }, Policy: batch.Policy{Bisect: true, MaxAge: time.Minute},
	}
	now := time.Unix(1000, 0)
	lane.Push([]time.Time{now, now, now})
	lane.Settle(batch.Result{Outcome: batch.Failed, Err: context.DeadlineExceeded})
	for half := range 2 {
		s, ok := lane.Current()
		if !ok || s.Err != context.DeadlineExceeded { //nolint:errorlint // it is handed on as it is
			t.Fatalf("half %d has the error %v", half, s.Err)
		}
		step := lane.Expire(now.Add(time.Minute))
		if d := step.Discarded; d == nil || d.Err != context.DeadlineExceeded { //nolint:errorlint // as above
			t.Errorf("half %d is given up with %+v", half, d)
		}
	}
}

// TestNoLimit fails a slice far more often than any default would allow: without a limit nothing gives it up (L33).
func TestNoLimit(t *testing.T) {
	t.Attr("rule", "L33")
	lane := batch.Lane[int]{Arrival: func(int) time.Time { return time.Unix(0, 0) }}
	lane.Push([]int{1, 2})
	now := time.Unix(0, 0)
	for n := 1; n <= 100_000; n++ {
		if step := lane.Expire(now); len(step.Resolved) > 0 {
			t.Fatalf("before attempt %d: %+v", n, step)
		}
		outcome := []batch.Outcome{batch.Failed, batch.Rejected, batch.Oversized}[n%3]
		if step := lane.Settle(batch.Result{Outcome: outcome}); step.Backoff != n || step.Discarded != nil || len(step.Resolved) > 0 {
			t.Fatalf("after attempt %d: %+v", n, step)
		}
		now = now.Add(batch.Backoff(n))
	}
	if s, ok := lane.Current(); !ok || len(s.Records) != 2 || s.Attempts != 100_000 {
		t.Errorf("the slice is %+v", s)
	}
}
