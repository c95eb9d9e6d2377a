package consumer_test

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer"
)

// crew starts one worker with a consumer for the stream of each fleet.
func crew(t *testing.T, name string, of map[string]*fleet) map[string]*replica {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	ended := make(chan error, 1)
	rs := map[string]*replica{}
	var cs []*consumer.Consumer
	var way *link
	for _, stream := range slices.Sorted(maps.Keys(of)) {
		f := of[stream]
		if way == nil {
			way = &link{Store: f.store, f: f}
		}
		r := &replica{f: f, name: name, link: way}
		c, err := consumer.New(f.srv.Client(), stream, r.handle, silent(), consumer.WithGroup("g"), consumer.WithCheckpointer(way),
			consumer.WithWorker(name), consumer.WithDrainTimeout(20*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		r.running = &running{c, cancel, ended}
		rs[stream] = r
		cs = append(cs, c)
	}
	go func() { ended <- consumer.RunAll(ctx, cs...) }()
	return rs
}

// A worker that runs several streams shares each of them with another one, and gives all up when it stops, or has lost them all
// when it crashes.
func TestFleetOfSeveralStreamsMoves(t *testing.T) {
	for _, how := range []string{"stop", "crash"} {
		t.Run(how, func(t *testing.T) {
			inFleet(t, 4, func(orders *fleet) {
				orders.srv.CreateStream("refunds", 2)
				refunds := &fleet{t: orders.t, srv: orders.srv, store: orders.store, work: orders.work, stop: make(chan struct{})}
				go refunds.produce("refunds")
				of := map[string]*fleet{"orders": orders, "refunds": refunds}
				one := crew(orders.t, "one", of)
				orders.balanced(5*time.Second, 4, one["orders"])
				refunds.balanced(5*time.Second, 2, one["refunds"])
				two := crew(orders.t, "two", of)
				orders.balanced(30*time.Second, 2, one["orders"], two["orders"])
				refunds.balanced(30*time.Second, 1, one["refunds"], two["refunds"])
				time.Sleep(5 * time.Second)
				limit := 2 * time.Second
				if how == "crash" {
					limit = 13 * time.Second
					one["orders"].kill()
				} else if _, err := one["orders"].running.stop(); err != nil {
					t.Error(err)
				}
				began := time.Now()
				orders.balanced(limit, 4, two["orders"])
				refunds.balanced(limit-time.Since(began), 2, two["refunds"])
				time.Sleep(5 * time.Second)
				one["orders"].link.cut.Store(false)
				for _, f := range of {
					f.stop <- struct{}{}
				}
				go func() { <-orders.stop }()
				time.Sleep(5 * time.Second)
				if _, err := two["orders"].running.stop(); err != nil {
					t.Error(err)
				}
				if how == "crash" {
					if _, err := one["orders"].running.stop(); err != nil {
						t.Error(err)
					}
				}
				refunds.sound()
				if how == "stop" {
					orders.unrepeated()
					refunds.unrepeated()
					for _, gap := range append(orders.handOvers(), refunds.handOvers()...) {
						if gap > time.Second {
							t.Errorf("a shard was not handled for %v while it changed hands", gap)
						}
					}
				}
			})
		})
	}
}
