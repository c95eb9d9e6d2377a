package consumer_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
)

// rows returns when a shard's end was stored, and its first checkpoint.
func (f *field) rows(shard string) (first checkpoint.Position, ended time.Time) {
	for _, w := range f.store.written() {
		if w.shard != shard {
			continue
		}
		if first == "" {
			first = w.ck
		}
		if w.ck.IsEnd() {
			ended = w.at
		}
	}
	return first, ended
}

// TestField_F01: children of a reshard start at their beginning, whatever the starting position, and lose nothing.
func TestField_F01(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "C11")
	inField(t, 2, func(f *field) {
		f.work = func(context.Context, fieldBatch) error {
			time.Sleep(500 * time.Millisecond)
			return nil
		}
		one := f.start(consumer.WithStartingPosition(consumer.Latest()), consumer.WithBatchSize(10))
		time.Sleep(5 * time.Second)
		f.put(shardID(0), "a", 50)
		f.put(shardID(1), "b", 50)
		lower, upper := f.srv.Split("orders", shardID(0))
		f.put(lower, "a", 20) // long before the end of the parent is stored
		f.put(upper, "c", 20)
		merged := f.srv.Merge("orders", upper, shardID(1))
		f.put(merged, "c", 20)
		time.Sleep(30 * time.Second)
		f.complete()
		one.stop()

		low, high := f.srv.Split("orders", merged) // while nothing runs
		f.put(low, "d", 20)
		f.put(high, "e", 20)
		time.Sleep(time.Minute)
		two := f.start(consumer.WithStartingPosition(consumer.Latest()))
		time.Sleep(10 * time.Second)
		two.stop()
		f.once()
		for _, child := range []string{lower, upper, merged, low, high} {
			if first, _ := f.rows(child); first != checkpoint.TrimHorizon {
				t.Errorf("the row of %s began at %s", child, first)
			}
		}
	})
}

// TestField_F03: the end of a shard is stored, and its children start, with nothing of it in flight: not while its last
// batch runs, is tried again, or fills.
func TestField_F03(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L25")
	for name, opt := range map[string]consumer.Option{
		"runs": consumer.WithParallelizationFactor(4), "fills": consumer.WithBatchingWindow(100 * time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			inField(t, 1, func(f *field) {
				f.slowReads(500 * time.Millisecond)
				f.work = func(_ context.Context, b fieldBatch) error {
					if b.has("last") {
						time.Sleep(20 * time.Second)
						if b.Attempt < 3 {
							return context.DeadlineExceeded
						}
					}
					return nil
				}
				life := f.start(consumer.WithBatchSize(10), opt)
				f.put(shardID(0), "first", 30)
				f.put(shardID(0), "last", 3)
				time.Sleep(2 * time.Second)
				lower, _ := f.srv.Split("orders", shardID(0))
				f.put(lower, "last", 5)
				time.Sleep(5 * time.Minute)
				f.once()
				_, ended := f.rows(shardID(0))
				last := time.Time{}
				for _, b := range f.seen() {
					if b.Shard == shardID(0) && b.ended.After(last) {
						last = b.ended
					}
				}
				if ended.IsZero() || ended.Before(last) || ended.After(last.Add(time.Second)) {
					t.Errorf("the end was stored at %v, the last batch ended at %v", ended, last)
				}
				life.stop()
			})
		})
	}
}

// TestField_F22: parents first, both of a merge, while one of them has a backlog for longer than an audit takes to find
// its children.
func TestField_F22(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L25")
	inField(t, 2, func(f *field) {
		f.slowReads(500 * time.Millisecond)
		f.work = func(_ context.Context, b fieldBatch) error {
			time.Sleep(10 * time.Millisecond)
			if b.has("a") {
				time.Sleep(40 * time.Second)
			}
			return nil
		}
		life := f.start(consumer.WithBatchSize(10))
		f.put(shardID(0), "a", 40)
		f.put(shardID(1), "b", 40)
		lower, upper := f.srv.Split("orders", shardID(0))
		f.put(lower, "a", 10)
		f.put(upper, "c", 10)
		merged := f.srv.Merge("orders", upper, shardID(1))
		f.put(merged, "b", 10)
		f.put(merged, "c", 10)
		time.Sleep(5 * time.Minute)
		f.once() // parents first: sound
		var order []string
		for _, b := range f.seen() {
			if !slices.Contains(order, b.Shard) {
				order = append(order, b.Shard)
			}
		}
		if len(order) != 5 || order[4] != merged {
			t.Errorf("shards began in the order %v", order)
		}
		life.stop()
	})
}

