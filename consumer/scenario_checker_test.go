package consumer_test

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// A violation is a promise that a history breaks.
type violation struct {
	rule  string // see the rule constants
	what  string
	event int // index of the event that breaks it; -1: the end
	key   string
	shard string
}

// The promises, by the names of reliability: contract, invariants and those of coordination.
const (
	ruleLost     = "lost"     // every record succeeds, is given up as it may be, or is not for the handler (I1)
	ruleEarly    = "early"    // no record from before the start position is handled
	ruleSkip     = "skip"     // what is filtered out is not handled (I14, I19)
	ruleTold     = "told"     // each discard is told of, and each document that nobody has (contract 8)
	ruleContext  = "context"  // a call's context ends by its time-out, by the end of a drain or with the shard only (C15)
	ruleOrder    = "order"    // a record starts when all earlier ones of its key have an outcome or stand before it (I4)
	ruleOverlap  = "overlap"  // no two calls hold records of one key (I5)
	ruleBatch    = "batch"    // a call has one shard, ascending, within the limits (I11)
	rulePieces   = "pieces"   // what is left of a failed call comes again whole, or halved, the left half first (I12, I13)
	ruleCap      = "cap"      // no more calls run at once than the factor and the limit of the worker allow (C13)
	ruleGiveUp   = "give up"  // nothing is given up before its limits are reached, nor tried behind them (L28, L31)
	ruleWindow   = "window"   // the state of a window, its final call, and the checkpoint before it (I15, C19)
	ruleMark     = "mark"     // at any write, all records that the checkpoint covers have an outcome (I2, I14)
	ruleRow      = "row"      // epochs and checkpoints never go back; a new owner has a new epoch; END is final (S1-S3)
	ruleParents  = "parents"  // no record of a child starts before the ends of all parents are stored (S8)
	ruleChildren = "children" // the end of a shard is stored after the rows of all its children (coordination of resharding)
	ruleTwice    = "twice"    // what a process has given an outcome, it does not handle again (I13)
	ruleRerun    = "rerun"    // what a stored checkpoint covers never comes again (S11)
	ruleResume   = "resume"   // a process begins at the checkpoint that it claimed, and leaves nothing out (contract 2)
	ruleDrain    = "drain"    // a process that stopped cleanly owns nothing, and has stored what it has handled
	ruleLive     = "live"     // Run returns when it is asked to and only then, and all is handled soon after the last fault (V2, V4)
	ruleRate     = "rate"     // a process reads a shard 5 times a second at most (I17)
)

// A checker goes through a history once, event by event, with what has happened so far by record, key and shard.
type checker struct {
	*truth
	h     *history
	found []violation
	i     int // of the event

	outcome  map[*rec]bool
	calls    map[int]*call
	running  map[string]int // call by key
	busy     map[int]string // shard by call that runs
	next     map[string]int // first record of the key that has no outcome and is required
	rows     map[string]*row
	writer   map[string]int           // life that has written the row last, by shard
	ended    map[string]bool          // shards whose END was stored
	resolved map[string]int           // by shard: leading records that have an outcome or are not required
	covered  map[string]int           // by shard: leading records that a stored checkpoint covers
	losses   map[string]time.Duration // by shard: when it was last told that records have left the stream
	born     map[string]time.Duration // by shard: when its row was put
	missed   map[*rec]*lived          // that have left the stream without an outcome, by the life that passed them
	closed   map[*rec]bool            // those that belong to a final call that is over, or to none
	strays   []bool                   // events that count for nothing
	astray   map[string]bool          // shards that they are of
	lives    map[int]*lived
	life     *lived // the one that has begun
	latest   event
}

// A lived is what one life of the process has done.
type lived struct {
	*settings
	n        int
	began    time.Duration
	stopped  time.Duration // when it was asked to
	stopping bool
	itself   bool                       // nobody has asked it to: it stops soon
	reads    map[string][]time.Duration // by shard
	claims   map[string]row
	started  map[*rec]bool
	finished map[*rec]bool
	pieces   map[*rec]*piece
	failed   map[string]int    // counted failures by request
	requests map[string]*call  // latest call by request
	windows  map[string]*frame // by shard
	closed   map[*rec]bool
	passable map[string]int   // by shard: leading records that the checkpoint may pass, in window mode
	untold   map[string]event // discards that it has to tell of, by notice and request
}

