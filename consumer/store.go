package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

// A limitedStore counts the writes of a consumer, and gives no call more than 10 s: one that hangs holds up whatever
// waits for it. A panic is an error.
type limitedStore struct {
	checkpoint.Store
	tell  *tell.Teller
	hangs *strays // calls that were left behind
}

func (s limitedStore) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	return limited(ctx, s.hangs, func(ctx context.Context) ([]checkpoint.Entry, error) { return s.Store.List(ctx, prefix) })
}

func (s limitedStore) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	return limited(ctx, s.hangs, func(ctx context.Context) (checkpoint.Entry, error) { return s.Store.Get(ctx, key) })
}

func (s limitedStore) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	s.tell.Record(metrics.StoreWrites, 1)
	return limited(ctx, s.hangs, func(ctx context.Context) (checkpoint.Entry, error) { return s.Store.Swap(ctx, e) })
}

// Exclusive tells whether nobody else can have the store open.
func (s limitedStore) Exclusive() bool {
	e, ok := s.Store.(interface{ Exclusive() bool })
	if !ok {
		return false
	}
	only, err := contained("the store", func() (bool, error) { return e.Exclusive(), nil })
	return only && err == nil
}

// private is the memory of a consumer that was given no store: nobody else has it.
type private struct{ checkpoint.Memory }

// Exclusive reports true.
func (*private) Exclusive() bool { return true }

// limited makes one call. A store that ignores the end of the context, such as a file on a disk that hangs, is left behind:
// what the call does after that is unknown.
func limited[T any](ctx context.Context, h *strays, call func(context.Context) (T, error)) (none T, _ error) {
	if h.running() >= maxHangs {
		return none, fmt.Errorf("%w: %d earlier calls of the store hang", checkpoint.ErrNotApplied, maxHangs)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	res, runs := containedUntil(ctx.Done(), hangGrace, "the store", func() (T, error) { return call(ctx) })
	if runs != nil {
		h.add(func() bool { return len(runs) == 0 })
		return none, fmt.Errorf("the store ignores the end of its context, and the call was left behind: %w", context.Cause(ctx))
	}
	return res.v, res.err
}

const (
	maxHangs  = 16
	hangGrace = 250 * time.Millisecond
)
