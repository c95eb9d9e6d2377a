package consumer_test

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// The promises, by what breaks when one does.
const (
	simLost     = "record-lost"               // I1
	simMark     = "checkpoint-ahead"          // I2
	simRows     = "row-goes-back"             // I3, S1, S2, S3
	simOrder    = "order"                     // I4
	simOverlap  = "two-at-once"               // I5
	simStale    = "stale-owner"               // I6
	simFences   = "fenced-too-early"          // I7
	simTakes    = "taken-from-the-living"     // S6
	simUndead   = "row-of-the-dead-changes"   // S7
	simFamily   = "child-before-parent"       // I9
	simOrphans  = "end-before-children"       // I9
	simAgain    = "handled-again-by-one"      // contract 5: nothing is, within one tenure
	simCovered  = "handled-though-covered"    // nor what the row says is done
	simHandOver = "hand-over-forgets"         // S12
	simOpen     = "released-while-it-runs"    // S12
	simHealthy  = "the-living-declared-dead"  // V3, CV4
	simOwners   = "no-owner"                  // V1, CV1
	simCatchUp  = "does-not-catch-up"         // V2
	simStops    = "does-not-stop"             // V4
	simQuiet    = "moves-without-a-reason"    // CV2
	simReads    = "reads-what-is-not-its"     // I8
	simGiven    = "given-up-for-no-fault"     // L36: what is cut off by the end of a tenure was no attempt
	simMembers  = "does-not-join-again"       // CV5
	simLeaves   = "row-deleted-that-is-named" // §9
)

// A simBreach is a broken promise, and the event that shows it; -1 is the end.
type simBreach struct {
	rule, shard, key, what string
	event                  int
}

func (w *simWorld) breach(rule, shard, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.found = append(w.found, simBreach{rule, shard, "", fmt.Sprintf(format, args...), len(w.log) - 1})
}

// A simChecker goes through the log once.
type simChecker struct {
	w      *simWorld
	i      int
	at     time.Duration
	shards map[string]*simShard
	recs   map[string]*simRecord
	keys   map[string][]*simRecord

	lives    map[string]*simWorker
	members  map[string]*simStanding // by id
	running  map[int]*simCall
	held     map[int]simEvent      // calls of handlers that stand still before their start
	cuts     map[int]time.Duration // when the contexts of calls have ended
	outage   [2]time.Duration      // the last one
	enders   map[string]string     // by shard: who has stored its end
	latest   map[string]simEvent   // by worker and shard: the last start
	found    []simBreach
	finished bool // the workers are stopped, as all is over
}

type simShard struct {
	kinesistest.ShardInfo
	recs     []*simRecord
	row      *row          // nil: there is none
	last     row           // what it was before it was deleted by hand
	tampered bool          // it has been
	prefix   int           // leading records with an outcome
	moved    time.Duration // when it last changed hands
	owners   []string      // that it has had
}

type simRecord struct {
	id, key, shard, place string
	n                     int // of its key
	outcome               bool
	again                 int
	by                    string // who has given it one last, and in which epoch
	epoch                 int64
	clean                 bool // with its context alive
}

type simWorker struct {
	id         string // as a member, the last one
	dead, over bool
	paused     time.Duration // until when, at the latest
	fenced     bool
}

type simStanding struct {
	st     string
	at     time.Duration // of the last write
	absent bool
	lost   bool // by hand, or found without one
}

type simCall struct {
	simEvent
	cut   time.Duration // when its context ended; -1: it has not
	stale bool          // it stood still until another worker had the shard
}

