package consumer_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
)

// A mute link applies the first claim of its worker and says that it does not know.
type mute struct {
	*link
	once    sync.Once
	claimed chan struct{}
}

func (m *mute) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	stored, err := m.link.Swap(ctx, e)
	if err == nil && strings.Contains(e.Key, "/lease/") && bytes.Contains(e.Value, []byte(`"owner":"one/`)) {
		m.once.Do(func() { err = errNoWay; close(m.claimed) })
	}
	return stored, err
}

// A worker that stops while it does not know whether a claim of it was applied gives the shard back: else its row would be
// gone while the shard names it, and nobody could have the shard for two terms.
func TestFleetLeavesNoClaim(t *testing.T) {
	t.Parallel()
	inFleet(t, 1, func(f *fleet) {
		one := &replica{f: f, name: "one", link: &link{Store: f.store}}
		way := &mute{link: one.link, claimed: make(chan struct{})}
		one.running = start(f.t, f.srv, one.handle, consumer.WithGroup("g"), consumer.WithCheckpointer(way), consumer.WithWorker("one"))
		<-way.claimed
		if _, err := one.running.stop(); err != nil {
			f.t.Error(err)
		}
		for shard, row := range rows(f.t, f.store) {
			if strings.Contains(row, `"owner":"one/`) {
				f.t.Errorf("%s is named by %s, whose worker has stopped", shard, row)
			}
		}
		for key := range memberRows(f.t, f.store) {
			f.t.Errorf("row %s is left over", key)
		}
		two := f.start("two")
		f.until("two has the shard", 3*time.Second, func() bool { return two.owned() == 1 })
		f.end(two)
	})
}

// A release whose reply is lost, while the heir is faster than the look at what became of it, is a release all the same: the
// shard was not lost, and nobody says so.
func TestFleetReleaseUnheard(t *testing.T) {
	t.Parallel()
	for _, stops := range []bool{true, false} {
		inFleet(t, 2, func(f *fleet) {
			var seen notices
			way := f.way()
			slow := barredReply{way, func(e checkpoint.Entry) bool { _, row, ok := shardRow(e); return ok && row.Owner == "" && row.To != "" }}
			one := f.start("one", consumer.WithCheckpointer(slow), consumer.WithNotify(seen.add))
			f.balanced(5*time.Second, 2, one)
			two := f.start("two")
			f.balanced(30*time.Second, 1, one, two)
			if stops {
				if _, err := one.running.stop(); err != nil {
					t.Errorf("one ends with %v", err)
				}
				f.balanced(2*time.Second, 2, two)
			}
			time.Sleep(10 * time.Second)
			if seen.count("LeaseLost") > 0 || !stops && seen.count("HandedOver") != 1 {
				t.Errorf("notices %q", seen.names)
			}
			for _, sh := range one.c.Status().Shards {
				if sh.State == consumer.Lost {
					t.Errorf("%s is said to be lost", sh.Shard)
				}
			}
			if stops {
				f.end(two)
			} else {
				f.end(one, two)
			}
			f.unrepeated()
			for key := range memberRows(f.t, f.store) {
				f.t.Errorf("row %s is left over", key)
			}
		})
	}
}

// A barredReply is a store that applies some writes and does not say so for a second, and then that it does not know.
type barredReply struct {
	checkpoint.Store
	bar func(e checkpoint.Entry) bool
}

func (b barredReply) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	stored, err := b.Store.Swap(ctx, e)
	if err == nil && b.bar(e) {
		time.Sleep(time.Second)
		err = errNoWay
	}
	return stored, err
}

