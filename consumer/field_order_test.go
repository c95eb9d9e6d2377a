package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
	"github.com/shardlane/shardlane/partition"
)

// laneKey returns a key of a lane, one of four, that begins with a prefix.
func laneKey(prefix string, lane uint64) string {
	for i := 0; ; i++ {
		if key := fmt.Sprint(prefix, i); partition.Hash(key)%4 == lane {
			return key
		}
	}
}

// TestField_F04: as many invocations run at once as there are shards, times the parallelization factor; and no more.
func TestField_F04(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L23")
	t.Attr("rule", "L24")
	inField(t, 3, func(f *field) {
		f.work = func(context.Context, fieldBatch) error {
			time.Sleep(time.Second)
			return nil
		}
		for shard := range 3 {
			for lane := range uint64(4) {
				f.put(shardID(shard), laneKey(fmt.Sprint("shard", shard, "-"), lane), 40)
			}
		}
		life := f.start(consumer.WithParallelizationFactor(4), consumer.WithBatchSize(10))
		time.Sleep(10 * time.Second)
		f.once()
		most, mostOfShard := 0, 0
		for _, b := range f.seen() {
			total, ofShard := 0, 0
			for _, o := range f.seen() {
				if !o.begun.After(b.begun) && o.ended.After(b.begun) {
					total++
					if o.Shard == b.Shard {
						ofShard++
					}
				}
			}
			most, mostOfShard = max(most, total), max(mostOfShard, ofShard)
		}
		if most != 12 || mostOfShard != 4 {
			t.Errorf("%d invocations ran at once, %d of them of one shard, want 12 and 4", most, mostOfShard)
		}
		life.stop()
	})
}

// TestField_F25: shards are independent: one whose handler hangs, and more of them whose reads hang, delay no record of
// another.
func TestField_F25(t *testing.T) {
	t.Parallel()
	inField(t, 6, func(f *field) {
		f.work = func(_ context.Context, b fieldBatch) error {
			if b.has("slow") {
				time.Sleep(40 * time.Second)
			}
			return nil
		}
		f.put(shardID(0), "slow", 10)
		life := f.start()
		time.Sleep(time.Second)
		for n := range 4 {
			f.srv.Fail("GetRecords", kinesistest.Hang(0).OnShard(shardID(n+1)).For(40*time.Second))
		}
		for range 60 {
			for n := range 6 {
				f.put(shardID(n), shardID(n), 10)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		f.once()
		_, first := f.handled()
		for _, r := range f.srv.Shards("orders")[5].Records {
			if late := first[r.SequenceNumber].Sub(r.Arrival); late > 300*time.Millisecond {
				t.Errorf("a record was handled %v after it arrived", late)
			}
		}
		life.stop()
	})
}

// TestField_F35: several lanes keep the order of each key, and none waits for the end of a page: while one key is slow,
// the others go on over page after page.
func TestField_F35(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L24")
	inField(t, 1, func(f *field) {
		slow := laneKey("slow", 0)
		f.work = func(_ context.Context, b fieldBatch) error {
			time.Sleep(time.Duration(len(b.recs)%7) * 10 * time.Millisecond)
			if b.has(slow) {
				time.Sleep(time.Minute)
			}
			return nil
		}
		life := f.start(consumer.WithParallelizationFactor(4))
		for range 50 {
			f.put(shardID(0), slow, 1)
			for lane := range uint64(3) {
				f.put(shardID(0), laneKey("a", lane+1), 2)
				f.put(shardID(0), laneKey("b", lane+1), 1)
			}
			time.Sleep(time.Second)
		}
		_, first := f.handled() // the first slow one is not among them
		if len(first) != 50*9 {
			t.Errorf("%d of %d records behind a slow one of another lane were handled", len(first), 50*9)
		}
		time.Sleep(2 * time.Minute)
		f.once() // order per key: sound
		life.stop()
	})
}

// TestField_F45: an attempt that ended with an error, a panic, a time-out, or not at all, is not done: the same records
// come again until it succeeds, and the records behind them wait.
func TestField_F45(t *testing.T) {
	t.Attr("rule", "L1")
	t.Attr("rule", "L33")
	inField(t, 1, func(f *field) {
		f.work = func(_ context.Context, b fieldBatch) error {
			if !b.has("poison") {
				return nil
			}
			switch b.Attempt {
			case 1:
				return errors.New("bad")
			case 2:
				panic("worse")
			case 3:
				late, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				<-late.Done()
				return late.Err()
			case 4:
				runtime.Goexit()
			case 5:
				panic(context.Canceled)
			}
			return nil
		}
		life := f.start(consumer.WithBatchSize(5))
		f.put(shardID(0), "a", 10)
		f.put(shardID(0), "poison", 5)
		f.put(shardID(0), "a", 10)
		time.Sleep(30 * time.Second)
		f.once() // checkpoints behind outcomes: sound
		var lines strings.Builder
		for _, b := range f.seen() {
			fmt.Fprintf(&lines, "%s %d %d\n", b.key(0), len(b.recs), b.Attempt)
		}
		const want = "a 5 1\na 5 1\npoison 5 1\npoison 5 2\npoison 5 3\npoison 5 4\npoison 5 5\npoison 5 6\na 5 1\na 5 1\n"
		if lines.String() != want {
			t.Errorf("invocations:\n%s", &lines)
		}
		life.stop()
	})
}

// TestField_F21: a record counts as consumed when it has an outcome, not when it was handed over: what a handler works on
// when the process dies comes again.
func TestField_F21(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L40")
	t.Attr("rule", "L41")
	inField(t, 2, func(f *field) {
		dead := false
		f.work = func(ctx context.Context, b fieldBatch) error {
			if !dead && b.has("stuck"+b.Shard) {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		life := f.start(consumer.WithParallelizationFactor(4), consumer.WithBatchSize(5), consumer.WithDrainTimeout(0))
		for n := range 2 {
			for _, key := range []string{"a", "b", "stuck", "a", "b", "c", "d", "e", "f", "a"} {
				f.put(shardID(n), key+shardID(n), 10)
			}
		}
		time.Sleep(25 * time.Second)
		if moved := len(f.store.written()); moved != 6 { // two rows put, claimed, and moved once up to what is stuck
			t.Errorf("%d writes were taken", moved)
		}
		life.kill()
		dead = true
		life = f.start(consumer.WithParallelizationFactor(4))
		time.Sleep(5 * time.Second)
		f.complete() // checkpoints behind outcomes: sound
		life.stop()
	})
}
