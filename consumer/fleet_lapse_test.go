package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// Handlers whose group cannot reach its store leave their slots to another group of the worker, whose store answers, and take
// none too many when it is back.
func TestFleetSlotsInALapse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 4)
		defer srv.Close()
		away := &link{Store: new(checkpoint.Memory)}
		running, most := 0, 0
		work := map[string]time.Duration{"a": time.Second, "b": 20 * time.Millisecond} // most of the time it is a's turn
		var got tallies
		var cs []*consumer.Consumer
		for group, store := range map[string]checkpoint.Store{"a": away, "b": &link{Store: new(checkpoint.Memory)}} {
			count := got.handler(group)
			c, err := consumer.New(srv.Client(), "orders", func(ctx context.Context, ev events.KinesisEvent) error {
				got.mu.Lock()
				running++
				most = max(most, running)
				got.mu.Unlock()
				time.Sleep(work[group]) // whatever the context says
				got.mu.Lock()
				running--
				got.mu.Unlock()
				return count(ctx, ev)
			}, silent(), consumer.WithWorker("one"), consumer.WithGroup(group), consumer.WithCheckpointer(store), consumer.WithMaxConcurrency(1))
			if err != nil {
				t.Fatal(err)
			}
			cs = append(cs, c)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- consumer.RunAll(ctx, cs...) }()
		next := 0
		put := func(seconds int) {
			for range seconds * 20 {
				srv.Put("orders", fmt.Sprint("key", next%40), fmt.Append(nil, next))
				next++
				time.Sleep(50 * time.Millisecond)
			}
		}
		handled := func(group string) int {
			got.mu.Lock()
			defer got.mu.Unlock()
			return len(got.of[group])
		}
		put(10)
		away.cut.Store(true)
		put(10)
		a, b := handled("a"), handled("b")
		put(30)
		if more := handled("a") - a; more > 0 {
			t.Errorf("%d records were handled without a store", more)
		}
		if more := handled("b") - b; more < 500 {
			t.Errorf("%d records were handled beside a group without a store, want 600", more)
		}
		away.cut.Store(false)
		put(20)
		time.Sleep(30 * time.Second)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if handled("a") != next || handled("b") != next || most > 1 {
			t.Errorf("%d and %d of %d records were handled, and %d handlers ran at once", handled("a"), handled("b"), next, most)
		}
	})
}

// A worker that runs two streams, one of them to an ending position, gets no shard of that one any more.
func TestFleetLeavesAStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 4)
		defer srv.Close()
		srv.CreateStream("refunds", 2)
		store := &link{Store: new(checkpoint.Memory)}
		var got tallies
		consume := func(worker, stream string, opts ...consumer.Option) *consumer.Consumer {
			c, err := consumer.New(srv.Client(), stream, got.handler(worker+" "+stream), append([]consumer.Option{
				silent(), consumer.WithWorker(worker), consumer.WithGroup("g"), consumer.WithCheckpointer(store),
			}, opts...)...)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		run := func(cs ...*consumer.Consumer) { go func() { ended <- consumer.RunAll(ctx, cs...) }() }
		run(consume("one", "orders", consumer.WithEndingPosition(consumer.At(time.Now().Add(20*time.Second)))), consume("one", "refunds"))
		time.Sleep(time.Minute)
		two := consume("two", "orders")
		run(two)
		time.Sleep(30 * time.Second)
		before := owners(t, store)
		time.Sleep(2 * time.Minute)
		running := 0
		for _, sh := range two.Status().Shards {
			if sh.State == consumer.Running {
				running++
			}
		}
		if after := owners(t, store); running != 4 || after != before {
			t.Errorf("the worker that goes on has %d shards of 4; they went from\n%sto\n%s", running, before, after)
		}
		cancel()
		if err := errors.Join(<-ended, <-ended); err != nil {
			t.Error(err)
		}
	})
}

// Slow handlers have come to an end before another worker has their shards: when these are handed over, and when their worker
// loses its store.
func TestFleetTakesOverFromSlowHandlers(t *testing.T) {
	t.Parallel()
	inFleet(t, 2, func(f *fleet) {
		f.work = 8 * time.Second
		all := consumer.WithBatchSize(10000)
		one := f.start("one", all)
		time.Sleep(10 * time.Second)
		two := f.start("two", all)
		f.until("1 shard each", 60*time.Second, func() bool { return one.owned() == 1 && two.owned() == 1 })
		time.Sleep(20 * time.Second)
		one.kill()
		f.until("two has 2 shards", 13*time.Second, func() bool { return two.owned() == 2 })
		time.Sleep(20 * time.Second)
		one.link.cut.Store(false)
		f.stop <- struct{}{}
		go func() { <-f.stop }()
		time.Sleep(time.Minute)
		for _, r := range []*replica{one, two} {
			if _, err := r.running.stop(); err != nil {
				t.Errorf("%s ends with %v", r.name, err)
			}
		}
	})
}
