// Package model is an exhaustive small model of the protocol by which workers share shards: two workers, one or two
// leases, and what can go wrong with a write, a process or a row. It is a program of its own, written from the rules, and
// tests those rules: not the code beside it.
//
// A step is whatever can happen next: a write of a row with each fate that it can have, a handler that starts or ends, a
// tick of the clock, a fault. A search takes every step from each state that it has not seen, breadth first, and looks
// whether one breaks an invariant. So what it finds is the shortest story, and where it comes to an end there is none.
// It says nothing about whether anything gets done.
//
// Left out is what changes no state, or only delays a step that may wait anyway:
//   - Lists, and the observers' timers. Everybody sees a row the moment it changes, and may fence its member at any time
//     from then + term on, if ever. Whoever sees it later, or in an old list, only fences later.
//   - Offers, targets and quotas, and beats at regular intervals. Any worker may release a lease, claim one that can be
//     claimed, and leave out any beat.
//   - Clocks that differ. All tick together.
//   - A worker that learns of its death joins again when its handlers have ended, not before.
package model

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// No way that the steps can go breaks an invariant. SHARDLANE_MODEL_DEPTH sets another number of steps for every search.
// One lease and a fault end by themselves after 50, with a million states, two faults after 56, with 30; parent and child
// after 56, with four; two leases have four after 18.
func TestModel(t *testing.T) {
	searches := []struct {
		name string
		rules
		depth int
	}{
		{"one lease", rules{records: 2}, 100},
		{"parent and child", rules{records: 1, lineage: true}, 100},
		{"one lease, a fault", rules{records: 1, faults: 1}, 16},
		{"one lease, two faults", rules{records: 1, faults: 2}, 8},
		{"parent and child, a fault", rules{records: 1, faults: 1, lineage: true}, 12},
		{"two leases, a fault", rules{records: 1, faults: 1, pair: true}, 9},
	}
	rares, ran := rares(), 0
	reached := make([]bool, len(rares))
	for _, m := range searches {
		t.Run(m.name, func(t *testing.T) {
			ran++
			depth := m.depth
			if env, err := strconv.Atoi(os.Getenv("SHARDLANE_MODEL_DEPTH")); err == nil {
				depth = env
			}
			found := m.explore(depth, "", func(s *state) {
				for i, r := range rares {
					reached[i] = reached[i] || r.is(s)
				}
			})
			t.Logf("%d states, %d steps from state to state, up to %d from the start, all there are: %v",
				found.states, found.steps, found.depth, found.complete)
			if found.broken != "" {
				t.Errorf("%s:\n%s", found.broken, strings.Join(found.trace, "\n"))
			}
		})
	}
	for i, r := range rares {
		if ran == len(searches) && !reached[i] {
			t.Errorf("never reached: %s", r.name)
		}
	}
}

// The search finds each way to get the protocol wrong, and the shortest story of what comes of it.
func TestMutants(t *testing.T) {
	for name, m := range map[string]struct {
		change func(*rules)
		broken string
	}{
		"validity from reply time":            {func(r *rules) { r.replyTime = true }, "S5"},
		"no self-fence":                       {func(r *rules) { r.noSelfFence = true }, "S5"},
		"validity no shorter than the term":   {func(r *rules) { r.longValidity = true }, "S5"},
		"take-over without a fence":           {func(r *rules) { r.noFence = true }, "S5"},
		"fence on any revision":               {func(r *rules) { r.fenceAnyway = true }, "S5"},
		"absent is dead":                      {func(r *rules) { r.absentIsDead = true }, "S5"},
		"claim from anybody":                  {func(r *rules) { r.claimAnybody = true }, "S5"},
		"claim conditional on the owner":      {func(r *rules) { r.claimSameOwner = true }, "S2"},
		"checkpoint conditional on the owner": {func(r *rules) { r.storeSameOwner = true }, "S2"},
		"unconditional checkpoint":            {func(r *rules) { r.storeAlways = true }, "S2"},
		"checkpoint of what is not done":      {func(r *rules) { r.storeStarted = true }, "S4"},
		"resume by reading":                   {func(r *rules) { r.resumeByReading = true }, "S5"},
		"an old join is taken for one's own":  {func(r *rules) { r.takeOldJoin, r.records = true, 1 }, "S5"},
		"child before its parent's end":       {func(r *rules) { r.lineage, r.childEarly = true, true }, "S8"},
		"end before the child":                {func(r *rules) { r.lineage, r.endFirst = true, true }, "S9"},
	} {
		t.Run(name, func(t *testing.T) {
			r := rules{records: 2, faults: 1}
			m.change(&r)
			found := r.explore(30, m.broken, func(*state) {})
			t.Logf("%d states, %s:\n%s", found.states, found.broken, strings.Join(found.trace, "\n"))
			if !strings.HasPrefix(found.broken, m.broken) {
				t.Errorf("found %q, want %s", found.broken, m.broken)
			}
		})
	}
}
