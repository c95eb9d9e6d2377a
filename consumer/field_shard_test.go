package consumer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// TestField_F24: a shard that fails, in its reads or its handler, is tried again alone; none stays owned and unread.
func TestField_F24(t *testing.T) {
	t.Parallel()
	inField(t, 3, func(f *field) {
		well := time.Now().Add(time.Minute)
		f.work = func(_ context.Context, b fieldBatch) error {
			if b.Shard == shardID(1) && time.Now().Before(well) {
				panic("not yet")
			}
			return nil
		}
		life := f.start()
		time.Sleep(time.Second)
		for _, op := range []string{"GetRecords", "GetShardIterator"} {
			for _, fault := range []*kinesistest.Fault{
				kinesistest.Error("InternalFailure", 1), kinesistest.ErrorAfter("ServiceUnavailable", 1), kinesistest.Throttle(1),
				kinesistest.Error("InvalidArgumentException", 1), kinesistest.Error("ResourceNotFoundException", 1),
				kinesistest.Error("AccessDeniedException", 1), kinesistest.Error("NobodyKnowsThisException", 1),
				kinesistest.Truncate(1), kinesistest.Drop(1), kinesistest.Hang(1),
			} {
				f.srv.Fail(op, fault.OnShard(shardID(0)))
			}
		}
		f.srv.Fail("GetRecords", kinesistest.ExpireIterators(2).OnShard(shardID(0)))
		for range 120 {
			for n := range 3 {
				f.put(shardID(n), shardID(n), 1)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(5 * time.Minute)
		f.once()
		for n := range 3 {
			if reads := f.reads(shardID(n)); time.Since(reads[len(reads)-1].Time) > time.Second {
				t.Errorf("shard %d was read last at %v", n, reads[len(reads)-1].Time)
			}
		}
		_, first := f.handled()
		for _, r := range f.srv.Shards("orders")[2].Records {
			if late := first[r.SequenceNumber].Sub(r.Arrival); late > 300*time.Millisecond {
				t.Errorf("a record was handled %v after it arrived", late)
			}
		}
		life.stop()
	})
}

// TestField_F54: a shard that is gone because its stream was deleted and created again has not come to its end: Run says
// so, no end is stored, and the new stream is read from its beginning into rows of its own.
func TestField_F54(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]time.Duration{"at once": 0, "later": 20 * time.Second} {
		t.Run(name, func(t *testing.T) {
			inField(t, 2, func(f *field) {
				f.put(shardID(0), "a", 10)
				f.put(shardID(1), "b", 10)
				life := f.start()
				time.Sleep(15 * time.Second)
				f.once()
				f.srv.DeleteStream("orders")
				time.Sleep(between)
				f.srv.CreateStream("orders", 2)
				f.put(shardID(0), "a", 5) // at the start of a shard of the same name
				f.put(shardID(1), "b", 5)
				if err := life.wait(2 * time.Minute); !errors.Is(err, consumer.ErrStreamRecreated) {
					t.Errorf("Run: %v", err)
				}
				if n := len(f.seen()); n != 2 {
					t.Errorf("%d batches, want 2 of the old stream", n)
				}
				rows := map[string]bool{}
				for _, w := range f.store.written() {
					rows[w.key] = true
					if w.ck.IsEnd() {
						t.Errorf("the end of %s was stored", w.key)
					}
				}
				f.batches, f.store.log = nil, nil
				life = f.start()
				time.Sleep(15 * time.Second)
				f.once()
				for _, w := range f.store.written() {
					if rows[w.key] {
						t.Errorf("row %s of the old stream was written", w.key)
					}
				}
				life.stop()
			})
		})
	}
}
