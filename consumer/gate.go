package consumer

import (
	"context"
	"time"
)

// Enter implements lane.Gate: it waits for the handler, if its calls must not overlap (P1), for the worker's limit, and while
// the worker is in doubt whether the others take it for dead.
func (sh *shard) Enter() (ctx context.Context, ok bool) { return sh.enter(sh.halted) }

// A lateGate is that of a drain: it is open until the drain timeout.
type lateGate struct{ *shard }

// Enter implements lane.Gate.
func (g lateGate) Enter() (ctx context.Context, ok bool) { return g.enter(g.handlers.Done()) }

func (sh *shard) enter(stop <-chan struct{}) (ctx context.Context, ok bool) {
	if w := sh.f.pool; sh.f.serial != nil || w.limit != nil {
		sh.queued.Add(1)
		defer func() {
			sh.queued.Add(-1)
			now := int64(time.Since(w.began))
			sh.turned.Store(now)
			w.turned.Store(now)
		}()
	}
	for {
		if !sh.f.serial.Enter(sh.source, stop) {
			return nil, false
		}
		if !sh.f.pool.limit.Enter(sh.source, stop) {
			sh.f.serial.Leave(sh.source)
			return nil, false
		}
		if sh.tenure.Valid() {
			break
		}
		sh.Leave() // others, of a group that is not in doubt, may go
		if _, ok := sh.tenure.Enter(stop); !ok {
			return nil, false
		}
	}
	valid, ok := sh.tenure.Enter(stop)
	if !ok {
		sh.Leave()
		return nil, false
	}
	return sh.within(valid), true
}

// A period is a time in which the worker may work, and the context of the handlers that begin in it.
type period struct{ valid, handlers context.Context }

// within is the context of handlers that ends with valid as well.
func (sh *shard) within(valid context.Context) context.Context {
	if valid.Done() == nil {
		return sh.handlers // valid for ever
	}
	last := sh.period.Load()
	if last != nil && last.valid == valid {
		return last.handlers
	}
	ctx, cancel := context.WithCancelCause(sh.handlers)
	forget := context.AfterFunc(valid, func() { cancel(context.Cause(valid)) })
	context.AfterFunc(ctx, func() { forget() }) // a period may outlast many tenures
	sh.period.Store(&period{valid, ctx})        // a lane beside this one may make another: it is as good
	return ctx
}

// Leave implements lane.Gate.
func (sh *shard) Leave() {
	sh.f.pool.limit.Leave(sh.source)
	sh.f.serial.Leave(sh.source)
}

// aside gives up the slots of an attempt whose handler has returned, while wait runs.
func (sh *shard) aside(wait func()) {
	sh.Leave()
	wait()
	sh.f.serial.Take(sh.source)
	sh.f.pool.limit.Take(sh.source)
}

// Stopped implements lane.Gate.
func (sh *shard) Stopped() <-chan struct{} { return sh.halted }
