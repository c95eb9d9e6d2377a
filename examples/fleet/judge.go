package main

import (
	"fmt"
	"slices"
	"time"
)

// A verdict is what is wrong with what the workers did, and what is not quite right.
type verdict struct {
	wrong      []string       // each a sentence
	handled    int            // records
	duplicates map[string]int // records that were handled once more, by what made that happen
	across     int            // pairs of handlers that had one shard at once, because a process stood still
}

// Why records are handled again.
const (
	killed = "kill -9"
	paused = "a pause"
	stop   = "a stop"
)

// An effect is a record that was handled.
type effect struct {
	by   *trail
	call *call
	at   int // index in the call
}

// judge compares what the workers did with what was put, by key. All of them have ended.
func judge(put map[string]int, trails []trail) verdict {
	j := &judgement{verdict: verdict{duplicates: map[string]int{}}, effects: map[record][]effect{}}
	for i := range trails {
		for _, c := range trails[i].calls {
			if !c.ok {
				continue
			}
			for at, rec := range c.records {
				j.effects[rec] = append(j.effects[rec], effect{&trails[i], c, at})
			}
		}
	}
	for _, effects := range j.effects {
		slices.SortFunc(effects, func(a, b effect) int { return a.call.ended.Compare(b.call.ended) })
	}
	j.all(put, trails)
	j.order(trails)
	j.owners(trails)
	return j.verdict
}

type judgement struct {
	verdict
	effects map[record][]effect // by the time of their ends
}

func (j *judgement) findf(format string, args ...any) {
	j.wrong = append(j.wrong, fmt.Sprintf(format, args...))
}

// all wants every record handled, and nothing else. It counts those that were handled twice.
func (j *judgement) all(put map[string]int, trails []trail) {
	for key, last := range put {
		for n := 1; n <= last; n++ {
			if len(j.effects[record{key, n}]) == 0 {
				j.findf("%s of %d was not handled", record{key, n}, last)
			}
		}
	}
	for rec, effects := range j.effects {
		j.handled++
		if rec.n > put[rec.key] {
			j.findf("%s was handled, and never put", rec)
		}
		for i, e := range effects[1:] {
			before := effects[i]
			cause := why(trails, before, e)
			if j.duplicates[cause]++; cause == stop {
				j.findf("%s was handled by %s at %s and again by %s at %s, without a crash", rec,
					before.by.name, clock(before.call.ended), e.by.name, clock(e.call.began))
			}
		}
	}
}

// order wants no record to start before the one before it in its key has been handled.
func (j *judgement) order(trails []trail) {
	for _, t := range trails {
		for _, c := range t.calls {
			for i, rec := range c.records {
				if rec.n == 1 || slices.Contains(c.records[:i], record{rec.key, rec.n - 1}) {
					continue
				}
				before := j.effects[record{rec.key, rec.n - 1}]
				if len(before) == 0 || before[0].call.ended.After(c.began) {
					j.findf("%s started on %s at %s, before the record in front of it was handled", t.name, rec, clock(c.began))
				}
			}
		}
	}
}

// owners wants a shard handled by one worker at a time, and an epoch to belong to one.
func (j *judgement) owners(trails []trail) {
	type held struct {
		*call
		by *trail
	}
	type tenure struct {
		shard string
		epoch int64
	}
	byShard, owner := map[string][]held{}, map[tenure]*trail{}
	for i := range trails {
		t := &trails[i]
		for _, c := range t.calls {
			byShard[c.shard] = append(byShard[c.shard], held{c, t})
			at := tenure{c.shard, c.epoch}
			if other := owner[at]; other != nil && other != t {
				j.findf("%s and %s handled %s with epoch %d", other.name, t.name, c.shard, c.epoch)
			}
			owner[at] = t
		}
	}
	for shard, calls := range byShard {
		slices.SortFunc(calls, func(a, b held) int { return a.began.Compare(b.began) })
		var running []held
		for _, c := range calls {
			running = slices.DeleteFunc(running, func(r held) bool { return !r.by.end(r.call).After(c.began) })
			for _, r := range running {
				switch {
				case r.by == c.by:
				case r.by.stood(r.call) || c.by.stood(c.call):
					j.across++
				default:
					j.findf("%s and %s both handled records of %s at %s", r.by.name, c.by.name, shard, clock(c.began))
				}
			}
			running = append(running, c)
		}
	}
}

// end is when a call ended, or its process did.
func (t *trail) end(c *call) time.Time {
	if c.ended.IsZero() {
		return t.ended
	}
	return c.ended
}

// stood tells whether the process stood still between the check before a call and the end of the call. The check is at
// most an instant before the first line of the handler.
func (t *trail) stood(c *call) bool {
	return slices.ContainsFunc(t.stops, func(s span) bool {
		return c.began.Before(s.to.Add(100*time.Millisecond)) && t.end(c).After(s.from)
	})
}

// why tells what made a record be handled again: somebody who had its shard was killed or stood still between the two times.
// That need not be who handled it first, since whoever has the shard next keeps only a part of what is done behind a record
// that waits.
func why(trails []trail, first, again effect) string {
	cause := stop
	for _, t := range trails {
		if !t.held[first.call.shard] && !t.held[again.call.shard] {
			continue
		}
		if t.killed.After(first.call.began) && t.killed.Before(again.call.ended) {
			return killed
		}
		if slices.ContainsFunc(t.stops, func(s span) bool { return s.to.After(first.call.began) && s.from.Before(again.call.ended) }) {
			cause = paused
		}
	}
	return cause
}

// missing is how many of the records that were put have not been handled yet.
func missing(put map[string]int, trails []trail) int {
	all, handled := 0, 0
	for _, n := range put {
		all += n
	}
	for _, t := range trails {
		handled += t.done
	}
	if handled < all {
		return all - handled
	}
	done := map[record]bool{} // some may be handled twice
	for _, t := range trails {
		for _, c := range t.calls {
			for _, rec := range c.records {
				if c.ok {
					done[rec] = true
				}
			}
		}
	}
	return all - len(done)
}

func clock(t time.Time) string { return t.Format("15:04:05.000") }
