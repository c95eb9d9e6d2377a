package consumer_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
)

// remove deletes the row of a shard, as somebody with a console would.
func (s *tap) remove(t *testing.T, shard string) {
	t.Helper()
	for key := range rowsBelow(t, s.Store, "g/lease/") {
		if strings.HasSuffix(key, "/"+shard) {
			e, err := s.Store.Get(t.Context(), key)
			if err == nil {
				err = s.Store.Delete(t.Context(), e)
			}
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%s has no row", shard)
}

// The row of a shard is deleted while its owner cannot reach the rows of the shards. Who puts it back has seen it, and lets
// nothing go back behind that: neither epoch nor checkpoint, nor the owner, who lives and works the shard.
func TestFleetRowOfAStalledOwner(t *testing.T) {
	t.Parallel()
	inFleet(t, 2, func(f *fleet) {
		store := f.tapped()
		var stalled atomic.Bool
		one := f.start("one", consumer.WithCheckpointer(barred{store, func(_, key string) error {
			if strings.Contains(key, "/lease/") && stalled.Load() {
				return errNoWay
			}
			return nil
		}}))
		two := f.start("two")
		f.balanced(30*time.Second, 1, one, two)
		time.Sleep(10 * time.Second)
		shard := shard0
		if two.runs(shard) {
			shard = "shardId-000000000001"
		}
		seen := store.rows(shard, time.Time{})
		stalled.Store(true)
		time.Sleep(time.Second)
		store.remove(t, shard)
		removed := time.Now()
		three := f.start("three") // has never seen the row
		f.until("the row is back", time.Minute, func() bool { return len(store.rows(shard, removed)) > 0 })
		last, back := seen[len(seen)-1], store.rows(shard, removed)[0]
		if back.Owner != last.Owner || back.Epoch != last.Epoch+1 || back.Ck < seen[0].Ck || back.Ck == checkpoint.TrimHorizon {
			t.Errorf("it was %+v, and came back as %+v", last.fleetRow, back.fleetRow)
		}
		time.Sleep(time.Minute)
		if two.runs(shard) || three.runs(shard) {
			t.Error("it is worked by another worker, and its owner lives")
		}
		stalled.Store(false)
		f.until("the owner has it back", 30*time.Second, func() bool { return one.runs(shard) && one.c.Status().Err() == nil })
		f.end(one, two, three)
	})
}

// A row is deleted while its owner does not know that a checkpoint was stored, and then the owner loses the shard. The row comes
// back at that checkpoint.
func TestFleetRowOfAnUnknownCheckpoint(t *testing.T) {
	t.Parallel()
	inFleet(t, 2, func(f *fleet) {
		store := f.tapped()
		var deaf atomic.Bool // to what the store says of shards
		one := f.start("one", consumer.WithCheckpointer(barredReply{store, func(e checkpoint.Entry) bool {
			return strings.Contains(e.Key, "/lease/") && deaf.Load()
		}}))
		f.balanced(5*time.Second, 2, one)
		time.Sleep(10 * time.Second)
		deaf.Store(true)
		began := time.Now()
		f.until("a checkpoint is stored", 20*time.Second, func() bool { return len(store.rows(shard0, began)) > 0 })
		seen := store.rows(shard0, began)
		store.remove(t, shard0)
		if err := f.remove("g/member/one/"); err != nil {
			t.Fatal(err)
		}
		removed := time.Now()
		f.until("the row is back", 2*time.Minute, func() bool { return len(store.rows(shard0, removed)) > 0 })
		deaf.Store(false)
		if last, back := seen[len(seen)-1], store.rows(shard0, removed)[0]; back.Ck < last.Ck {
			t.Errorf("it was %+v, and came back as %+v", last.fleetRow, back.fleetRow)
		}
		time.Sleep(time.Minute)
		f.end(one)
	})
}

// An owner whose shard has nothing to store learns from a list of rows that its row is gone, and puts it back before others do.
func TestFleetRowOfAnIdleOwner(t *testing.T) {
	t.Parallel()
	inFleet(t, 2, func(f *fleet) {
		store := f.tapped()
		f.stop <- struct{}{}
		go func() { <-f.stop }()
		var seen notices
		one := f.start("one", consumer.WithNotify(seen.add))
		f.balanced(5*time.Second, 2, one)
		time.Sleep(30 * time.Second)
		store.remove(t, shard0)
		two := f.start("two")
		f.balanced(60*time.Second, 1, one, two)
		if seen.count("RowRestored") != 1 || seen.count("LeaseLost")+seen.count("StoreRollback") > 0 {
			t.Errorf("notices %q", seen.names)
		}
		for _, r := range []*replica{one, two} {
			if _, err := r.running.stop(); err != nil {
				t.Error(err)
			}
		}
		store.forward(t)
	})
}

// The row of a shard that has ended comes back as one of a shard that has.
func TestFleetRowOfAnEndedShard(t *testing.T) {
	t.Parallel()
	inFleet(t, 1, func(f *fleet) {
		store := f.tapped()
		f.stop <- struct{}{}
		go func() { <-f.stop }()
		one := f.start("one")
		f.balanced(5*time.Second, 1, one)
		two := f.start("two")
		time.Sleep(10 * time.Second)
		f.srv.Split("orders", shard0) // of no records: the children have no progress
		f.until("the children are worked", time.Minute, func() bool { return one.owned()+two.owned() == 2 })
		time.Sleep(5 * time.Second)
		if _, err := one.running.stop(); err != nil { // which has ended the shard
			t.Error(err)
		}
		store.remove(t, shard0)
		three := f.start("three")
		time.Sleep(2 * time.Minute)
		for _, r := range []*replica{two, three} {
			if r.runs(shard0) {
				t.Errorf("%s works a shard that has ended", r.name)
			}
			if _, err := r.running.stop(); err != nil {
				t.Error(err)
			}
		}
		store.forward(t)
	})
}