// TestField_F26: the tail of shards that were closed while nothing ran is read, by a group that had begun them and by one
// that sees the stream for the first time.
func TestField_F26(t *testing.T) {
	t.Parallel()
	for name, begun := range map[string]bool{"begun": true, "new": false} {
		t.Run(name, func(t *testing.T) {
			inField(t, 2, func(f *field) {
				f.put(shardID(0), "a", 10)
				f.put(shardID(1), "b", 10)
				if begun {
					life := f.start()
					time.Sleep(2 * time.Second)
					life.stop()
				}
				f.put(shardID(0), "a", 10)
				f.put(shardID(1), "b", 10)
				lower, upper := f.srv.Split("orders", shardID(0))
				f.put(lower, "a", 10)
				f.put(upper, "c", 10)
				merged := f.srv.Merge("orders", upper, shardID(1)) // one of the parents is never read while it is open
				f.put(merged, "b", 10)
				time.Sleep(time.Hour)
				life := f.start()
				time.Sleep(5 * time.Second)
				f.once()
				life.stop()
			})
		})
	}
}

// TestField_F29: all pages of ListShards are read, 2,500 shards of them; the service refuses a token beside a name.
func TestField_F29(t *testing.T) {
	t.Parallel()
	inField(t, 2500, func(f *field) {
		f.srv.SetLatency(time.Millisecond)
		for _, n := range []int{0, 999, 1000, 1001, 1999, 2000, 2499} {
			f.put(shardID(n), shardID(n), 1)
		}
		time.Sleep(time.Second)
		life := f.start(consumer.WithEndingPosition(consumer.Latest()))
		if err := life.wait(10 * time.Minute); err != nil {
			t.Errorf("Run: %v", err)
		}
		f.once()
		rows := map[string]bool{}
		for _, w := range f.store.written() {
			rows[w.shard] = true
		}
		if len(rows) != 2500 {
			t.Errorf("the store has %d rows", len(rows))
		}
		for _, c := range f.srv.Calls() {
			if c.Op == "ListShards" && c.Code != "" {
				t.Errorf("ListShards: %s", c.Code)
			}
		}
	})
}

// TestField_F49: a child whose parent has no row waits: for a parent that was not listed yet when the child became
// known, and for one whose row was deleted by hand.
func TestField_F49(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L25")
	t.Run("unlisted", func(t *testing.T) {
		inField(t, 2, func(f *field) {
			f.work = func(_ context.Context, b fieldBatch) error {
				if b.Shard == shardID(1) {
					time.Sleep(20 * time.Second)
				}
				return nil
			}
			life := f.start()
			f.put(shardID(0), "a", 5)
			f.put(shardID(1), "b", 5)
			time.Sleep(5 * time.Second)
			lower, upper := f.srv.Split("orders", shardID(1))
			f.put(lower, "b", 5)
			f.put(upper, "c", 5)
			merged := f.srv.Merge("orders", shardID(0), lower) // it ends, while the other parent waits for its own
			f.put(merged, "b", 5)
			f.put(merged, "a", 5)
			time.Sleep(time.Minute)
			f.once() // parents first: sound
			life.stop()
		})
	})
	t.Run("deleted", func(t *testing.T) {
		inField(t, 1, func(f *field) {
			f.work = func(ctx context.Context, b fieldBatch) error {
				if b.Epoch == 1 {
					<-ctx.Done()
					return ctx.Err()
				}
				time.Sleep(time.Second)
				return nil
			}
			life := f.start(consumer.WithDrainTimeout(0))
			f.put(shardID(0), "a", 20)
			time.Sleep(time.Second)
			lower, upper := f.srv.Split("orders", shardID(0))
			f.put(lower, "a", 20)
			f.put(upper, "b", 20)
			time.Sleep(2 * time.Minute) // the rows of the children are put meanwhile
			life.cancel()
			life.wait(5 * time.Second)
			key := ""
			for _, w := range f.store.written() {
				if w.shard == shardID(0) {
					key = w.key
				}
			}
			row, err := f.store.Get(context.Background(), key)
			if err == nil {
				err = f.store.Delete(context.Background(), row)
			}
			if first, _ := f.rows(upper); err != nil || first == "" {
				t.Fatalf("Delete: %v; the row of %s began at %q", err, upper, first)
			}
			f.work = nil
			life = f.start()
			time.Sleep(30 * time.Second)
			f.once() // parents first: sound
			life.stop()
		})
	})
}
