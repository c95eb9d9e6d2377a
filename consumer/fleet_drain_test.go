package consumer_test

import (
	"context"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer"
)

// Held handlers are those that take long: of each shard the first one that begins once they are on.
type heldHandlers struct {
	mu    sync.Mutex
	on    bool
	begun map[string]bool
	ended map[string]time.Time // when the contexts ended, by shard
}

// handler is that of a worker. Where takes is 0, a held one takes until its context ends, or free is closed.
func (h *heldHandlers) handler(takes time.Duration, free chan struct{}) func(r *replica) wholeBatch {
	h.begun, h.ended = map[string]bool{}, map[string]time.Time{}
	return func(r *replica) wholeBatch {
		return func(ctx context.Context, ev events.KinesisEvent) error {
			inv, _ := batch.InvocationFrom(ctx)
			h.mu.Lock()
			held := h.on && !h.begun[inv.Shard]
			h.begun[inv.Shard] = h.begun[inv.Shard] || held
			h.mu.Unlock()
			if !held {
				return r.handle(ctx, ev)
			}
			var over <-chan time.Time
			if takes > 0 {
				over = time.After(takes)
			}
			select {
			case <-over:
			case <-free:
			case <-ctx.Done():
				h.mu.Lock()
				h.ended[inv.Shard] = time.Now()
				h.mu.Unlock()
				return ctx.Err()
			}
			return r.handle(ctx, ev)
		}
	}
}

// While a shard is handed over, the context of a handler that runs is live until the drain timeout, and ends then. Nothing else
// of the shard begins meanwhile.
func TestFleetContextInAHandOver(t *testing.T) {
	for name, tt := range map[string]struct{ takes, drain time.Duration }{
		"in time":     {6 * time.Second, 5 * time.Second},
		"cut off":     {0, 5 * time.Second},
		"for however": {6 * time.Second, math.MaxInt64},
	} {
		takes, drain := tt.takes, tt.drain
		t.Run(name, func(t *testing.T) {
			inFleet(t, 2, func(f *fleet) {
				var seen notices
				var h heldHandlers
				free := make(chan struct{})
				one := f.startAs("one", h.handler(takes, free), consumer.WithDrainTimeout(drain), consumer.WithNotify(seen.add), consumer.WithParallelizationFactor(10))
				f.balanced(5*time.Second, 2, one)
				time.Sleep(5 * time.Second)
				two := f.start("two")
				f.until("a shard is announced", 20*time.Second, func() bool { return f.announced("one") })
				h.mu.Lock()
				h.on = true
				h.mu.Unlock()
				f.balanced(15*time.Second, 1, one, two)
				given := shard0
				if one.runs(shard0) {
					given = shardID(1)
				}
				last := f.last("one", given)
				h.mu.Lock()
				ended := h.ended[given]
				cut := len(h.ended)
				h.mu.Unlock()
				switch name {
				case "in time", "for however":
					if cut > 0 {
						t.Errorf("the context of %d handlers ended before the drain timeout", cut)
					}
				case "cut off":
					if d := ended.Sub(last); cut != 1 || d < drain || d > drain+time.Second {
						t.Errorf("%d contexts ended, that of the shard given up %v after the last other handler had begun, want %v", cut, d, drain)
					}
				}
				if n := seen.count("HandedOver"); n != 1 {
					t.Errorf("notices %q", seen.names)
				}
				close(free)
				time.Sleep(5 * time.Second)
				f.end(one, two)
				f.unrepeated()
			})
		})
	}
}

// announced tells whether a worker's row says that it is about to give a shard to another.
func (f *fleet) announced(worker string) bool {
	for key, row := range memberRows(f.t, f.store) {
		if strings.HasPrefix(key, "g/member/"+worker+"/") && strings.Contains(row, `"offer":[`) {
			return true
		}
	}
	return false
}

// last is when a worker last began to handle a record of a shard.
func (f *fleet) last(worker, shard string) (at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.log {
		if c.worker == worker && c.shard == shard && c.began.After(at) {
			at = c.began
		}
	}
	return at
}

// A handler that a hand-over without a drain cuts off has not failed: its batch is not given up, and comes again elsewhere.
func TestFleetHandOverWithoutDrain(t *testing.T) {
	inFleet(t, 8, func(f *fleet) {
		f.work = 900 * time.Millisecond // there is always one that runs
		var seen notices
		tr := new(trace)
		opts := consumer.Options(consumer.WithDrainTimeout(0), consumer.WithParallelizationFactor(10), consumer.WithBatchSize(1000),
			consumer.WithMaxRetryAttempts(0), consumer.WithOnFailure(tr), consumer.WithNotify(seen.add))
		one := f.start("one", opts)
		f.balanced(5*time.Second, 8, one)
		time.Sleep(5 * time.Second)
		two := f.start("two", opts)
		f.balanced(20*time.Second, 4, one, two)
		time.Sleep(5 * time.Second)
		f.end(one, two)
		want(t, "documents", tr.documents())
		cut := 0
		for _, c := range f.log {
			if c.ended.IsZero() {
				cut++
			}
		}
		if cut == 0 || seen.count("HandedOver") != 4 || seen.count("RecordsDiscarded") > 0 {
			t.Errorf("%d records were cut off, notices %q", cut, seen.names)
		}
	})
}
