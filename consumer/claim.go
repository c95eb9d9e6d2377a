package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/lease"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

const (
	identityTime = time.Second            // what is known of the stream's identity may be as old when shards are claimed
	offerPoll    = 250 * time.Millisecond // between looks at a row that is offered to this worker
	manyOffer    = 16                     // more than that are listed at once
	gatherTime   = time.Millisecond       // before a look: what has changed at one time is seen together
	restTime     = time.Minute            // a shard that was handed over is not handed over again before
)

// begin claims and starts shards. It returns false if a claim failed and must be tried again.
func (s *stream) begin(ctx context.Context, ids []string) bool {
	if s.retired.Load() {
		return true
	}
	s.mu.Lock()
	sure := len(ids) == 0 || time.Since(s.identified) < identityTime
	s.mu.Unlock()
	if !sure {
		check, cancel := context.WithTimeout(ctx, storeTimeout) // a service that hangs does not hold up a take-over
		defer cancel()
		if errors.Is(s.identify(check), ErrStreamRecreated) {
			return false // a shard of that name is another stream's
		}
	}
	return each(ids, func(id string) error {
		err := s.claim(ctx, id)
		if err != nil {
			s.mu.Lock()
			s.refused[id] = true
			s.mu.Unlock()
		}
		return err
	}) == nil
}

func (s *stream) claim(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	op := "claim " + id
	if s.left.running(id) {
		return s.tell.For(id).Fail(metrics.HandlerRunning, tell.Failure{
			Op: op, Err: ErrHandlerRunning, Hint: "a handler of an earlier Run ignores the end of its context and still has records of the shard, which waits for it",
		})
	}
	// A claim is not cut off by a stop: its result would be unknown.
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	tenure := s.tenure.Load()
	l, err := tenure.Table(s.key).Claim(call, id)
	switch { // the plan takes it from the row
	case errors.Is(err, lease.ErrEnded): // the list was too old to know
		err = s.refresh(call, id)
	case errors.Is(err, lease.ErrHeld), errors.Is(err, checkpoint.ErrConflict): // by another worker, who may not have been dead for long enough
		s.held.Store(true)
		err = s.fetch(call, id)
	}
	if err == nil && l == nil {
		s.tell.Mend(op)
		return nil
	}
	if errors.Is(err, lease.ErrLapsed) || errors.Is(err, lease.ErrFenced) {
		return err // that heartbeats fail has been told
	}
	failed := func(err error) error {
		return s.tell.For(id).Fail(metrics.StoreFailed, tell.Failure{Op: op, Err: err, Hint: "the shard waits until the store takes the claim"})
	}
	if err != nil {
		err = failed(err)
		if errors.Is(err, lease.ErrNoRow) { // the next audit puts it back, unless the shard has expired
			s.forget(id)
			s.tell.Mend(op)
		}
		s.doubt(id)
		return err
	}
	s.tell.Mend(op)
	if took := l.Took(); took != "" {
		s.tell.For(id).Event(metrics.LeaseTakenOver, nil, "from "+took+", which is dead and had not released it")
	}
	r := l.Row()
	if keep, age := s.retention(), s.now().Sub(time.UnixMilli(r.Arrival)); r.Arrival > 0 && keep > 0 && age > keep {
		s.tell.For(id).Event(metrics.RetentionLost, nil, fmt.Sprintf("the checkpoint's record is %v old, and records are kept for %v: some may be lost", age.Round(time.Second), keep))
	}
	sh := newShard(s.facts, s, id, tenure, l, s.parentRanges(call, r))
	s.mu.Lock()
	if !s.stopped {
		if s.census.Row(id).To == tenure.Owner() {
			sh.rest = time.Now().Add(restTime)
		}
		s.shards[id] = sh
		delete(s.states, id)
		s.census.Put(state(id, r))
	}
	stopped := s.stopped
	s.mu.Unlock()
	if stopped {
		if err := l.Release(call, lease.Progress{}, ""); err != nil {
			s.doubt(id) // settle tries again
			return failed(err)
		}
		return nil
	}
	s.seat.Touch()
	s.tell.Mend("lease " + id)
	sh.source.Wake()
	return nil
}

// offered reads the rows of the shards that others are about to give to this worker, and tells whether there are any.
func (s *stream) offered(ctx context.Context) bool {
	view := s.seat.View()
	var ids []string
	for _, p := range view.Serving(s.key) {
		for _, o := range p.Offers {
			if id, ok := strings.CutPrefix(o.Lease, s.key+"/"); ok && o.To == view.Self && !s.runs(id) {
				ids = append(ids, id)
			}
		}
	}
	switch {
	case len(ids) > manyOffer:
		_ = s.reload(ctx)
	case len(ids) > 0:
		_ = each(ids, func(id string) error { return s.fetch(ctx, id) })
	}
	return len(ids) > 0
}

