package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// An event is something that was done to the fleet.
type event struct {
	at   time.Time
	what string
}

// A tenure is a worker with a shard, from its first call to the end of its last one.
type tenure struct {
	by          *trail
	shard       string
	epoch       int64
	first, last time.Time
	failed      time.Time // when a call failed last; zero if none did
}

// tenures are those of all shards: by shard, and in the order in which they began.
func tenures(trails []trail) (all []*tenure) {
	type key struct {
		shard string
		epoch int64
		by    *trail
	}
	seen := map[key]*tenure{}
	for i := range trails {
		t := &trails[i]
		for _, c := range t.calls {
			k := key{c.shard, c.epoch, t}
			if seen[k] == nil {
				seen[k] = &tenure{by: t, shard: c.shard, epoch: c.epoch, first: c.began, last: c.began}
				all = append(all, seen[k])
			}
			end := t.end(c)
			if end.After(seen[k].last) {
				seen[k].last = end
			}
			if !c.ok && end.After(seen[k].failed) {
				seen[k].failed = end
			}
		}
	}
	slices.SortFunc(all, func(a, b *tenure) int {
		return cmp.Or(cmp.Compare(a.shard, b.shard), cmp.Compare(a.epoch, b.epoch), a.first.Compare(b.first))
	})
	return all
}

// Figures are how long shards stood still, and how many moved.
type figures struct {
	crash, pause, handover []time.Duration  // by what ended the tenure before
	failing, struck        []time.Duration  // handed over in a backoff; handed over to a worker that was struck then, perhaps
	moved                  map[string][]int // by what was done: shards that have another worker before the next event
}

// seen is how long the others need to take a worker for dead, at most.
const seen = 13 * time.Second

// backoffs are how long a record that fails five times holds up its lane.
const backoffs = 7 * time.Second

func measure(trails []trail, events []event) figures {
	f := figures{moved: map[string][]int{}}
	moves := make([]int, len(events))
	all := tenures(trails)
	for i, b := range all {
		if i == 0 || all[i-1].shard != b.shard || all[i-1].by == b.by {
			continue
		}
		a := all[i-1]
		at := slices.IndexFunc(a.by.stops, func(s span) bool {
			return b.first.After(s.from) && a.last.Before(s.to.Add(time.Second)) && a.last.After(s.from.Add(-time.Second))
		})
		switch {
		case at >= 0:
			f.pause = append(f.pause, b.first.Sub(a.by.stops[at].from))
		case !a.by.killed.IsZero() && b.first.After(a.by.killed):
			f.crash = append(f.crash, b.first.Sub(a.by.killed))
		case b.first.Sub(a.failed) < backoffs: // the shard may have stood still before
			f.failing = append(f.failing, max(0, b.first.Sub(a.last)))
		case slices.ContainsFunc(trails, func(t trail) bool { return t.struck(a.last, b.first) }):
			f.struck = append(f.struck, max(0, b.first.Sub(a.last)))
		default:
			f.handover = append(f.handover, max(0, b.first.Sub(a.last)))
		}
		for e := len(events) - 1; e >= 0; e-- {
			if b.first.After(events[e].at) {
				moves[e]++
				break
			}
		}
	}
	for i, e := range events {
		f.moved[e.what] = append(f.moved[e.what], moves[i])
	}
	return f
}

// struck tells whether the others may have given the process a shard in a span, and it was dead or stood still.
func (t *trail) struck(from, to time.Time) bool {
	if !t.killed.IsZero() && t.killed.Before(to) && t.killed.After(from.Add(-seen)) {
		return true
	}
	return slices.ContainsFunc(t.stops, func(s span) bool { return s.from.Before(to) && s.to.After(from) })
}

// report prints the distributions.
func (f figures) report(out io.Writer) {
	if len(f.crash)+len(f.pause)+len(f.handover)+len(f.failing)+len(f.struck) == 0 {
		return
	}
	fmt.Fprintln(out, "time without a worker          n     min     p50     p90     p99     max")
	for _, row := range []struct {
		what string
		all  []time.Duration
	}{
		{"kill -9 to the heir's record", f.crash},
		{"pause to the heir's record", f.pause},
		{"hand-over", f.handover},
		{"hand-over in a backoff", f.failing},
		{"hand-over beside a strike", f.struck},
	} {
		if len(row.all) == 0 {
			continue
		}
		slices.Sort(row.all)
		fmt.Fprintf(out, "%-28s %4d", row.what, len(row.all))
		for _, share := range []int{0, 50, 90, 99, 100} {
			fmt.Fprintf(out, "  %5.2fs", row.all[rank(len(row.all), share)].Seconds())
		}
		fmt.Fprintln(out)
	}
	if len(f.moved) == 0 {
		return
	}
	fmt.Fprintln(out, "shards moved after             n     min     p50     max")
	for _, what := range slices.Sorted(maps.Keys(f.moved)) {
		all := f.moved[what]
		slices.Sort(all)
		fmt.Fprintf(out, "%-28s %4d %7d %7d %7d\n", what, len(all), all[0], all[rank(len(all), 50)], all[len(all)-1])
	}
}

// rank is the index of a percentile among n sorted values.
func rank(n, percent int) int { return max(0, (n*percent+99)/100-1) }

// load prints the calls of the store in a span in which nothing happened, and what the formula says: each worker writes and
// reads once in 2.5 s, and each shard that makes progress is written once in 10 s.
func load(out io.Writer, trails []trail, quiet span) {
	inside := func(t time.Time) bool { return !t.Before(quiet.from) && t.Before(quiet.to) }
	calls, shards, workers := map[string]int{}, map[string]bool{}, 0
	for _, t := range trails {
		alive := false
		for _, op := range t.ops {
			if inside(op.at) {
				calls[op.method]++
				alive = true
			}
		}
		if alive {
			workers++
		}
		for _, c := range t.calls {
			if inside(c.began) {
				shards[c.shard] = true
			}
		}
	}
	seconds := quiet.to.Sub(quiet.from).Seconds()
	rate := func(method string) float64 { return float64(calls[method]) / seconds }
	want := float64(workers)/2.5 + float64(len(shards))/10
	fmt.Fprintf(out, "store, %d workers and %d shards at rest for %.0f s: %.2f writes/s (W/h + A/c: %.2f), %.2f lists/s (W/h: %.2f), %.2f gets/s\n",
		workers, len(shards), seconds, rate("Swap")+rate("Delete"), want, rate("List"), float64(workers)/2.5, rate("Get"))
}
