package shardmap

import (
	"cmp"
	"math/bits"
	"slices"
	"strconv"
)

// A Range is a part of the hash space, both ends inclusive, decimal.
type Range struct{ Start, End string }

// Holes returns the parts of the hash space, 0 to 2^128-1, that no known shard covers which is not ended: shards that
// run and shards that wait for their parents. Where there is a hole, records are put that nobody will read. A range that
// cannot be read covers nothing. The holes are ordered and do not touch each other.
func Holes(known map[string]State) []Range {
	var holes []Range
	for _, g := range gaps(unended(known)) {
		holes = append(holes, Range{g.from.String(), g.to.String()})
	}
	return holes
}

// gaps returns what the shards leave uncovered, ordered.
func gaps(shards []Shard) []span {
	spans := make([]span, 0, len(shards))
	for _, s := range shards {
		if r, ok := parseRange(s); ok {
			spans = append(spans, r)
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return a.from.compare(b.from) })
	var found []span
	next := hashKey{} // first key that is not covered
	for _, s := range spans {
		if next.compare(s.from) < 0 {
			found = append(found, span{next, s.from.dec()})
		}
		if s.to == maxHashKey() {
			return found
		}
		if end := s.to.inc(); next.compare(end) < 0 {
			next = end
		}
	}
	return append(found, span{next, maxHashKey()})
}

// A cover is the ranges of some shards, ordered by their beginning.
type cover []covering

type covering struct {
	span
	id    string
	reach hashKey // the greatest end up to here
}

// newCover returns the cover of shards. One whose range cannot be read covers nothing.
func newCover(shards []Shard) cover {
	c := make(cover, 0, len(shards))
	for _, s := range shards {
		if r, ok := parseRange(s); ok {
			c = append(c, covering{span: r, id: s.ID})
		}
	}
	slices.SortFunc(c, func(a, b covering) int { return a.from.compare(b.from) })
	for i := range c {
		c[i].reach = c[i].to
		if i > 0 && c[i].reach.compare(c[i-1].reach) < 0 {
			c[i].reach = c[i-1].reach
		}
	}
	return c
}

// older reports whether a shard of the cover is older than s and overlaps it. Shards are numbered as they come to be.
func (c cover) older(s Shard) bool {
	r, ok := parseRange(s)
	if !ok {
		return false
	}
	n, _ := slices.BinarySearchFunc(c, r.to, func(e covering, to hashKey) int {
		if e.from.compare(to) <= 0 {
			return -1
		}
		return 1
	})
	for i := n - 1; i >= 0 && c[i].reach.compare(r.from) >= 0; i-- {
		if c[i].id < s.ID && c[i].overlaps(r) {
			return true
		}
	}
	return false
}

// span is a range of hash keys, both ends inclusive.
type span struct{ from, to hashKey }

func (s span) overlaps(t span) bool {
	return s.from.compare(t.to) <= 0 && t.from.compare(s.to) <= 0
}

// parseRange reads the hash range of a shard; ok is false when it is not one.
func parseRange(s Shard) (r span, ok bool) {
	from, ok1 := parseHashKey(s.HashStart)
	to, ok2 := parseHashKey(s.HashEnd)
	return span{from, to}, ok1 && ok2 && from.compare(to) <= 0
}

// hashKey is an unsigned number of 128 bits.
type hashKey struct{ hi, lo uint64 }

func maxHashKey() hashKey { return hashKey{^uint64(0), ^uint64(0)} }

// parseHashKey reads a decimal number; ok is false for anything but digits and for numbers above 2^128-1. Leading zeros
// are accepted.
func parseHashKey(s string) (k hashKey, ok bool) {
	if s == "" {
		return hashKey{}, false
	}
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return hashKey{}, false
		}
		over, hi := bits.Mul64(k.hi, 10)
		carry, lo := bits.Mul64(k.lo, 10)
		hi, c1 := bits.Add64(hi, carry, 0)
		lo, c2 := bits.Add64(lo, uint64(d), 0)
		hi, c3 := bits.Add64(hi, 0, c2)
		if over|c1|c3 != 0 {
			return hashKey{}, false
		}
		k = hashKey{hi, lo}
	}
	return k, true
}

func (k hashKey) compare(o hashKey) int {
	return cmp.Or(cmp.Compare(k.hi, o.hi), cmp.Compare(k.lo, o.lo))
}

func (k hashKey) inc() hashKey {
	lo, carry := bits.Add64(k.lo, 1, 0)
	return hashKey{k.hi + carry, lo}
}

func (k hashKey) dec() hashKey {
	lo, borrow := bits.Sub64(k.lo, 1, 0)
	return hashKey{k.hi - borrow, lo}
}

// String writes the number in decimal.
func (k hashKey) String() string {
	const chunk = 1e19 // the largest power of ten in 64 bits
	if k.hi == 0 {
		return strconv.FormatUint(k.lo, 10)
	}
	lo, r := bits.Div64(k.hi%chunk, k.lo, chunk)
	q := hashKey{k.hi / chunk, lo}
	digits := strconv.FormatUint(r, 10)
	for len(digits) < 19 {
		digits = "0" + digits
	}
	return q.String() + digits
}
