package consumer_test

import (
	"fmt"
	"hash/fnv"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
)

// A simTrace is all that is seen of a play: which turns were given, and what the fakes and the handlers saw.
type simTrace struct{ turns, log []string }

// traced plays a seed and returns its trace.
func traced(t *testing.T, seed uint64) (tr simTrace) {
	var w *simWorld
	synctest.Test(t, func(t *testing.T) { w = newSimPlan(seed).play(t, true) })
	for _, e := range w.log {
		tr.log = append(tr.log, fmt.Sprintf("%d %+v", e.at, e))
	}
	tr.turns = w.turns.trace
	return tr
}

// hash is short for a trace.
func (tr simTrace) hash() uint64 {
	h := fnv.New64a()
	for _, line := range tr.turns {
		_, _ = fmt.Fprintln(h, line)
	}
	for _, line := range tr.log {
		_, _ = fmt.Fprintln(h, line)
	}
	return h.Sum64()
}

// parts says where two lists of lines part.
func parts(what string, a, b []string) string {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	if i == len(a) && i == len(b) {
		return ""
	}
	some := func(lines []string) string { return strings.Join(lines[:min(3, len(lines))], "\n  ") }
	return fmt.Sprintf("the %s part in line %d, behind\n  %s\nfirst came\n  %s\nand then\n  %s\n", what, i+1,
		strings.Join(a[max(0, i-10):i], "\n  "), some(a[i:]), some(b[i:]))
}

// TestFleetTraces plays seeds twice and wants the same trace each time: the first and each hundredth of TestFleetSeeds, or
// those that SHARDLANE_FLEET_TWICE names.
func TestFleetTraces(t *testing.T) {
	t.Parallel()
	name, every := "SHARDLANE_FLEET_SEEDS", uint64(100)
	if os.Getenv("SHARDLANE_FLEET_TWICE") != "" {
		name, every = "SHARDLANE_FLEET_TWICE", 1
	}
	first, last := seedsOf(t, name, 1)
	for seed := first; seed <= last; seed++ {
		if seed != first && seed%every != 0 {
			continue
		}
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			one, two := traced(t, seed), traced(t, seed)
			if one.hash() != two.hash() {
				t.Errorf("seed %d has two traces\n%s%sagain: SHARDLANE_FLEET_TWICE=%d-%d go test -run '^TestFleetTraces$' ./consumer",
					seed, parts("turns", one.turns, two.turns), parts("events", one.log, two.log), seed, seed)
			}
			t.Logf("seed %d: %d turns, %d events, %016x", seed, len(one.turns), len(one.log), one.hash())
		})
	}
}
