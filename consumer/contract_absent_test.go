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
	t.Parallel()
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
	t.Parallel()
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

// A page that does not say how far behind it is may have records behind it: it is not the tip. It ends no run, and closes no
// window for want of records, and Behind grows from what was told last.
func TestPagesWithoutLag(t *testing.T) {
	t.Parallel()
	untold := func(f *field, more ...*kinesistest.Fault) (stop func()) {
		faults := f.srv.Fail("GetRecords", append(more, kinesistest.Omit("MillisBehindLatest", 0))...)
		return func() {
			for _, fault := range faults {
				fault.Stop()
			}
		}
	}
	t.Run("status", func(t *testing.T) {
		proves(t, "C27")
		inContract(t, 1, func(f *field) {
			stop := untold(f)
			life := f.start()
			status := func(when string, from, to time.Duration) {
				t.Helper()
				s := life.c.Status()
				if s.Behind() < from || s.Behind() > to || s.Shards[0].HeadAge != s.Behind() || s.Shards[0].ReadAge > time.Second || s.Ready() != nil || s.Err() != nil {
					t.Errorf("%s: Behind %v, ready %v, health %v, %+v", when, s.Behind(), s.Ready(), s.Err(), s.Shards)
				}
			}
			time.Sleep(time.Minute)
			status("never told", 58*time.Second, time.Minute)
			stop()
			time.Sleep(time.Minute)
			status("told", 0, 0)
			stop = untold(f)
			f.put(shard0, "a", 1)
			time.Sleep(5 * time.Second)
			status("told no more", 4*time.Second, 6*time.Second)
			stop()
			time.Sleep(time.Second)
			status("told again", 0, 0)
			life.stop()
		})
	})
	t.Run("ending position", func(t *testing.T) {
		proves(t, "C27")
		inContract(t, 1, func(f *field) {
			stop := untold(f, kinesistest.EmptyPages(0))
			f.put(shard0, "a", 3)
			life := f.start(consumer.WithEndingPosition(consumer.Latest()))
			time.Sleep(time.Minute)
			life.alive()
			stop()
			if err := life.wait(time.Minute); err != nil {
				t.Error(err)
			}
			if times, _ := f.handled(); len(times) != 3 {
				t.Errorf("handled %v, want the 3 records", times)
			}
		})
	})
	t.Run("window", func(t *testing.T) {
		proves(t, "C27", "C20")
		inContract(t, 1, func(f *field) {
			w := &tumbler{f: f}
			aligned()
			life := startField(f, w.handle, everyMinute, consumer.WithWindowIdle(0))
			f.put(shard0, "a", 1)
			time.Sleep(5 * time.Second)
			stop := untold(f, kinesistest.EmptyPages(0))
			f.put(shard0, "a", 1)
			time.Sleep(5 * time.Minute)
			if got := w.seen(); len(got) > 0 {
				t.Errorf("closed while records of it were behind empty pages: %q", got)
			}
			stop()
			time.Sleep(time.Minute)
			if got := w.seen(); !slices.Equal(got, []string{"a a "}) {
				t.Errorf("got %q, want one window of both records", got)
			}
			life.stop()
		})
	})
}