// turning reports whether nobody knows at this instant if the stop of a life has come to its lanes: if what has just ended was
// cut off, and if progress counted.
func (l *lived) turning(at time.Duration) bool { return l.stopping && (l.itself || at == l.stopped) }

type call struct {
	life    *lived
	shard   string
	request string
	recs    []*rec
	window  *windowCall
}

// check returns the promises that a history breaks, in the order of its events.
func (h *history) check() []violation {
	c := &checker{
		truth: h.truth(), h: h, outcome: map[*rec]bool{}, calls: map[int]*call{}, running: map[string]int{}, busy: map[int]string{},
		ended: map[string]bool{}, next: map[string]int{}, rows: map[string]*row{}, writer: map[string]int{}, resolved: map[string]int{}, covered: map[string]int{}, closed: map[*rec]bool{},
		strays: h.strays(), astray: map[string]bool{}, losses: map[string]time.Duration{}, born: map[string]time.Duration{}, missed: map[*rec]*lived{}, lives: map[int]*lived{}, found: slices.Clone(h.seen),
	}
	c.begin(event{life: -1, settings: &plainSettings})
	for i, e := range h.events {
		if c.i, c.latest = i, e; c.strays[i] {
			c.astray[e.shard] = true
			continue
		}
		switch e.kind {
		case evBegan:
			c.begin(e)
		case evStart:
			c.start(e)
		case evSucceeded, evFailed, evProgress:
			c.end(e)
		case evDelivery:
			c.delivery(e)
		case evDiscarded:
			c.discarded(e)
		case evTold:
			delete(c.life.untold, e.note+" "+e.request)
			if e.note == "RetentionLost" {
				c.losses[e.shard] = e.at
			}
		case evStopped:
			c.life.stopping, c.life.stopped, c.life.itself = true, e.at, e.note != ""
		case evCut:
			c.told(e)
			clear(c.running)
			clear(c.busy)
		case evReturned:
			c.returned(e)
		case evRead:
			c.read(e)
		case evCreated, evClaimed, evMarked, evReleased, evEnded:
			c.write(e)
		}
	}
	c.i = -1
	for _, sh := range c.shards {
		for _, r := range sh.recs {
			if c.h.replaced > 0 {
				break // what was not handled is gone, and nobody has to tell
			}
			c.forgotten(r, c.life)
			switch {
			case !r.required || r.unseen(c.life.settings, c.latest.at):
			case !c.outcome[r]:
				c.violate(ruleLost, r.key, r.shard, "%s has no outcome", r)
			case !c.closed[r]:
				c.violate(ruleWindow, r.key, r.shard, "%s belongs to no final call", r)
			}
		}
	}
	for r, l := range c.missed {
		if !c.lossTold(r.shard, r.gone) {
			c.violate(ruleTold, r.key, r.shard, "%s has left the stream unhandled, and life %d, which passed it, told nobody", r, l.n)
		}
	}
	slices.SortStableFunc(c.found, func(a, b violation) int { return cmp.Compare(uint(a.event), uint(b.event)) })
	return c.found
}

func (c *checker) violate(rule, key, shard, format string, args ...any) {
	c.found = append(c.found, violation{rule, fmt.Sprintf(format, args...), c.i, key, shard})
}

func (c *checker) begin(e event) {
	c.life = &lived{
		settings: e.settings, n: e.life, began: e.at, claims: map[string]row{}, started: map[*rec]bool{}, finished: map[*rec]bool{},
		reads: map[string][]time.Duration{}, pieces: map[*rec]*piece{}, failed: map[string]int{}, requests: map[string]*call{},
		windows: map[string]*frame{}, closed: map[*rec]bool{}, passable: map[string]int{}, untold: map[string]event{},
	}
	c.lives[e.life] = c.life
}

