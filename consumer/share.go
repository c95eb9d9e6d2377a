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

// A share is what a stream knows of the other workers' part in it. It belongs to the loop of the stream.
type share struct {
	seen  map[string]int64 // of the others, how often their leases had changed when the rows were last listed
	again time.Time        // when they are listed once more: a list may be stale
	free  map[string]freed // shards that nobody owns
	hand  map[string]offer // shards that this worker gives up

	listed  time.Time            // when the rows were last listed
	doubts  map[string]time.Time // shards whose claim may still be applied, and until when that is looked at
	looked  time.Time            // when they were
	missing map[string]time.Time // rows that are to be put back, if they are still missing a while after they were first missed
}

// freed is a shard that nobody owns, as it was first seen.
type freed struct {
	epoch int64
	since time.Time
}

// offer is a shard that is to be given to another worker.
type offer struct {
	to    string
	since time.Time
	giver *shard // the tenure that is being ended; nil while it is only announced
}

const (
	listInterval = 10 * time.Minute // between lists of the rows, if nobody tells of a change
	missingTime  = 10 * time.Second // a row is missing for as long before anybody but its owner puts it back

	offerPoll = 250 * time.Millisecond // between looks at a row that is offered to this worker
	restTime  = time.Minute            // a shard that was handed over is not handed over again before
	manyOffer = 16                     // more than that are listed at once
)

// news tells whether the rows are to be listed anew: another worker has come, gone, or changed its leases.
func (s *stream) news(now time.Time) bool {
	view := s.seat.View()
	seen := map[string]int64{}
	for _, p := range view.Serving(s.key) {
		if p.ID != view.Self {
			seen[p.ID] = p.Chg
		}
	}
	changed := len(seen) != len(s.share.seen)
	for id, chg := range seen {
		if was, ok := s.share.seen[id]; !ok || was != chg {
			changed = true
		}
	}
	s.share.seen = seen
	switch {
	case changed:
		s.share.again = now.Add(lease.Beat)
	case !s.share.again.IsZero() && !now.Before(s.share.again):
		s.share.again = time.Time{}
		return true
	}
	return changed
}

// wait is how long until something is due.
func (sh *share) wait(now time.Time) time.Duration {
	wait := auditInterval
	if !sh.again.IsZero() {
		wait = min(wait, sh.again.Sub(now))
	}
	if len(sh.doubts) > 0 {
		wait = min(wait, sh.looked.Add(lease.Beat).Sub(now))
	}
	for _, f := range sh.free {
		due := f.since.Add(lease.Term).Sub(now)
		if due <= 0 { // it is held, or a claim failed
			due = lease.Beat
		}
		wait = min(wait, due)
	}
	return max(wait, 0)
}

