package consumer_test

import (
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestScenario plays seeds of the scenario: a stream that is resharded while it is consumed by processes that are cut off
// again and again, under faults of service, store and handler, on virtual time. SHARDLANE_SEEDS sets how many seeds, or
// which ("100", "7-7"). A seed fixes all that the scenario decides; the scheduler of Go still decides what happens first
// at one instant, so that a failure may take some runs (-count) to come again.
func TestScenario(t *testing.T) {
	for _, rule := range []string{
		"L22", "L23", "L24", "L25", "L26", "L28", "L29", "L31", "L32", "L35", "L36", "L40", "L41", "L42", "L50", "L51", "L52", "L53",
		"L65", "C11", "C13", "C15", "C19", "C21", "C24",
	} {
		t.Attr("rule", rule)
	}
	first, last := seeds(t)
	var failed atomic.Int64
	var mu sync.Mutex
	counts, runs := map[string]int{}, 0
	var slowest time.Duration
	var slow uint64
	began := time.Now()
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // garbage is most of what a seed makes
	t.Run("seeds", func(t *testing.T) {
		for seed := first; seed <= last; seed++ {
			t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				p := newPlan(seed)
				var worlds []*world
				synctest.Test(t, func(t *testing.T) { worlds = p.run(t, dir) })
				defer func() { // a history may be so broken that the checkers cannot read it
					if v := recover(); v != nil {
						t.Errorf("a checker gives up: %v\n%s", v, debug.Stack())
					}
				}()
				for i, w := range worlds {
					happened := w.tally()
					mu.Lock()
					if w.took > slowest {
						slowest, slow = w.took, seed
					}
					for what, n := range happened {
						counts[what] += n
					}
					mu.Unlock()
					found := w.check()
					if len(found) > 0 || i == 0 && t.Failed() {
						w.report(t, found, failed.Add(1) <= 3)
					}
					if seed%4 != 0 && len(found) == 0 {
						continue // the second checker is slow
					}
					if one, two := w.disagreement(found); len(one)+len(two) > 0 {
						t.Errorf("the checkers disagree: %q only by the first, %q only by the second", one, two)
					}
				}
				mu.Lock()
				runs++
				mu.Unlock()
			})
		}
	})
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%9d %s", counts[what], what)
	}
	if runs >= 50 && !t.Failed() {
		for _, what := range rarities {
			if counts[what] == 0 {
				t.Errorf("never happened: %s", what)
			}
		}
	}
	t.Logf("%d seeds, %v; all was settled within %v of the last fault, in seed %d", runs, time.Since(began).Round(10*time.Millisecond), slowest, slow)
}

// seeds returns the seeds to play.
func seeds(t *testing.T) (first, last uint64) {
	first, last = 1, 12
	env := os.Getenv("SHARDLANE_SEEDS")
	if env == "" {
		return first, last
	}
	from, to, ok := strings.Cut(env, "-")
	if !ok {
		from, to = "1", env
	}
	var err1, err2 error
	first, err1 = strconv.ParseUint(from, 10, 64)
	last, err2 = strconv.ParseUint(to, 10, 64)
	if err1 != nil || err2 != nil {
		t.Fatalf("SHARDLANE_SEEDS=%q: want a number of seeds, or the first and the last one as 3-9", env)
	}
	return first, last
}

// report fails the test for what the checker found: in a line, or with all that is needed to look into it.
func (w *world) report(t *testing.T, found []violation, whole bool) {
	test, _, _ := strings.Cut(t.Name(), "/")
	again := fmt.Sprintf("again: SHARDLANE_SEEDS=%d-%d go test -count=1 -run '^%s$' ./consumer", w.plan.seed, w.plan.seed, test)
	rules := map[string]int{}
	for _, v := range found {
		rules[v.rule]++
	}
	if !whole || len(found) == 0 {
		t.Errorf("seed %d breaks %v\n%s", w.plan.seed, rules, again)
		return
	}
	var b strings.Builder
	for i, v := range found {
		if i == 10 {
			fmt.Fprintf(&b, "… and %d more\n", len(found)-i)
			break
		}
		fmt.Fprintf(&b, "%s: %s\n", v.rule, v.what)
	}
	t.Errorf("seed %d breaks %v\n%s\n%s%s\n%s", w.plan.seed, rules, w.plan, b.String(), w.timeline(found[0]), again)
}

// timeline is what happened to the key and the shard of a violation, up to it.
func (w *world) timeline(v violation) string {
	const most = 60
	keys := map[string]bool{}
	for _, r := range w.truth().keys[v.key] {
		keys[r.id] = true
	}
	end := v.event
	if end < 0 {
		end = len(w.events) - 1
	}
	var lines []string
	calls := map[int]bool{}
	for i, e := range w.events[:end+1] {
		about := e.shard == v.shard && e.kind != evRead && e.call == 0 || e.kind == evBegan || e.kind == evCut || e.kind == evReturned || e.kind == evReplaced
		if e.kind == evStart {
			for _, seq := range e.seqs {
				if keys[seq] || v.key == "" && e.shard == v.shard {
					calls[e.call] = true
				}
			}
		}
		if about || calls[e.call] || i == v.event {
			lines = append(lines, e.String())
		}
	}
	if len(lines) > most {
		lines = append([]string{fmt.Sprintf("… %d earlier lines", len(lines)-most)}, lines[len(lines)-most:]...)
	}
	return fmt.Sprintf("timeline of key %q and shard %q:\n%s", v.key, v.shard, strings.Join(lines, "\n"))
}
