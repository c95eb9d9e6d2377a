package consumer_test

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A simPlan is all that a seed decides: how the workers are set, what may go wrong with each call, and a script of what is
// done to them. It can be printed.
type simPlan struct {
	seed     uint64
	workers  int // places for workers; each is taken by one worker after the other
	shards   int
	keys     int
	factor   int
	batch    int
	partial  bool // handlers report failed records
	drain    time.Duration
	pace     time.Duration // between two records
	over     time.Duration // faults stop
	lost     simRates      // of calls of the store
	stale    bool          // lists show rows as they were
	failing  float64       // handlers that fail
	strict   bool          // what has failed once is given up; no handler fails then
	slow     float64       // handlers that take seconds
	overstay float64       // handlers that do not look at their context
	stuck    float64       // handlers that take long because their worker is cut off
	tardy    float64       // handlers that take nearly all the time that they have to come to an end
	later    float64       // for how many seconds at most a write is on its way that comes late
	replies  float64       // replies of the store that take long
	rest     bool          // it is looked at what they do when all is done
	script   []simStep
}

// simRates are how often a call of the store fails: before it is applied, after, before and is applied later, or is refused.
type simRates struct{ before, after, late, refused float64 }

// A simStep is one line of a script.
type simStep struct {
	at    time.Duration
	op    string
	on    string        // the kind of write that it waits for
	slot  int           // of a worker
	d     time.Duration // how long
	pick  float64       // which shard
	shard string        // that very one
}

// The operations of a script. One for which there is nothing to do does nothing.
const (
	simStart     = "start"       // a worker, if its place is free
	simKill      = "kill"        // a worker: all its ways are cut, and nothing it does counts any more
	simStop      = "stop"        // a worker, as SIGTERM does
	simPause     = "pause"       // a worker's way to the store
	simBeat      = "cut at beat" // the same, behind the next heartbeat, the reply to which takes long
	simFreeze    = "freeze"      // a worker before each handler and each write, while its timers go on
	simSilence   = "silence"     // a worker's way to the stream
	simNewFirst  = "deploy new"  // the next worker starts, then the one before it stops
	simOldFirst  = "deploy old"  // the other way round
	simOutage    = "outage"      // the store is down for all
	simSplit     = "split"       // a shard
	simMerge     = "merge"       // two
	simThrottle  = "throttle"    // reads
	simNoMember  = "lose member" // the row of a worker is deleted by hand
	simNoLease   = "lose lease"  // the row of a shard is
	simNoMine    = "lose own"    // the row of a shard of a worker is
	simMergeBusy = "merge apart" // two shards that different workers have, if there are such
)

func (s simStep) String() string {
	line := fmt.Sprintf("%7.2fs %s", s.at.Seconds(), s.op)
	if s.on != "" {
		line += " at the next " + s.on
	}
	switch s.op {
	case simSplit, simMerge, simMergeBusy, simNoLease:
		return line + fmt.Sprintf(" %.3f", s.pick)
	case simOutage, simThrottle:
		return line + fmt.Sprintf(" for %v", s.d)
	}
	line += " " + string(rune('a'+s.slot))
	if s.d > 0 {
		line += fmt.Sprintf(" for %v", s.d)
	}
	return line
}

