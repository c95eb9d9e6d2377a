package consumer_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
	"github.com/shardlane/shardlane/metrics"
)

// One record hangs for a minute while others of its shard are done: ages and metrics tell the truth about it (I20).
func TestStatusAndMetricsTellTheTruth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		var stats metrics.Snapshot

		r := start(t, srv, func(_ context.Context, ev events.KinesisEvent) error {
			if string(ev.Records[0].Kinesis.Data) == "slow" {
				time.Sleep(time.Minute)
			}
			return nil
		}, consumer.WithParallelizationFactor(100), consumer.WithMetrics(&stats), consumer.WithWorker("w"))
		srv.Put("orders", "alice", []byte("fast"))
		srv.Put("orders", "bob", []byte("slow"))
		srv.Put("orders", "carol", []byte("fast"))
		time.Sleep(30 * time.Second)

		st := r.c.Status()
		sh := st.Shards[0]
		for name, age := range map[string]time.Duration{"queue": sh.QueueAge, "checkpoint": sh.CheckpointAge, "behind": st.Behind()} {
			if age < 29*time.Second || age > 31*time.Second {
				t.Errorf("%s age %v, want that of the slow record, 30 s", name, age)
			}
		}
		if sh.LanesBusy != 1 || sh.HeadAge != 0 || sh.ReadAge > 500*time.Millisecond || sh.State != consumer.Running || st.Worker != "w" ||
			!strings.HasPrefix(sh.Owner, "w/") || sh.Epoch != 1 || sh.ReadAhead == 0 || st.Err() != nil {
			t.Errorf("status %+v", st)
		}
		time.Sleep(45 * time.Second)
		st = r.c.Status()
		sh = st.Shards[0]
		if sh.QueueAge != 0 || sh.CheckpointAge != 0 || st.Behind() != 0 || sh.LanesBusy != 0 || sh.ReadAhead != 0 {
			t.Errorf("all is handled and stored, and status is %+v", st)
		}
		for m, want := range map[*metrics.Metric]float64{
			metrics.PolledEventCount: 3, metrics.InvokedEventCount: 3, metrics.FailedInvokeEventCount: 0, metrics.QueueAge: 0,
			// meta, rooted, row, claim, checkpoint of the first record, checkpoint of all
			metrics.StoreWrites: 6,
		} {
			if got := stats.Sum(m); got != want {
				t.Errorf("%s is %v, want %v", m.Name, got, want)
			}
		}
		if _, err := r.stop(); err != nil {
			t.Error(err)
		}
		if st := r.c.Status(); len(st.Shards) != 1 || st.Shards[0].Checkpoint == "" {
			t.Errorf("after Run, the last status is %+v", st)
		}
	})
}

// A handler that keeps failing shows in the health check once it has lasted, and no more once it works.
func TestStatusOfAFailingHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 2)
		defer srv.Close()
		var stats metrics.Snapshot
		down := errors.New("database is down")
		var failing atomic.Bool
		failing.Store(true)
		r := start(t, srv, func(context.Context, events.KinesisEvent) error {
			if failing.Load() {
				return down
			}
			return nil
		}, consumer.WithMetrics(&stats))
		srv.Put("orders", "alice", []byte("1"))
		time.Sleep(5 * time.Second)
		if err := r.c.Status().Err(); err != nil {
			t.Errorf("after 5 s: %v, want nil: it may pass", err)
		}
		time.Sleep(25 * time.Second)
		if err := r.c.Status().Err(); !errors.Is(err, down) {
			t.Errorf("after 30 s: %v, want %v", err, down)
		}
		if stats.Max(metrics.QueueAge) < 15 {
			t.Errorf("the oldest record waits %v s, want 20 or more at the last checkpoint", stats.Max(metrics.QueueAge))
		}
		if n := stats.Sum(metrics.HandlerFailed); n < 5 || n != stats.Sum(metrics.FailedInvokeEventCount) {
			t.Errorf("%v failures counted, %v records failed", n, stats.Sum(metrics.FailedInvokeEventCount))
		}
		failing.Store(false)
		time.Sleep(2 * time.Minute)
		if err := r.c.Status().Err(); err != nil {
			t.Errorf("once it works: %v", err)
		}
		srv.Put("orders", "alice", []byte("2"))
		failing.Store(true)
		time.Sleep(25 * time.Second)
		if _, err := r.stop(); err != nil {
			t.Error(err)
		}
		if age := stats.Max(metrics.QueueAge); age != 0 {
			t.Errorf("a gauge says that a record waits %v s in a shard that is given up", age)
		}
	})
}
