package consumer_test

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"

	"github.com/shardlane/shardlane/checkpoint"
)

// A span is an interval of records that are done above a checkpoint, both ends included, as places of checkpoints.
type span struct{ from, to string }

// spans reads the done-set of a row, of which only the library's own encoding is in a store here. It is a second reading of
// the format, so that a mistake in the library's shows.
func (r row) spans() (in []span) {
	if len(r.Done) == 0 {
		return nil
	}
	body, at := r.Done[1+8:], new(big.Int) // version and sum
	if seq, _, _, ok := checkpoint.Position(r.Ck).Sequence(); ok {
		at.SetString(seq, 10)
	}
	number := func() uint64 {
		v, n := binary.Uvarint(body)
		if n <= 0 {
			panic(fmt.Sprintf("done-set %x of %s", r.Done, r.Ck))
		}
		body = body[n:]
		return v
	}
	place := func() string {
		head := number()
		d := new(big.Int).SetBytes(body[:head>>3])
		body = body[head>>3:]
		at.Add(at, d.Lsh(d, 8*uint(head&7)))
		sub := "~"
		if n := number(); n > 0 {
			sub = fmt.Sprintf("%010d", n-1)
		}
		return fmt.Sprintf("1/%03d%s/%s", len(at.String()), at, sub)
	}
	for len(body) > 0 {
		in = append(in, span{place(), place()})
	}
	return in
}

// holds reports whether a row says that a record is done.
func (r row) holds(x *rec) bool {
	return r.covers(x) || slices.ContainsFunc(r.done, func(s span) bool { return s.from <= x.place && x.place <= s.to })
}

// skips reports whether a life that claims a row leaves a record out. In window mode nothing above the checkpoint counts.
func (s *settings) skips(r row, x *rec) bool {
	return r.covers(x) || s.tumbling == 0 && r.holds(x)
}

// held checks that everything above its checkpoint that a row says is done has an outcome, and notes that it stays so.
func (c *checker) held(e event, l *lived) {
	if len(e.row.done) == 0 {
		return
	}
	for _, r := range c.shards[e.shard].recs {
		if e.row.covers(r) || !e.row.holds(r) {
			continue
		}
		if r.required && !c.outcome[r] && !r.unseen(l.settings, e.at) {
			c.violate(ruleMark, r.key, r.shard, "%s is stored as done, and has no outcome", r)
		}
		c.closed[r] = true
		c.forgotten(r, l)
		c.outcome[r] = c.outcome[r] || r.unseen(l.settings, e.at)
	}
}

// kept checks that what a clean stop leaves in a row is all that has an outcome: nothing of it comes again (contract 5).
func (c *checker) kept(shard string, row row) {
	for _, r := range c.shards[shard].recs {
		if c.life.tumbling == 0 && c.life.finished[r] && !row.holds(r) {
			c.violate(ruleDrain, r.key, shard, "the process returned, and %s, which has an outcome, comes again", r)
			return
		}
	}
}
