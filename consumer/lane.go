package consumer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer/internal/page"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

// A laneState is one lane of a shard: what waits for a batch, and the batch that is being attempted. Only the goroutine
// that partition.Lanes runs for the lane touches it.
type laneState struct {
	batcher     batch.Batcher[page.Item]
	slices      batch.Lane[page.Item]
	size        func(batch.Record) int
	timer       *time.Timer // wakes the lane at the end of the batching window
	interrupted bool        // a handler or a delivery ended by the end of its context
}

func (l *laneState) stop() {
	if l.timer != nil {
		l.timer.Stop()
	}
}

// serve takes what has come for a lane and runs one batch, if one is ready, until all of it is resolved (L23). It is what
// partition.Lanes calls; whatever is ready then, is run by the next call, together with what came meanwhile.
func (sh *shard) serve(_ context.Context, lane int, in []page.Item) error {
	l := &sh.lane[lane]
	now := time.Now()
	if l.batcher.Limits.Records == 0 {
		sh.prepare(l)
	}
	l.batcher.Add(now, in...)
	if sh.stopped() {
		return nil // what waits is dropped undelivered, and comes again at the next start (C15)
	}
	ready := l.batcher.Ready(now)
	if sh.flush.Load() {
		ready = l.batcher.Flush()
	}
	for batch := range ready {
		l.slices.Push(batch)
		break
	}
	if l.slices.Len() == 0 && l.batcher.Len() == 0 {
		sh.closeWindow(l)
	}
	if l.slices.Len() > 0 {
		if !sh.run(lane, l) {
			return nil
		}
		l.batcher.Restart(time.Now()) // C5
	}
	switch _, open := l.slices.Open(); {
	case l.batcher.Len() > 0:
		sh.later(lane, l)
	case open:
		sh.laterClose(lane, l)
	}
	return nil
}

// run attempts the slices of a lane until all are resolved. It returns false if the shard has stopped.
func (sh *shard) run(lane int, l *laneState) bool {
	cfg := sh.s.c.cfg
	for l.slices.Len() > 0 {
		if !sh.enter() {
			return false
		}
		l.slices.Policy.Retention = sh.s.retention()
		step := l.slices.Expire(sh.s.now()) // behind the wait for a slot (C13)
		if s, ok := l.slices.Current(); ok && len(step.Resolved) == 0 && !step.Over {
			step = l.slices.Settle(sh.attempt(lane, l, s))
		}
		sh.leave()
		if !sh.settle(l, step) || sh.stopped() {
			return false
		}
		if step.Backoff > 0 {
			wait := sh.s.w.rnd.jitter(batch.BackoffOf(step.Backoff, cfg.backoffBase, cfg.backoffFactor, cfg.backoffCap))
			if due, ok := l.slices.Due(); ok {
				wait = min(wait, due.Sub(sh.s.now())) // C7
			}
			if !sleep(context.Background(), sh.halted, wait) {
				return false
			}
		}
	}
	return true
}

// settle does what a step asks for. It returns false if the lane has ended.
func (sh *shard) settle(l *laneState, step batch.Step[page.Item]) bool {
	if step.Stop {
		return false
	}
	if step.Discarded != nil && !sh.discard(step.Discarded) {
		l.interrupted = true
		return false
	}
	if n := len(step.Lost); n > 0 {
		sh.tell.Record(metrics.RetentionLostEventCount, float64(n))
		sh.tell.Event(metrics.RetentionLost, nil, fmt.Sprintf("%d records from %s on left the stream while they waited", n, step.Lost[0].Seq()))
	}
	if len(step.Resolved) > 0 && sh.s.c.cfg.tumbling > 0 {
		sh.books.Pin()
	}
	sh.resolve(step.Resolved)
	if step.Closed {
		sh.books.Unpin()
		sh.complete()
	}
	return true
}

func (sh *shard) prepare(l *laneState) {
	cfg := sh.s.c.cfg
	l.size = sh.s.source(sh.id).Sizer()
	l.batcher.Limits = batch.Limits{Records: cfg.batchSize, Window: cfg.window}
	if cfg.payload > 0 {
		l.batcher.Limits.Bytes = cfg.payload - batch.EventOverhead
		l.batcher.Size = func(it page.Item) int { return l.size(it.Record()) }
	}
	l.slices.NewID = sh.s.w.rnd.uuid
	l.slices.Arrival = page.Item.Arrival
	l.slices.Policy = batch.Policy{Attempts: cfg.retries + 1, MaxAge: max(0, cfg.maxAge), Bisect: cfg.bisect}
	if l.slices.Window = cfg.tumbling; cfg.tumbling > 0 {
		l.batcher.Together = l.slices.SameWindow
	}
}

// later wakes the lane when its next batch is ready.
func (sh *shard) later(lane int, l *laneState) {
	due, ok := l.batcher.Deadline()
	wait := time.Until(due)
	if !ok || wait <= 0 || sh.flush.Load() {
		sh.lanes.Wake(lane)
		return
	}
	sh.wakeIn(lane, l, wait)
}

