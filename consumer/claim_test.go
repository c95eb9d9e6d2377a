package consumer_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A row that is deleted while its shard waits for a claim, and has expired, holds nobody up.
func TestClaimOfDeletedRow(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L25")
	synctest.Test(t, func(t *testing.T) { // no field's checks: the end of the parent is nowhere stored
		f := &field{t: t, srv: kinesistest.NewServer("orders", 1), store: new(fieldStore), notices: map[string]int{}}
		defer f.srv.Close()
		f.keepsFor(2 * time.Hour)
		f.rareReads()
		life := f.start()
		time.Sleep(2 * time.Second)
		life.stop()
		var down atomic.Bool
		down.Store(true)
		f.store.fail(func(op, key string) error {
			if down.Load() && op == "Swap" && strings.HasSuffix(key, shardID(0)) {
				return errors.New("down")
			}
			return nil
		})
		life = f.start()
		time.Sleep(2 * time.Second)
		a, _ := f.srv.Split("orders", shardID(0))
		time.Sleep(125 * time.Minute) // the first shard is not listed any more
		f.since = time.Now()
		f.put(a, "alice", 1)
		rows, err := f.store.Memory.List(context.Background(), "billing/lease/")
		if err != nil || len(rows) != 3 {
			t.Fatalf("%d rows: %v", len(rows), err)
		}
		if err := f.store.Delete(context.Background(), rows[0]); err != nil {
			t.Fatal(err)
		}
		down.Store(false)
		time.Sleep(3 * time.Minute)
		if err := life.c.Status().Err(); err != nil {
			t.Errorf("health says %v", err)
		}
		life.stop()
		f.once()
	})
}

// A shard whose end a list does not show, and whose row cannot be read again, is told of.
func TestClaimOfEndedShardUnread(t *testing.T) {
	t.Attr("rule", "C30")
	inField(t, 1, func(f *field) {
		life := f.start()
		time.Sleep(2 * time.Second)
		old, err := f.store.Memory.List(context.Background(), "billing/lease/")
		if err != nil {
			t.Fatal(err)
		}
		f.srv.Split("orders", shardID(0))
		time.Sleep(5 * time.Second)
		life.stop()

		reads := 0
		f.store.fail(func(op, key string) error {
			if op == "Get" && strings.HasSuffix(key, shardID(0)) {
				if reads++; reads > 1 { // the first one is that of the claim
					return errors.New("down")
				}
			}
			return nil
		})
		store := &oldList{Store: f.store}
		store.frozen.Store(&old)
		life = f.start(consumer.WithCheckpointer(store))
		time.Sleep(30 * time.Second)
		if err := life.c.Status().Err(); err == nil || !strings.Contains(err.Error(), "claim "+shardID(0)) {
			t.Errorf("health says %v", err)
		}
		f.store.fail(nil)
		time.Sleep(2 * time.Minute)
		if err := life.c.Status().Err(); err != nil {
			t.Errorf("health says %v", err)
		}
		life.stop()
	})
}

// A claim that lands during a stop is given back, and if that fails, it is told.
func TestClaimDuringStop(t *testing.T) {
	for name, fails := range map[string]bool{"released": false, "kept": true} {
		t.Run(name, func(t *testing.T) {
			inField(t, 1, func(f *field) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				swaps := 0
				f.store.fail(func(op, key string) error {
					if op != "Swap" || !strings.Contains(key, "/lease/") {
						return nil
					}
					swaps++
					switch {
					case swaps == 2: // the claim, behind the row
						cancel()
						time.Sleep(time.Second)
					case swaps > 2 && fails:
						return errors.New("down")
					}
					return nil
				})
				c, err := consumer.New(f.srv.Client(), "orders", f.handle, f.options())
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Run(ctx); err != nil {
					t.Errorf("Run: %v", err)
				}
				log := f.store.written()
				if owned := log[len(log)-1].owner != ""; owned != fails || swaps < 3 {
					t.Errorf("%d writes, owned at the end: %v", swaps, owned)
				}
				if told := f.noticed("StoreFailed") > 0; told != fails {
					t.Errorf("told: %v", f.notices)
				}
			})
		})
	}
}
