package consumer_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
	t.Parallel()
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
	t.Parallel()
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
			time.Sleep(1300 * time.Millisecond) // a checkpoint at this moment could keep the heir from a shard
			heir := f.start(consumer.WithWorker("two"))
			time.Sleep(time.Second)
			life.stop()
			f.complete()
			if f.noticed("LeaseLost") != shards {
				t.Errorf("%d of %d leases were lost", f.noticed("LeaseLost"), shards)
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
	t.Parallel()
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
