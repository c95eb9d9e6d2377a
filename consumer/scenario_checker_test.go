package consumer_test

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/shardlane/shardlane/consumer/kinesistest"
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
	ruleLost     = "lost"     // every record is handled successfully (I1)
	ruleEarly    = "early"    // no record from before the start position is handled
	ruleOrder    = "order"    // a record starts when all earlier ones of its key have succeeded or stand before it (I4)
	ruleOverlap  = "overlap"  // no two calls hold records of one key (I5)
	ruleBatch    = "batch"    // a call has one shard, ascending, within the batch size (I11)
	ruleMark     = "mark"     // at any write, all records that the checkpoint covers have succeeded (I2)
	ruleRow      = "row"      // epochs and checkpoints never go back; a new owner has a new epoch; END is final (S1-S3)
	ruleParents  = "parents"  // no record of a child starts before the ends of all parents are stored (S8)
	ruleChildren = "children" // the end of a shard is stored after the rows of all its children (coordination of resharding)
	ruleTwice    = "twice"    // what a process has handled, it does not handle again
	ruleRerun    = "rerun"    // what a stored checkpoint covers never comes again (S11)
	ruleResume   = "resume"   // a process begins at the checkpoint that it claimed, and leaves nothing out (contract 2)
	ruleDrain    = "drain"    // a process that stopped cleanly owns nothing, and has stored what it has handled
	ruleLive     = "live"     // Run returns when it is asked to and only then, and all is handled soon after the last fault (V2, V4)
	ruleRate     = "rate"     // a process reads a shard 5 times a second at most (I17)
)

// A truth is what was put to the stream, as the checkers look it up.
type truth struct {
	recs   map[string]*rec
	keys   map[string][]*rec // in the order in which they were put
	shards map[string]*shardTruth
}

type rec struct {
	seq, key, shard string
	n               int // of its key
	required, early bool
	ordinal         int // in its shard
}

type shardTruth struct {
	kinesistest.ShardInfo
	recs    []*rec
	inScope bool
}

// truth arranges the records of a history. A key's records in a child follow those in its parents.
func (h *history) truth() *truth {
	t := &truth{recs: map[string]*rec{}, keys: map[string][]*rec{}, shards: map[string]*shardTruth{}}
	for _, info := range h.shards { // in order of creation: parents first
		sh := &shardTruth{ShardInfo: info, inScope: h.inScope(info)}
		t.shards[info.ID] = sh
		for i, r := range info.Records {
			x := &rec{seq: r.SequenceNumber, key: r.PartitionKey, shard: info.ID, required: h.required(r), early: h.early(r), ordinal: i}
			x.n = len(t.keys[x.key])
			t.keys[x.key] = append(t.keys[x.key], x)
			t.recs[x.seq] = x
			sh.recs = append(sh.recs, x)
		}
	}
	return t
}

// A checker goes through a history once, event by event, with what has happened so far by record, key and shard.
type checker struct {
	*truth
	h     *history
	found []violation
	i     int // of the event

	succeeded map[*rec]bool
	calls     map[int]*call
	running   map[string]int // call by key
	next      map[string]int // first record of the key that has not succeeded and is required
	rows      map[string]*row
	ended     map[string]bool            // shards whose END was stored
	resolved  map[string]int             // by shard: leading records that have succeeded or are not required
	reads     map[string][]time.Duration // by shard, of this life

	// Of this life.
	life     int
	began    time.Duration
	claims   map[string]row
	started  map[*rec]bool
	finished map[*rec]bool
}

type call struct {
	life  int
	shard string
	recs  []*rec
}

// check returns the promises that a history breaks, in the order of its events.
func (h *history) check() []violation {
	c := &checker{
		truth: h.truth(), h: h, succeeded: map[*rec]bool{}, calls: map[int]*call{}, running: map[string]int{},
		ended: map[string]bool{}, next: map[string]int{}, rows: map[string]*row{}, resolved: map[string]int{}, found: slices.Clone(h.seen),
	}
	c.begin(event{life: -1})
	for i, e := range h.events {
		c.i = i
		switch e.kind {
		case evBegan:
			c.begin(e)
		case evStart:
			c.start(e)
		case evSucceeded, evFailed:
			c.end(e)
		case evCut:
			clear(c.running)
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
			if r.required && !c.succeeded[r] {
				c.violate(ruleLost, r.key, r.shard, "%s was never handled", r)
			}
		}
	}
	slices.SortStableFunc(c.found, func(a, b violation) int { return cmp.Compare(uint(a.event), uint(b.event)) })
	return c.found
}

func (r *rec) String() string {
	return fmt.Sprintf("%s#%d of %s (%s)", r.key, r.n, r.shard, short(r.seq))
}

func (c *checker) violate(rule, key, shard, format string, args ...any) {
	c.found = append(c.found, violation{rule, fmt.Sprintf(format, args...), c.i, key, shard})
}

func (c *checker) begin(e event) {
	c.life, c.began, c.claims = e.life, e.at, map[string]row{}
	c.started, c.finished = map[*rec]bool{}, map[*rec]bool{}
	c.reads = map[string][]time.Duration{}
}

