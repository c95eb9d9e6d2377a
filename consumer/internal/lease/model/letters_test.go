package model

// write sends a letter, with every fate that it can have.
func (x *search) write(w int, n letter) {
	n.from = x.from.workers[w].me
	st := step{act: actWrite, op: n.op, w: uint8(w), to: n.to}
	// Nobody waits for the answer to these: what they did is read.
	blind := n.op == fence || n.op == bury || n.op == child

	s, sent := x.from, n
	broken := s.arrive(&sent)
	if n.op == checkpoint || n.op == release || n.op == end {
		if done := x.from.holds[w][n.lease()].done; n.ck > done && (n.ck != ended || done < x.records) {
			broken = "S4: a record is passed that has no outcome"
		}
	}
	if !blind {
		s.answered(w, sent, x.rules)
	}
	x.emit(st, s, broken)
	if n.cond == changed || x.from.faults == 0 {
		return // a conflict, and no more
	}
	if !blind {
		s, sent = x.from, n
		s.arrive(&sent)
		s.unknown(w, n)
		s.faults--
		st.fate = unanswered
		x.emit(st, s, broken)
		s = x.from
		s.unknown(w, n)
		s.faults--
		st.fate = gone
		x.emit(st, s, "")
	}
	i, ok := x.from.room()
	if !ok {
		return
	}
	s = x.from
	if !blind {
		s.unknown(w, n)
	}
	s.net[i] = n
	s.faults--
	st.fate = late
	x.emit(st, s, "")
	if !blind {
		s = x.from
		s.net[i] = n
		s.net[i].waited = true
		s.sent(w, n)
		s.faults--
		st.fate = slow
		x.emit(st, s, "")
	}
}

// sent notes that a worker waits for the answer to a letter.
func (s *state) sent(w int, n letter) {
	if n.lease() < 0 {
		return
	}
	switch h := &s.holds[w][n.lease()]; {
	case n.op == claim && h.ph == unsure:
		h.ph = undoing
	case n.op == claim:
		h.ph = claiming
	case n.op == release || n.op == end:
		h.ph = releasing
	}
}

// answered tells a worker what became of its letter.
func (s *state) answered(w int, n letter, r rules) {
	p := &s.workers[w]
	rev := stale
	if n.cond == unchanged {
		rev = current
	}
	if n.lease() < 0 {
		switch {
		case n.said == conflict:
			p.rev = void
		case n.op == leave:
			s.down(w)
		default:
			p.joined, p.ack, p.rev = true, n.age, rev
			if r.replyTime {
				p.ack = 0
			}
		}
		return
	}
	h := &s.holds[w][n.lease()]
	switch {
	case n.said == conflict:
		s.unknown(w, n)
	case n.op == claim:
		*h = holding{ph: held, epoch: n.epoch, ck: n.ck, done: n.ck, rev: rev}
	case n.op == checkpoint:
		h.ck, h.rev = n.ck, rev
	default:
		*h = holding{}
	}
}

// unknown has a worker know nothing of a row, as its letter about it may have applied, or may yet.
func (s *state) unknown(w int, n letter) {
	if n.lease() < 0 {
		s.workers[w].rev = void
		return
	}
	switch h := &s.holds[w][n.lease()]; {
	case n.op == claim && (h.ph == unsure || h.ph == undoing):
		h.ph, h.rev = unsure, void
	case n.op == claim:
		*h = holding{} // it is claimed anew
	case n.op == checkpoint:
		h.rev = void
	default:
		h.ph, h.rev = unsure, void
	}
}

// letters lets what is under way arrive, be answered, be given up, or get lost.
func (x *search) letters() {
	for i, n := range x.from.net {
		if n.op == nothing || i > 0 && n == x.from.net[i-1] {
			continue
		}
		w := int(n.from) / lives
		st := step{op: n.op, w: uint8(w), to: n.to}
		if n.said == open {
			s, sent := x.from, n
			s.forget(i)
			broken := s.arrive(&sent)
			if n.waited {
				s.net[i] = sent
			}
			st.act = actArrive
			x.emit(st, s, broken)
		}
		s := x.from
		s.forget(i)
		switch {
		case !n.waited:
			st.act = actDrop
			x.emit(st, s, "")
			continue
		case x.from.workers[w].frozen:
			continue
		case n.said != open:
			s.answered(w, n, x.rules)
			st.act = actAnswer
			x.emit(st, s, "")
		}
		s = x.from
		if n.said == open {
			s.net[i].waited = false
		} else {
			s.forget(i)
		}
		s.unknown(w, n)
		st.act = actGiveUp
		x.emit(st, s, "")
	}
}
