package consumer_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/consumer"
)

// fleetWindows are the final calls that the workers of a fleet got, with what the state had seen.
type fleetWindows struct {
	mu   sync.Mutex
	ends map[string][]string // by shard and start of the window
}

// start starts a worker with windows of 10 s whose state lists the records that it has seen.
func (w *fleetWindows) start(f *fleet, name string) *replica {
	r := &replica{f: f, name: name, link: &link{Store: f.store}}
	h := func(ctx context.Context, ev events.KinesisTimeWindowEvent) (resp events.KinesisTimeWindowEventResponse, err error) {
		if ev.IsFinalInvokeForWindow {
			w.mu.Lock()
			defer w.mu.Unlock()
			id := windowID(ev.ShardID, ev.Window.Start.Time)
			w.ends[id] = append(w.ends[id], ev.State["seen"])
			return resp, nil
		}
		resp.State = map[string]string{"seen": ev.State["seen"]}
		for _, rec := range ev.Records {
			resp.State["seen"] += fmt.Sprintf("%s/%s ", rec.Kinesis.PartitionKey, rec.Kinesis.Data)
		}
		return resp, r.handle(ctx, ev.KinesisEvent)
	}
	r.running = start(f.t, f.srv, h, consumer.WithGroup("g"), consumer.WithCheckpointer(r.link), consumer.WithWorker(name),
		consumer.WithDrainTimeout(20*time.Second), consumer.WithTumblingWindow(10*time.Second))
	return r
}

func windowID(shard string, start time.Time) string { return fmt.Sprint(shard, " ", start.Unix()) }

// whole holds each window that is over to final calls whose state has seen all its records, once and in order: to one, or to
// one at least.
func (w *fleetWindows) whole(f *fleet, one bool) {
	f.t.Helper()
	shards := map[string]string{} // by key
	for _, c := range f.log {
		shards[c.key] = c.shard
	}
	seen, open := map[string]*strings.Builder{}, map[string]string{}
	for _, rec := range f.srv.Records("orders") {
		shard := shards[rec.PartitionKey]
		id := windowID(shard, rec.Arrival.Truncate(10*time.Second))
		if seen[id] == nil {
			seen[id] = new(strings.Builder)
		}
		_, _ = fmt.Fprintf(seen[id], "%s/%s ", rec.PartitionKey, rec.Data)
		open[shard] = id // the last one
	}
	for id, want := range seen {
		shard, _, _ := strings.Cut(id, " ")
		ends := w.ends[id]
		switch {
		case open[shard] == id:
			if len(ends) > 0 {
				f.t.Errorf("window %s is open and has had %d final calls", id, len(ends))
			}
			continue
		case len(ends) == 0, one && len(ends) > 1:
			f.t.Errorf("window %s has had %d final calls", id, len(ends))
		}
		for _, got := range ends {
			if got != want.String() {
				f.t.Errorf("window %s ends with\n%s, want\n%s", id, got, want)
			}
		}
	}
}

// A shard with an open window changes hands. The heir begins the window anew, from its first record and an empty state, and its
// final call has all of them: one of each window where the worker hands over, and one at least behind a crash.
func TestFleetWindows(t *testing.T) {
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprintf("crash %t", crash), func(t *testing.T) {
			inFleet(t, 2, func(f *fleet) {
				w := &fleetWindows{ends: map[string][]string{}}
				one := w.start(f, "one")
				f.balanced(5*time.Second, 2, one)
				time.Sleep(12 * time.Second)
				two := w.start(f, "two")
				f.balanced(30*time.Second, 1, one, two)
				time.Sleep(time.Until(time.Now().Truncate(10 * time.Second).Add(15 * time.Second))) // in the middle of a window
				if crash {
					one.kill()
					f.balanced(13*time.Second, 2, two)
				} else {
					if _, err := one.running.stop(); err != nil {
						t.Error(err)
					}
					f.balanced(2*time.Second, 2, two)
				}
				time.Sleep(15 * time.Second)
				one.link.cut.Store(false)
				if again := f.twice(); again == 0 {
					t.Error("no open window has begun anew")
				}
				f.end(two)
				if crash {
					_, _ = one.running.stop()
				}
				w.whole(f, !crash)
			})
		})
	}
}
