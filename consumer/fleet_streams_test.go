package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
	"github.com/shardlane/shardlane/metrics"
)

// Tallies count what the consumers of one name got.
type tallies struct {
	mu sync.Mutex
	of map[string]map[string]int // by consumer and data
}

func (a *tallies) handler(name string) wholeBatch {
	return func(_ context.Context, ev events.KinesisEvent) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.of == nil {
			a.of = map[string]map[string]int{}
		}
		if a.of[name] == nil {
			a.of[name] = map[string]int{}
		}
		for _, r := range ev.Records {
			a.of[name][string(r.Kinesis.Data)]++
		}
		return nil
	}
}

func (a *tallies) once(t *testing.T, n int, names ...string) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if got := slices.Sorted(maps.Keys(a.of)); !slices.Equal(got, names) {
		t.Errorf("consumers %q got records, want %q", got, names)
	}
	for name, got := range a.of {
		for i := range n {
			if times := got[fmt.Sprint(i)]; times != 1 {
				t.Errorf("%s got record %d %d times", name, i, times)
			}
		}
	}
}

// Two workers run two streams and two groups of one of them: each stream and group is shared by itself, and each worker beats
// once for each group.
func TestFleetOfSeveralStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 4)
		defer srv.Close()
		srv.CreateStream("refunds", 2)
		store := new(checkpoint.Memory)
		recorder := new(metrics.Snapshot)
		var got tallies
		type worker struct {
			cs     []*consumer.Consumer
			cancel context.CancelFunc
			ended  chan error
		}
		start := func(name string) worker {
			var w worker
			for _, c := range []struct{ stream, group string }{{"orders", "billing"}, {"refunds", "billing"}, {"orders", "audit"}} {
				cons, err := consumer.New(srv.Client(), c.stream, got.handler(c.stream+" "+c.group), silent(), consumer.WithWorker(name),
					consumer.WithGroup(c.group), consumer.WithCheckpointer(store), consumer.WithMetrics(recorder))
				if err != nil {
					t.Fatal(err)
				}
				w.cs = append(w.cs, cons)
			}
			ctx, cancel := context.WithCancel(t.Context())
			w.cancel, w.ended = cancel, make(chan error, 1)
			go func() { w.ended <- consumer.RunAll(ctx, w.cs...) }()
			return w
		}
		owned := func(w worker) (n []int) {
			for _, c := range w.cs {
				running := 0
				for _, sh := range c.Status().Shards {
					if sh.State == consumer.Running {
						running++
					}
				}
				n = append(n, running)
			}
			return n
		}
		one := start("one")
		time.Sleep(10 * time.Second)
		two := start("two")
		for i := range 300 {
			for _, stream := range []string{"orders", "refunds"} {
				srv.Put(stream, fmt.Sprint("key", i%20), fmt.Append(nil, i))
			}
			time.Sleep(100 * time.Millisecond)
		}
		for _, w := range []worker{one, two} {
			if n := owned(w); !slices.Equal(n, []int{2, 1, 2}) {
				t.Errorf("a worker runs %v shards of orders, refunds and orders again, want half of each", n)
			}
		}
		for group, members := range map[string]int{"billing": 2, "audit": 2} {
			rows, err := store.List(t.Context(), group+"/member/")
			if err != nil || len(rows) != members {
				t.Errorf("%d workers in group %s: %v", len(rows), group, err)
			}
		}
		for _, w := range []worker{one, two} {
			w.cancel()
			if err := <-w.ended; err != nil {
				t.Error(err)
			}
		}
		got.once(t, 300, "orders audit", "orders billing", "refunds billing")
		for group, want := range map[string]float64{"billing": 300, "audit": 300} {
			var n float64
			for s := range recorder.All() {
				if s.Metric == metrics.InvokedEventCount && s.Labels.Group == group && s.Labels.Stream == "orders" {
					n += s.Value
				}
			}
			if n != want {
				t.Errorf("%v records of orders are counted as invoked for group %s, want %v", n, group, want)
			}
		}
	})
}

// One stream, given by its name and by its ARN, needs two groups, as it does when it is given twice by one of them.
func TestFleetOneStreamTwice(t *testing.T) {
	t.Parallel()
	for _, other := range []string{"g", "h"} {
		synctest.Test(t, func(t *testing.T) {
			srv := kinesistest.NewServer("orders", 2)
			defer srv.Close()
			store := new(checkpoint.Memory)
			var got tallies
			var cs []*consumer.Consumer
			for stream, group := range map[string]string{"orders": "g", streamARN: other} {
				c, err := consumer.New(srv.Client(), stream, got.handler(stream), silent(), consumer.WithWorker("one"),
					consumer.WithGroup(group), consumer.WithCheckpointer(store))
				if err != nil {
					t.Fatal(err)
				}
				cs = append(cs, c)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			start := time.Now()
			switch err := consumer.RunAll(ctx, cs...); {
			case other != "g" && err != nil:
				t.Errorf("in two groups: %v", err)
			case other == "g" && (!errors.Is(err, consumer.ErrConfig) || time.Since(start) > 5*time.Second):
				t.Errorf("in one group: %v after %v, want ErrConfig as soon as the stream is described", err, time.Since(start))
			}
		})
	}
}
