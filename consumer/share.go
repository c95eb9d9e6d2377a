package consumer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/shardlane/shardlane/consumer/internal/lease"
	"github.com/shardlane/shardlane/metrics"
)

// A share is what a stream knows of the other workers' part in it. It belongs to the loop of the stream.
type share struct {
	seen  map[string]int64 // of the others, how often their leases had changed when the rows were last listed
	again time.Time        // when they are listed once more: a list may be stale
	free  map[string]freed // shards that nobody owns
	hand  map[string]offer // shards that this worker gives up

	differs difference // of settings

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

// news tells whether the rows are to be listed anew: another worker has come, gone, or changed its leases.
func (s *stream) news(now time.Time) bool {
	view := s.seat.View()
	s.differing(view, now)
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
	if err := s.missed(ctx, rows); err != nil {
		return s.failed("checkpoint store", err, "new shards wait until the store answers")
	}
	s.tell.Mend("checkpoint store")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.census.Look(rows, func(id string) bool { return s.shards[id] != nil })
	return nil
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
	began := time.Now()
	sh.halt() // first: what a handler that was cut off returns before it is a failure
	cut := time.AfterFunc(s.cfg.drain, sh.cut)
	defer cut.Stop()
	leave := time.AfterFunc(min(s.cfg.drain, math.MaxInt64-unwindTime)+unwindTime, sh.abandon)
	defer leave.Stop()
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
