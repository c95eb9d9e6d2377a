package model

// lease is what a worker does about a lease.
func (x *search) lease(w, l int) {
	p, h, r := x.from.workers[w], x.from.holds[w][l], x.from.rows[l]
	to, valid := uint8(members+l), x.from.valid(w, x.rules)
	x.handler(w, l)
	waits := x.from.waits(w, to)
	if p.over || waits {
		return
	}
	if valid && (h.ph == none && h.in == idle && !p.leaving || h.ph == unsure) {
		x.claim(w, l)
	}
	done := h.done
	if x.storeStarted && h.in == inside {
		done++
	}
	if h.ph == held && h.rev != void && done > h.ck && valid {
		c := h.rev.condition()
		switch {
		case x.storeAlways:
			c = always
		case x.storeSameOwner:
			c = sameOwner
		}
		x.write(w, letter{op: checkpoint, to: to, epoch: h.epoch, ck: done, was: p.me + 1, cond: c})
	}
	if (h.ph == held || h.ph == unsure) && h.rev != void && h.in == idle {
		x.close(w, l)
	}
	if h.rev != void {
		return
	}
	its := r.owner == p.me+1 && r.epoch == h.epoch
	switch h.ph {
	case held: // after a checkpoint of unknown result, or a conflict
		x.set(actReadBack, w, func(s *state) {
			if h := &s.holds[w][l]; its {
				h.rev, h.ck = current, r.ck
			} else {
				*h = holding{}
			}
		})
	case unsure:
		x.set(actReadBack, w, func(s *state) {
			switch h := &s.holds[w][l]; {
			case !its:
				*h = holding{}
			case x.resumeByReading:
				h.ph, h.rev, h.ck = held, current, r.ck
			default:
				h.rev = current
			}
		})
	}
}

// starts reports whether a worker may start a handler of a lease.
func (x *search) starts(w, l int) bool {
	h := x.from.holds[w][l]
	return h.in == idle && h.ph == held && h.done < x.records && x.from.valid(w, x.rules)
}

// handler starts and ends the handler of a lease.
func (x *search) handler(w, l int) {
	s, h := x.from, x.from.holds[w][l]
	st := step{act: actEnter, w: uint8(w), to: uint8(members + l)}
	switch {
	case x.starts(w, l) || h.in == checked:
		broken := ""
		switch {
		case x.from.members[x.from.workers[w].me].st == dead && !h.late:
			broken = "S7: a fenced incarnation starts a handler"
		case x.lineage && l == 1 && x.from.rows[0].ck != ended:
			broken = "S8: a child is delivered before its parent has ended"
		}
		s.holds[w][l].in = inside
		x.emit(st, s, broken)
	case h.in == inside:
		s.holds[w][l].in, s.holds[w][l].late = idle, false
		if h.ph == held && x.from.valid(w, x.rules) { // else its result does not count
			s.holds[w][l].done++
		}
		st.act = actFinish
		x.emit(st, s, "")
	}
}

// claim claims a lease, for the first time or to undo a release.
func (x *search) claim(w, l int) {
	p, r := x.from.workers[w], x.from.rows[l]
	if !r.there || r.ck == ended || x.lineage && l == 1 && x.from.rows[0].ck != ended && !x.childEarly {
		return
	}
	if r.owner != 0 && r.owner != p.me+1 && !x.claimAnybody {
		m := x.from.members[r.owner-1]
		if m.st != dead && !(x.absentIsDead && m.st == absent) && !(x.noFence && m.st != absent && m.age >= term) {
			return
		}
	}
	c := unchanged
	if x.claimSameOwner {
		c = sameOwner
	}
	x.write(w, letter{op: claim, to: uint8(members + l), epoch: r.epoch + 1, ck: r.ck, was: r.owner, cond: c})
}

// close releases or ends a lease whose handlers are idle, or does so again.
func (x *search) close(w, l int) {
	h, to := x.from.holds[w][l], uint8(members+l)
	c := h.rev.condition()
	x.write(w, letter{op: release, to: to, epoch: h.epoch + 1, ck: h.done, cond: c})
	if h.done != x.records {
		return
	}
	if x.lineage && l == 0 && !x.from.rows[1].there {
		x.write(w, letter{op: child, to: members + 1, epoch: 1, cond: ifAbsent})
		if !x.endFirst {
			return
		}
	}
	x.write(w, letter{op: end, to: to, epoch: h.epoch + 1, ck: ended, cond: c})
}
