package consumer_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A clockedHandler takes d for each batch, and sums up how long handlers were at work.
type clockedHandler struct {
	d time.Duration

	mu      sync.Mutex
	from    time.Time
	running int
	busy    time.Duration // of all, until from
}

// add counts handlers that begin, or end.
func (h *clockedHandler) add(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.busy += time.Duration(h.running) * now.Sub(h.from)
	h.from, h.running = now, h.running+n
}

func (h *clockedHandler) handle(context.Context, events.KinesisEvent) error {
	h.add(1)
	defer h.add(-1)
	time.Sleep(h.d)
	return nil
}

func (h *clockedHandler) sum() time.Duration {
	h.add(0)
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.busy
}

// While there is a backlog, and as far as the limits of reads allow it, the handlers of a shard are at work for 95 % of the time.
func TestSlowHandlersAreNeverStarved(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L16")
	for _, c := range []struct {
		factor, batch, size int
		d                   time.Duration // of a batch
	}{
		{1, 100, 100, time.Second},
		{1, 100, 10_000, time.Second},
		{1, 10_000, 100, time.Second},
		{10, 100, 100, 200 * time.Millisecond},
		{10, 10, 10_000, time.Second},
		{100, 10, 100, time.Second},
		{100, 1, 10_000, time.Second},
	} {
		t.Run(fmt.Sprintf("factor %d, batches of %d times %d bytes", c.factor, c.batch, c.size), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const warm, measured = 5 * time.Second, 20 * time.Second
				srv := kinesistest.NewServer("orders", 1)
				defer srv.Close()
				srv.SetReadLimits(true)
				data := make([]byte, c.size)
				for i := range c.factor * c.batch * int((warm+measured)/c.d) * 2 {
					srv.Put("orders", fmt.Sprint(i), data)
				}
				h := &clockedHandler{d: c.d, from: time.Now()}
				life := start(t, srv, h.handle, consumer.WithParallelizationFactor(c.factor), consumer.WithBatchSize(c.batch), consumer.WithDrainTimeout(0))
				time.Sleep(warm)
				before := h.sum()
				time.Sleep(measured)
				part := float64(h.sum()-before) / float64(measured) / float64(c.factor)
				t.Logf("at work for %.1f %% of the time", 100*part)
				if part < 0.95 {
					t.Error("want 95 % or more")
				}
				if _, err := life.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
