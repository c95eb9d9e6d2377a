package consumer

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shardlane/shardlane/consumer/internal/bound"
	"github.com/shardlane/shardlane/consumer/internal/reader"
)

// A worker is one Run or RunAll: an identity, the poll workers, the read-ahead budget, and every goroutine of the engine
// except those of the packages that say so. Each of them ends before run returns, but for handlers that ignore their
// context.
type worker struct {
	owner    string // worker/incarnation, as rows name it
	began    time.Time
	drain    time.Duration
	rnd      *random
	sched    reader.Scheduler
	ahead    *bound.Memory[*shard]
	limit    *bound.Slots[*shard]
	work     context.Context // of all that ends with a stop
	handlers context.Context // of all handlers; ends with the drain timeout
	cut      context.CancelFunc
	turned   atomic.Int64  // when a lane had its turn last under a limit, in nanoseconds since the worker began
	nudge    chan struct{} // to the checkpoint loop: a shard has its first outcome
	left     chan struct{} // closed when handlers that still run are left behind
	tasks    sync.WaitGroup
}

const (
	checkpointInterval = 10 * time.Second
	parallelStoreCalls = 16
	storeTimeout       = 2 * time.Second
	unwindTime         = 2 * time.Second         // for handlers, after their context has ended
	releaseTime        = 4500 * time.Millisecond // from the drain timeout to the last write
)

func newWorker(ctx context.Context, cfg *config) *worker {
	w := &worker{
		began: time.Now(), drain: min(cfg.drain, math.MaxInt64-releaseTime), rnd: newRandom(),
		ahead: bound.NewMemory[*shard](), limit: bound.NewSlots[*shard](cfg.concurrency),
		nudge: make(chan struct{}, 1), left: make(chan struct{}),
	}
	w.owner = cfg.worker + "/" + w.rnd.incarnation()
	w.handlers, w.cut = context.WithCancel(context.WithoutCancel(ctx))
	return w
}

// run consumes until ctx is done, every consumer has come to its end, or one cannot go on; then it drains.
func (w *worker) run(ctx context.Context, cs []*Consumer) error {
	work, stop := context.WithCancel(ctx)
	defer stop()
	w.work = work
	streams := make([]*stream, len(cs))
	for i, c := range cs {
		streams[i] = newStream(w, c)
		c.running.Store(streams[i])
	}
	polls := make(chan struct{})
	go func() { defer close(polls); w.sched.Run(work) }()
	checkpoints := make(chan struct{})
	go func() { defer close(checkpoints); w.checkpoint(work, streams) }()

	errs := make([]error, len(streams))
	var running sync.WaitGroup
	for i, s := range streams {
		running.Go(func() {
			if errs[i] = s.run(work); errs[i] != nil {
				stop() // this consumer cannot go on, and its worker with it
			}
		})
	}
	ended := make(chan struct{})
	go func() { defer close(ended); running.Wait() }()
	select {
	case <-ended:
	case <-work.Done():
	}
	stop()
	for _, s := range streams {
		s.halt() // what waits is dropped now, whatever the rest takes
	}
	cut := time.AfterFunc(w.drain, w.cut)
	defer cut.Stop()
	leave := time.AfterFunc(w.drain+unwindTime, func() { close(w.left) })
	defer leave.Stop()
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.drain+releaseTime)
	defer cancel()
	<-ended
	<-polls
	<-checkpoints
	w.tasks.Wait()
	err := join(join(errs...), w.end(deadline, streams))
	w.tasks.Wait()
	w.cut()
	for i, s := range streams {
		if errs[i] == nil {
			err = join(err, s.unreached())
		}
		err = join(err, s.overdue)
		s.ended()
	}
	for _, c := range cs {
		c.ended(c.running.Load())
		c.running.Store(nil)
	}
	return err
}

// end waits for running handlers, then writes the last checkpoints and gives the shards up, until ctx ends.
func (w *worker) end(ctx context.Context, streams []*stream) error {
	var shards []*shard
	for _, s := range streams {
		shards = append(shards, s.halt()...)
	}
	errs := make([]error, len(shards))
	var ends sync.WaitGroup
	slots := make(chan struct{}, parallelStoreCalls)
	for i, sh := range shards {
		ends.Go(func() {
			err := sh.drained()
			slots <- struct{}{}
			if errors.Is(err, ErrHandlerRunning) {
				sh.checkpoint() // what the others have done is kept, the lease is not given up
			} else {
				err = join(err, sh.release(ctx))
			}
			<-slots
			errs[i] = err
		})
	}
	ends.Wait()
	return join(errs...)
}

// checkpoint writes the marks that have moved: of each shard every 10 s, at a time of its own, and for the first time about
// a second after its first outcome, so that a process that dies again and again comes forward (C24). A write that fails is
// due again with the next.
func (w *worker) checkpoint(ctx context.Context, streams []*stream) {
	for ctx.Err() == nil {
		now := time.Now()
		next := now.Add(checkpointInterval)
		var due []*shard
		for _, s := range streams {
			for _, sh := range s.owned() {
				if at := sh.due(); at.After(now) {
					next = minTime(next, at)
				} else {
					due = append(due, sh)
				}
			}
		}
		if len(due) == 0 {
			sleep(ctx, w.nudge, time.Until(next))
			continue
		}
		_ = each(due, func(sh *shard) error {
			if ctx.Err() == nil { // else end writes it
				sh.checkpoint()
			}
			return nil
		})
	}
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// each calls f for all items, 16 at a time, and returns the first error. Every item gets its call.
func each[T any](items []T, f func(T) error) error {
	var g errgroup.Group
	g.SetLimit(parallelStoreCalls)
	for _, it := range items {
		g.Go(func() error { return f(it) })
	}
	return g.Wait()
}

// spawn runs f, which ends with the worker's work.
func (w *worker) spawn(f func()) { w.tasks.Go(f) }

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
