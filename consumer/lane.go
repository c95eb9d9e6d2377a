package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/metrics"
)

// A laneState is one lane of a shard: what waits for a batch, and the batch that is being attempted. Only the goroutine
// that partition.Lanes runs for the lane touches it.
type laneState struct {
	batcher     batch.Batcher[record]
	slices      batch.Lane[record]
	timer       *time.Timer // wakes the lane at the end of the batching window
	done        []int64     // scratch of resolve
	interrupted bool        // a handler ended by the end of its context
}

func (l *laneState) stop() {
	if l.timer != nil {
		l.timer.Stop()
	}
}

// serve takes what has come for a lane and runs one batch, if one is ready, until all of it is resolved (L23). It is what
// partition.Lanes calls; whatever is ready then, is run by the next call, together with what came meanwhile.
func (sh *shard) serve(_ context.Context, lane int, in []record) error {
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
	ran := false
	for s, ok := l.slices.Current(); ok; s, ok = l.slices.Current() {
		ran = true
		step := l.slices.Settle(sh.attempt(lane, l, s))
		sh.resolve(l, step.Resolved)
		if step.Stop || sh.stopped() {
			return nil
		}
		if step.Backoff > 0 && !sleep(context.Background(), sh.halted, sh.s.w.rnd.jitter(batch.Backoff(step.Backoff))) {
			return nil
		}
	}
	if ran {
		l.batcher.Restart(time.Now()) // C5
	}
	if l.batcher.Len() > 0 {
		sh.later(lane, l)
	}
	return nil
}

func (sh *shard) prepare(l *laneState) {
	cfg := sh.s.c.cfg
	size := sh.s.source(sh.id).Sizer()
	l.batcher.Limits = batch.Limits{Records: cfg.batchSize, Bytes: payloadLimit - batch.EventOverhead, Window: cfg.window}
	l.batcher.Size = func(r record) int { return size(plain(r)) }
	l.slices.NewID = sh.s.w.rnd.uuid
}

// later wakes the lane when its next batch is ready.
func (sh *shard) later(lane int, l *laneState) {
	due, ok := l.batcher.Deadline()
	wait := time.Until(due)
	if !ok || wait <= 0 || sh.flush.Load() {
		sh.lanes.Wake(lane)
		return
	}
	if l.timer == nil {
		l.timer = time.AfterFunc(wait, func() { sh.lanes.Wake(lane) })
		return
	}
	l.timer.Reset(wait)
}

// attempt calls the handler with a fresh event of a slice (L5).
func (sh *shard) attempt(lane int, l *laneState, s *batch.Slice[record]) batch.Result {
	st, n := sh.s, len(s.Records)
	age := max(0, time.Since(aws.ToTime(s.Records[n-1].ApproximateArrivalTimestamp)))
	ctx := batch.NewContext(sh.handlers, batch.Invocation{
		Stream: st.name, Shard: sh.id, Epoch: sh.lease.Epoch(), Attempt: s.Attempts + 1, IteratorAge: age,
		RequestID: s.RequestID, FunctionARN: st.c.cfg.functionARN,
	})
	ev := st.source(sh.id).Event(n, func(i int) batch.Record { return plain(s.Records[i]) })
	sh.working(1)
	sh.record(metrics.IteratorAge, float64(age.Milliseconds()))
	sh.record(metrics.InvokedEventCount, float64(n))
	res, done := st.w.call(func() batch.Result { return st.c.handler.Call(ctx, ev) })
	sh.working(-1)
	switch {
	case !done:
		sh.mu.Lock()
		sh.overdue++
		sh.mu.Unlock()
		return res
	case sh.lost.Load():
		return batch.Result{Outcome: batch.Aborted, Err: ErrLeaseLost}
	case res.Outcome == batch.Succeeded:
		sh.mu.Lock()
		sh.mend(handlerOp(lane))
		sh.mu.Unlock()
		return res
	}
	l.interrupted = sh.handlers.Err() != nil
	sh.record(metrics.FailedInvokeEventCount, float64(n))
	sh.failedAttempt(lane, s, res)
	return res
}

// failedAttempt tells of an attempt that did not succeed.
func (sh *shard) failedAttempt(lane int, s *batch.Slice[record], res batch.Result) {
	e := &Error{
		Stream: sh.s.c.stream, Shard: sh.id, Op: handlerOp(lane), Err: res.Err,
		Hint: "the batch is tried again until it succeeds; the records behind it in its lane wait (L33)",
	}
	sh.fail(e)
	detail := fmt.Sprintf("attempt %d of %d records from %s, request %s", s.Attempts+1, len(s.Records),
		aws.ToString(s.Records[0].SequenceNumber), s.RequestID)
	var panicked *batch.PanicError
	if errors.As(res.Err, &panicked) {
		sh.event(metrics.HandlerPanicked, e, fmt.Sprintf("%s\n%s", detail, panicked.Stack))
		return
	}
	sh.event(metrics.HandlerFailed, e, detail)
}

func handlerOp(lane int) string { return fmt.Sprintf("handler, lane %d", lane) }

func plain(r record) batch.Record {
	return batch.Record{
		PartitionKey: aws.ToString(r.PartitionKey), SequenceNumber: aws.ToString(r.SequenceNumber), Data: r.Data,
		Arrival: aws.ToTime(r.ApproximateArrivalTimestamp),
	}
}

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
	sh.record(metrics.LanesBusy, float64(busy))
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
