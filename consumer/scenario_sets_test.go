package consumer_test

import (
	"maps"
	"slices"
)

// brokenBySets returns the rules that a history breaks, sorted, of those that sets can tell. It is the second checker: it
// remembers nothing from event to event but looks at the whole history for each, in the words of the rule, so that a
// mistake in the bookkeeping of the first shows.
func (h *history) brokenBySets() []string {
	t := h.truth()
	broken := map[string]bool{}
	starts, writes := map[int][]int{}, map[string][]int{} // by life, by shard
	ends := map[int]event{}                               // of calls
	endOf := map[int]int{}                                // index of a call's end, or of the cut of its life
	firstSuccess := map[*rec]int{}                        // index of the first outcome, by record
	discards := map[int][]int{}                           // by life
	recs := map[int][]string{}                            // records of calls
	lives := map[int]*settings{}
	life := &plainSettings   // that has begun
	unseen := map[*rec]int{} // index of the first write that passed what its life may have given an outcome unseen
	begun := make([]*settings, 0, len(h.events))
	strays := h.strays()
	for i, e := range h.events {
		if e.kind == evBegan {
			life = e.settings
			lives[e.life] = life
		}
		begun = append(begun, life)
		if strays[i] {
			continue
		}
		switch e.kind {
		case evStart:
			starts[e.life] = append(starts[e.life], i)
			recs[e.call] = e.seqs
			endOf[e.call] = len(h.events)
		case evSucceeded, evFailed, evProgress, evDiscarded:
			if e.kind == evDiscarded {
				discards[e.life] = append(discards[e.life], i)
			} else {
				ends[e.call], endOf[e.call] = e, i
			}
			for _, seq := range e.resolves(recs[e.call]) {
				if r := t.recs[seq]; r != nil && firstSuccess[r] == 0 {
					firstSuccess[r] = i
				}
			}
		case evCut:
			for _, start := range starts[e.life] {
				endOf[h.events[start].call] = min(endOf[h.events[start].call], i)
			}
		case evCreated, evClaimed, evMarked, evReleased, evEnded:
			writes[e.shard] = append(writes[e.shard], i)
			for _, r := range t.shard(e.shard).recs {
				if unseen[r] == 0 && e.row.holds(r) && r.unseen(lives[e.life], e.at) {
					unseen[r] = i
				}
			}
		}
	}
	succeededBy := func(r *rec, i int) bool {
		at, passed := firstSuccess[r], unseen[r] // an end is never the first event, and a write neither
		return at > 0 && at < i || passed > 0 && passed < i || r.unseen(begun[i], h.events[i].at)
	}
	last := len(h.events) - 1
	for _, r := range t.recs {
		if h.replaced == 0 && r.required && !succeededBy(r, last) && firstSuccess[r] != last {
			broken[ruleLost] = true
		}
	}
	for shard, indexes := range writes {
		for _, i := range indexes {
			if h.events[i].row.Ck == endMark && !t.shard(shard).Closed {
				broken[ruleMark] = true
			}
			for _, r := range t.shard(shard).recs {
				if r.required && h.events[i].row.holds(r) && !succeededBy(r, i) && unseen[r] != i {
					broken[ruleMark] = true
				}
			}
		}
	}
	for life, of := range starts {
		done := map[string]int{} // index of the outcome in this life, by record
		for _, i := range discards[life] {
			for _, seq := range h.events[i].seqs {
				done[seq] = i
			}
		}
		for _, i := range of {
			e := h.events[i]
			h.startBySets(t, e, i, begun[i], succeededBy, writes, broken)
			for _, seq := range ends[e.call].resolves(recs[e.call]) {
				if _, again := done[seq]; !again {
					done[seq] = endOf[e.call]
				}
			}
		}
		for n, i := range of {
			e := h.events[i]
			for _, seq := range recs[e.call] {
				if at, ok := done[seq]; ok && at < i {
					broken[ruleTwice] = true
				}
			}
			for _, j := range of[:n] { // calls that had begun and not ended
				if other := h.events[j].call; endOf[other] > i && t.shareKey(recs[e.call], recs[other]) {
					broken[ruleOverlap] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(broken))
}

// resolves returns the records that get an outcome by an event, of those of its call.
func (e event) resolves(of []string) []string {
	switch e.kind {
	case evSucceeded:
		return of
	case evProgress:
		return of[:e.n]
	case evDiscarded:
		return e.seqs
	}
	return nil
}

// startBySets looks at one start of a call.
func (h *history) startBySets(t *truth, e event, i int, life *settings, succeededBy func(*rec, int) bool, writes map[string][]int, broken map[string]bool) {
	before := map[string]bool{}
	for _, seq := range e.seqs {
		r := t.recs[seq]
		if r == nil {
			continue
		}
		for _, q := range t.keys[r.key][:r.n] {
			if q.required && !before[q.id] && !succeededBy(q, i) {
				broken[ruleOrder] = true
			}
		}
		before[seq] = true
		var last row
		for _, w := range writes[r.shard] {
			if w < i {
				last = h.events[w].row
			}
		}
		if life.skips(last, r) {
			broken[ruleRerun] = true
		}
	}
	for _, parent := range t.shard(e.shard).Parents {
		ended := slices.ContainsFunc(writes[parent], func(w int) bool { return w < i && h.events[w].row.Ck == endMark })
		if t.shard(parent).inScope && !ended {
			broken[ruleParents] = true
		}
	}
}

// shareKey reports whether two slices have a key in common.
func (t *truth) shareKey(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			if r, q := t.recs[x], t.recs[y]; r != nil && q != nil && r.key == q.key {
				return true
			}
		}
	}
	return false
}

// setRules are the rules that both checkers know.
var setRules = []string{ruleLost, ruleMark, ruleOrder, ruleOverlap, ruleParents, ruleRerun, ruleTwice}

// disagreement returns what one checker finds and the other does not.
func (h *history) disagreement(found []violation) (first, second []string) {
	rules := map[string]bool{}
	for _, v := range found {
		if slices.Contains(setRules, v.rule) {
			rules[v.rule] = true
		}
	}
	one, two := slices.Sorted(maps.Keys(rules)), h.brokenBySets()
	first = slices.DeleteFunc(slices.Clone(one), func(r string) bool { return slices.Contains(two, r) })
	second = slices.DeleteFunc(slices.Clone(two), func(r string) bool { return slices.Contains(one, r) })
	return first, second
}