// start checks what a handler is given.
func (c *checker) start(e event) {
	call := &call{life: c.life, shard: e.shard, request: e.request, window: e.window}
	c.calls[e.call], c.life.requests[e.request] = call, call
	final := e.window != nil && e.window.final
	if len(e.seqs) == 0 != final || len(e.seqs) > c.life.batchSize {
		c.violate(ruleBatch, "", e.shard, "%d records in a call", len(e.seqs))
	}
	if c.h.payload > 0 && e.n > c.h.payload {
		c.violate(ruleBatch, "", e.shard, "%d bytes in a call", e.n)
	}
	c.parents(e)
	c.count(e)
	slice := map[string]*rec{} // last record of each key
	for _, seq := range e.seqs {
		r := c.recs[seq]
		if r == nil || r.shard != e.shard {
			c.violate(ruleBatch, "", e.shard, "record %s is not of this shard", short(seq))
			continue
		}
		if n := len(call.recs); n > 0 && call.recs[n-1].ordinal >= r.ordinal {
			c.violate(ruleBatch, r.key, r.shard, "%s comes behind %s", r, call.recs[n-1])
		}
		call.recs = append(call.recs, r)
		before := slice[r.key]
		slice[r.key] = r
		if before == nil {
			if other := c.running[r.key]; other != 0 {
				c.violate(ruleOverlap, r.key, r.shard, "%s starts in call %d while call %d holds its key", r, e.call, other)
			}
			c.running[r.key] = e.call
		}
		switch {
		case r.early:
			c.violate(ruleEarly, r.key, r.shard, "%s is older than the start position", r)
		case r.filtered(c.life.settings):
			c.violate(ruleSkip, r.key, r.shard, "%s is filtered out", r)
		case r.oversized:
			c.violate(ruleBatch, r.key, r.shard, "%s exceeds the payload limit", r)
		}
		c.order(r, before)
		if c.life.finished[r] {
			c.violate(ruleTwice, r.key, r.shard, "%s starts again in the life that has given it an outcome", r)
		}
		if row := c.rows[r.shard]; row != nil && c.life.skips(*row, r) {
			c.violate(ruleRerun, r.key, r.shard, "%s starts although the row at %s says that it is done", r, short(row.Ck))
		}
		c.resume(r, before)
		c.life.started[r] = true
	}
	c.tries(e, call)
	if e.window != nil {
		c.frame(e, call)
	}
}

// count checks how many calls run.
func (c *checker) count(e event) {
	c.busy[e.call] = e.shard
	n := 0
	for _, shard := range c.busy {
		if shard == e.shard {
			n++
		}
	}
	if n > c.life.factor {
		c.violate(ruleCap, "", e.shard, "%d calls for one shard", n)
	}
	if limit := c.life.concurrency; limit > 0 && len(c.busy) > limit || c.life.serial && len(c.busy) > 1 {
		c.violate(ruleCap, "", e.shard, "%d calls at once", len(c.busy))
	}
}

// order checks that everything before a record of its key has an outcome, or stands before it in its slice.
func (c *checker) order(r, before *rec) {
	keys := c.keys[r.key]
	n := c.next[r.key]
	for n < len(keys) && (c.outcome[keys[n]] || !keys[n].required) {
		n++
	}
	c.next[r.key] = n
	if n >= r.n || before != nil && before.n == r.n-1 {
		return // of what stands before it in the slice, the same was asked
	}
	for _, q := range keys[n:r.n] {
		if q.required && !c.outcome[q] && (before == nil || q.n > before.n) && !c.unseen(q) {
			c.violate(ruleOrder, r.key, r.shard, "%s starts before %s has an outcome", r, q)
			return
		}
	}
}

// resume checks that the record before it, of its key and shard, was started in this life, too, unless the checkpoint
// that was claimed covers it.
func (c *checker) resume(r, before *rec) {
	if r.n == 0 || c.life.started[r] {
		return
	}
	q := c.keys[r.key][r.n-1]
	if q.shard != r.shard || !q.required || c.life.started[q] || c.life.finished[q] || q == before || c.unseen(q) {
		return
	}
	if claim, ok := c.life.claims[r.shard]; !ok || !c.life.skips(claim, q) {
		c.violate(ruleResume, r.key, r.shard, "%s starts, and %s, which the claimed checkpoint %s does not cover, has not", r, q, short(claim.Ck))
	}
}

