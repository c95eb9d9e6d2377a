package consumer_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
)

// held is a handler that does nothing with the records of some shards until it is let go, or its context ends.
func held(shard func(id string) bool, free chan struct{}) func(r *replica) wholeBatch {
	return func(r *replica) wholeBatch {
		return func(ctx context.Context, ev events.KinesisEvent) error {
			if inv, _ := batch.InvocationFrom(ctx); shard(inv.Shard) {
				select {
				case <-free:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return r.handle(ctx, ev)
		}
	}
}

// TestField_F40: a shard was read to its end, and its last batches take 40 s. It has its owner until they are done and the
// end is stored, although there is another worker with nothing to do, and its row stays.
func TestField_F40(t *testing.T) {
	t.Parallel()
	inFleet(t, 1, func(f *fleet) {
		store := f.tapped()
		free := make(chan struct{})
		first := func(id string) bool { return id == shard0 }
		one := f.startAs("one", held(first, free))
		f.balanced(5*time.Second, 1, one)
		two := f.startAs("two", held(first, free))
		time.Sleep(5 * time.Second)
		from := time.Now()
		f.srv.Split("orders", shard0)
		time.Sleep(40 * time.Second)
		for _, w := range store.rows(shard0, from) {
			if !strings.HasPrefix(w.Owner, "one/") {
				t.Errorf("while its last batches run, the shard's row has owner %q, by %q", w.Owner, w.By)
			}
		}
		close(free)
		f.balanced(70*time.Second, 1, one, two)
		f.end(one, two)
		f.unrepeated()
		store.forward(t)
		if log := store.rows(shard0, time.Time{}); !log[len(log)-1].Ck.IsEnd() {
			t.Errorf("the last row of the shard is %+v, want its end", log[len(log)-1])
		}
		if n := store.count("Delete"); n != 2 { // of the rows of the workers
			t.Errorf("%d rows were deleted", n)
		}
	})
}

// TestField_F43: all handlers of a worker block for 3 minutes. It keeps its shards, which nobody claims, not even itself,
// and none of the handlers is interrupted.
func TestField_F43(t *testing.T) {
	t.Parallel()
	inFleet(t, 4, func(f *fleet) {
		store := f.tapped()
		free := make(chan struct{})
		var interrupted atomic.Int64
		one := f.startAs("one", func(r *replica) wholeBatch {
			h := held(func(string) bool { return true }, free)(r)
			return func(ctx context.Context, ev events.KinesisEvent) error {
				err := h(ctx, ev)
				if err != nil {
					interrupted.Add(1)
				}
				return err
			}
		})
		two := f.start("two")
		f.balanced(60*time.Second, 2, one, two)
		from, before := time.Now(), interrupted.Load()
		time.Sleep(3 * time.Minute)
		if n := store.claims(from); n != 0 || one.owned() != 2 {
			t.Errorf("%d claims while handlers block; the worker has %d shards", n, one.owned())
		}
		if n := interrupted.Load() - before; n != 0 {
			t.Errorf("%d handlers were interrupted", n)
		}
		close(free)
		time.Sleep(10 * time.Second)
		f.end(one, two)
		f.unrepeated()
		store.forward(t)
	})
}