// A shard that was kept because its handler ran on, and whose handler returns while the worker stops, is given back like any
// other.
func TestFleetLeavesNoKeptShard(t *testing.T) {
	t.Parallel()
	inFleet(t, 2, func(f *fleet) {
		var seen notices
		hang := make(chan struct{})
		one := &replica{f: f, name: "one", link: &link{Store: f.store}}
		one.running = start(f.t, f.srv, func(ctx context.Context, ev events.KinesisEvent) error {
			<-hang // whatever the context says
			return one.handle(ctx, ev)
		}, consumer.WithGroup("g"), consumer.WithCheckpointer(one.link), consumer.WithWorker("one"), consumer.WithDrainTimeout(5*time.Second), consumer.WithNotify(seen.add))
		f.until("one has 2 shards", 5*time.Second, func() bool { return one.owned() == 2 })
		two := f.start("two")
		f.until("a hand-over is withdrawn", time.Minute, func() bool { return seen.count("HandOverWithdrawn") > 0 })
		one.cancel()
		time.Sleep(time.Second)
		close(hang)
		if err := <-one.ended; err != nil {
			t.Error(err)
		}
		for shard, row := range rows(f.t, f.store) {
			if strings.Contains(row, `"owner":"one/`) {
				t.Errorf("%s is named by %s, whose worker has stopped", shard, row)
			}
		}
		f.until("two has both", 3*time.Second, func() bool { return two.owned() == 2 })
		f.end(two)
	})
}

// A shard whose row somebody else has put back in the worker's name, which ends the tenure here, is given back at a stop, too.
func TestFleetLeavesNoRestoredShard(t *testing.T) {
	t.Parallel()
	inFleet(t, 1, func(f *fleet) {
		store := f.tapped()
		one := f.start("one")
		f.balanced(5*time.Second, 1, one)
		store.by(t, shard0, func(r map[string]any) { r["epoch"] = epoch(r, 1) })
		if _, err := one.running.stop(); err != nil {
			t.Error(err)
		}
		for shard, row := range rows(t, f.store) {
			if strings.Contains(row, `"owner":"one/`) {
				t.Errorf("%s is named by %s, whose worker has stopped", shard, row)
			}
		}
		two := f.start("two")
		f.balanced(3*time.Second, 1, two)
		f.end(two)
	})
}

// A late link stops its worker as soon as a claim of it is applied, and refuses the write behind that.
type late struct {
	*link
	stop    func()
	claimed atomic.Int64
}

func (l *late) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	if strings.Contains(e.Key, "/lease/") && l.claimed.Load() == 1 {
		l.claimed.Add(1)
		return e, fmt.Errorf("slow down: %w", checkpoint.ErrNotApplied)
	}
	stored, err := l.link.Swap(ctx, e)
	if err == nil && strings.Contains(e.Key, "/lease/") && bytes.Contains(e.Value, []byte(`"owner":"one/`)) && l.claimed.CompareAndSwap(0, 1) {
		l.stop()
		time.Sleep(100 * time.Millisecond)
	}
	return stored, err
}

// A claim that comes through while its worker stops is given back, though the store does not take that at once.
func TestFleetLeavesNoLateClaim(t *testing.T) {
	t.Parallel()
	inFleet(t, 1, func(f *fleet) {
		one := &replica{f: f, name: "one", link: &link{Store: f.store}}
		started := make(chan struct{})
		way := &late{link: one.link, stop: func() { <-started; one.cancel() }}
		one.running = start(f.t, f.srv, one.handle, consumer.WithGroup("g"), consumer.WithCheckpointer(way), consumer.WithWorker("one"))
		close(started)
		if err := <-one.ended; err != nil {
			t.Error(err)
		}
		if n := way.claimed.Load(); n != 2 {
			t.Errorf("%d writes of the claim and behind it, want 2", n)
		}
		for shard, row := range rows(f.t, f.store) {
			if strings.Contains(row, `"owner":"one/`) {
				t.Errorf("%s is named by %s, whose worker has stopped", shard, row)
			}
		}
		two := f.start("two")
		f.until("two has the shard", 3*time.Second, func() bool { return two.owned() == 1 })
		f.end(two)
	})
}
