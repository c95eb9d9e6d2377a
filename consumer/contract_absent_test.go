package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
	"github.com/shardlane/shardlane/metrics"
)

// Records without an arrival time have no age: what is told of them, and health, say nothing of the year 1, and they are
// given up by other limits only.
func TestRecordsWithoutArrival(t *testing.T) {
	proves(t, "C27")
	inContract(t, 1, func(f *field) {
		f.srv.Fail("GetRecords", kinesistest.Omit("ApproximateArrivalTimestamp", 0))
		var ages []time.Duration
		var stats metrics.Snapshot
		poison := errors.New("poison")
		f.work = func(_ context.Context, b fieldBatch) error {
			ages = append(ages, b.IteratorAge)
			if b.has("poison") {
				return poison
			}
			return nil
		}
		var documents []string
		life := f.start(consumer.WithMaxRecordAge(time.Minute), consumer.WithMaxRetryAttempts(1), consumer.WithBatchSize(1), consumer.WithMetrics(&stats),
			consumer.WithOnFailure(batch.DestinationFunc(func(_ context.Context, d *batch.Failure) error {
				documents = append(documents, string(d.Document()))
				return f.Deliver(context.Background(), d)
			})))
		f.put(shard0, "fine", 3)
		f.put(shard0, "poison", 1)
		time.Sleep(2 * time.Minute)
		if times, _ := f.handled(); len(times) != 4 || f.noticed("RetentionLost") > 0 {
			t.Errorf("%d of 4 records handled or given up, notices %v", len(times), f.notices)
		}
		if slices.ContainsFunc(ages, func(d time.Duration) bool { return d != batch.NoAge }) || stats.Sum(metrics.IteratorAge) != 0 {
			t.Errorf("ages %v", ages)
		}
		if len(documents) != 1 {
			t.Errorf("documents %q", documents)
		}
		if s := life.c.Status(); s.Behind() != 0 || s.Err() != nil {
			t.Errorf("Behind %v, health %v", s.Behind(), s.Err())
		}
		life.stop()
		life = f.start()
		time.Sleep(time.Minute)
		life.stop()
		if times, _ := f.handled(); slices.ContainsFunc(slices.Collect(maps.Values(times)), func(n int) bool { return n > 1 }) {
			t.Errorf("after a restart %v", times)
		}
	})
}

// An open window takes records without an arrival time; without one they are in the current time's.
func TestWindowsOfRecordsWithoutArrival(t *testing.T) {
	proves(t, "C27")
	inContract(t, 1, func(f *field) {
		f.srv.Fail("GetRecords", kinesistest.Omit("ApproximateArrivalTimestamp", 0))
		var calls []string
		h := func(_ context.Context, ev events.KinesisTimeWindowEvent) (events.KinesisTimeWindowEventResponse, error) {
			if now := time.Now(); len(ev.Records) > 0 && (now.Before(ev.Window.Start.Time) || now.After(ev.Window.End.Add(time.Minute))) {
				t.Errorf("window %v to %v at %v", ev.Window.Start, ev.Window.End, now)
			}
			calls = append(calls, fmt.Sprintf("%d %v", len(ev.Records), ev.IsFinalInvokeForWindow))
			return events.KinesisTimeWindowEventResponse{TimeWindowEventResponseProperties: events.TimeWindowEventResponseProperties{State: ev.State}}, nil
		}
		life := startField(f, h, consumer.WithTumblingWindow(time.Minute))
		f.put(shard0, "a", 2)
		time.Sleep(5 * time.Minute)
		life.stop()
		if len(calls) != 2 || calls[1] != "0 true" {
			t.Errorf("calls %q", calls)
		}
	})
}
