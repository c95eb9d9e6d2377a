package consumer_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

func silent() consumer.Option { return consumer.WithLogger(slog.New(slog.DiscardHandler)) }

// A running consumer of stream "orders".
type running struct {
	c      *consumer.Consumer
	cancel context.CancelFunc
	ended  chan error
}

type wholeBatch = func(context.Context, events.KinesisEvent) error

// start runs a consumer with a Memory store of its own, unless opts say otherwise.
func start[H batch.Func](t *testing.T, srv *kinesistest.Server, h H, opts ...consumer.Option) *running {
	t.Helper()
	c, err := consumer.New(srv.Client(), "orders", h, append([]consumer.Option{silent()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{c, cancel, make(chan error, 1)}
	go func() { r.ended <- c.Run(ctx) }()
	return r
}

// stop cancels the run and returns its error and how long it took to end.
func (r *running) stop() (time.Duration, error) {
	r.cancel()
	from := time.Now()
	err := <-r.ended
	return time.Since(from), err
}

// rows returns the lease rows of a store as one text per shard.
func rows(t *testing.T, s checkpoint.Store) map[string]string {
	t.Helper()
	entries, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, e := range entries {
		if _, rest, ok := strings.Cut(e.Key, "/lease/"); ok {
			_, shard, _ := strings.Cut(rest, "/")
			found[shard] = string(e.Value)
		}
	}
	return found
}

// notices collects the names of events.
type notices struct {
	mu    sync.Mutex
	names []string
}

func (n *notices) add(e consumer.Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names = append(n.names, e.Name)
}

func (n *notices) count(name string) (c int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, have := range n.names {
		if have == name {
			c++
		}
	}
	return c
}
