package consumer_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch/kpl"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
	"github.com/shardlane/shardlane/metrics"
)

// A full read-ahead makes the waiting batches of all lanes ready, not of one (C3).
func TestFullReadAheadReadiesAllLanes(t *testing.T) {
	t.Attr("rule", "C3")
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		for i := range 60 {
			srv.Put("orders", fmt.Sprint(i), []byte("x"))
		}
		began := time.Now()
		var mu sync.Mutex
		handled, last := 0, time.Duration(0)
		r := start(t, srv, func(_ context.Context, ev events.KinesisEvent) error {
			mu.Lock()
			defer mu.Unlock()
			handled, last = handled+len(ev.Records), time.Since(began)
			return nil
		}, consumer.WithReadAhead(50, 1<<20), consumer.WithBatchSize(50), consumer.WithParallelizationFactor(4),
			consumer.WithBatchingWindow(300*time.Second))
		time.Sleep(10 * time.Minute)
		if handled != 60 || last > 5*time.Second {
			t.Errorf("%d of 60 records were handled, the last one after %v; want all of them soon", handled, last)
		}
		if _, err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// Behind a record without an outcome at most a million others are read, even if they are done at once and take no memory.
func TestSpanIsBounded(t *testing.T) {
	const each, aggregates, span = 60_000, 20, 1_000_000
	users := make([]kpl.UserRecord, each)
	for i := range users {
		users[i] = kpl.UserRecord{PartitionKey: "quick", Data: []byte("x")}
	}
	aggregate := kpl.Encode(users...)
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		srv.SetLatencyFunc(func(string) time.Duration { return 100 * time.Millisecond })
		var stats metrics.Snapshot
		var seen notices
		release := make(chan struct{})
		r := start(t, srv, func(ctx context.Context, ev events.KinesisEvent) error {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return ctx.Err()
		}, consumer.WithDeaggregation(true), consumer.WithFilter(`{"partitionKey":["slow"]}`), consumer.WithMetrics(&stats), consumer.WithNotify(seen.add))
		srv.Put("orders", "slow", []byte("1"))
		for range aggregates {
			time.Sleep(time.Second)
			srv.Put("orders", "quick", bytes.Clone(aggregate))
		}
		time.Sleep(time.Minute)
		if n := counted(&stats, metrics.PolledEventCount); n < span || n > span+each {
			t.Errorf("%.0f records were read behind one that has no outcome, want %d and the rest of a page", n, span)
		}
		if n := seen.count("SpanLimited"); n != 1 {
			t.Errorf("%d notices of SpanLimited, want 1", n)
		}
		close(release)
		time.Sleep(time.Minute)
		if n := counted(&stats, metrics.PolledEventCount); n != each*aggregates+1 {
			t.Errorf("%.0f records were read in the end, want all", n)
		}
		if _, err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// Reading that is further behind than records are kept is told, once as long as it lasts.
func TestLaggingBehindRetention(t *testing.T) {
	t.Attr("rule", "C10")
	for lag, want := range map[time.Duration]int{23*time.Hour + 59*time.Minute: 0, 24*time.Hour + time.Minute: 1} {
		synctest.Test(t, func(t *testing.T) {
			srv := kinesistest.NewServer("orders", 1)
			defer srv.Close()
			var seen notices
			r := start(t, srv, nothing, consumer.WithNotify(seen.add))
			time.Sleep(5 * time.Second)
			srv.Fail("GetRecords", kinesistest.WrongLag(lag, 5))
			time.Sleep(30 * time.Second)
			if n := seen.count("RetentionLost"); n != want {
				t.Errorf("%v behind: %d notices of RetentionLost, want %d", lag, n, want)
			}
			if _, err := r.stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// User records out of range are counted as such, and not as filtered out, whether a pattern matches them or not.
func TestOutOfRangeIsNotFiltered(t *testing.T) {
	t.Attr("rule", "L65")
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		srv.SetDistribution("orders", kinesistest.Auto)
		srv.SetDistribution("orders", kinesistest.UserPartitionKey)
		srv.Put("orders", "before", nil)
		var stats metrics.Snapshot
		var j journal
		r := start(t, srv, j.handle, consumer.WithDeaggregation(true), consumer.WithFilter(`{"partitionKey":["in"]}`), consumer.WithMetrics(&stats))
		time.Sleep(2 * time.Second)
		srv.Split("orders", shard0) // of which the producer does not know
		srv.PutHash("orders", "in", "0", kpl.Encode(
			kpl.UserRecord{PartitionKey: "in", ExplicitHashKey: "1", Data: []byte("handled")},
			kpl.UserRecord{PartitionKey: "in", ExplicitHashKey: lastHash, Data: []byte("outside")},
			kpl.UserRecord{PartitionKey: "out", ExplicitHashKey: lastHash, Data: []byte("outside, too")},
			kpl.UserRecord{PartitionKey: "out", ExplicitHashKey: "2", Data: []byte("filtered")},
		))
		time.Sleep(5 * time.Second)
		got := []float64{counted(&stats, metrics.OutOfRangeEventCount), counted(&stats, metrics.FilteredOutEventCount), counted(&stats, metrics.InvokedEventCount)}
		if !slices.Equal(got, []float64{2, 2, 1}) || !slices.Equal(j.entries, []string{"handled"}) {
			t.Errorf("out of range, filtered, invoked: %v, want 2, 2, 1; handled %q", got, j.entries)
		}
		if _, err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}
