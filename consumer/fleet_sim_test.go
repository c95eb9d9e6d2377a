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

// TestFleetSeeds plays seeds of a fleet: workers that come and go share a stream through one store, while calls of the store
// are slow, fail, or are applied although they fail, workers are killed, paused and deployed, the store is down, the stream is
// resharded, and rows are deleted by hand. SHARDLANE_FLEET_SEEDS sets how many seeds, or which ("100", "7-7"). A seed has one
// trace, and so it fails the same way each time: TestFleetTraces holds that.
func TestFleetSeeds(t *testing.T) {
	first, last := seedsOf(t, "SHARDLANE_FLEET_SEEDS", 6)
	var failed atomic.Int64
	var mu sync.Mutex
	counts, slowest, runs, played := map[string]int{}, map[string]string{}, 0, time.Duration(0)
	began := time.Now()
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	t.Run("seeds", func(t *testing.T) {
		for seed := first; seed <= last; seed++ {
			t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				var w *simWorld
				synctest.Test(t, func(t *testing.T) { w = newSimPlan(seed).play(t, false) })
				found := w.check()
				if len(found) > 0 || t.Failed() {
					w.report(t, found, failed.Add(1) <= 3)
				}
				mu.Lock()
				defer mu.Unlock()
				runs++
				played += w.log[len(w.log)-1].at
				for what, n := range w.counts {
					if !strings.HasPrefix(what, "slowest ") {
						counts[what] += n
					} else if n >= counts[what] {
						counts[what], slowest[what] = n, fmt.Sprintf(" in seed %d", seed)
					}
				}
			})
		}
	})
	for _, what := range simRarities {
		counts[what] += 0 // else one that never happened is not shown
	}
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%9d %s%s", counts[what], what, slowest[what])
	}
	if runs >= 200 && !t.Failed() {
		for _, what := range simRarities {
			if counts[what] == 0 {
				t.Errorf("never happened: %s", what)
			}
		}
	}
	t.Logf("%d seeds, %v of their time in %v", runs, played.Round(time.Second), time.Since(began).Round(10*time.Millisecond))
}

// simRarities must have happened in a long run, else it proves little.
var simRarities = []string{
	simKill, simStop, simPause, simBeat, simFreeze, simSilence, simNewFirst, simOldFirst, simOutage, simSplit, simMerge, simMergeBusy, simThrottle, simNoMember, simNoLease,
	"claim lost to another", "fence lost to a heartbeat", "fenced worker has joined again", "fenced worker has a shard again", "buried", "took over",
	"reply lost: " + evReleased, "reply lost: " + evEnded, "reply lost: " + evClaimed, "reply lost: " + evCreated, "applied late: " + evReleased,
	"applied late: " + evClaimed, "applied late: " + evMarked, "stale row listed", "killed between effect and checkpoint",
	"a parent ended while the other was read", "frozen until another had the shard", "hand-over reached the drain timeout",
	"began beside a handler that ignores its context", simNoMine,
	simKill + " at " + evClaimed, simKill + " at " + evReleased, simKill + " at " + evEnded, simKill + " at " + evCreated, simKill + " at " + simOnFence,
	simFreeze + " at " + evClaimed, simFreeze + " at " + evReleased, simPause + " at " + evReleased, "row put back by another",
	"two workers have ended the parents of a merge", "went on in one epoch after a pause", "handler overstays", "told: DrainTimedOut",
	"told: HandOverWithdrawn", "told: HandedOver", "handled again", "row put back by its owner",
}

// seedsOf returns the seeds that a variable of the environment names.
func seedsOf(t *testing.T, name string, most uint64) (first, last uint64) {
	env := os.Getenv(name)
	if env == "" {
		return 1, most
	}
	from, to, ok := strings.Cut(env, "-")
	if !ok {
		from, to = "1", env
	}
	first, err1 := strconv.ParseUint(from, 10, 64)
	last, err2 := strconv.ParseUint(to, 10, 64)
	if err1 != nil || err2 != nil {
		t.Fatalf("%s=%q: want a number of seeds, or the first and the last one as 3-9", name, env)
	}
	return first, last
}

// report fails the test for what the checker found: in a line, or with all that is needed to look into it.
func (w *simWorld) report(t *testing.T, found []simBreach, whole bool) {
	seed := w.plan.seed
	again := fmt.Sprintf("again: SHARDLANE_FLEET_SEEDS=%d-%d go test -count=1 -run '^TestFleetSeeds$' ./consumer", seed, seed)
	rules := map[string]int{}
	for _, v := range found {
		rules[v.rule]++
	}
	if !whole || len(found) == 0 {
		t.Errorf("seed %d breaks %v\n%s", seed, rules, again)
		return
	}
	var b strings.Builder
	for i, v := range found {
		if i == 10 {
			fmt.Fprintf(&b, "… and %d more\n", len(found)-i)
			break
		}
		fmt.Fprintf(&b, "%s: %s %s\n", v.rule, v.shard, v.what)
	}
	t.Errorf("seed %d breaks %v\n%s\n%s%s\n%s", seed, rules, w.plan, b.String(), w.timeline(found[0]), again)
}

// timeline is what happened to the shard and the key of a breach, and to the workers, up to it.
func (w *simWorld) timeline(v simBreach) string {
	const most = 80
	end := v.event
	if end < 0 {
		end = len(w.log) - 1
	}
	calls, beats := map[int]bool{}, map[string]string{}
	var lines []string
	for i, e := range w.log[:end+1] {
		about := i == end || e.kind == evBegan || e.kind == evCut || e.kind == evStopped || e.kind == evReturned || e.kind == simNemesis || e.kind == simDeleted
		switch e.kind {
		case simMember:
			about = about || v.shard == "" && i > end-300 || beats[e.member] != e.st // not each heartbeat
			beats[e.member] = e.st
		case evStart:
			if e.shard == v.shard && (v.key == "" || slices.ContainsFunc(e.recs, func(r simRec) bool { return r.key == v.key })) {
				calls[e.call] = true
			}
		}
		if about || calls[e.call] || e.call == 0 && v.shard != "" && e.shard == v.shard {
			lines = append(lines, e.String())
		}
	}
	if len(lines) > most {
		lines = append([]string{fmt.Sprintf("… %d earlier lines", len(lines)-most)}, lines[len(lines)-most:]...)
	}
	return fmt.Sprintf("timeline of key %q and shard %q:\n%s", v.key, v.shard, strings.Join(lines, "\n"))
}

// String prints an event on one line.
func (e simEvent) String() string {
	s := fmt.Sprintf("%9.3fs %-4s %-9s", e.at.Seconds(), e.who, e.kind)
	if e.shard != "" {
		s += " " + strings.TrimLeft(strings.TrimPrefix(e.shard, "shardId-"), "0") + "."
	}
	if e.call > 0 {
		s += fmt.Sprintf(" call %d", e.call)
	}
	if len(e.recs) > 0 {
		s += fmt.Sprintf(" epoch %d, %d records from", e.epoch, len(e.recs))
		var names []string
		for _, r := range e.recs[:min(3, len(e.recs))] {
			names = append(names, fmt.Sprintf("%s/%d %s", r.key, r.n, short(r.seq)))
		}
		s += " " + strings.Join(names, ", ")
	}
	if e.row.Ck != "" {
		s += fmt.Sprintf(" owner %.6q epoch %d ck %s done %d", e.row.Owner, e.row.Epoch, short(e.row.Ck), len(e.row.done))
	}
	if e.member != "" {
		s += fmt.Sprintf(" %.8s %s", e.member, e.st)
	}
	return strings.TrimRight(s+" "+e.note, " ")
}
