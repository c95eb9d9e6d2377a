package consumer_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/shardlane/shardlane/consumer"
)

// drawNext lets a stream of the same name take the place of the stream, in one of the lives. It has shards of the same
// names, and the lives that are left over read it from a starting position of its own. The service's clock has stepped by
// then, or does not.
func (p *plan) drawNext() {
	r := rand.New(rand.NewPCG(p.seed, 0xa6a1))
	if r.IntN(20) >= 12 {
		return
	}
	n := 3 + r.IntN(len(p.lives)/2)
	next := *p
	next.first, next.salt, next.lives = n+1, 1<<32, p.lives[n+1:]
	next.warmup, next.aged, next.atPast, next.steps = 0, false, 0, nil
	next.start = pick(r, consumer.TrimHorizon(), consumer.TrimHorizon(), consumer.Position{}, consumer.Latest())
	next.reshard, next.bursts = nil, nil
	next.drawReshards(r)
	next.drawBursts(r)
	if p.heal > 0 {
		next.heal = pick(r, next.length()/2, next.length())
	}
	p.lives = slices.Clone(p.lives[:n+1])
	l := &p.lives[n]
	l.clean, l.upon, l.nth = true, pick(r, "", evClaimed, evClaimed, evStart, evSucceeded, evMarked), 1+r.IntN(8)
	l.after = 500*time.Millisecond + time.Duration(r.Int64N(int64(4*time.Second)))
	p.next, p.gap = &next, pick(r, 0, 0, 300*time.Millisecond, 3*time.Second, 20*time.Second)
}

// replacedTime is how long it may take until a process, without faults, has seen that the stream is another one: all that
// it asks is refused, and in any case it asks once a minute which stream there is, and at once again.
const replacedTime = 75 * time.Second

// replace plays a life in which the stream is deleted and created again, and returns the world of the new one. The life
// has to end by itself then, and faults go on for a while.
func (w *world) replace(n int, l life, next *plan) *world {
	p := w.start(n, l)
	timer := time.NewTimer(l.after)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.due:
	case <-p.exited:
	}
	for range 6000 { // else the new stream might be all that it has seen
		if p.hasClaimed() || isClosed(p.exited) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if isClosed(p.exited) {
		p.fail("", "Run returned by itself: %v", p.err)
	}
	close(w.over)
	w.others.Wait()
	w.placing.Lock() // for good
	w.mu.Lock()
	w.replaced = w.now()
	w.add(event{life: n, kind: evReplaced, note: w.plan.gap.String()})
	w.mu.Unlock()
	w.shards = w.srv.DeleteStream(stream)
	time.Sleep(w.plan.gap)
	next.clock = w.ahead(w.now())
	next.create(w.srv)
	v := next.world(w.t, w.srv, time.Now())
	v.path, v.played, v.past = w.path, w.played, w
	v.busy()
	faults := time.AfterFunc(time.Duration(w.plan.roll("faults go on", "", 0)*float64(3*time.Second)), func() { close(w.quiet) })
	limit := time.NewTimer(replacedTime + l.drain)
	defer limit.Stop()
	select {
	case <-p.exited:
	case <-limit.C:
		p.fail("", "Run does not return although the stream is another one")
		p.cancel()
		<-p.exited
	}
	if faults.Stop() {
		close(w.quiet)
	}
	w.late.Wait()
	if len(w.srv.Records(stream)) > 0 {
		w.sometimes("records of the new stream put before the old life has ended")
	}
	w.mu.Lock()
	told, note := p.stopping, ""
	if p.err == nil || !isOnly(p.err, consumer.ErrStreamRecreated) {
		note = "error: " + errorText(p.err)
	}
	p.log(event{kind: evReturned, note: note})
	w.mu.Unlock()
	if !told || !errors.Is(p.err, consumer.ErrStreamRecreated) {
		p.fail("", "the stream is another one: told %v, and Run returned %v", told, p.err)
	}
	v.shelf.inherit(w.shelf)
	w.played.Store(v)
	return v
}

func (p *process) hasClaimed() bool {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.claimed
}

// isOnly reports whether an error is one of Run, and that for one reason.
func isOnly(err, reason error) bool {
	list, several := err.(interface{ Unwrap() []error })
	return errors.Is(err, reason) && (!several || len(list.Unwrap()) == 1)
}

func errorText(err error) string {
	if err == nil {
		return "none"
	}
	return err.Error()
}

// strays tells which events are of shards that a process read in the stream that took the place of its own, until it knew: it
// had claimed them at a starting position, which is good in any stream. What it does to those records counts for nothing,
// neither here nor in the new stream's history.
func (h *history) strays() []bool {
	stray := make([]bool, len(h.events))
	if h.replaced == 0 {
		return stray
	}
	t := h.truth()
	claimed, astray, calls := map[string]string{}, map[string]bool{}, map[int]bool{}
	foreign := func(e event) bool {
		if slices.ContainsFunc(e.seqs, func(id string) bool { return t.recs[id] == nil }) {
			return true
		}
		seq := e.row.Ck[:strings.LastIndexByte(e.row.Ck, '/')+1]
		return strings.HasPrefix(seq, "1/") && !slices.ContainsFunc(t.shard(e.shard).recs, func(r *rec) bool { return strings.HasPrefix(r.place, seq) })
	}
	for i, e := range h.events {
		if e.kind == evClaimed {
			claimed[e.shard] = e.row.Ck
		}
		if e.shard != "" && e.at >= h.replaced && !strings.HasPrefix(claimed[e.shard], "1/") && foreign(e) {
			astray[e.shard] = true
		}
		if e.kind == evStart && astray[e.shard] {
			calls[e.call] = true
		}
		stray[i] = calls[e.call] || e.call == 0 && astray[e.shard] && e.kind != evTold && e.kind != evRead
	}
	return stray
}
