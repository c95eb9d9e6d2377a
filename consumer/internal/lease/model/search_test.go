package model

import (
	"hash/maphash"
	"strings"
)

// roots are the states that a search starts from: two workers that are down, and two that have joined, of which the first
// holds a lease.
func (r rules) roots() []state {
	cold := state{faults: r.faults}
	cold.rows[0] = row{there: true, epoch: now}
	if r.pair {
		cold.rows[1] = row{there: true, epoch: now}
	}
	warm := cold
	warm.rows[0].owner = 1
	for w := range warm.workers {
		me := uint8(w * lives)
		warm.workers[w] = worker{up: true, me: me, joined: true, rev: current}
		warm.members[me].st = alive
	}
	warm.holds[0][0] = holding{ph: held, rev: current, epoch: now}
	return []state{cold, warm}
}

// result is what a search has found.
type result struct {
	states, steps int
	depth         int  // steps from a root
	complete      bool // there are no other states
	broken        string
	trace         []string // the shortest way to what is broken
}

type link struct {
	parent int32 // −1 for a root
	nth    int32 // of the steps that can follow it
}

// explore searches breadth first, to a depth, until an invariant is broken whose text starts with want. It shows each state
// to see.
func (r rules) explore(depth int, want string, see func(*state)) (found result) {
	type entry struct {
		s  state
		id int32
	}
	var (
		seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
		seen  = map[[2]uint64]struct{}{}
		links []link
		edge  []entry
	)
	add := func(s state, l link) (entry, bool) {
		digest := [2]uint64{maphash.Comparable(seeds[0], s), maphash.Comparable(seeds[1], s)}
		if _, ok := seen[digest]; ok {
			return entry{}, false
		}
		seen[digest] = struct{}{}
		see(&s)
		links = append(links, l)
		return entry{s, int32(len(links) - 1)}, true
	}
	for i, s := range r.roots() {
		e, _ := add(s, link{-1, int32(i)})
		edge = append(edge, e)
	}
	for ; len(edge) > 0 && found.depth < depth; found.depth++ {
		var next []entry
		for _, e := range edge {
			nth := int32(0)
			x := search{rules: r, from: e.s}
			x.yield = func(_ step, s state, broken string) {
				found.steps++
				if broken != "" && found.broken == "" && strings.HasPrefix(broken, want) {
					found.broken = broken
					found.trace = r.trace(append(links, link{e.id, nth}))
				}
				if e, ok := add(s, link{e.id, nth}); ok {
					next = append(next, e)
				}
				nth++
			}
			x.all()
			if found.broken != "" {
				found.states = len(links)
				return found
			}
		}
		edge = next
	}
	found.states, found.complete = len(links), len(edge) == 0
	return found
}
