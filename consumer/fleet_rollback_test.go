package consumer_test

import (
	"errors"
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer"
)

// That the store went back is told while it matters: once another worker has the shard and works it, the one that lost it is
// well.
func TestFleetRollbackEnds(t *testing.T) {
	t.Parallel()
	inFleet(t, 2, func(f *fleet) {
		store := f.tapped()
		var seen notices
		one := f.start("one", consumer.WithNotify(seen.add))
		f.balanced(5*time.Second, 2, one)
		time.Sleep(5 * time.Second)
		store.by(t, shard0, func(row map[string]any) {
			row["epoch"] = epoch(row, -1)
			delete(row, "owner")
		})
		f.until("it is told", 15*time.Second, func() bool { return seen.count("StoreRollback") == 1 })
		time.Sleep(15 * time.Second)
		if err := one.c.Status().Err(); err == nil {
			t.Error("nobody can have the shard, and the worker is well")
		}
		two := f.start("two")
		f.balanced(30*time.Second, 1, one, two)
		f.until("it is well again", 30*time.Second, func() bool { return one.c.Status().Err() == nil })
		time.Sleep(time.Minute)
		if err := errors.Join(one.c.Status().Err(), two.c.Status().Err()); err != nil {
			t.Error(err)
		}
		f.end(one, two)
	})
}