// parents checks that the ends of all parents are stored.
func (c *checker) parents(e event) {
	sh := c.shards[e.shard]
	if sh == nil {
		return
	}
	for _, p := range sh.Parents {
		if c.shard(p).inScope && !c.ended[p] {
			c.violate(ruleParents, "", e.shard, "a record starts before the end of parent %s is stored", p)
		}
	}
}

// end takes the outcome of a call.
func (c *checker) end(e event) {
	call := c.calls[e.call]
	delete(c.busy, e.call)
	for _, r := range call.recs {
		if c.running[r.key] == e.call {
			delete(c.running, r.key)
		}
	}
	n := 0
	switch e.kind {
	case evSucceeded:
		n = len(call.recs)
	case evProgress:
		n = e.n
	}
	for _, r := range call.recs[:n] {
		c.outcome[r] = true
		if e.kind == evSucceeded || !call.life.stopping { // what a stop cuts off counts as a whole (C15)
			c.finish(call.life, r, call.window != nil)
		}
	}
	c.context(e, call)
	c.left(e, call)
	if call.window != nil {
		c.framed(e, call)
	}
}

// finish notes that a life has given a record an outcome, outside of a window.
func (c *checker) finish(l *lived, r *rec, windows bool) {
	l.finished[r] = true
	delete(l.pieces, r)
	if !windows {
		c.closed[r] = true
	}
}

// unseen reports whether the life that has begun may have given a record an outcome that nobody has seen.
func (c *checker) unseen(r *rec) bool { return r.unseen(c.life.settings, c.latest.at) }

// prefix returns how many leading records of a shard are resolved when a life writes its row.
func (c *checker) prefix(shard string, l *lived) int {
	sh, n := c.shard(shard), c.resolved[shard]
	for n < len(sh.recs) && (!sh.recs[n].required || c.outcome[sh.recs[n]]) {
		n++
	}
	c.resolved[shard] = n
	for n < len(sh.recs) && (!sh.recs[n].required || c.outcome[sh.recs[n]] || sh.recs[n].unseen(l.settings, c.latest.at)) {
		n++
	}
	return n
}

// write checks an accepted write of a shard's row.
func (c *checker) write(e event) {
	sh, old := c.shards[e.shard], c.rows[e.shard]
	if sh == nil {
		c.violate(ruleRow, "", e.shard, "a row of a shard that there is not")
		return
	}
	l := c.lives[e.life]
	if n := c.prefix(e.shard, l); n < len(sh.recs) && e.row.covers(sh.recs[n]) {
		c.violate(ruleMark, sh.recs[n].key, e.shard, "%s is stored, and %s has no outcome", short(e.row.Ck), sh.recs[n])
	}
	if l.tumbling > 0 {
		c.pinned(e)
	}
	n := c.covered[e.shard]
	for ; n < len(sh.recs) && e.row.covers(sh.recs[n]); n++ {
		r := sh.recs[n]
		c.closed[r] = true
		c.forgotten(r, l)
		c.outcome[r] = c.outcome[r] || r.unseen(l.settings, e.at) // and it stays so
	}
	c.covered[e.shard] = n
	c.held(e, l)
	if e.row.Ck == endMark && !sh.Closed {
		c.violate(ruleMark, "", e.shard, "END of an open shard")
	}
	if e.row.Ck == endMark {
		c.ended[e.shard] = true
		for _, child := range sh.Children {
			if c.rows[child] == nil && !c.shard(child).Expired {
				c.violate(ruleChildren, "", e.shard, "END is stored, and child %s has no row", child)
			}
		}
	}
	if old == nil {
		c.born[e.shard] = e.at
	}
	c.row(old, e)
	if e.kind == evClaimed {
		l.claims[e.shard] = e.row
	}
	stored := e.row
	c.rows[e.shard], c.writer[e.shard] = &stored, e.life
}