func (p *simPlan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d places for workers, %d shards, %d keys, factor %d, batches of %d, partial %v, drain %v, a record each %v, faults until %v, rest %v\n",
		p.workers, p.shards, p.keys, p.factor, p.batch, p.partial, p.drain, p.pace, p.over, p.rest)
	fmt.Fprintf(&b, "store: before %.3f after %.3f late %.3f by up to %.0f s refused %.3f slow replies %.3f, stale lists %v\n",
		p.lost.before, p.lost.after, p.lost.late, p.later, p.lost.refused, p.replies, p.stale)
	fmt.Fprintf(&b, "handlers: failing %.3f strict %v slow %.3f stuck %.3f tardy %.3f overstaying %.3f\n", p.failing, p.strict, p.slow, p.stuck, p.tardy, p.overstay)
	for _, s := range p.script {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

// newSimPlan draws the plan of a seed. Each has only some of all faults, so that rare pairs get room.
func newSimPlan(seed uint64) *simPlan {
	r := rand.New(rand.NewPCG(seed, 8))
	some := func(p, most float64) float64 {
		if r.Float64() > p {
			return 0
		}
		return most * r.Float64()
	}
	seconds := func(from, to float64) time.Duration {
		return time.Duration((from + (to-from)*r.Float64()) * 1000 * float64(time.Millisecond)).Round(10 * time.Millisecond)
	}
	p := &simPlan{
		seed: seed, workers: 2 + r.IntN(3), shards: 2 + r.IntN(4), keys: 4 + r.IntN(12), factor: 1 + r.IntN(8), batch: 1 + r.IntN(20),
		partial: r.IntN(2) == 0, drain: seconds(3, 25).Round(time.Second), pace: seconds(0.05, 0.25), over: seconds(70, 130),
		stale: r.IntN(2) == 0, failing: some(0.4, 0.1), slow: some(0.5, 0.05), overstay: some(0.3, 0.3), later: 3,
		replies: some(0.3, 0.1), rest: r.IntN(4) == 0,
	}
	if p.factor*p.batch < 4 { // else one shard of it, that all others were merged into, never catches up
		p.pace = max(p.pace, 150*time.Millisecond)
	}
	p.strict = p.failing == 0 && r.IntN(2) == 0
	p.stuck, p.tardy = float64(r.IntN(2)), float64(r.IntN(2))
	if r.IntN(3) == 0 {
		p.slow, p.drain = some(1, 0.6), seconds(3, 8).Round(time.Second) // so that hand-overs come to the drain timeout
	}
	if r.IntN(3) == 0 {
		p.overstay = some(1, 1)
	}
	if r.IntN(3) == 0 {
		p.later = 15
	}
	if r.IntN(4) > 0 {
		p.lost = simRates{some(0.6, 0.1), some(0.6, 0.1), some(0.6, 0.1), some(0.4, 0.2)}
	}
	ops := []struct {
		op     string
		weight float64
	}{
		{simKill, 3},
		{simStop, 3},
		{simPause, 3},
		{simBeat, 3},
		{simFreeze, 2},
		{simSilence, 0.5},
		{simNewFirst, 1.5},
		{simOldFirst, 1.5},
		{simOutage, 1},
		{simSplit, 2},
		{simMerge, 1},
		{simMergeBusy, 1.5},
		{simThrottle, 0.7},
		{simNoMember, 0.8},
		{simNoLease, 1},
	}
	sum := 0.0
	for i := range ops {
		if r.Float64() < 0.35 {
			ops[i].weight = 0
		}
		sum += ops[i].weight
	}
	for slot := range p.workers {
		p.script = append(p.script, simStep{at: seconds(0, 10), op: simStart, slot: slot})
	}
	mean := 3 + 7*r.Float64()
	moments, hands := some(0.7, 0.8), some(0.6, 0.8) // steps that wait for a moment; pauses in which rows are deleted
	for at := 8 * time.Second; sum > 0; {
		at += time.Duration(-math.Log(1-r.Float64()) * mean * float64(time.Second)).Round(10 * time.Millisecond)
		if at >= p.over {
			break
		}
		pick := r.Float64() * sum
		i := 0
		for ; i < len(ops)-1 && pick >= ops[i].weight; i++ {
			pick -= ops[i].weight
		}
		s := simStep{at: at, op: ops[i].op, slot: r.IntN(p.workers), pick: r.Float64()}
		then := func(op string, slot int, after time.Duration) {
			p.script = append(p.script, simStep{at: s.at + after, op: op, slot: slot})
		}
		switch s.op {
		case simKill, simStop:
			if s.d = seconds(0.3, 20); r.Float64() >= moments {
				then(simStart, s.slot, s.d)
			} else {
				s.on = simMoments[r.IntN(len(simMoments))]
			}
		case simPause, simBeat, simFreeze:
			s.d = seconds(1, 15)
			if r.IntN(3) > 0 {
				s.d = seconds(6.5, 14) // about as long as others wait
			}
			if s.op == simBeat {
				s.d = seconds(10.3, 14)
			}
			if s.op != simBeat && r.Float64() < moments {
				s.on = simMoments[r.IntN(len(simMoments))]
			} else if r.Float64() < hands {
				after := time.Duration(r.Float64() * r.Float64() * float64(s.d)).Round(10 * time.Millisecond)
				then([]string{simNoMine, simNoMine, simNoMember}[r.IntN(3)], s.slot, after)
			}
		case simSilence:
			s.d = seconds(1, 15)
		case simOutage:
			if s.d = seconds(2, 22); r.IntN(4) == 0 {
				s.d = seconds(60, 150)
			}
		case simThrottle:
			s.d = seconds(1, 15)
		case simNoLease, simNoMember:
			if r.Float64() < moments {
				s.on = simMoments[r.IntN(len(simMoments))]
			} else if r.IntN(2) == 0 { // soon somebody looks at all that there is
				then(simNewFirst, r.IntN(p.workers), seconds(0.1, 4))
			}
		case simNewFirst, simOldFirst: // all places, one after the other
			s.d = seconds(0.5, 8)
			for slot, after := 0, s.d; slot < p.workers; slot++ {
				if slot != s.slot {
					p.script = append(p.script, simStep{at: s.at + after, op: s.op, slot: slot, d: s.d})
					after += s.d + seconds(1, 6)
				}
			}
		}
		p.script = append(p.script, s)
	}
	slices.SortStableFunc(p.script, func(a, b simStep) int { return cmp.Compare(a.at, b.at) })
	return p
}

// roll returns a number in [0, 1) that depends on the seed and on what it is for, and on nothing else.
func (p *simPlan) roll(what ...any) float64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintln(h, what...)
	return rand.New(rand.NewPCG(p.seed, h.Sum64())).Float64()
}
