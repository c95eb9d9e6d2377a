package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A journal is what a handler saw, in order.
type journal struct {
	mu      sync.Mutex
	entries []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, fmt.Sprintf(format, args...))
}

func (j *journal) has(entry string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Contains(j.entries, entry)
}

func (j *journal) handle(_ context.Context, ev events.KinesisEvent) error {
	for _, r := range ev.Records {
		j.add("%s", r.Kinesis.Data)
	}
	return nil
}

func TestDrainLetsHandlersFinish(t *testing.T) {
	t.Attr("rule", "C15")
	t.Attr("rule", "C24")
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 2)
		defer srv.Close()
		store := new(checkpoint.Memory)
		var j journal
		r := start(t, srv, func(ctx context.Context, ev events.KinesisEvent) error {
			time.Sleep(20 * time.Second)
			j.add("live=%v", ctx.Err() == nil)
			return j.handle(ctx, ev)
		}, consumer.WithCheckpointer(store), consumer.WithGroup("g"), consumer.WithBatchSize(1))
		_, seq := srv.Put("orders", "alice", []byte("1"))
		srv.Put("orders", "alice", []byte("2")) // waits in the lane and is dropped undelivered
		time.Sleep(2 * time.Second)
		took, err := r.stop()
		if err != nil || took < 17*time.Second || took > 20*time.Second {
			t.Errorf("Run returned %v after %v, want nil after the handler's 18 s", err, took)
		}
		if !j.has("live=true") || !j.has("1") || j.has("2") {
			t.Errorf("the handler saw %q, want a live ctx and record 1 alone", j.entries)
		}
		found := rows(t, store)
		if all := fmt.Sprint(found); !strings.Contains(all, seq+"/~") || strings.Contains(all, `"owner"`) {
			t.Errorf("rows after the drain: %v, want the checkpoint of record 1 and no owner", found)
		}
	})
}

func TestDrainTimeoutEndsHandlers(t *testing.T) {
	t.Attr("rule", "C15")
	for _, obeys := range []bool{true, false} {
		t.Run(fmt.Sprintf("late success %v", obeys), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := kinesistest.NewServer("orders", 1)
				defer srv.Close()
				store := new(checkpoint.Memory)
				var began, ended time.Time
				r := start(t, srv, func(ctx context.Context, ev events.KinesisEvent) error {
					began = time.Now()
					<-ctx.Done()
					ended = time.Now()
					if obeys {
						return nil // done after all: it counts
					}
					return ctx.Err()
				}, consumer.WithCheckpointer(store), consumer.WithGroup("g"), consumer.WithDrainTimeout(7*time.Second))
				_, seq := srv.Put("orders", "alice", []byte("1"))
				time.Sleep(time.Second)
				synctest.Wait() // the handler runs
				up := time.Since(began)
				took, err := r.stop()
				if obeys && err != nil || !obeys && !errors.Is(err, consumer.ErrDrainTimeout) {
					t.Errorf("Run returned %v", err)
				}
				if lived, want := ended.Sub(began), up+7*time.Second; lived != want {
					t.Errorf("the handler's ctx lived %v, want %v", lived, want)
				}
				if took > 12*time.Second {
					t.Errorf("Run took %v, want at most 5 s more than the drain timeout", took)
				}
				if got := strings.Contains(rows(t, store)[shard0], seq); got != obeys {
					t.Errorf("row %s: covers the record %v, want %v", rows(t, store)[shard0], got, obeys)
				}
				if strings.Contains(rows(t, store)[shard0], `"owner"`) {
					t.Errorf("row %s: not released", rows(t, store)[shard0])
				}
			})
		})
	}
}

func TestStopInBackoffIsImmediate(t *testing.T) {
	t.Attr("rule", "C15")
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		calls := 0
		r := start(t, srv, func(context.Context, events.KinesisEvent) error { calls++; return errors.New("down") })
		srv.Put("orders", "alice", []byte("1"))
		time.Sleep(10*time.Minute + 30*time.Second) // by now the backoff is a minute
		synctest.Wait()
		before := calls
		took, err := r.stop()
		if err != nil || took > time.Second {
			t.Errorf("Run returned %v after %v, want nil at once", err, took)
		}
		if calls != before || calls < 15 || calls > 25 {
			t.Errorf("%d calls, then %d: want 15 to 25 (L34), and none after the stop", before, calls)
		}
	})
}

func TestHandlerThatIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 2)
		defer srv.Close()
		store := new(checkpoint.Memory)
		free := make(chan struct{})
		defer close(free)
		var j journal
		r := start(t, srv, func(ctx context.Context, ev events.KinesisEvent) error {
			if string(ev.Records[0].Kinesis.Data) == "hang" {
				<-free
			}
			return j.handle(ctx, ev)
		}, consumer.WithCheckpointer(store), consumer.WithGroup("g"), consumer.WithDrainTimeout(10*time.Second))
		_, done := srv.PutHash("orders", "a", "0", []byte("done"))
		time.Sleep(5 * time.Second)
		hung, _ := srv.PutHash("orders", "a", "0", []byte("hang"))
		other, _ := srv.PutHash("orders", "b", "340282366920938463463374607431768211455", []byte("fine"))
		time.Sleep(5 * time.Second)
		took, err := r.stop()
		var e *consumer.Error
		if !errors.Is(err, consumer.ErrHandlerRunning) || !errors.As(err, &e) || e.Shard != hung || e.Hint == "" {
			t.Errorf("Run returned %v, want ErrHandlerRunning of %s with a hint", err, hung)
		}
		if took < 10*time.Second || took > 15*time.Second {
			t.Errorf("Run took %v, want 10 to 15 s", took)
		}
		found := rows(t, store)
		if !strings.Contains(found[hung], `"owner"`) || strings.Contains(found[other], `"owner"`) {
			t.Errorf("rows %v: want %s still owned and %s released", found, hung, other)
		}
		if !strings.Contains(found[hung], done) {
			t.Errorf("row %s: want the checkpoint of what was done", found[hung])
		}
	})
}

func TestRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		var j journal
		r := start(t, srv, j.handle)
		time.Sleep(time.Second)
		if err := r.c.Run(t.Context()); !errors.Is(err, consumer.ErrRunning) {
			t.Errorf("a second Run returned %v, want ErrRunning", err)
		}
		if _, err := r.stop(); err != nil {
			t.Error(err)
		}
		srv.Put("orders", "alice", []byte("later"))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := r.c.Run(ctx); err != nil || !j.has("later") {
			t.Errorf("Run after Run returned %v and handled %q", err, j.entries)
		}
	})
}

// A handler of a lost shard that ignores its context is told of, too.
func TestHandlerOfLostShardIgnoresItsContext(t *testing.T) {
	t.Attr("rule", "C15")
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		shared := consumer.Options(consumer.WithCheckpointer(lone{new(checkpoint.Memory)}), consumer.WithGroup("g"))
		free := make(chan struct{})
		defer close(free)
		srv.Put("orders", "alice", []byte("fine"))
		srv.Put("orders", "bob", []byte("hang"))
		r1 := start(t, srv, func(_ context.Context, ev events.KinesisEvent) error {
			if string(ev.Records[0].Kinesis.Data) == "hang" {
				<-free
			}
			return nil
		}, shared, consumer.WithParallelizationFactor(100))
		time.Sleep(200 * time.Millisecond) // before its first checkpoint
		r2 := start(t, srv, nothing, shared)
		time.Sleep(20 * time.Second)
		if st := r1.c.Status().Shards[0]; st.State != consumer.Lost {
			t.Errorf("the first worker's shard: %+v, want lost", st)
		}
		if took, err := r1.stop(); !errors.Is(err, consumer.ErrHandlerRunning) || took > 35*time.Second {
			t.Errorf("Run returned %v after %v, want ErrHandlerRunning within 35 s", err, took)
		}
		if _, err := r2.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A drain timeout without end is one.
func TestDrainForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		srv.Put("orders", "alice", []byte("1"))
		r := start(t, srv, func(context.Context, events.KinesisEvent) error {
			time.Sleep(time.Hour)
			return nil
		}, consumer.WithDrainTimeout(math.MaxInt64))
		time.Sleep(time.Second)
		if took, err := r.stop(); err != nil || took < 50*time.Minute {
			t.Errorf("Run returned %v after %v, want nil after the handler's hour", err, took)
		}
	})
}

// A store that hangs, with any number of shards, does not keep Run from returning in time.
func TestDrainWhileStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 200)
		defer srv.Close()
		store := &hangingStore{Store: new(checkpoint.Memory)}
		r := start(t, srv, nothing, consumer.WithCheckpointer(store), consumer.WithGroup("g"), consumer.WithDrainTimeout(time.Second))
		time.Sleep(5 * time.Second)
		for i, sh := range srv.Shards("orders") {
			srv.PutHash("orders", fmt.Sprint(i), sh.HashStart, []byte("x"))
		}
		time.Sleep(4 * time.Second)
		store.swap.Store(true)
		time.Sleep(1500 * time.Millisecond) // it checkpoints
		if took, err := r.stop(); err == nil || took > 6*time.Second {
			t.Errorf("Run returned %v after %v, want an error within 6 s", err, took)
		}
	})
}

// A hangingStore has calls that end with their contexts.
type hangingStore struct {
	checkpoint.Store
	swap, list atomic.Bool
}

func (s *hangingStore) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	if s.swap.Load() {
		<-ctx.Done()
		return e, ctx.Err()
	}
	return s.Store.Swap(ctx, e)
}

func (s *hangingStore) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	if s.list.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.Store.List(ctx, prefix)
}

// A stop cuts calls off. That is no trouble to tell of.
func TestStopIsNoTrouble(t *testing.T) {
	for _, after := range []int{5, 15, 25, 35, 1000, 60_015, 60_025} { // the shards are listed then
		synctest.Test(t, func(t *testing.T) {
			srv := kinesistest.NewServer("orders", 1)
			defer srv.Close()
			var seen notices
			r := start(t, srv, nothing, consumer.WithNotify(seen.add))
			time.Sleep(time.Duration(after) * time.Millisecond)
			_, err := r.stop()
			if seen.count("ReadFailed") > 0 || err != nil || r.c.Status().Err() != nil {
				t.Errorf("stopped after %d ms: %v, notices %q, status %v", after, err, seen.names, r.c.Status().Err())
			}
		})
	}
}
