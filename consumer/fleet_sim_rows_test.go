package consumer_test

import (
	"slices"
	"strings"
	"time"
)

// write checks an accepted write of a shard's row.
func (c *simChecker) write(e simEvent) {
	sh := c.shards[e.shard]
	old, now := sh.row, e.row
	c.marks(sh, e)
	sh.row = &now
	if e.kind != evMarked {
		sh.moved = e.at
	}
	if now.Owner != "" && !slices.Contains(sh.owners, now.Owner) {
		defer func() { sh.owners = append(sh.owners, now.Owner) }()
	}
	if e.kind == evCreated || old == nil {
		c.created(sh, e)
		return
	}
	if c.w.still > 0 && e.at >= c.w.still && !c.finished && (e.kind == evClaimed || e.kind == evReleased) {
		c.violate(simQuiet, nil, e.shard, "%s: %s to epoch %d", e.who, e.kind, now.Epoch)
	}
	bad := func(what string) {
		c.violate(simRows, nil, e.shard, "%s %s %v onto %v: %s", e.who, e.kind, now, *old, what)
	}
	switch {
	case old.Ck == endMark:
		bad("it has ended")
	case now.Ck < old.Ck:
		bad("the checkpoint goes back")
	}
	epoch := old.Epoch
	if e.kind != evMarked {
		epoch++
	}
	if now.Epoch != epoch {
		bad("the epoch")
	}
	if e.kind == evClaimed {
		c.claimed(sh, old, e)
		return
	}
	if workerOf(old.Owner) != e.who || e.kind == evMarked && now.Owner != old.Owner {
		bad("it is not the owner")
	}
	if e.kind == evMarked {
		return
	}
	for _, call := range c.running {
		if call.shard == e.shard && call.who == e.who && !call.stale {
			c.violate(simOpen, nil, e.shard, "%s: %s, and call %d runs", e.who, e.kind, call.call)
		}
	}
	for _, call := range c.held {
		if call.shard == e.shard && call.who == e.who {
			c.violate(simOpen, nil, e.shard, "%s: %s, and call %d is about to start", e.who, e.kind, call.call)
		}
	}
	if e.kind == evEnded {
		c.ended(sh, e)
		return
	}
	for _, r := range sh.recs {
		if r.outcome && r.clean && r.by == e.who && r.epoch == old.Epoch && !now.has(r) {
			c.violate(simHandOver, r, e.shard, "%s releases the shard at %s, and %v, which it has handled, comes again", e.who, short(now.Ck), r)
			return
		}
	}
}

// stray checks that a worker reads a shard that is not its own no longer than it may take to find out.
func (c *simChecker) stray(e simEvent) {
	sh, l := c.shards[e.shard], c.lives[e.who]
	since := max(sh.moved, l.paused, c.outage[1])
	if sh.row != nil && !sh.tampered && e.at-since > simTerm+5*time.Second {
		c.violate(simReads, nil, e.shard, "%s reads it %v after it could know that it is %q's", e.who, e.at-since, sh.row.Owner)
	}
}

// marks checks that a row is not ahead of what has an outcome.
func (c *simChecker) marks(sh *simShard, e simEvent) {
	for sh.prefix < len(sh.recs) && sh.recs[sh.prefix].outcome {
		sh.prefix++
	}
	for _, r := range sh.recs[sh.prefix:] {
		if !r.outcome && e.row.has(r) {
			c.violate(simMark, r, e.shard, "%s stores %s, and %v has no outcome", e.who, short(e.row.Ck), r)
			return
		}
		if r.place > e.row.Ck && len(e.row.done) == 0 {
			return
		}
	}
}

// created checks a row that is put where there was none.
func (c *simChecker) created(sh *simShard, e simEvent) {
	switch own := c.lives[e.who].id; {
	case !sh.tampered:
		if e.row.Owner != "" || e.row.Epoch != 0 {
			c.violate(simRows, nil, e.shard, "%s puts a row %v", e.who, e.row)
		}
	case e.row.Owner == own && sh.last.Owner == own:
		c.w.counts["row put back by its owner"]++
		if e.row.Epoch != sh.last.Epoch+1 || e.row.Ck < sh.last.Ck {
			c.violate(simRows, nil, e.shard, "%s puts a row %v back after %v", e.who, e.row, sh.last)
		}
	default: // as it was last seen there; who owned it knows what it has handled since
		c.w.counts["row put back by another"]++
		if e.row.Epoch > sh.last.Epoch+1 || e.row.Ck > sh.last.Ck && workerOf(sh.last.Owner) != e.who || e.row.Owner != "" && !slices.Contains(sh.owners, e.row.Owner) {
			c.violate(simRows, nil, e.shard, "%s puts a row %v, which never was, back after %v", e.who, e.row, sh.last)
		}
	}
}

