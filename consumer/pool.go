package consumer

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shardlane/shardlane/consumer/internal/bound"
	"github.com/shardlane/shardlane/consumer/internal/reader"
	"github.com/shardlane/shardlane/consumer/internal/wire"
)

// A pool is what all shards of a worker share: its identity, the poll workers, the line to the service, the decoder of
// replies, the read-ahead budget, the slots of the handlers, and the goroutines for what takes a while.
type pool struct {
	began    time.Time
	rnd      *random
	sched    reader.Scheduler
	line     *wire.Line
	replies  wire.Decoder
	ahead    *bound.Memory[reader.Source]
	limit    *bound.Slots[reader.Source]
	work     context.Context // of all that ends with a stop
	handlers context.Context // of all handlers; ends with the drain timeout
	turned   atomic.Int64    // when a lane had its turn last under a limit, in nanoseconds since the worker began
	nudge    chan struct{}   // to the checkpoint loop: a shard has its first outcome
	tasks    sync.WaitGroup
	seats    []*seat  // its places in the groups of its consumers
	read     sync.Map // by group and ARN, the name by which its consumer was given a stream
}

const (
	checkpointInterval = 10 * time.Second
	parallelStoreCalls = 16
	storeTimeout       = 2 * time.Second
	callTimeout        = 10 * time.Second // of a call that lists or describes
	unwindTime         = 2 * time.Second  // for handlers, after their context has ended
)

// newPool returns a pool without its contexts. Its line outlasts it, so that the next Run finds the connections of this one.
func newPool(cfg *config, line *wire.Line) *pool {
	return &pool{
		began: time.Now(), rnd: cfg.random(), line: line, ahead: bound.NewMemory[reader.Source](), limit: bound.NewSlots[reader.Source](cfg.concurrency),
		nudge: make(chan struct{}, 1),

		replies: wire.Decoder{Spoil: cfg.spoil},
	}
}

// reads notes that a consumer of a group reads a stream, which it was given by a name. It returns the name by which another
// one of the worker reads it, empty if none does.
func (p *pool) reads(group, arn, name string) (other string) {
	if was, ok := p.read.LoadOrStore(group+"\n"+arn, name); ok && was != name {
		return was.(string) //nolint:forcetypeassert // as it was stored
	}
	return ""
}

// spawn runs f, which ends with the pool's work.
func (p *pool) spawn(f func()) { p.tasks.Go(f) }

// each calls f for all items, 16 at a time, and returns the first error. Every item gets its call.
func each[T any](items []T, f func(T) error) error {
	var g errgroup.Group
	g.SetLimit(parallelStoreCalls)
	for _, it := range items {
		g.Go(func() error { return f(it) })
	}
	return g.Wait()
}

// guard runs f, which belongs to the user, on a goroutine of its own, so that one that calls runtime.Goexit has a result
// like any other, exited (L1), and one that does not return can be left behind, a grace after left is closed. runs is not
// nil then, and has the result if it returns after all.
func guard[T any](left <-chan struct{}, grace time.Duration, exited T, f func() T) (res T, runs <-chan T) {
	result := make(chan T, 1)
	go func() {
		res := exited
		defer func() { result <- res }()
		res = f()
	}()
	select {
	case res = <-result:
		return res, nil
	case <-left:
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case res = <-result:
		return res, nil
	case <-late.C:
		return res, result
	}
}

// apart runs f, which belongs to the user, to its end, be it that of its goroutine.
func apart(f func()) { guard(nil, 0, struct{}{}, func() struct{} { f(); return struct{}{} }) }

// sleep waits for d. It returns false, at once, if ctx or stop ends first; stop may be nil.
func sleep(ctx context.Context, stop <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-stop:
	}
	return false
}

// over tells whether a channel is closed.
func over(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
