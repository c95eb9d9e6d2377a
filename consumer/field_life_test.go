package consumer_test

import (
	"context"
	"errors"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// fail puts every kind of trouble that passes on an operation.
func (f *field) fail(op string) {
	f.srv.Fail(op, kinesistest.Error("InternalFailure", 1), kinesistest.Throttle(1), kinesistest.Drop(1), kinesistest.Truncate(1),
		kinesistest.Error("KMSThrottlingException", 1), kinesistest.Hang(1))
}

// TestField_F06: no trouble that passes ends Run, of the service or of the store, at the start or later.
func TestField_F06(t *testing.T) {
	inField(t, 2, func(f *field) {
		put := func() {
			for _, sh := range f.srv.Shards("orders") {
				if !sh.Closed {
					f.put(sh.ID, sh.ID, 10)
				}
			}
		}
		f.slowReads(500 * time.Millisecond)
		ops := []string{"DescribeStreamSummary", "ListShards", "GetShardIterator", "GetRecords"}
		for _, op := range ops {
			f.fail(op)
		}
		f.store.fail(func(string, string) error { return errStore })
		life := f.start()
		put()
		time.Sleep(20 * time.Second)
		f.store.fail(nil)
		time.Sleep(5 * time.Minute)
		life.alive()
		f.once()

		for _, op := range ops { // for longer than it takes until the shards are listed again
			f.fail(op)
			f.srv.Fail(op, kinesistest.Error("AccessDeniedException", 0).For(90*time.Second))
		}
		f.store.fail(func(string, string) error { return errStore })
		f.srv.Split("orders", shardID(0))
		f.srv.Merge("orders", shardID(2), shardID(3))
		put()
		time.Sleep(90 * time.Second)
		life.alive()
		if err := life.c.Status().Err(); !errors.Is(err, consumer.ErrAccessDenied) {
			t.Errorf("Status().Err(): %v", err)
		}
		f.store.fail(nil)
		time.Sleep(6 * time.Minute)
		life.alive()
		if err := life.c.Status().Err(); err != nil {
			t.Errorf("Status().Err() when it is over: %v", err)
		}
		put()
		time.Sleep(2 * time.Second)
		f.once()
		life.stop()
	})
}

// TestField_F07: Run returns, when its context is done and when it cannot go on, however many shards fail at that moment.
func TestField_F07(t *testing.T) {
	const shards = 8
	put := func(f *field) {
		for n := range shards {
			f.put(shardID(n), shardID(n), 10)
		}
	}
	t.Run("reads", func(t *testing.T) {
		inField(t, shards, func(f *field) {
			f.srv.Fail("GetRecords", kinesistest.Error("InternalFailure", 0))
			life := f.start()
			put(f)
			time.Sleep(20 * time.Second)
			life.stop()
		})
	})
	t.Run("handlers", func(t *testing.T) {
		inField(t, shards, func(f *field) {
			f.work = func(context.Context, fieldBatch) error { panic("always") }
			life := f.start(consumer.WithParallelizationFactor(10))
			put(f)
			time.Sleep(30 * time.Second)
			begun := time.Now()
			life.stop()
			if took := time.Since(begun); took > time.Second {
				t.Errorf("Run returned after %v, with batches in backoff only", took)
			}
		})
	})
	t.Run("leases", func(t *testing.T) { // all are lost in the drain
		inField(t, shards, func(f *field) {
			life := f.start()
			time.Sleep(time.Second)
			put(f)
			time.Sleep(time.Second)
			heir := f.start(consumer.WithWorker("two"))
			time.Sleep(time.Second)
			life.stop()
			f.complete()
			if f.notices["LeaseLost"] != shards {
				t.Errorf("%d of %d leases were lost", f.notices["LeaseLost"], shards)
			}
			heir.stop()
		})
	})
	t.Run("store", func(t *testing.T) {
		inField(t, shards, func(f *field) {
			life := f.start()
			put(f)
			time.Sleep(time.Second)
			f.store.fail(func(string, string) error { return errStore })
			life.cancel()
			if err := life.wait(35 * time.Second); !errors.Is(err, errStore) || strings.Count(err.Error(), "release") != shards {
				t.Errorf("Run: %v", err)
			}
		})
	})
	t.Run("stream", func(t *testing.T) { // it is gone and another one, and every shard finds that out
		inField(t, shards, func(f *field) {
			life := f.start()
			put(f)
			time.Sleep(2 * time.Second)
			f.srv.DeleteStream("orders")
			f.srv.CreateStream("orders", shards)
			if err := life.wait(time.Minute); !errors.Is(err, consumer.ErrStreamRecreated) {
				t.Errorf("Run: %v", err)
			}
			f.batches, f.store.log = nil, nil // they are of the old stream
		})
	})
}

// TestField_F08: Run ends well in any order of cancel, error and discovery, with a cancel during the cancel, and can be
// called again.
func TestField_F08(t *testing.T) {
	for i := range 40 {
		at := time.Duration(i) * 50 * time.Millisecond
		inField(t, 4, func(f *field) {
			f.work = func(_ context.Context, b fieldBatch) error {
				time.Sleep(300 * time.Millisecond)
				if b.Attempt == 1 && i%3 == 1 {
					panic("at first")
				}
				return nil
			}
			for n := range 4 {
				f.put(shardID(n), shardID(n), 10)
			}
			life := f.start(consumer.WithBatchSize(5))
			var others sync.WaitGroup
			var faults []*kinesistest.Injected
			others.Go(func() { // the stream changes and fails
				time.Sleep(400 * time.Millisecond)
				f.srv.Split("orders", shardID(0))
				time.Sleep(300 * time.Millisecond)
				f.srv.Merge("orders", shardID(1), shardID(2))
				faults = f.srv.Fail("*", kinesistest.Error("InternalFailure", 3), kinesistest.Drop(2))
				if i%2 == 0 {
					f.store.fail(func(string, string) error { return errStore })
					time.Sleep(700 * time.Millisecond)
					f.store.fail(nil)
				}
			})
			others.Go(func() { // somebody looks
				for range 100 {
					life.c.Status()
					time.Sleep(30 * time.Millisecond)
				}
			})
			time.Sleep(at)
			synctest.Wait()
			if err := life.c.Run(context.Background()); !errors.Is(err, consumer.ErrRunning) {
				t.Errorf("a second Run: %v", err)
			}
			for range 3 {
				others.Go(life.cancel)
			}
			if err := life.wait(35 * time.Second); err != nil {
				t.Errorf("cancelled after %v: %v", at, err)
			}
			others.Wait()
			done, cancel := context.WithCancel(context.Background())
			cancel()
			if err := life.c.Run(done); err != nil {
				t.Errorf("Run with a context that is done: %v", err)
			}
			for _, fault := range faults {
				fault.Stop()
			}
			life.run()
			time.Sleep(5 * time.Second)
			f.complete()
			life.stop()
		})
	}
}

// TestField_F24: a shard that fails, in its reads or its handler, is tried again alone; none stays owned and unread.
func TestField_F24(t *testing.T) {
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

// TestField_F53: all shards of all streams of a worker share one budget of bytes, a quarter of GOMEMLIMIT: what they hold
// together is at most that, and a page for each of them.
func TestField_F53(t *testing.T) {
	const budget, page = 1 << 20, 10 * (2*10_004 + 400)
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("a", 4)
		t.Cleanup(srv.Close)
		srv.CreateStream("b", 4)
		var mu sync.Mutex
		handled, hang := 0, make(chan struct{})
		handle := func(_ context.Context, ev events.KinesisEvent) error {
			<-hang
			mu.Lock()
			defer mu.Unlock()
			handled += len(ev.Records)
			return nil
		}
		var cs []*consumer.Consumer
		for _, stream := range []string{"a", "b"} {
			c, err := consumer.New(srv.Client(), stream, handle, new(field).options(consumer.WithCheckpointer(new(fieldStore)), consumer.WithNotify(nil)))
			if err != nil {
				t.Fatal(err)
			}
			cs = append(cs, c)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		limit := debug.SetMemoryLimit(4 * budget) // it is looked at when Run begins
		go func() { done <- consumer.RunAll(ctx, cs...) }()
		synctest.Wait()
		debug.SetMemoryLimit(limit)

		held := func() (total, shards int64) {
			for _, c := range cs {
				for _, sh := range c.Status().Shards {
					total += sh.ReadAhead
					shards += min(sh.ReadAhead, 1)
				}
			}
			return total, shards
		}
		time.Sleep(2 * time.Second)
		put, most := 0, int64(0)
		for range 30 {
			for _, stream := range []string{"a", "b"} {
				for _, sh := range srv.Shards(stream) {
					for range 10 {
						srv.PutHash(stream, "key0", sh.HashStart, make([]byte, 10_000))
						put++
					}
				}
			}
			time.Sleep(time.Second)
			total, _ := held()
			most = max(most, total)
		}
		if _, shards := held(); shards != 8 || most < budget || most > budget+8*page {
			t.Errorf("%d shards held at most %d bytes, want 8 and %d to %d", shards, most, budget, budget+8*page)
		}
		close(hang)
		time.Sleep(10 * time.Second)
		if total, _ := held(); handled != put || total != 0 {
			t.Errorf("%d of %d records were handled, %d bytes are held", handled, put, total)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestField_F54: a shard that is gone because its stream was deleted and created again has not come to its end: Run says
// so, no end is stored, and the new stream is read from its beginning into rows of its own.
func TestField_F54(t *testing.T) {
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