// claimed checks from whom a shard is taken.
func (c *simChecker) claimed(sh *simShard, old *row, e simEvent) {
	if workerOf(e.row.Owner) != e.who || e.row.Ck != old.Ck {
		c.violate(simRows, nil, e.shard, "%s claims with %v onto %v", e.who, e.row, *old)
	}
	if l := c.lives[e.who]; l.fenced {
		c.w.counts["fenced worker has a shard again"]++
	}
	if old.Owner == "" || old.Owner == e.row.Owner {
		return
	}
	c.w.counts["took over"]++
	if m := c.members[old.Owner]; m == nil || m.absent || m.st != simDeadRow {
		c.violate(simTakes, nil, e.shard, "%s takes it from %s, which is %v", e.who, old.Owner, m)
	}
	if m := c.members[e.row.Owner]; m != nil && m.st == simDeadRow {
		c.w.counts["claimed by one who had just been declared dead"]++
	}
}

// ended checks that the rows of all children are put before a shard's end is stored.
func (c *simChecker) ended(sh *simShard, e simEvent) {
	if !sh.Closed {
		c.violate(simMark, nil, e.shard, "%s stores the end of an open shard", e.who)
	}
	c.enders[e.shard] = e.who
	if e.late {
		c.w.counts["end came late"]++
	}
	for _, child := range sh.Children {
		s := c.shards[child]
		for _, p := range s.Parents {
			if other := c.shards[p]; p != e.shard && !other.ended() && other.prefix < len(other.recs) {
				c.w.counts["a parent ended while the other was read"]++
			}
		}
		if s.row == nil && !s.tampered {
			c.violate(simOrphans, nil, e.shard, "%s stores its end, and child %s has no row", e.who, child)
		}
		if p := s.Parents; len(p) == 2 && c.enders[p[0]] != "" && c.enders[p[1]] != "" && c.enders[p[0]] != c.enders[p[1]] {
			c.w.counts["two workers have ended the parents of a merge"]++
		}
	}
}

// member checks a write of a worker's row.
func (c *simChecker) member(e simEvent) {
	m := c.members[e.member]
	if m == nil {
		m = &simStanding{absent: true}
		c.members[e.member] = m
	}
	inc, _, _ := strings.Cut(e.note, ".")
	own := strings.HasSuffix(e.member, "/"+inc)
	if own {
		c.lives[e.who].id = e.member
	}
	switch {
	case own && (m.st == simDeadRow || m.st == "LOST") && !m.absent:
		c.violate(simUndead, nil, "", "%s writes %s over its row, which is %s", e.who, e.st, m.st)
	case own && e.st != "ALIVE" && e.st != "LEAVING":
		c.violate(simUndead, nil, "", "%s says that it is %s itself", e.who, e.st)
	case own && m.absent && c.lives[e.who].fenced:
		c.w.counts["fenced worker has joined again"]++
	case own:
	case e.st == "LOST" && m.absent:
		m.lost = true
		c.w.counts["buried"]++
	case e.st == simDeadRow && !m.absent && m.st != simDeadRow:
		c.fenced(m, e)
	default:
		c.violate(simUndead, nil, "", "%s writes %s over the row of %s, which is %+v", e.who, e.st, e.member, *m)
	}
	m.st, m.at, m.absent = e.st, e.at, false
}

// fenced checks that who is declared dead has shown no life, and had a reason.
func (c *simChecker) fenced(m *simStanding, e simEvent) {
	l := c.lives[workerOf(e.member)]
	if e.at-m.at < simTerm {
		c.violate(simFences, nil, "", "%s declares %s dead %v after its last sign of life", e.who, e.member, e.at-m.at)
	}
	c.w.counts["fenced"]++
	if !e.late && c.outage[1] < e.at && e.at-c.outage[1] < simTerm && c.outage[1]-c.outage[0] >= simBlind {
		c.violate(simHealthy, nil, "", "%s declares %s dead %v after an outage of %v", e.who, e.member, e.at-c.outage[1], c.outage[1]-c.outage[0])
	}
	if l.dead || l.over {
		return
	}
	c.w.counts["fenced while it lives"]++
	l.fenced = true
	if !m.lost && e.at-l.paused > simTerm+5*time.Second {
		c.violate(simHealthy, nil, "", "%s declares %s dead, which has not been cut off", e.who, e.member)
	}
}

const (
	simTerm  = 10 * time.Second // a worker's row must stay unchanged for as long before it is declared dead
	simBlind = 7 * time.Second  // who could not look for as long does not know what is unchanged
)

// deleted checks who deletes a row.
func (c *simChecker) deleted(e simEvent) {
	if e.shard != "" {
		sh := c.shards[e.shard]
		if sh.row != nil {
			sh.last = *sh.row
		}
		sh.row = nil
		if sh.tampered = true; e.who != "hand" {
			c.violate(simLeaves, nil, e.shard, "%s deletes its row", e.who)
		}
		return
	}
	m := c.members[e.member]
	if e.who == "hand" {
		m.absent, m.lost = true, true
		return
	}
	if workerOf(e.member) != e.who && m.st != simDeadRow {
		c.violate(simLeaves, nil, "", "%s deletes the row of %s, which is %s", e.who, e.member, m.st)
	}
	for id, sh := range c.shards {
		if sh.row != nil && sh.row.Owner == e.member {
			c.violate(simLeaves, nil, id, "%s deletes the row of %s, which has the shard", e.who, e.member)
		}
	}
	m.absent = true
}
