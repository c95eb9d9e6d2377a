package consumer_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer"
)

// TestField_F72: a handler ignores its context, and Run returns ErrHandlerRunning. A second Run of the same Consumer leaves
// the shard alone until that handler has returned: no two calls with one key run at once, and the record comes again then.
func TestField_F72(t *testing.T) {
	t.Parallel()
	inContract(t, 1, func(f *field) {
		release := make(chan struct{})
		running, most := 0, 0
		f.work = func(context.Context, fieldBatch) error {
			f.mu.Lock()
			running++
			most = max(most, running)
			f.mu.Unlock()
			<-release
			f.mu.Lock()
			running--
			f.mu.Unlock()
			return nil
		}
		f.put(shard0, "a", 1)
		life := f.start(consumer.WithDrainTimeout(time.Second))
		time.Sleep(5 * time.Second)
		life.cancel()
		if err := life.wait(10 * time.Second); !errors.Is(err, consumer.ErrHandlerRunning) {
			t.Fatal(err)
		}
		life.run() // the same Consumer again
		time.Sleep(15 * time.Second)
		f.mu.Lock()
		if most > 1 {
			t.Errorf("%d calls with the records of one key at once", most)
		}
		f.mu.Unlock()
		if s := life.c.Status(); !errors.Is(s.Err(), consumer.ErrHandlerRunning) || s.Ready() != nil {
			t.Errorf("while the shard waits for the handler, and is nobody's: health %v, readiness %v", s.Err(), s.Ready())
		}
		close(release)
		time.Sleep(15 * time.Second)
		if times, _ := f.handled(); len(times) != 1 || most > 1 {
			t.Errorf("records handled %v, %d at once: want the record again once the handler has returned", times, most)
		}
		life.stop()
	})
}

// A destination that ignores the end of its context leaves one goroutine behind, however often the lane gives records up:
// the next delivery waits for the one before, and fails.
func TestDestinationThatIgnoresItsContext(t *testing.T) {
	inContract(t, 1, func(f *field) {
		never := make(chan struct{})
		defer close(never)
		d := batch.DestinationFunc(func(context.Context, *batch.Failure) error { <-never; return nil })
		f.work = func(context.Context, fieldBatch) error { return errors.New("poison") }
		f.put(shard0, "a", 1000)
		f.slowReads(10 * time.Second)
		life := f.start(consumer.WithMaxRetryAttempts(0), consumer.WithBatchSize(1), consumer.WithOnFailure(d))
		time.Sleep(10 * time.Minute)
		before := runtime.NumGoroutine()
		time.Sleep(2 * time.Hour)
		if after := runtime.NumGoroutine(); after > before+5 {
			t.Errorf("%d goroutines after 10 minutes, %d two hours later, with one shard of one lane", before, after)
		}
		life.stop()
	})
}

// A process that dies every 9 s comes forward: its first checkpoint follows its first outcome within about a second.
func TestCrashLoopMoves(t *testing.T) {
	t.Parallel()
	proves(t, "C24")
	inContract(t, 1, func(f *field) {
		f.work = func(ctx context.Context, b fieldBatch) error {
			select {
			case <-time.After(100 * time.Millisecond):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		f.put(shard0, "a", 2000)
		for range 20 {
			life := f.start(consumer.WithBatchSize(10), consumer.WithDrainTimeout(0))
			time.Sleep(9 * time.Second)
			life.kill()
		}
		times, _ := f.handled()
		most := 0
		for _, n := range times {
			most = max(most, n)
		}
		if most > 10 {
			t.Errorf("in 20 lives of 9 s: %d of 2000 records handled, one of them %d times; no checkpoint was written", len(times), most)
		}
	})
}

// The shard of a handler that was left behind is not given up, and what the others have done is stored.
func TestLeftBehindKeepsItsShard(t *testing.T) {
	t.Parallel()
	proves(t, "C15")
	inContract(t, 1, func(f *field) {
		release := make(chan struct{})
		f.work = func(_ context.Context, b fieldBatch) error {
			if b.has("b") {
				<-release
			}
			return nil
		}
		life := f.start(consumer.WithDrainTimeout(time.Second), consumer.WithBatchSize(1), consumer.WithParallelizationFactor(10))
		time.Sleep(2 * time.Second)
		f.put(shard0, "a", 1)
		f.put(shard0, "b", 1)
		time.Sleep(300 * time.Millisecond)
		life.cancel()
		if err := life.wait(10 * time.Second); !errors.Is(err, consumer.ErrHandlerRunning) {
			t.Fatal(err)
		}
		log := f.store.written()
		last := log[len(log)-1]
		if seq, _, _, _ := last.ck.Sequence(); last.owner == "" || seq != f.srv.Records("orders")[0].SequenceNumber {
			t.Errorf("the row has owner %q and checkpoint %s, want an owner, and the first record", last.owner, last.ck)
		}
		close(release)
	})
}

// The first checkpoint of each tenure is stored within a second of its first outcome, whenever the shard's turn is.
func TestFirstCheckpointIsEarly(t *testing.T) {
	t.Parallel()
	proves(t, "C24")
	inContract(t, 1, func(f *field) {
		for range 6 {
			life := f.start()
			time.Sleep(time.Second)
			f.put(shard0, "a", 1)
			time.Sleep(1500 * time.Millisecond)
			log, all := f.store.written(), f.srv.Records("orders")
			if seq, _, _, _ := log[len(log)-1].ck.Sequence(); seq != all[len(all)-1].SequenceNumber {
				t.Errorf("1.5 s after a record was put, the checkpoint is %s", log[len(log)-1].ck)
			}
			life.stop()
		}
	})
}