// start checks what a handler is given.
func (c *checker) start(e event) {
	call := &call{life: e.life, shard: e.shard}
	c.calls[e.call] = call
	if len(e.seqs) == 0 || len(e.seqs) > c.h.batchSize {
		c.violate(ruleBatch, "", e.shard, "%d records in a call", len(e.seqs))
	}
	c.parents(e)
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
		if r.early {
			c.violate(ruleEarly, r.key, r.shard, "%s is older than the start position", r)
		}
		c.order(r, before)
		if c.finished[r] {
			c.violate(ruleTwice, r.key, r.shard, "%s starts again in the life that has handled it", r)
		}
		if row := c.rows[r.shard]; row != nil && row.covers(r.seq) {
			c.violate(ruleRerun, r.key, r.shard, "%s starts although the checkpoint %s covers it", r, short(row.Ck))
		}
		c.resume(r, before)
		c.started[r] = true
	}
}

// order checks that everything before a record of its key has succeeded, or stands before it in its slice.
func (c *checker) order(r, before *rec) {
	keys := c.keys[r.key]
	n := c.next[r.key]
	for n < len(keys) && (c.succeeded[keys[n]] || !keys[n].required) {
		n++
	}
	c.next[r.key] = n
	if n >= r.n || before != nil && before.n == r.n-1 {
		return // of what stands before it in the slice, the same was asked
	}
	for _, q := range keys[n:r.n] {
		if q.required && !c.succeeded[q] && (before == nil || q.n > before.n) {
			c.violate(ruleOrder, r.key, r.shard, "%s starts before %s has succeeded", r, q)
			return
		}
	}
}

// resume checks that the record before it, of its key and shard, was started in this life, too, unless the checkpoint
// that was claimed covers it.
func (c *checker) resume(r, before *rec) {
	if r.n == 0 || c.started[r] {
		return
	}
	q := c.keys[r.key][r.n-1]
	if q.shard != r.shard || !q.required || c.started[q] || q == before {
		return
	}
	if claim, ok := c.claims[r.shard]; !ok || !claim.covers(q.seq) {
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
		if c.shards[p].inScope && !c.ended[p] {
			c.violate(ruleParents, "", e.shard, "a record starts before the end of parent %s is stored", p)
		}
	}
}

// end takes the outcome of a call.
func (c *checker) end(e event) {
	call := c.calls[e.call]
	for _, r := range call.recs {
		if c.running[r.key] == e.call {
			delete(c.running, r.key)
		}
		if e.kind == evSucceeded {
			c.succeeded[r], c.finished[r] = true, true
		}
	}
}

// prefix returns how many leading records of a shard are resolved.
func (c *checker) prefix(shard string) int {
	sh, n := c.shards[shard], c.resolved[shard]
	for n < len(sh.recs) && (!sh.recs[n].required || c.succeeded[sh.recs[n]]) {
		n++
	}
	c.resolved[shard] = n
	return n
}

// write checks an accepted write of a shard's row.
func (c *checker) write(e event) {
	sh, old := c.shards[e.shard], c.rows[e.shard]
	if sh == nil {
		c.violate(ruleRow, "", e.shard, "a row of a shard that there is not")
		return
	}
	if n := c.prefix(e.shard); n < len(sh.recs) && e.row.covers(sh.recs[n].seq) {
		c.violate(ruleMark, sh.recs[n].key, e.shard, "%s is stored, and %s has not succeeded", short(e.row.Ck), sh.recs[n])
	}
	if e.row.Ck == endMark && !sh.Closed {
		c.violate(ruleMark, "", e.shard, "END of an open shard")
	}
	if e.row.Ck == endMark {
		c.ended[e.shard] = true
		for _, child := range sh.Children {
			if c.rows[child] == nil {
				c.violate(ruleChildren, "", e.shard, "END is stored, and child %s has no row", child)
			}
		}
	}
	c.row(old, e)
	if e.kind == evClaimed {
		c.claims[e.shard] = e.row
	}
	stored := e.row
	c.rows[e.shard] = &stored
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
	if e.note != "" {
		return
	}
	for id, row := range c.rows {
		claim, mine := c.claims[id]
		if !mine || row.Ck == endMark {
			continue
		}
		if row.Owner == claim.Owner && len(c.reads[id]) > 0 { // else it may not know that it owns it
			c.violate(ruleDrain, "", id, "the process returned without giving the shard up")
		}
		for _, r := range c.shards[id].recs {
			if !r.required || claim.covers(r.seq) {
				continue
			}
			if !c.finished[r] {
				break
			}
			if !row.covers(r.seq) {
				c.violate(ruleDrain, r.key, id, "the process returned, and %s, all before which it has handled, is not covered", r)
				break
			}
		}
	}
}

// read checks the rate of reads. A call at the very instant at which a life begins was sent by the one before.
func (c *checker) read(e event) {
	if e.at == c.began {
		return
	}
	c.reads[e.shard] = append(c.reads[e.shard], e.at)
	reads := c.reads[e.shard]
	if n := len(reads); n > 5 && reads[n-1]-reads[n-6] < time.Second {
		c.violate(ruleRate, "", e.shard, "6 reads within %v", reads[n-1]-reads[n-6])
	}
}
