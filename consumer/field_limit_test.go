package consumer_test

import (
	"context"
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

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
		for range 12 {
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

// TestField_F34: a shard is consumed at defaults as fast as it accepts records, 1,000 a second, with reads that take
// 100 ms and a handler that takes 80 ms for a batch.
func TestField_F34(t *testing.T) {
	t.Parallel()
	inField(t, 1, func(f *field) {
		f.srv.SetLatencyFunc(func(string) time.Duration { return 100 * time.Millisecond })
		f.work = func(context.Context, fieldBatch) error {
			time.Sleep(80 * time.Millisecond)
			return nil
		}
		life := f.start()
		time.Sleep(5 * time.Second)
		data := make([]byte, 100)
		for range 100 {
			for i := range 100 {
				f.srv.Put("orders", string(rune('a'+i%26)), data)
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Second)
		f.once()
		_, first := f.handled()
		latest := time.Duration(0)
		for _, r := range f.srv.Records("orders") {
			latest = max(latest, first[r.SequenceNumber].Sub(r.Arrival))
		}
		if latest > 1500*time.Millisecond {
			t.Errorf("a record was handled %v after it arrived", latest)
		}
		life.stop()
	})
}
