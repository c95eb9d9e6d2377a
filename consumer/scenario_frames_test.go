package consumer_test

import (
	"slices"
	"time"
)

// A frame is the tumbling window of a shard, as one life has it open.
type frame struct {
	start   time.Time
	open    bool // records of it have an outcome, and its final call is to come
	state   []string
	large   bool   // the state ends the window
	members []*rec // that have an outcome
}

// frame checks what a call is told of its window.
func (c *checker) frame(e event, call *call) {
	l, w := call.life, e.window
	f := l.windows[e.shard]
	if f == nil {
		f = &frame{}
		l.windows[e.shard] = f
	}
	bad := func(format string, args ...any) {
		key := ""
		if len(call.recs) > 0 {
			key = call.recs[0].key
		}
		c.violate(ruleWindow, key, e.shard, "call %d in window %s: "+format, append([]any{e.call, w.start.Format("15:04:05")}, args...)...)
	}
	if length := l.tumbling; w.end.Sub(w.start) != length || w.start.UnixNano()%int64(length) != 0 {
		bad("it ends at %s", w.end.Format("15:04:05"))
	}
	if l := call.life; !slices.Equal(w.state, f.state) && !l.turning(e.at) {
		bad("it gets a state of %d records, want %d", len(w.state), len(f.state))
	}
	if f.open && !f.start.Equal(w.start) {
		bad("the final call of window %s has not come", f.start.Format("15:04:05"))
	}
	if f.large && !w.final {
		bad("the state is too large, and this is not the final call")
	}
	for _, r := range call.recs {
		if r.arrival.Before(w.start) || !r.arrival.Before(w.end) {
			bad("%s has arrived at %s", r, r.arrival.Format("15:04:05.000"))
		}
	}
	if !w.final {
		return
	}
	now := c.h.served(e.at)
	sh := c.shard(e.shard)
	switch {
	case !f.open && !slices.ContainsFunc(sh.recs, func(r *rec) bool { return c.unseen(r) && !r.arrival.Before(w.start) && r.arrival.Before(w.end) }):
		bad("a final call without a record before it")
	case w.early && !f.large && (!sh.Closed || sh.ClosedAt.After(now)):
		bad("it is ended early")
	case !w.early && now.Add(c.h.doubt()).Before(w.end):
		bad("it is ended before its time")
	}
	claim := l.claims[e.shard]
	if len(f.members) == 0 {
		return
	}
	members := map[*rec]bool{}
	for _, r := range f.members {
		members[r] = true
	}
	for _, r := range sh.recs[:f.members[len(f.members)-1].ordinal] { // of the window, and behind the claim
		if r.required && !claim.covers(r) && !r.arrival.Before(w.start) && !l.closed[r] && !members[r] && !c.unseen(r) {
			bad("the final call comes without %s", r)
			return
		}
	}
}

// framed takes the end of a call.
func (c *checker) framed(e event, call *call) {
	l := call.life
	f, w := l.windows[call.shard], call.window
	switch n := len(call.recs); {
	case e.kind == evFailed:
	case w.final:
		c.closeFrame(l, f)
	case e.kind == evSucceeded || !l.stopping:
		if e.kind == evProgress {
			n = e.n
		}
		f.open, f.start = true, w.start
		f.members = append(f.members, call.recs[:n]...)
		for _, r := range call.recs[:n] {
			f.state = append(f.state, r.id)
		}
		f.large = e.note == padded
	}
}

// frameDiscarded takes records of a window that are given up, or its final call.
func (c *checker) frameDiscarded(e event, l *lived) {
	f := l.windows[e.shard]
	if f == nil { // nothing was tried
		f = &frame{}
		l.windows[e.shard] = f
	}
	if e.window.final {
		c.closeFrame(l, f)
		return
	}
	if f.open && !f.start.Equal(e.window.start) {
		c.violate(ruleWindow, "", e.shard, "records are given up in window %v before window %v is closed", e.window.start, f.start)
	}
	f.open, f.start = true, e.window.start
	for _, id := range e.seqs {
		if r := c.recs[id]; r != nil {
			f.members = append(f.members, r)
		}
	}
}

func (c *checker) closeFrame(l *lived, f *frame) {
	for _, r := range f.members {
		l.closed[r], c.closed[r] = true, true
	}
	*f = frame{start: f.start}
}

// pinned checks that a life's checkpoint passes no window that the life has open.
func (c *checker) pinned(e event) {
	l, sh := c.lives[e.life], c.shard(e.shard)
	claim, n := l.claims[e.shard], l.passable[e.shard]
	if e.kind == evClaimed || e.kind == evCreated {
		return
	}
	for n < len(sh.recs) && (!sh.recs[n].required || claim.covers(sh.recs[n]) || l.closed[sh.recs[n]] || sh.recs[n].unseen(l.settings, e.at)) {
		n++
	}
	l.passable[e.shard] = n
	if n < len(sh.recs) && e.row.covers(sh.recs[n]) {
		c.violate(ruleWindow, sh.recs[n].key, e.shard, "%s is stored, and the final call behind %s is not over", short(e.row.Ck), sh.recs[n])
	}
}
