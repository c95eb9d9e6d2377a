package consumer_test

import (
	"slices"

	"github.com/shardlane/shardlane/batch"
)

// A piece is what is left of a call that failed or made progress: what comes next of its records.
type piece struct {
	recs    []*rec
	request string // it has to have, "" for a new one
	not     string // it must not have
	after   *piece // the left half, of a right one
}

// tries checks that a call is what the calls before it in its life have left, and that a limit lets it happen.
func (c *checker) tries(e event, call *call) {
	l := call.life
	if f := l.failed[e.request]; l.retries >= 0 && f > l.retries {
		c.violate(ruleGiveUp, "", e.shard, "request %.4s is tried again after %d failures", e.request, f)
	}
	if len(call.recs) == 0 {
		return
	}
	first := call.recs[0]
	if age, _ := first.age.bounds(e.at); l.maxAge > 0 && age >= l.maxAge {
		c.violate(ruleGiveUp, first.key, e.shard, "%s is tried at the age of %v", first, age)
	}
	if l.turning(e.at) {
		return
	}
	p := l.pieces[first]
	for _, r := range call.recs {
		if l.pieces[r] != p {
			c.violate(rulePieces, r.key, e.shard, "%s is tried with %s, which another call has held", r, first)
			return
		}
	}
	if p == nil {
		for r, p := range l.pieces {
			if l.factor == 1 && r.shard == e.shard && !c.unseen(r) {
				c.violate(rulePieces, r.key, e.shard, "%s starts while %s waits for its retry", first, p.recs[0])
				return
			}
		}
		return
	}
	switch rest := slices.DeleteFunc(slices.Clone(p.recs), func(r *rec) bool {
		return l.finished[r] || c.unseen(r) && !slices.Contains(call.recs, r)
	}); {
	case !slices.Equal(rest, call.recs):
		c.violate(rulePieces, first.key, e.shard, "%d records from %s on are tried, where %d of those from %s on were left", len(call.recs), first, len(rest), p.recs[0])
	case p.request != "" && p.request != e.request, p.not != "" && p.not == e.request:
		c.violate(rulePieces, first.key, e.shard, "%s is tried with request %.4s, of %.4s or not %.4s", first, e.request, p.request, p.not)
	case p.after != nil && slices.ContainsFunc(p.after.recs, func(r *rec) bool { return !c.over(r) }):
		c.violate(rulePieces, first.key, e.shard, "the right half from %s on is tried before the left half is over", first)
	}
}

// over reports whether the life that has begun is done with a record.
func (c *checker) over(r *rec) bool { return c.life.finished[r] || c.unseen(r) }

// left notes what the end of a call leaves.
func (c *checker) left(e event, call *call) {
	l := call.life
	set := func(p *piece) {
		for _, r := range p.recs {
			if !l.finished[r] {
				l.pieces[r] = p
			}
		}
	}
	n := len(call.recs)
	switch {
	case e.kind == evSucceeded || e.note == "ctx" || l.stopping:
	case e.kind == evProgress:
		set(&piece{recs: call.recs[e.n:], not: call.request})
	case e.note == "throttled":
		set(&piece{recs: call.recs, request: call.request})
	case l.bisect && n > 1:
		left := &piece{recs: call.recs[:n/2], not: call.request}
		set(left)
		set(&piece{recs: call.recs[n/2:], not: call.request, after: left})
	default:
		l.failed[call.request]++
		set(&piece{recs: call.recs, request: call.request})
	}
}

// delivery checks a document: its records are given up for a reason.
func (c *checker) delivery(e event) {
	l := c.life
	tried := l.requests[e.request]
	var recs []*rec
	for _, id := range e.seqs {
		r := c.recs[id]
		if r == nil {
			c.violate(ruleGiveUp, "", e.shard, "record %s of a document is not in the stream", short(id))
			return
		}
		recs = append(recs, r)
		if l.finished[r] {
			c.violate(ruleTwice, r.key, e.shard, "%s is given up in the life that has given it an outcome", r)
		}
		if _, age := r.age.bounds(e.at); e.note == string(batch.RecordAgeExceeded) && (l.maxAge == 0 || age < l.maxAge) {
			c.violate(ruleGiveUp, r.key, e.shard, "%s is given up at the age of %v", r, age)
		}
	}
	if e.note == string(batch.RecordAgeExceeded) || len(recs) == 1 && recs[0].oversized && tried == nil {
		return
	}
	switch f := l.failed[e.request]; {
	case tried == nil || !slices.Equal(tried.recs, recs):
		c.violate(ruleGiveUp, "", e.shard, "a document of %d records is not of request %.4s", len(recs), e.request)
	case l.turning(e.at) && e.n == l.retries+1: // its last failure may have come before the stop
	case l.retries < 0 || f != l.retries+1 || f != e.n:
		c.violate(ruleGiveUp, "", e.shard, "request %.4s is given up after %d failures, and the document says %d", e.request, f, e.n)
	case l.bisect && len(recs) > 1:
		c.violate(ruleGiveUp, recs[0].key, e.shard, "%d records are given up unsplit", len(recs))
	}
}

// discarded takes records that are given up: by a document, or by the last failure where there is no destination.
func (c *checker) discarded(e event) {
	l := c.lives[e.life]
	if e.note == "dropped" && (l.destination != "" || l.retries < 0 || l.failed[e.request] != l.retries+1 || l.bisect && len(e.seqs) > 1) {
		c.violate(ruleGiveUp, "", e.shard, "request %.4s is given up after %d failures", e.request, l.failed[e.request])
	}
	for _, id := range e.seqs {
		if r := c.recs[id]; r != nil {
			c.outcome[r] = true
			if !l.stopping || e.note == "delivered" { // else a stop may have cut it off
				c.finish(l, r, e.window != nil)
			}
		}
	}
	if e.note != "" && (!l.stopping || e.note == "delivered") {
		l.untold["RecordsDiscarded "+e.request] = e
	}
	if e.note == "refused" && !l.stopping {
		l.untold["DestinationFailed "+e.request] = e
	}
	if e.window != nil {
		c.frameDiscarded(e, l)
	}
}