// reload lists the rows.
func (s *stream) reload(ctx context.Context) error {
	rows, err := s.load(ctx)
	if err != nil {
		return err
	}
	s.tell.Mend("checkpoint store")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.census.Look(rows, func(id string) bool { return s.shards[id] != nil })
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
// has left. A claim made anew rules the earlier one out. It returns false if a shard may be the worker's still.
func (s *stream) settle(ctx context.Context) bool {
	if s.seat.Exclusive() || s.tenure.Load() == nil {
		return true // nobody else is there, and who comes next claims at once
	}
	ids := slices.AppendSeq(s.unsure, maps.Keys(s.share.doubts))
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

// relieve mends the failed claims of shards that are nobody's to claim any more.
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
	s.mu.Unlock()
	s.tell.Mend(ops...)
}

// runs tells whether a shard has a tenure here.
func (s *stream) runs(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shards[id] != nil
}

// moves are what this worker claims and gives up by the plan, which all workers make alike. There is none before the worker
// has read who the others are.
func (s *stream) moves(now time.Time) (_ lease.Moves, planned bool) {
	view := s.seat.View()
	if view.Self == "" {
		return lease.Moves{}, false
	}
	peers := view.Serving(s.key)
	var leases []lease.Holding
	var own []string // of this worker, and not run
	free := map[string]freed{}
	s.mu.Lock()
	for _, id := range s.census.Startable() {
		r, sh := s.census.Row(id), s.shards[id]
		h := lease.Holding{Shard: id, Owner: r.Owner, To: r.To}
		switch {
		case s.states[id] == Reached || s.reachedBy(r.Reached):
			continue
		case sh != nil && sh.lost.Load(), s.states[id] == Lost && s.seat.Exclusive() && r.Owner != "":
			continue // it ends here first, or belongs to another consumer of this process
		case sh != nil:
			h.Owner, h.Rest = view.Self, now.Before(sh.rest)
		case r.Owner == view.Self:
			own = append(own, id)
		case view.Gone(r.Owner):
			h.Owner = ""
		}
		if h.Owner == "" {
			f, ok := s.share.free[id]
			if !ok || f.epoch != r.Epoch {
				f = freed{r.Epoch, now}
			}
			free[id] = f
			if h.Stale = now.Sub(f.since) >= lease.Term; h.Stale {
				h.To = ""
			}
		}
		leases = append(leases, h)
	}
	s.mu.Unlock()
	s.share.free = free
	m := lease.Plan(s.key, view.Self, peers, leases, view.Settled)
	m.Claim = append(m.Claim, own...)
	slices.Sort(m.Claim)
	return m, true
}

// reachedBy tells whether a shard that was read to the time ms by a worker with an ending position has come to this one's.
func (s *stream) reachedBy(ms int64) bool {
	return !s.end.at.IsZero() && ms > 0 && ms >= s.end.at.UnixMilli()
}

// handOver gives up what the plan takes away, a while after it was announced, and returns how long to wait for the next step.
func (s *stream) handOver(now time.Time, shed []lease.Offer) (wait time.Duration) {
	wait = auditInterval
	running := map[string]*shard{}
	for _, sh := range s.owned() {
		running[sh.id] = sh
		if now.Before(sh.rest) {
			wait = min(wait, sh.rest.Sub(now))
		}
	}
	hand := map[string]offer{}
	for id, o := range s.share.hand {
		if o.giver != nil && o.giver == running[id] {
			hand[id] = o
		}
	}
	for _, m := range shed {
		if _, ends := hand[m.Lease]; ends || running[m.Lease] == nil || m.To == "" {
			continue
		}
		o, ok := s.share.hand[m.Lease]
		if !ok || o.to != m.To || o.giver != nil {
			o = offer{to: m.To, since: now}
		}
		hand[m.Lease] = o
	}
	s.share.hand = hand
	var offers []lease.Offer
	for id, o := range hand {
		offers = append(offers, lease.Offer{Lease: id, To: o.to})
	}
	slices.SortFunc(offers, func(a, b lease.Offer) int { return strings.Compare(a.Lease, b.Lease) })
	s.seat.Post(s.key, len(running), offers)
	for id, o := range hand {
		due := o.since.Add(announceTime)
		switch {
		case o.giver != nil || s.retired.Load():
		case now.Before(due):
			wait = min(wait, due.Sub(now))
		default:
			o.giver = running[id]
			hand[id] = o
			s.pool.spawn(func() { s.give(o.giver, o.to) })
		}
	}
	return wait
}

// give ends a shard's tenure here and releases it to another worker: running handlers finish, within the drain timeout, and
// what waits is dropped.
func (s *stream) give(sh *shard, to string) {
	cut := time.AfterFunc(s.cfg.drain, sh.cut)
	defer cut.Stop()
	leave := time.AfterFunc(s.cfg.drain+unwindTime, sh.abandon)
	defer leave.Stop()
	began := time.Now()
	sh.halt()
	err := sh.drained()
	if errors.Is(err, ErrHandlerRunning) {
		sh.checkpoint() // the lease is kept, and the shard waits for its handler
	} else if failed := sh.release(s.pool.work, to); failed != nil && sh.lease.Row().Owner != "" {
		return // at a stop: the end of the worker tries again
	}
	sh.cut()
	s.drop(sh, err)
	switch {
	case sh.lost.Load():
	case errors.Is(err, ErrHandlerRunning):
		s.tell.For(sh.id).Event(metrics.HandOverWithdrawn, err, "the shard stays here")
	default:
		s.seat.Touch()
		s.tell.For(sh.id).Event(metrics.HandedOver, nil, fmt.Sprintf("to %s, drained in %v", to, time.Since(began).Round(time.Millisecond)))
	}
}

// heir is the worker to whom a shard is announced, if it is.
func (s *stream) heir(id string) string { return s.share.hand[id].to }

// abandon leaves the handlers of all shards behind that still run.
func (s *stream) abandon() {
	for _, sh := range s.owned() {
		sh.abandon()
	}
}

// adopt takes the worker's present place in the group. Shards of an earlier one are lost.
func (s *stream) adopt() {
	t := s.seat.Tenure()
	was := s.tenure.Load()
	if t == was || t == nil {
		return
	}
	t.Table(s.key).Restored = func(shard string, _ lease.Row) {
		s.tell.For(shard).Event(metrics.RowRestored, nil, "the row of a shard that is being worked was gone and was put back")
	}
	s.tenure.Store(t)
	if was == nil {
		return
	}
	for _, sh := range s.owned() {
		if sh.tenure != t {
			_ = sh.lose(metrics.LeaseLost, tell.Failure{
				Op: "heartbeat", Err: fmt.Errorf("%w: %w", ErrLeaseLost, lease.ErrFenced),
				Hint: "this worker was taken for dead: the store was slow, or the process stood still; it goes on under a new incarnation",
			})
		}
	}
}

// table is that of the worker's present place in the group.
func (s *stream) table() *lease.Table { return s.tenure.Load().Table(s.key) }