// forgotten notes a record that has left the stream without an outcome.
func (c *checker) forgotten(r *rec, l *lived) {
	if r.required && r.gone <= c.latest.at && !c.outcome[r] && !r.passed(l.settings, c.latest.at) {
		c.missed[r] = l
	}
}

// lossTold reports whether anybody was told, of a shard itself, that records have left it at some time. A shard that left the
// stream before it had a row, and one that is found behind such a one, is covered by what is told of those that they come from.
func (c *checker) lossTold(shard string, gone time.Duration) bool {
	if told, ok := c.losses[shard]; ok && told >= gone {
		return true
	}
	parents := c.shard(shard).Parents
	rowless := func(id string) bool { _, ok := c.born[id]; return !ok }
	if born, ok := c.born[shard]; ok && (born < gone || !slices.ContainsFunc(parents, rowless)) {
		return false
	}
	return slices.ContainsFunc(parents, func(p string) bool { return c.lossTold(p, gone) })
}

// row checks what one write makes of a row.
func (c *checker) row(old *row, e event) {
	if old == nil {
		return
	}
	bad := ""
	switch r := e.row; {
	case old.Ck == endMark:
		bad = "is written after END"
	case r.Ck < old.Ck:
		bad = "goes back from " + short(old.Ck)
	case r.Epoch != old.Epoch && r.Epoch != old.Epoch+1:
		bad = fmt.Sprintf("has epoch %d after %d", r.Epoch, old.Epoch)
	case r.Owner != old.Owner && r.Epoch == old.Epoch:
		bad = "changes its owner within an epoch"
	}
	if bad != "" {
		c.violate(ruleRow, "", e.shard, "the row %s: %s", bad, e)
	}
}

// returned checks what a clean stop leaves behind.
func (c *checker) returned(e event) {
	c.told(e)
	if e.note != "" {
		return
	}
	for id, row := range c.rows {
		claim, mine := c.life.claims[id]
		if !mine || row.Ck == endMark || c.astray[id] {
			continue
		}
		if row.Owner == claim.Owner && len(c.life.reads[id]) > 0 { // else it may not know that it owns it
			c.violate(ruleDrain, "", id, "the process returned without giving the shard up")
		}
		c.kept(id, *row)
		for _, r := range c.shard(id).recs {
			if r.early || c.life.skips(claim, r) || r.filtered(c.life.settings) {
				continue // what is about as old as the start may have been read, and hold the others up
			}
			if !c.life.finished[r] || c.life.tumbling > 0 && !c.life.closed[r] {
				break
			}
			if !row.covers(r) {
				c.violate(ruleDrain, r.key, id, "the process returned, and %s, up to which all has an outcome, is not covered", r)
				break
			}
		}
	}
}

// told checks at the end of a life that it has told of what it gave up. At the very instant it may not have come to that.
func (c *checker) told(e event) {
	for what, d := range c.life.untold {
		if d.at < e.at && c.owned(c.life, d.shard) {
			c.violate(ruleTold, "", d.shard, "%s: it was given up, and there is no notice %s", d, what)
		}
	}
	clear(c.life.untold)
}

// owned reports whether a life has its claim still, or has given it up.
func (c *checker) owned(l *lived, shard string) bool { return c.writer[shard] == l.n }

// context checks the end of a call's context.
func (c *checker) context(e event, call *call) {
	l := call.life
	if e.note != "ctx" || l.stopping && e.at >= l.stopped+l.drain || !c.owned(l, call.shard) {
		return
	}
	c.violate(ruleContext, "", call.shard, "the context of call %d ends", e.call)
}

// read checks the rate of reads. A call at the very instant at which a life begins was sent by the one before.
func (c *checker) read(e event) {
	if e.at == c.life.began {
		return
	}
	c.life.reads[e.shard] = append(c.life.reads[e.shard], e.at)
	reads := c.life.reads[e.shard]
	if n := len(reads); n > 5 && reads[n-1]-reads[n-6] < time.Second {
		c.violate(ruleRate, "", e.shard, "6 reads within %v", reads[n-1]-reads[n-6])
	}
}