func (sh *shard) wakeIn(lane int, l *laneState, wait time.Duration) {
	if l.timer == nil {
		l.timer = time.AfterFunc(wait, func() { sh.lanes.Wake(lane) })
		return
	}
	l.timer.Reset(wait)
}

// attempt calls the handler with a fresh event of a slice (L5).
func (sh *shard) attempt(lane int, l *laneState, s *batch.Slice[page.Item]) batch.Result {
	st, n, cfg := sh.s, len(s.Records), sh.s.c.cfg
	if n == 1 && cfg.payload > 0 && l.size(s.Records[0].Record())+batch.EventOverhead > cfg.payload {
		res := batch.Result{Outcome: batch.Oversized, Err: fmt.Errorf("the record's event exceeds the payload limit of %d bytes (L32)", cfg.payload)}
		return sh.failedAttempt(lane, l, s, res)
	}
	var age time.Duration
	if n > 0 {
		age = max(0, st.now().Sub(s.Records[n-1].Arrival()))
	}
	ctx, cancel := sh.handlers, context.CancelFunc(func() {})
	if cfg.timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, cfg.timeout)
		late := time.AfterFunc(min(cfg.timeout, math.MaxInt64-unwindTime)+unwindTime, func() {
			sh.tell.Event(metrics.HandlerOverstayed, nil, fmt.Sprintf("lane %d waits for a handler that should have returned after %v, request %s", lane, cfg.timeout, s.RequestID))
		})
		defer late.Stop()
	}
	defer cancel()
	ctx = batch.NewContext(ctx, batch.Invocation{
		Stream: st.name, Shard: sh.id, Epoch: sh.lease.Epoch(), Attempt: s.Attempts + 1, IteratorAge: age,
		RequestID: s.RequestID, FunctionARN: cfg.functionARN, Subs: page.Subs(s.Records),
	})
	src := st.source(sh.id)
	ev := page.Event(src, s.Records)
	window := l.slices.Call()
	if window != nil {
		window.Shard, window.StreamARN = sh.id, src.StreamARN
	}
	sh.working(1)
	if n > 0 {
		sh.tell.Record(metrics.IteratorAge, float64(age.Milliseconds()))
		sh.tell.Record(metrics.InvokedEventCount, float64(n))
	}
	exited := batch.Result{Outcome: batch.Failed, Err: batch.ErrGoexit}
	res, done := guard(st.w.left, 0, exited, func() batch.Result {
		res := st.c.handler.Call(ctx, ev, window)
		if ctx.Err() != nil && sh.handlers.Err() == nil { // C14, whatever it returned
			res = batch.Result{Outcome: batch.Failed, Err: fmt.Errorf("handler timeout of %v: %w", cfg.timeout, ctx.Err())}
		}
		return res
	})
	sh.working(-1)
	switch {
	case !done:
		sh.mu.Lock()
		sh.overdue++
		sh.mu.Unlock()
		return batch.Result{Outcome: batch.Aborted, Err: ErrHandlerRunning}
	case sh.lost.Load():
		return batch.Result{Outcome: batch.Aborted, Err: ErrLeaseLost}
	case res.Outcome == batch.Succeeded:
		sh.tell.Mend(handlerOp(lane))
		return res
	}
	l.interrupted = sh.handlers.Err() != nil
	return sh.failedAttempt(lane, l, s, res)
}

// failedAttempt tells of an attempt that did not succeed, and returns its result: at a stop it is aborted (C15).
func (sh *shard) failedAttempt(lane int, l *laneState, s *batch.Slice[page.Item], res batch.Result) batch.Result {
	sh.tell.Record(metrics.FailedInvokeEventCount, float64(len(s.Records)))
	f := tell.Failure{
		Op: handlerOp(lane), Err: res.Err,
		Hint:   "the batch is tried again until it succeeds or reaches a limit, and is given up then",
		Detail: fmt.Sprintf("attempt %d of %d records, request %s", s.Attempts+1, len(s.Records), s.RequestID),
	}
	if p := &l.slices.Policy; p.Attempts == 0 && p.MaxAge == 0 {
		f.Hint = "the batch is tried again until it succeeds; the records behind it in its lane wait"
	}
	if len(s.Records) > 0 {
		f.Detail += ", from " + s.Records[0].Seq()
	}
	m := metrics.HandlerFailed
	if panicked := new(batch.PanicError); errors.As(res.Err, &panicked) {
		m, f.Detail = metrics.HandlerPanicked, fmt.Sprintf("%s\n%s", f.Detail, panicked.Stack)
	}
	_ = sh.tell.Fail(m, f)
	if sh.stopped() {
		return batch.Result{Outcome: batch.Aborted, Err: res.Err}
	}
	return res
}

func handlerOp(lane int) string { return fmt.Sprintf("handler, lane %d", lane) }

func (sh *shard) stopped() bool {
	select {
	case <-sh.halted:
		return true
	default:
		return false
	}
}

func (sh *shard) working(n int) {
	sh.mu.Lock()
	sh.busy += n
	busy := sh.busy
	sh.mu.Unlock()
	sh.tell.Record(metrics.LanesBusy, float64(busy))
}

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
