package model

import "fmt"

// meets reports whether a letter's condition holds when it arrives.
func (s *state) meets(n letter) bool {
	switch l := n.lease(); n.cond {
	case unchanged:
		return true // else it would say changed
	case ifAbsent:
		if l < 0 {
			return s.members[n.to].st == absent
		}
		return !s.rows[l].there
	case sameOwner:
		return s.rows[l].owner == n.was
	case always:
		return true
	default:
		return false
	}
}

// arrive lets a letter take effect, if its condition holds, and notes the answer in it. It returns what the write breaks.
func (s *state) arrive(n *letter) (broken string) {
	if !s.meets(*n) {
		n.said = conflict
		return ""
	}
	broken = s.judge(*n)
	switch n.op {
	case join, beat, fence, bury:
		p := s.workers[n.from/lives]
		s.members[n.to] = member{st: n.st, sent: n.age, old: n.op == join && p.up && p.me == n.from && p.joined}
	case leave:
		s.members[n.to] = member{}
	case claim:
		s.rows[n.lease()] = row{there: true, owner: n.from + 1, epoch: n.epoch, ck: n.ck}
	case checkpoint:
		s.rows[n.lease()] = row{there: true, owner: n.from + 1, epoch: n.epoch, ck: n.ck}
	case release, end, child:
		s.rows[n.lease()] = row{there: true, epoch: n.epoch, ck: n.ck}
	default:
		panic(n.op)
	}
	s.change(n.to)
	n.said, n.cond = applied, unchanged
	return broken
}

// change voids every revision of a row that anybody knows or has sent.
func (s *state) change(to uint8) {
	for i := range s.net {
		n := &s.net[i]
		if n.op == nothing || n.to != to || n.cond != unchanged {
			continue
		}
		n.cond = changed
		switch {
		case !n.waited:
			s.forget(i)
		case n.said == open:
			n.said = conflict
		}
	}
	for w := range s.workers {
		if p := &s.workers[w]; p.up && p.me == to && p.rev == current {
			p.rev = stale
		}
	}
	if l := int(to) - members; l >= 0 {
		for w := range s.holds {
			if h := &s.holds[w][l]; h.rev == current {
				h.rev = stale
			}
		}
	}
}

// judge returns which invariant a write breaks that is about to apply.
func (s *state) judge(n letter) string {
	if n.lease() < 0 {
		if m := s.members[n.to]; m.st == dead && n.op != fence {
			return "S7: the row of a fenced member changes"
		}
		return ""
	}
	r, by := s.rows[n.lease()], n.from+1
	switch {
	case n.op == child:
		return ""
	case r.ck == ended:
		return fmt.Sprintf("S2: %s after the end", n.op)
	case n.ck < r.ck:
		return "S2: the checkpoint goes back"
	case n.op == checkpoint && n.epoch != r.epoch, n.op != checkpoint && n.epoch != r.epoch+1:
		return fmt.Sprintf("S1: %s takes epoch %d to %d", n.op, r.epoch, n.epoch)
	case n.op != claim && r.owner != by:
		return fmt.Sprintf("S3: %s by somebody who does not own the lease", n.op)
	case n.op == claim && r.owner != 0 && r.owner != by && s.lives(r.owner-1):
		return "S6: a lease of a live member is claimed"
	}
	return ""
}

func (s *state) lives(m uint8) bool {
	return s.members[m].st == alive || s.members[m].st == leaving
}

// broken returns which invariant a state breaks.
func (s *state) broken(r rules) string {
	if r.lineage && s.rows[0].ck == ended && !s.rows[1].there {
		return "S9: a shard has ended without its child"
	}
	for l := range s.rows {
		n := 0
		for w := range s.workers {
			// A handler that a freeze took past its time counts while its worker is still valid.
			if h := s.holds[w][l]; h.in == inside && (!h.late || s.valid(w, r)) {
				n++
			}
		}
		if n > 1 {
			return "S5: two handlers at once"
		}
	}
	return ""
}
