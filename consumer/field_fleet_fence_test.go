package consumer_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
)

// TestField_F05: a worker is cut off from the store for 30 s. It begins nothing from 7 s after its last heartbeat on, and
// drops its shards when it is back: by then they are another's, and what it still writes of them is refused.
func TestField_F05(t *testing.T) {
	t.Parallel()
	inFleet(t, 4, func(f *fleet) {
		store := f.tapped()
		one, two := f.start("one"), f.start("two")
		f.balanced(30*time.Second, 2, one, two)
		time.Sleep(10 * time.Second)
		cut := time.Now()
		one.link.cut.Store(true)
		time.Sleep(30 * time.Second)
		if n := two.owned(); n != 4 {
			t.Errorf("after 30 s the other worker has %d of 4 shards", n)
		}
		back := time.Now()
		one.link.cut.Store(false)
		f.balanced(90*time.Second, 2, one, two)
		f.mu.Lock()
		for _, c := range f.log {
			if quiet := cut.Add(7*time.Second + 20*time.Millisecond); c.worker == "one" && c.began.After(quiet) && !c.began.After(back) {
				t.Errorf("a worker without heartbeats begins something %v after it was cut off", c.began.Sub(cut))
				break
			}
		}
		f.mu.Unlock()
		f.end(one, two)
		store.forward(t)
	})
}

// TestField_F14: a shard gets another owner while its checkpoint is under way. The checkpoint, which is on the row as it was,
// changes nothing of the owner's row.
func TestField_F14(t *testing.T) {
	t.Parallel()
	inFleet(t, 1, func(f *fleet) {
		store := f.tapped()
		way := f.way()
		one := f.startVia(way, "one")
		f.balanced(5*time.Second, 1, one)
		time.Sleep(5 * time.Second)
		taken := time.Time{}
		done := make(chan struct{})
		way.do(func(op string, e checkpoint.Entry) error {
			if _, row, ok := shardRow(e); ok && op == "Swap" && strings.HasPrefix(row.Owner, "one/") && taken.IsZero() {
				taken = time.Now()
				defer close(done)
				store.by(t, shard0, func(r map[string]any) { r["owner"], r["epoch"], r["ck"] = "three/x", epoch(r, 1), row.Ck })
			}
			return nil
		})
		<-done
		time.Sleep(9 * time.Second) // longer, and the one that took it is dead: it has no row
		way.do(nil)
		if len(store.rows(shard0, taken)) != 1 {
			t.Errorf("rows of a shard that another worker took at %v: %+v", taken, store.rows(shard0, taken))
		}
		store.by(t, shard0, func(r map[string]any) { r["owner"], r["epoch"] = "", epoch(r, 1) })
		f.balanced(15*time.Second, 1, one)
		f.end(one)
		store.forward(t)
	})
}

// TestField_F39: a worker that is cut off is stopped, and its shards are another's before its way to the store is back. Its
// late releases change nothing: the other one's rows stay as they are.
func TestField_F39(t *testing.T) {
	t.Parallel()
	inFleet(t, 4, func(f *fleet) {
		store := f.tapped()
		one, two := f.start("one"), f.start("two")
		f.balanced(30*time.Second, 2, one, two)
		time.Sleep(10 * time.Second)
		one.link.cut.Store(true)
		time.Sleep(3 * time.Second)
		one.cancel()
		time.Sleep(14 * time.Second)
		if n := two.owned(); n != 4 {
			t.Errorf("17 s after it was cut off, the other worker has %d of 4 shards", n)
		}
		back := time.Now()
		one.link.cut.Store(false)
		<-one.ended
		time.Sleep(5 * time.Second)
		for _, w := range store.rows("", back) {
			if !strings.HasPrefix(w.Owner, "two/") {
				t.Errorf("%s, which another worker has, is given to %q by %q", w.shard, w.Owner, w.By)
			}
		}
		f.end(two)
		store.forward(t)
	})
}

// TestField_F41: while a claim is under way, the row is claimed and released by somebody else: it names nobody again, and is
// another one. The claim is refused, and made anew on the row as it is.
func TestField_F41(t *testing.T) {
	t.Parallel()
	inFleet(t, 1, func(f *fleet) {
		store := f.tapped()
		one := f.start("one")
		f.balanced(5*time.Second, 1, one)
		time.Sleep(5 * time.Second)
		if _, err := one.running.stop(); err != nil {
			t.Error(err)
		}
		met := false
		way := f.way()
		way.do(func(op string, e checkpoint.Entry) error {
			if _, row, ok := shardRow(e); ok && op == "Swap" && strings.HasPrefix(row.Owner, "two/") && !met {
				met = true
				store.by(t, shard0, func(r map[string]any) { r["owner"], r["epoch"] = "three/x", epoch(r, 1) })
				store.by(t, shard0, func(r map[string]any) { r["owner"], r["epoch"] = "", epoch(r, 1) })
			}
			return nil
		})
		two := f.startVia(way, "two")
		f.balanced(15*time.Second, 1, two)
		if !met {
			t.Error("nobody came between a claim and its row")
		}
		f.end(two)
		f.unrepeated()
		store.forward(t)
	})
}

// TestField_F55: what a worker lists of the shards is 20 s old when it takes them. It starts at the checkpoints of the rows
// that its claims have written, and no record is handled again.
func TestField_F55(t *testing.T) {
	t.Parallel()
	inFleet(t, 2, func(f *fleet) {
		one := f.start("one", consumer.WithDrainTimeout(time.Second))
		f.balanced(5*time.Second, 2, one)
		time.Sleep(20 * time.Second)
		stale := &staleLeases{Store: f.store}
		old, err := f.store.List(t.Context(), "g/lease/")
		if err != nil {
			t.Fatal(err)
		}
		stale.old = old
		time.Sleep(20 * time.Second)
		all := f.store
		f.store = stale
		two := f.start("two")
		f.store = all
		time.Sleep(time.Second)
		if _, err := one.running.stop(); err != nil {
			t.Error(err)
		}
		f.balanced(15*time.Second, 2, two)
		f.end(two)
		f.unrepeated()
	})
}

// staleLeases lists the rows of shards as they once were.
type staleLeases struct {
	checkpoint.Store
	old []checkpoint.Entry
}

func (s *staleLeases) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	if strings.Contains(prefix, "/lease/") {
		return s.old, nil
	}
	return s.Store.List(ctx, prefix)
}