// check returns the promises that are broken.
func (w *simWorld) check() []simBreach {
	c := &simChecker{
		w: w, shards: map[string]*simShard{}, recs: map[string]*simRecord{}, keys: map[string][]*simRecord{}, lives: map[string]*simWorker{},
		members: map[string]*simStanding{}, running: map[int]*simCall{}, held: map[int]simEvent{}, cuts: map[int]time.Duration{}, enders: map[string]string{}, latest: map[string]simEvent{}, found: slices.Clone(w.found),
	}
	for _, sh := range w.shards {
		s := &simShard{ShardInfo: sh}
		c.shards[sh.ID] = s
		for _, r := range sh.Records {
			n, _ := strconv.Atoi(string(r.Data))
			rec := &simRecord{id: r.SequenceNumber, key: r.PartitionKey, shard: sh.ID, n: n, place: fmt.Sprintf("1/%03d%s/~", len(r.SequenceNumber), r.SequenceNumber)}
			s.recs, c.recs[rec.id], c.keys[rec.key] = append(s.recs, rec), rec, append(c.keys[rec.key], rec)
		}
	}
	for _, recs := range c.keys {
		slices.SortFunc(recs, func(a, b *simRecord) int { return cmp.Compare(a.n, b.n) })
		for i, r := range recs {
			r.n = i
		}
	}
	for i, e := range w.log {
		c.i, c.at = i, e.at
		switch e.kind {
		case evBegan:
			c.lives[e.who] = &simWorker{}
		case evCut:
			c.cut(e.who)
		case evReturned:
			c.returned(e)
		case simPaused:
			c.lives[e.who].paused = max(c.lives[e.who].paused, e.at+time.Duration(e.n))
		case simNemesis:
			c.finished = c.finished || e.note == "the end"
		case evStart:
			c.start(e)
		case simDown:
			if from := e.at; from > c.outage[1] {
				c.outage[0] = from
			}
			c.outage[1] = max(c.outage[1], min(e.at+time.Duration(e.n), w.plan.over))
		case simStray:
			c.stray(e)
		case simHeld:
			c.held[e.call] = e
		case simDone:
			if _, ok := c.cuts[e.call]; !ok {
				c.cuts[e.call] = e.at
			}
			if call := c.running[e.call]; call != nil {
				call.cut = c.cuts[e.call]
			}
		case evSucceeded, evProgress, evFailed:
			c.end(e)
		case simMember:
			c.member(e)
		case simDeleted:
			c.deleted(e)
		case evCreated, evClaimed, evMarked, evReleased, evEnded:
			c.write(e)
		}
	}
	c.i = -1
	for _, sh := range c.shards {
		for _, r := range sh.recs {
			if !r.outcome {
				c.violate(simLost, r, r.shard, "%v has no outcome", r)
			}
		}
	}
	slices.SortStableFunc(c.found, func(a, b simBreach) int { return cmp.Compare(uint(a.event), uint(b.event)) })
	return c.found
}

func (r *simRecord) String() string { return fmt.Sprintf("%s/%d (%s)", r.key, r.n, short(r.id)) }

func (c *simChecker) violate(rule string, r *simRecord, shard, format string, args ...any) {
	b := simBreach{rule: rule, shard: shard, what: fmt.Sprintf("%v ", c.at.Round(time.Millisecond)) + fmt.Sprintf(format, args...), event: c.i}
	if r != nil {
		b.key = r.key
	}
	c.found = append(c.found, b)
}

// workerOf is the worker that an owner names.
func workerOf(owner string) string {
	name, _, _ := strings.Cut(owner, "/")
	return name
}

func (c *simChecker) cut(who string) {
	c.lives[who].dead = true
	for _, sh := range c.shards {
		if sh.row != nil && workerOf(sh.row.Owner) == who && slices.ContainsFunc(sh.recs, func(r *simRecord) bool { return r.outcome && r.by == who && !sh.row.has(r) }) {
			c.w.counts["killed between effect and checkpoint"]++
		}
	}
	for n, call := range c.running {
		if call.who == who {
			delete(c.running, n)
		}
	}
	for n, call := range c.held {
		if call.who == who {
			delete(c.held, n)
		}
	}
}

func (c *simChecker) returned(e simEvent) {
	c.lives[e.who].over = true
	overstays := c.w.plan.overstay > 0 && strings.Contains(e.note, "handler is still running") // since before the calm
	if e.note != "" && c.finished && !overstays {
		c.violate(simStops, nil, "", "%s returns %s", e.who, e.note)
	}
	if e.note != "" {
		c.w.counts["returned with an error"]++
	}
}

