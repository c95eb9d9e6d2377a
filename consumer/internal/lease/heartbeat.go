package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

const (
	spacing  = Beat / 25  // between a heartbeat and news that are told at once
	moment   = Beat / 200 // for news that come together: one heartbeat tells of them all
	hurry    = Beat / 20  // before the next try of a heartbeat, while the row is not taken for dead, or the store answers
	patience = Beat / 10  // before the next try of anything in an outage
	maxSent  = 1000       // unknown writes that are told apart; one before them that arrives ends the incarnation
)

// Run joins the group and keeps this worker a member until ctx is done; a worker
// that was declared dead joins anew. The goroutines of Run have ended when it
// returns, and the row is still there: see Leave.
func (g *Group) Run(ctx context.Context) {
	if g.exclusive {
		<-ctx.Done()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { g.beat(ctx) })
	both.Go(func() { g.watch(ctx) }) // apart: a list that hangs holds no heartbeat up
	both.Wait()
}

// A heart writes the member row of one incarnation, one write at a time. It
// belongs to the goroutine of beat, and after it to Leave.
type heart struct {
	g    *Group
	t    *Tenure
	key  string
	rev  string    // of the row as last known; "" before the join
	void bool      // rev is not known to be current
	sent []attempt // writes on rev whose result is unknown
	last attempt   // the newest that is known to be stored
	live time.Time // when the store last answered anything, be it that it refuses
	over error     // why the incarnation is dead, nil while it is not
}

// An attempt is one write of the row.
type attempt struct {
	by   string
	at   time.Time // before it was sent
	news int64     // what it tells of
}

// beat joins, sends heartbeats, and joins anew when it has to, until ctx is
// done.
func (g *Group) beat(ctx context.Context) {
	said := complaints{tell: g.Trouble}
	for ctx.Err() == nil {
		h := g.conceive()
		next, healthy := time.Now(), false
		for ctx.Err() == nil && h.over == nil {
			if healthy {
				next = g.due(h)
			}
			if time.Until(next) > 0 {
				pause(ctx, next, g.kick)
				continue
			}
			err := h.step(ctx)
			if ctx.Err() != nil || h.over != nil {
				break
			}
			said.note("heartbeat", err)
			switch healthy = err == nil; {
			case healthy:
			case time.Since(h.last.at) < Term, time.Since(h.live) < Term:
				next = time.Now().Add(hurry)
			default:
				next = time.Now().Add(patience)
			}
		}
		if h.over == nil {
			return
		}
		was := h.last.by != ""
		h.t.end()
		g.joined(nil)
		switch {
		case !was:
			said.note("heartbeat", h.over)
		case g.Over != nil:
			g.Over(h.t.owner, h.over)
		}
		pause(ctx, time.Now().Add(hurry), nil)
	}
}

// conceive returns a new incarnation, which has not joined.
func (g *Group) conceive() *heart {
	id := g.worker + "/" + g.incarnation()
	h := &heart{g: g, t: newTenure(g.store, g.name, id, &g.wrote, false), key: memberKey(g.name, id)}
	g.heart = h
	g.mu.Lock()
	defer g.mu.Unlock()
	g.self = id
	return h
}

// due returns when the heartbeat after the last one is to be sent, which is sooner
// if there are news.
func (g *Group) due(h *heart) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.news == h.last.news {
		return h.last.at.Add(Beat)
	}
	next := h.last.at.Add(spacing)
	if all := g.fresh.Add(moment); all.After(next) {
		return all
	}
	return next
}

// step sends one heartbeat, or the join. It first looks what became of earlier
// ones, but does not depend on that: of several writes on one revision one
// applies at most.
func (h *heart) step(ctx context.Context) error {
	if h.void {
		if moved, _ := h.look(ctx); moved {
			return nil
		}
	}
	h.g.mu.Lock()
	m, a := h.g.row(), attempt{by: h.t.sign(), at: time.Now(), news: h.g.news}
	h.g.fresh = time.Time{}
	h.g.mu.Unlock()
	m.by = a.by
	value, err := m.encode()
	if err != nil {
		return err
	}
	call, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	e, err := h.g.reserved.Swap(call, checkpoint.Entry{Key: h.key, Value: value, Revision: h.rev})
	switch {
	case err == nil:
		h.settle(e.Revision, a, time.Now())
		return nil
	case errors.Is(err, checkpoint.ErrConflict):
		h.void, h.live = true, time.Now()
		if moved, err := h.look(ctx); moved || err != nil {
			return err
		}
	case errors.Is(err, checkpoint.ErrNotApplied):
		h.live = time.Now()
	default:
		h.void = true
		h.sent = append(h.sent[max(0, len(h.sent)-maxSent+1):], a)
	}
	return fmt.Errorf("lease: write the member row of %s: %w", h.t.owner, err)
}

// look reads the row back and decides what became of the writes sent. It returns
// false where the row is as it was: they may still arrive, and stay in sent.
func (h *heart) look(ctx context.Context) (moved bool, err error) {
	call, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	e, err := h.g.reserved.Get(call, h.key)
	if err != nil {
		return false, fmt.Errorf("lease: read the member row of %s: %w", h.t.owner, err)
	}
	h.live = time.Now()
	if e.Revision == h.rev {
		h.void = false
		return false, nil
	}
	if e.Revision == "" {
		h.over = fmt.Errorf("%w: the row of %s was deleted", ErrFenced, h.t.owner)
		return true, nil
	}
	m, err := decodeMember(e.Value)
	i := slices.IndexFunc(h.sent, func(a attempt) bool { return a.by == m.by })
	switch {
	case err != nil:
		h.over = fmt.Errorf("%w: the row of %s was replaced: %w", ErrFenced, h.t.owner, err)
	case i >= 0:
		h.settle(e.Revision, h.sent[i], h.sent[i].at)
	default:
		h.over = fmt.Errorf("%w: the row of %s is %s, written by %q", ErrFenced, h.t.owner, m.st, m.by)
	}
	return true, nil
}

// settle takes note that a is stored under rev, which rules out whatever was
// sent before. It was acknowledged at that time.
func (h *heart) settle(rev string, a attempt, acked time.Time) {
	h.rev, h.void, h.sent, h.last = rev, false, nil, a
	h.t.renew(a.at)
	g := h.g
	g.mu.Lock()
	g.acked = acked
	join := g.tenure != h.t && !g.departed
	g.mu.Unlock()
	if join {
		g.joined(h.t)
	}
}

// Leave deletes the member row. It is called when Run has returned and no lease
// is held: whoever is named by one is declared dead in its time. The row may stay
// after an error, and is then declared dead as well.
func (g *Group) Leave(ctx context.Context) error {
	h := g.heart
	if h == nil {
		return nil
	}
	g.mu.Lock()
	g.departed = true
	g.mu.Unlock()
	h.t.end()
	g.joined(nil)
	var err error
	for range maxTries {
		if h.void {
			if _, err = h.look(ctx); err != nil {
				continue
			}
		}
		if h.over != nil || h.rev == "" {
			return nil
		}
		call, cancel := context.WithTimeout(ctx, request)
		err = g.reserved.Delete(call, checkpoint.Entry{Key: h.key, Revision: h.rev})
		cancel()
		if err == nil {
			return nil
		}
		h.void = true
		err = fmt.Errorf("lease: delete the member row of %s: %w", h.t.owner, err)
	}
	return err
}
