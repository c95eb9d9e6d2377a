package model

import "slices"

// A rare is a kind of state that a search has to reach, or it proves little.
type rare struct {
	name string
	is   func(*state) bool
}

func rares() []rare {
	hold := func(is func(worker, holding) bool) func(*state) bool {
		return func(s *state) bool {
			for w, p := range s.workers {
				for _, h := range s.holds[w] {
					if is(p, h) {
						return true
					}
				}
			}
			return false
		}
	}
	lease := func(is func(*state, row) bool) func(*state) bool {
		return func(s *state) bool {
			return is(s, s.rows[0]) || is(s, s.rows[1])
		}
	}
	return []rare{
		{"a lease of a dead member", lease(func(s *state, r row) bool { return r.owner != 0 && s.members[r.owner-1].st == dead })},
		{"a lease of a member without a row", lease(func(s *state, r row) bool { return r.owner != 0 && s.members[r.owner-1].st == absent })},
		{"a member that was buried", func(s *state) bool {
			return slices.ContainsFunc(s.members[:], func(m member) bool { return m.st == lost })
		}},
		{"a member whose old join came late", func(s *state) bool {
			return slices.ContainsFunc(s.members[:], func(m member) bool { return m.old })
		}},
		{"two letters under way", func(s *state) bool { return s.net[0].op != nothing && s.net[1].op != nothing }},
		{"a lease lost unawares", hold(func(p worker, h holding) bool { return h.ph == held && h.epoch < now && h.rev == stale })},
		{"a lease held past validity", hold(func(p worker, h holding) bool { return h.ph == held && p.ack >= valid && !p.over })},
		{"a handler past its time", hold(func(p worker, h holding) bool { return h.in == inside && h.late })},
		{"a handler of an incarnation that knows it is dead", hold(func(p worker, h holding) bool { return h.in == inside && p.over })},
		{"a release of unknown result", hold(func(p worker, h holding) bool { return h.ph == unsure && h.rev == current })},
		{"a release that is undone", hold(func(p worker, h holding) bool { return h.ph == undoing })},
		{"work on two leases", func(s *state) bool { return s.holds[0][0].in == inside && s.holds[0][1].in == inside }},
		{"work of both workers", func(s *state) bool { return s.holds[0][0].in == inside && s.holds[1][1].in == inside }},
		{"a child that has ended", func(s *state) bool { return s.rows[0].ck == ended && s.rows[1].ck == ended }},
	}
}
