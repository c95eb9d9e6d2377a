package consumer_test

import (
	"errors"
	"testing"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/metrics"
)

// A store that does not return, whatever its context says, is told of, and the ages are still recorded.
func TestHealthOfAStoreThatHangs(t *testing.T) {
	inContract(t, 2, func(f *field) {
		var stats metrics.Snapshot
		life := f.start(consumer.WithMetrics(&stats))
		f.put(shard0, "a", 1)
		time.Sleep(30 * time.Second)
		free := make(chan struct{})
		f.store.fail(func(string, string) error { <-free; return nil })
		f.put(shard0, "a", 1)
		time.Sleep(2 * time.Minute)
		s := life.c.Status()
		if s.Err() == nil {
			t.Errorf("nothing is told of a store that hangs; ages %+v", s.Shards[0])
		}
		if age := stats.Max(metrics.CheckpointAge); age < 60 {
			t.Errorf("gauge CheckpointAge is %v, status says %v", age, s.Shards[0].CheckpointAge)
		}
		close(free)
		f.store.fail(nil)
		time.Sleep(2 * time.Minute)
		if err := life.c.Status().Err(); err != nil {
			t.Errorf("the store is back: %v", err)
		}
		life.stop()
	})
}

// Such a store does not keep Run from ending either, and few calls of it are left behind, however long it hangs.
func TestStopWithAStoreThatHangs(t *testing.T) {
	inContract(t, 30, func(f *field) {
		f.slowReads(5 * time.Second)
		life := f.start()
		for i := range 30 {
			f.put(shardID(i), "a", 1)
		}
		time.Sleep(30 * time.Second)
		free := make(chan struct{})
		f.store.fail(func(string, string) error { <-free; return nil })
		for i := range 30 {
			f.put(shardID(i), "a", 1)
		}
		before := f.store.count()
		time.Sleep(3 * time.Minute)
		if calls := f.store.count() - before; calls > 2*16 {
			t.Errorf("%d calls hang", calls)
		}
		if err := life.c.Status().Err(); !errors.Is(err, checkpoint.ErrNotApplied) {
			t.Errorf("health %v", err)
		}
		life.cancel()
		if err := life.wait(35 * time.Second); !errors.As(err, new(*consumer.Error)) {
			t.Errorf("Run: %v", err)
		}
		close(free)
		time.Sleep(time.Second)
	})
}
