package lane

import (
	"context"
	"time"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer/internal/page"
)

// A lane is what waits for a batch, and the batch that is being attempted. Only the goroutine that partition.Lanes runs for
// it touches it.
type lane struct {
	batcher batch.Batcher[page.Item]
	slices  batch.Lane[page.Item]
	size    func(batch.Record) int // nil: there is no limit of bytes
	timer   *time.Timer            // wakes the lane at the end of the batching window
}

func (s *Set) prepare(l *lane) {
	r := s.rules
	l.batcher.Limits = r.Limits
	if r.Limits.Bytes > 0 {
		l.size = r.Sizer()
		l.batcher.Size = func(it page.Item) int { return l.size(it.Record()) }
		least := l.size(batch.Record{})
		l.batcher.Bound = func(it page.Item) int { return least + it.P.Most() }
	}
	l.slices.NewID = r.NewID
	l.slices.Arrival = page.Item.Arrival
	l.slices.Policy = r.Policy
	l.slices.Now = r.Now
	if l.slices.Window = r.Windows.Length; l.slices.Window > 0 {
		l.batcher.Together = l.slices.SameWindow
	}
}

// serve adds new records to a lane's batcher and, if a batch is ready, runs it until every record has its outcome (L23).
// partition.Lanes calls it; what becomes ready in the meantime waits for the next call.
func (s *Set) serve(_ context.Context, n int, in []page.Item) error {
	l := &s.lane[n]
	now := time.Now()
	if l.batcher.Limits.Records == 0 {
		s.prepare(l)
	}
	l.batcher.Add(now, in...)
	if s.stopped() {
		return nil // what waits is dropped undelivered, and comes again at the next start (C15)
	}
	by := now
	if s.flush.Load() {
		by = now.Add(s.rules.Limits.Window) // all that waits is ready by then
	}
	for batch := range l.batcher.Ready(by) {
		l.slices.Push(batch)
		break
	}
	if l.slices.Len() == 0 && l.batcher.Len() == 0 {
		s.closeWindow(l)
	}
	if l.slices.Len() > 0 {
		if !s.run(n, l) {
			return nil
		}
		l.batcher.Restart(time.Now()) // C5
	}
	switch _, open := l.slices.Open(); {
	case l.batcher.Len() > 0:
		s.later(n, l)
	case l.slices.Len() == 0 && !open:
		s.call.Idle(n)
	case open:
		s.laterClose(n, l)
	}
	return nil
}

// run attempts the slices of a lane until all are resolved. It returns false if the shard has stopped.
func (s *Set) run(n int, l *lane) bool {
	for l.slices.Len() > 0 {
		step, ok := s.step(n, l)
		if !ok || s.stopped() {
			return false
		}
		if step.Backoff > 0 {
			wait := s.rules.Backoff(step.Backoff)
			if due, ok := l.slices.Due(); ok {
				wait = min(wait, due.Sub(s.rules.Now())) // C7
			}
			if !s.pause(wait) {
				return false
			}
		}
	}
	return true
}

// step looks at the current slice of a lane and, if nothing of it has expired, attempts it once. It returns false if the gate
// lets nothing begin, or the lane has ended.
func (s *Set) step(n int, l *lane) (step batch.Step[page.Item], ok bool) {
	ctx, ok := s.gate.Enter()
	if !ok {
		return step, false
	}
	l.slices.Policy.Retention = s.rules.Kept()
	step = l.slices.Expire(s.rules.Now()) // behind the wait for a slot (C13)
	if sl, ok := l.slices.Current(); ok && len(step.Resolved) == 0 && !step.Over {
		step = l.slices.Settle(s.attempt(ctx, n, l, sl))
	}
	s.gate.Leave()
	return step, s.settle(n, l, step)
}

func (s *Set) attempt(ctx context.Context, n int, l *lane, sl *batch.Slice[page.Item]) batch.Result {
	p := &l.slices.Policy
	res := s.call.Attempt(ctx, Attempt{
		Lane: n, Slice: sl, Window: l.slices.Call(),
		Oversized: len(sl.Records) == 1 && l.size != nil && l.size(sl.Records[0].Record()) > s.rules.Limits.Bytes,
		Endless:   p.Attempts == 0 && p.MaxAge == 0,
	})
	if ctx.Err() != nil && s.stopped() && res.Outcome != batch.Succeeded && res.Outcome != batch.Interrupted {
		s.cut.Store(true) // else a lapse ended it, behind which the lane goes on
	}
	return res
}

// settle does what a step asks for. It returns false if the lane has ended.
func (s *Set) settle(n int, l *lane, step batch.Step[page.Item]) bool {
	if step.Stop {
		return false
	}
	if step.Discarded != nil && !s.call.GiveUp(n, step.Discarded) {
		s.cut.Store(true)
		return false
	}
	if len(step.Lost) > 0 {
		s.call.Lost(step.Lost)
	}
	if len(step.Resolved) > 0 && s.rules.Windows.Length > 0 {
		s.books.Pin()
	}
	s.resolve(step.Resolved)
	if step.Closed {
		s.books.Unpin()
		s.resolved(0)
	}
	return true
}

// later wakes the lane when its next batch is ready.
func (s *Set) later(n int, l *lane) {
	due, ok := l.batcher.Deadline()
	wait := time.Until(due)
	if !ok || wait <= 0 || s.flush.Load() {
		s.lanes.Wake(n)
		return
	}
	s.wakeIn(n, l, wait)
}

func (s *Set) wakeIn(n int, l *lane, wait time.Duration) {
	if l.timer == nil {
		l.timer = time.AfterFunc(wait, func() { s.lanes.Wake(n) })
		return
	}
	l.timer.Reset(wait)
}

// pause waits for d. It returns false, at once, if the shard stops first.
func (s *Set) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.gate.Stopped():
		return false
	}
}
