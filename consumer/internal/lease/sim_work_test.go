package lease

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// A run works on one lease.
type run struct {
	life   *life
	tenure *Tenure
	owner  string
	lease  *Lease
	shard  string
	next   int
	once   sync.Once
	to     string
	stop   chan struct{}
}

// halt makes the run give up its lease to a member.
func (r *run) halt(to string) {
	r.once.Do(func() { r.to = to; close(r.stop) })
}

// work claims and sheds what the plan says, until the process is killed.
func (l *life) work() {
	for l.thaw("work") {
		changes := l.g.Changes()
		if t, v := l.g.Tenure(), l.g.View(); t != nil && v.Self == t.Owner() {
			l.round(t, v)
		}
		l.mu.Lock()
		l.calls["round"]++
		r := l.p.w.dice(l.p.name, l.number, "round", l.calls["round"])
		l.mu.Unlock()
		select {
		case <-changes:
			_ = travel(l.ctx, time.Duration(r.Int64N(int64(20*time.Millisecond)))) // not all at one instant
		case <-time.After(Beat/2 + time.Duration(r.Int64N(int64(Beat/4)))):
		case <-l.ctx.Done():
		}
	}
}

func (l *life) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(l.ctx, 2*time.Second)
}

// round makes one plan and does what is this worker's.
func (l *life) round(t *Tenure, v View) {
	ctx, cancel := l.limited()
	defer cancel()
	rows, _, err := t.Table(stream).Rows(ctx)
	if err != nil {
		return
	}
	var holdings []Holding
	var claims []string
	now := time.Now()
	l.mu.Lock()
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		r := rows[id]
		if r.Ended() {
			continue
		}
		h := Holding{Shard: id, Owner: r.Owner, To: r.To, Rest: now.Sub(l.moved[id]) < 5*time.Second}
		mine := l.runs[id] != nil
		switch {
		case mine:
			h.Owner = t.Owner()
		case r.Owner == t.Owner(): // of a claim whose result was unknown, or a list that is old
			claims = append(claims, id)
		case v.Gone(r.Owner):
			h.Owner = ""
		}
		if h.Owner == "" && r.Owner == "" {
			if l.free[id].IsZero() {
				l.free[id] = now
			}
			h.Stale = now.Sub(l.free[id]) >= Term
			if h.Stale {
				h.To = ""
			}
		} else {
			delete(l.free, id)
		}
		holdings = append(holdings, h)
	}
	doubt := slices.Sorted(maps.Keys(l.doubt))
	l.mu.Unlock()
	moves := Plan(stream, v.Self, v.Serving(stream), holdings, v.Settled)
	for _, id := range doubt { // a claim that is still on its way may make this worker the owner
		row, ok, err := t.Table(stream).Row(ctx, id)
		l.mu.Lock()
		if err == nil && now.After(l.doubt[id]) {
			delete(l.doubt, id)
		}
		l.mu.Unlock()
		if err == nil && ok && row.Owner == t.Owner() {
			l.p.w.happened("claim repeated")
			claims = append(claims, id)
		}
	}
	for _, id := range append(claims, moves.Claim...) {
		l.claim(t, id)
	}
	for _, o := range moves.Shed {
		l.mu.Lock()
		if r := l.runs[o.Lease]; r != nil {
			r.halt(o.To)
		}
		l.mu.Unlock()
	}
}

func (l *life) claim(t *Tenure, id string) {
	l.mu.Lock()
	busy := l.runs[id] != nil
	l.mu.Unlock()
	if busy || !l.thaw("claim") {
		return
	}
	ctx, cancel := l.limited()
	defer cancel()
	lease, err := t.Table(stream).Claim(ctx, id)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		delete(l.doubt, id)
	case errors.Is(err, ErrHeld):
		l.p.w.happened("claim of a live owner's lease")
		return
	case errors.Is(err, ErrEnded), errors.Is(err, ErrLapsed), errors.Is(err, ErrFenced):
		return
	default:
		l.doubt[id] = time.Now().Add(2 * Term)
		return
	}
	r := &run{
		life: l, tenure: t, owner: t.Owner(), lease: lease, shard: id, next: step(lease.Row().Ck) + 1, stop: make(chan struct{}),
	}
	l.runs[id] = r
	l.moved[id] = time.Now()
	killed := context.AfterFunc(l.ctx, func() { r.halt("") })
	l.p.w.all.Go(func() {
		defer killed()
		r.work()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.runs, id)
	})
}

// work handles one record after the other while it may, and gives the lease up in the end.
func (r *run) work() {
	w := r.life.p.w
	for tries := 0; ; tries++ {
		dice := w.dice(r.owner, r.lease.Epoch(), r.shard, tries)
		lapsed := !r.tenure.Valid()
		ctx, ok := r.tenure.Enter(r.stop)
		if !ok {
			break
		}
		if lapsed {
			w.happened("resumed after a lapse")
		}
		s := &turn{run: r, entered: time.Now()}
		r.life.spring()
		if !r.life.thaw(r.shard) {
			return
		}
		w.enter(s)
		d := time.Duration(dice.ExpFloat64() * float64(500*time.Millisecond))
		if dice.IntN(20) == 0 && !w.over() {
			d += time.Duration(1+dice.IntN(4)) * 5 * time.Second
		}
		finished := travel(ctx, d) == nil
		if !finished && travel(r.life.ctx, time.Duration(dice.Int64N(int64(Term-valid-100*time.Millisecond)))) != nil {
			return
		}
		if !r.life.thaw(r.shard) {
			return
		}
		w.leave(s)
		if !finished { // the result waits for the next heartbeat; half of them are successes
			if _, ok := r.tenure.Enter(r.stop); !ok {
				break
			}
			w.happened("work held over a lapse")
			if dice.IntN(2) == 0 {
				continue
			}
		}
		w.resolve(r.shard, r.next)
		r.next++
		if r.next > 20 && r.shard == w.shards[0] && !w.over() {
			r.give(true)
			return
		}
		if r.tenure.Valid() && dice.IntN(4) == 0 {
			call, cancel := r.life.limited()
			err := r.lease.Checkpoint(call, Progress{Pos: pos(r.next - 1)})
			cancel()
			if errors.Is(err, ErrLost) || errors.Is(err, ErrReleased) {
				return
			}
		}
	}
	r.give(false)
}

// give releases or ends the lease, again and again, until that is resolved or the incarnation is dead.
func (r *run) give(end bool) {
	for r.life.thaw(r.shard) {
		select {
		case <-r.tenure.Over():
			return
		default:
		}
		call, cancel := r.life.limited()
		var err error
		if end {
			err = r.lease.End(call, nil)
		} else {
			p := Progress{}
			if r.next > 1 {
				p.Pos = pos(r.next - 1)
			}
			err = r.lease.Release(call, p, r.to)
		}
		cancel()
		if err == nil || errors.Is(err, ErrLost) || errors.Is(err, ErrReleased) {
			return
		}
		if travel(r.life.ctx, 300*time.Millisecond) != nil {
			return
		}
	}
}