// start checks what a handler is given.
func (c *simChecker) start(e simEvent) {
	sh := c.shards[e.shard]
	last, l := c.latest[e.who+e.shard], c.lives[e.who]
	if last.epoch == e.epoch && l.paused > last.at && l.paused <= e.at && e.at-last.at > 5*time.Second {
		c.w.counts["went on in one epoch after a pause"]++
	}
	c.latest[e.who+e.shard] = e
	for _, p := range sh.Parents {
		if parent := c.shards[p]; !parent.ended() {
			c.violate(simFamily, nil, e.shard, "call %d starts, and the end of parent %s is not stored", e.call, p)
		}
	}
	delete(c.held, e.call)
	call := &simCall{simEvent: e, cut: -1}
	if cut, ok := c.cuts[e.call]; ok {
		call.cut = cut
	}
	switch row := sh.row; {
	case row != nil && workerOf(row.Owner) == e.who && row.Epoch == e.epoch:
	case e.held > 0 && sh.moved >= e.at-e.held:
		c.w.counts["frozen until another had the shard"]++
		call.stale = true
	case sh.tampered:
		c.w.counts["started while the row was gone"]++
	default:
		c.violate(simStale, nil, e.shard, "%s starts call %d in epoch %d, and the row is %v", e.who, e.call, e.epoch, row)
	}
	slice := map[string]int{} // of each key, up to where it goes
	for _, x := range e.recs {
		r := c.recs[x.seq]
		if !call.stale {
			c.overlap(e, r)
		}
		c.order(e, r, slice)
		if r.outcome {
			c.w.counts["handled again"]++
			if r.again++; r.by == e.who && r.epoch == e.epoch {
				c.violate(simAgain, r, e.shard, "%v starts again in call %d", r, e.call)
			}
		}
		if sh.row != nil && sh.row.has(r) && !sh.tampered && !call.stale {
			c.violate(simCovered, r, e.shard, "%v starts in call %d, and the row at %s has it done", r, e.call, short(sh.row.Ck))
		}
	}
	c.running[e.call] = call
}

// overlap checks that nobody else handles the same: records of a key never, those of a shard not in two workers, unless the
// one that had it has let the time go by that it has to come to an end.
func (c *simChecker) overlap(e simEvent, r *simRecord) {
	for _, other := range c.running {
		if other.shard != e.shard || other.stale {
			continue
		}
		same := slices.ContainsFunc(other.recs, func(x simRec) bool { return x.key == r.key })
		switch {
		case other.who == e.who && !same:
		case other.who != e.who && other.cut >= 0 && e.at-other.cut >= 3*time.Second:
			c.w.counts["began beside a handler that ignores its context"]++
		case other.who == e.who:
			c.violate(simOverlap, r, e.shard, "%v starts in call %d, and call %d holds its key", r, e.call, other.call)
		default:
			c.violate(simOverlap, r, e.shard, "%s starts call %d, and %s handles call %d, cut at %v", e.who, e.call, other.who, other.call, other.cut)
		}
	}
}

// order checks that all before a record of its key has an outcome, or stands before it in its slice.
func (c *simChecker) order(e simEvent, r *simRecord, slice map[string]int) {
	from, ok := slice[r.key]
	if ok && from > r.n {
		c.violate(simOrder, r, e.shard, "%v stands behind a later one in call %d", r, e.call)
	}
	slice[r.key] = r.n + 1
	for n := r.n - 1; n >= from; n-- {
		if q := c.keys[r.key][n]; !q.outcome {
			c.violate(simOrder, r, e.shard, "%v starts in call %d before %v has an outcome", r, e.call, q)
			return
		} else if q.shard == r.shard && n < r.n-50 {
			return // it was asked for that one
		}
	}
}

func (c *simChecker) end(e simEvent) {
	call := c.running[e.call]
	delete(c.running, e.call)
	for _, x := range call.recs[:e.n] {
		r := c.recs[x.seq]
		r.outcome, r.by, r.epoch, r.clean = true, e.who, call.epoch, e.kind == evSucceeded && call.cut < 0
	}
}

// ended reports whether a shard's end is stored, or was before somebody deleted it.
func (s *simShard) ended() bool { return s.row != nil && s.row.Ck == endMark || s.last.Ck == endMark }

// has reports whether a row says that a record is done.
func (r row) has(x *simRecord) bool {
	return x.place <= r.Ck || slices.ContainsFunc(r.done, func(s span) bool { return s.from <= x.place && x.place <= s.to })
}
