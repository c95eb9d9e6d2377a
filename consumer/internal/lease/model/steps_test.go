package model

// search is one enumeration of the steps that can follow a state.
type search struct {
	rules
	from  state
	yield func(step, state, string)
}

func (x *search) emit(st step, s state, broken string) {
	if broken == "" {
		broken = s.broken(x.rules)
	}
	s.canonical()
	if broken != "" || s != x.from {
		x.yield(st, s, broken)
	}
}

// all yields every state that can follow.
func (x *search) all() {
	x.tick()
	for w := range x.from.workers {
		switch p := &x.from.workers[w]; {
		case !p.up:
			x.start(w)
		case p.frozen:
			x.set(actWake, w, func(s *state) { s.workers[w].frozen = false })
		default:
			x.crash(w)
			x.freeze(w)
			x.membership(w)
			x.others(w)
			for l := range x.leases() {
				x.lease(w, l)
			}
		}
	}
	for m := range x.from.members {
		if x.from.members[m].st != absent && x.from.faults > 0 {
			x.remove(actDelete, m)
		}
	}
	x.letters()
}

// valid reports whether a worker may start handlers.
func (s *state) valid(w int, r rules) bool {
	p := s.workers[w]
	return p.up && p.joined && !p.over && (r.noSelfFence || p.ack < r.validity())
}

// set yields the state after a change of one worker.
func (x *search) set(a act, w int, change func(*state)) {
	s := x.from
	change(&s)
	x.emit(step{act: a, w: uint8(w)}, s, "")
}

// tick lets time pass. Handlers that are past their time by term − valid have ended then, but for those of a frozen worker.
func (x *search) tick() {
	s := x.from
	limit := x.validity() + term - valid
	older := func(age *uint8) { *age = min(*age+1, limit) }
	for i := range s.members {
		older(&s.members[i].age)
		older(&s.members[i].sent)
	}
	for i := range s.net {
		if o := s.net[i].op; o == join || o == beat {
			older(&s.net[i].age)
		}
	}
	for w := range s.workers {
		p := &s.workers[w]
		if !p.joined {
			continue
		}
		older(&p.ack)
		if p.ack < limit || x.noSelfFence && !p.over {
			continue
		}
		for l := range s.holds[w] {
			switch h := &s.holds[w][l]; {
			case h.in == idle:
			case p.frozen:
				h.late = true
			default:
				h.in, h.late = idle, false
			}
		}
	}
	x.emit(step{act: actTick}, s, "")
}

// start starts a worker that is down, as an incarnation whose row nobody names.
func (x *search) start(w int) {
	if me, ok := x.from.life(w); ok {
		x.set(actStart, w, func(s *state) { s.workers[w] = worker{up: true, me: me} })
	}
}

func (x *search) crash(w int) {
	if x.from.faults > 0 {
		x.set(actCrash, w, func(s *state) {
			s.down(w)
			s.faults--
		})
	}
}

// freeze stops a worker, anywhere: between a handler's check of validity and its start as well.
func (x *search) freeze(w int) {
	if x.from.faults == 0 {
		return
	}
	x.set(actFreeze, w, func(s *state) {
		s.workers[w].frozen = true
		s.faults--
	})
	for l := range x.leases() {
		if x.starts(w, l) {
			x.set(actFreezeChecked, w, func(s *state) {
				s.workers[w].frozen, s.holds[w][l].in = true, checked
				s.faults--
			})
		}
	}
}

// down ends a process. Its letters may still arrive.
func (s *state) down(w int) {
	s.workers[w], s.holds[w] = worker{}, [leases]holding{}
	s.abandon(func(n letter) bool { return int(n.from)/lives == w })
}

// abandon has nobody wait for some letters.
func (s *state) abandon(which func(letter) bool) {
	for i := range s.net {
		if n := &s.net[i]; n.op != nothing && n.waited && which(*n) {
			n.waited = false
			if n.said != open {
				s.forget(i)
			}
		}
	}
}

// remove deletes a member row.
func (x *search) remove(a act, m int) {
	s := x.from
	s.members[m] = member{}
	s.change(uint8(m))
	if a == actDelete {
		s.faults--
	}
	x.emit(step{act: a, to: uint8(m)}, s, "")
}

// die is what a worker does that learns of its death: it drops everything, and its handlers are cut.
func (s *state) die(w int, r rules) {
	p := &s.workers[w]
	p.over, p.rev = true, void
	p.ack = max(p.ack, r.validity())
	s.abandon(func(n letter) bool { return n.from == p.me })
	for l := range s.holds[w] {
		h := &s.holds[w][l]
		*h = holding{in: h.in, late: h.late}
	}
}

// membership is what a worker does about its own row.
func (x *search) membership(w int) {
	p := x.from.workers[w]
	switch m := x.from.members[p.me]; {
	case p.over:
	case x.from.waits(w, p.me):
	case !p.joined && p.rev == void:
		x.write(w, letter{op: join, to: p.me, st: alive, cond: ifAbsent})
		fallthrough
	case p.rev == void: // after a write of unknown result
		x.set(actRead, w, func(s *state) {
			p := &s.workers[w]
			switch {
			case s.lives(p.me) && (!m.old || !p.joined || x.takeOldJoin):
				p.joined, p.ack, p.rev = true, m.sent, current
			case p.joined || m.st != absent:
				s.die(w, x.rules)
			}
		})
	default:
		st := alive
		if p.leaving {
			st = leaving
		} else if x.from.faults > 0 {
			x.set(actRetire, w, func(s *state) {
				s.workers[w].leaving = true
				s.faults--
			})
		}
		x.write(w, letter{op: beat, to: p.me, st: st, cond: p.rev.condition()})
		if p.leaving && x.from.holds[w] == [leases]holding{} {
			x.write(w, letter{op: leave, to: p.me, cond: p.rev.condition()})
		}
	}
}

func (r revision) condition() condition {
	if r == current {
		return unchanged
	}
	return changed
}

// others is what a worker does about the rows of others.
func (x *search) others(w int) {
	for m := range x.from.members {
		if uint8(m) == x.from.workers[w].me {
			continue
		}
		named := x.from.owns(uint8(m))
		switch row := x.from.members[m]; {
		case row.st == absent && named:
			x.write(w, letter{op: bury, to: uint8(m), st: lost, cond: ifAbsent})
		case row.st == dead && !named:
			x.remove(actCollect, m)
		case row.st != absent && row.st != dead && row.age >= term:
			c := unchanged
			if x.fenceAnyway {
				c = always
			}
			x.write(w, letter{op: fence, to: uint8(m), st: dead, cond: c})
		}
	}
}
