package consumer

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/shardlane/shardlane/consumer/internal/wire"
)

// A worker is one Run or RunAll: it starts the poll workers, the checkpoint loop and the streams, and ends them. Each of
// its goroutines ends before run returns, but for handlers that ignore their context.
type worker struct {
	*pool
	drain time.Duration
	cut   context.CancelFunc // of all handlers
}

// releaseTime is what a stop gets from the drain timeout to the last write.
const releaseTime = 4500 * time.Millisecond

func newWorker(ctx context.Context, cfg *config, line *wire.Line) *worker {
	w := &worker{pool: newPool(cfg, line), drain: min(cfg.drain, math.MaxInt64-releaseTime)}
	w.handlers, w.cut = context.WithCancel(context.WithoutCancel(ctx))
	return w
}

// run consumes until ctx is done, every consumer has come to its end, or one cannot go on; then it drains.
func (w *worker) run(ctx context.Context, streams []*stream) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	w.work = work
	beats, quiet := context.WithCancel(context.WithoutCancel(ctx))
	defer quiet()
	var members sync.WaitGroup
	for _, s := range w.seats {
		members.Go(func() { s.Run(beats) })
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
	case <-ctx.Done():
	}
	halt := func() {
		for _, s := range streams {
			s.halt() // what waits is dropped now, whatever the rest takes
		}
	}
	cut := time.AfterFunc(w.drain, func() {
		halt() // first: what a handler that was cut off returns before it is a failure
		w.cut()
	})
	defer cut.Stop()
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.drain+releaseTime)
	defer cancel()
	leave := time.AfterFunc(w.drain+unwindTime, func() {
		for _, s := range streams {
			s.abandon()
		}
	})
	defer leave.Stop()
	if w.announce(streams) {
		sleep(work, ended, announceTime)
	}
	stop()
	halt()
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
		if left := s.overstayed(); left != nil {
			s.seat.kept.Store(true)
			err = join(err, left)
		}
		if !s.settle(deadline) {
			s.seat.kept.Store(true)
		}
		s.ended()
	}
	quiet()
	members.Wait()
	for _, s := range w.seats {
		s.leave(deadline)
	}
	return err
}

// announce tells the other workers, where there are some, who is to have the shards that this one will give up.
func (w *worker) announce(streams []*stream) (told bool) {
	for _, s := range w.seats {
		if s.announced(w.drain) {
			told = true
		}
	}
	if !told {
		return false
	}
	for _, s := range w.seats {
		s.Retire()
	}
	for _, s := range streams {
		s.retired.Store(true)
		s.look()
	}
	return true
}

// end waits for running handlers, then writes the last checkpoints and gives the shards up, until ctx ends.
func (w *worker) end(ctx context.Context, streams []*stream) error {
	var shards []*shard
	var of []*stream
	for _, s := range streams {
		for _, sh := range s.halt() {
			shards, of = append(shards, sh), append(of, s)
		}
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
				err = join(err, sh.release(ctx, of[i].heir(sh.id)))
			}
			<-slots
			if sh.lease.Row().Owner != "" && !sh.lost.Load() {
				of[i].seat.kept.Store(true)
			}
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