// doubt takes note that a shard may be this worker's although it does not run it.
func (s *stream) doubt(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsure = append(s.unsure, id)
}

// doubtful reads the rows of the shards that may be this worker's after all: a claim whose result is unknown may be applied
// later.
func (s *stream) doubtful(ctx context.Context, now time.Time) {
	s.mu.Lock()
	for _, id := range s.unsure {
		if s.share.doubts == nil {
			s.share.doubts = map[string]time.Time{}
		}
		s.share.doubts[id] = now.Add(2 * lease.Term)
	}
	s.unsure = nil
	s.mu.Unlock()
	if len(s.share.doubts) == 0 || now.Sub(s.share.looked) < lease.Beat {
		return
	}
	s.share.looked = now
	_ = each(slices.Sorted(maps.Keys(s.share.doubts)), func(id string) error { return s.fetch(ctx, id) })
	maps.DeleteFunc(s.share.doubts, func(id string, until time.Time) bool { return now.After(until) || s.runs(id) })
}

// settle gives back what may be this worker's although it does not run it, at a stop: else the shard could name a worker that
// has left. That is what a claim without a reply may have taken, what was kept for a handler that has returned since then, and
// what others have put back for it. A claim made anew rules the earlier one out. It returns false if a shard may be the worker's
// still.
func (s *stream) settle(ctx context.Context) bool {
	tenure := s.tenure.Load()
	if s.seat.Exclusive() || tenure == nil {
		return true // nobody else is there, and who comes next claims at once
	}
	ids := slices.AppendSeq(s.unsure, maps.Keys(s.share.doubts))
	s.mu.Lock()
	for id, r := range s.census.Rows() {
		if r.Owner == tenure.Owner() && !r.Ended {
			ids = append(ids, id)
		}
	}
	s.mu.Unlock()
	slices.Sort(ids)
	return each(slices.Compact(ids), func(id string) error {
		if s.runs(id) || s.left.running(id) {
			return nil // it was claimed since then, and was released or is kept
		}
		call, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		l, err := s.table().Claim(call, id)
		switch {
		case err == nil:
			return l.Release(call, lease.Progress{}, "")
		case errors.Is(err, lease.ErrHeld), errors.Is(err, checkpoint.ErrConflict), errors.Is(err, lease.ErrEnded), errors.Is(err, lease.ErrNoRow):
			return nil // the row has moved, and the earlier claim cannot come any more
		}
		return err
	}) == nil
}

// relieve mends the failed claims of shards that are nobody's to claim any more, and the loss of those that another worker
// works.
func (s *stream) relieve() {
	view := s.seat.View()
	if view.Self == "" {
		return
	}
	var ops []string
	s.mu.Lock()
	for id := range s.refused {
		r := s.census.Row(id)
		if s.shards[id] == nil && r.ID != "" && !r.Ended && (r.Owner == view.Self || view.Gone(r.Owner)) {
			continue
		}
		delete(s.refused, id)
		ops = append(ops, "claim "+id)
	}
	for id, st := range s.states {
		if r := s.census.Row(id); st == Lost && r.Owner != "" && r.Owner != view.Self && !view.Gone(r.Owner) {
			ops = append(ops, "lease "+id)
		}
	}
	s.mu.Unlock()
	s.tell.Mend(ops...)
}

// runs tells whether a shard has a tenure here.
func (s *stream) runs(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shards[id] != nil
}

// adopt takes the worker's present place in the group. Shards of an earlier one are lost; it tells whether there were any.
func (s *stream) adopt() (lost bool) {
	t := s.seat.Tenure()
	was := s.tenure.Load()
	if t == was || t == nil {
		return false
	}
	t.Table(s.key).Restored = func(shard string, _ lease.Row) {
		s.tell.For(shard).Event(metrics.RowRestored, nil, "the row of a shard that is being worked was gone and was put back")
	}
	s.tenure.Store(t)
	if was == nil {
		return false
	}
	for _, sh := range s.owned() {
		if sh.tenure != t {
			_ = sh.lose(metrics.LeaseLost, tell.Failure{
				Op: "heartbeat", Err: fmt.Errorf("%w: %w", ErrLeaseLost, lease.ErrFenced),
				Hint: "this worker was taken for dead: the store was slow, or the process stood still; it goes on under a new incarnation",
			})
			lost = true
		}
	}
	return lost
}

// table is that of the worker's present place in the group.
func (s *stream) table() *lease.Table { return s.tenure.Load().Table(s.key) }
