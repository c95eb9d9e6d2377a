package ledger

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"math/big"
	"sort"
	"strings"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/page"
)

// The done-set of a checkpoint: the records above it that have an outcome, as closed intervals of places in the shard. It
// saves work and nothing else. One that cannot be read, or that stands beside another checkpoint than its own, is empty, and
// all records above the checkpoint come again.
//
// Encoded, it is a byte for the version, a sum over everything that it depends on, and the intervals in their order: the
// lower bound as what it lies above the bound before it, which is the checkpoint at first, and the upper bound likewise.

// A place is where a record is in its shard.
type place struct {
	seq string // digits, without leading zeros
	sub int64  // in an aggregate; whole: the place ends with the whole record
}

const whole = math.MaxInt64

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(len(p.seq), len(q.seq)), strings.Compare(p.seq, q.seq), cmp.Compare(p.sub, q.sub))
}

// digits is a sequence number without leading zeros, which take no part in the order (C28). Zero has none.
func digits(seq string) string { return strings.TrimLeft(seq, "0") }

// from is the place at which an interval begins with a record.
func from(it page.Item) place { return place{digits(it.Seq()), max(0, it.Sub())} }

// upTo is the place at which an interval ends with a record.
func upTo(p page.Point) place {
	if p.Sub < 0 {
		return place{digits(p.Seq), whole}
	}
	return place{digits(p.Seq), p.Sub}
}

// behind is where a checkpoint is. One that no record has is before all of them.
func behind(at checkpoint.Position) place {
	switch seq, sub, all, ok := at.Sequence(); {
	case !ok:
		return place{}
	case all:
		return place{digits(seq), whole}
	default:
		return place{digits(seq), sub}
	}
}

// An interval holds every record from lo to hi.
type interval struct{ lo, hi place }

// has reports whether a record lies inside one of intervals that are in order.
func has(in []interval, it page.Item) bool {
	lo, hi := from(it), place{digits(it.Seq()), it.Sub()}
	if it.Sub() < 0 {
		hi.sub = whole
	}
	i := sort.Search(len(in), func(i int) bool { return in[i].hi.compare(hi) >= 0 })
	return i < len(in) && in[i].lo.compare(lo) <= 0
}

// merged returns intervals that come in the order of their lower bounds, without what lies below a place, those that touch
// made one.
func merged(in iter.Seq[interval], low place) iter.Seq[interval] {
	return func(yield func(interval) bool) {
		var last interval
		open := false
		for next := range in {
			if next.lo.compare(low) < 0 {
				next.lo = low
			}
			switch {
			case next.hi.compare(low) <= 0:
			case open && next.lo.compare(last.hi) <= 0:
				if next.hi.compare(last.hi) > 0 {
					last.hi = next.hi
				}
			case open && !yield(last):
				return
			default:
				last, open = next, true
				low = next.lo // one that was read again may come behind those above it
			}
		}
		if open {
			yield(last)
		}
	}
}

const (
	doneVersion = 1
	doneHead    = 1 + 8 // version and sum
	maxDigits   = 999   // of a sequence number
	maxSub      = 9_999_999_999
)

// encode writes the intervals above a checkpoint in at most limit bytes, nil if there are none. Those that do not fit are
// left out from the top, and first is where they begin, nil if none are: of the records of one key, the ones that come again
// are then the last ones, in their order, as without a set. If a lower one came again alone, what it writes would stay.
func encode(at checkpoint.Position, under string, in iter.Seq[interval], limit int) (out []byte, first *place) {
	out = make([]byte, doneHead, max(doneHead, min(limit, 512)))
	last := number(behind(at).seq)
	for iv := range merged(in, behind(at)) {
		lo, hi := number(iv.lo.seq), number(iv.hi.seq)
		if lo == nil || hi == nil {
			break // no sequence number of Kinesis: the checkpoint fails as well
		}
		n := len(out)
		out = appendDistance(out, last, lo)
		out = appendSub(out, iv.lo.sub)
		out = appendDistance(out, lo, hi)
		out = appendSub(out, iv.hi.sub)
		if len(out) > limit {
			out, first = out[:n], &iv.lo
			break
		}
		last = hi
	}
	if len(out) == doneHead {
		return nil, first
	}
	out[0] = doneVersion
	copy(out[1:], sum(at, under, out[doneHead:]))
	return out, first
}

// decode reads what encode wrote for the same checkpoint, under the same settings. Anything else is no interval at all.
func decode(done []byte, at checkpoint.Position, under string) []interval {
	if len(done) <= doneHead || done[0] != doneVersion || string(done[1:doneHead]) != string(sum(at, under, done[doneHead:])) {
		return nil
	}
	return parse(done[doneHead:], behind(at))
}

// sum ties the intervals to all without which they mean something else.
func sum(at checkpoint.Position, under string, body []byte) []byte {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%d %q %q ", doneVersion, string(at), under)
	_, _ = h.Write(body)
	return h.Sum(nil)[:doneHead-1]
}

// parse reads the intervals above a place, nil if any of them is wrong.
func parse(body []byte, low place) (in []interval) {
	r := bounds{rest: body, at: number(low.seq)}
	for last := low; len(r.rest) > 0; {
		iv := interval{r.next(), r.next()}
		if r.bad || iv.lo.compare(last) < 0 || iv.hi.compare(iv.lo) < 0 {
			return nil
		}
		in, last = append(in, iv), iv.hi
	}
	return in
}

// number is a sequence number without leading zeros, nil if it is none.
func number(seq string) *big.Int {
	n, ok := new(big.Int).SetString("0"+seq, 10)
	if !ok {
		return nil
	}
	return n
}

// appendDistance writes how far one number lies above another: the count of its bytes and of the zero bytes at its end,
// which are not written, and the others. Numbers of one shard have their low bits in common.
func appendDistance(out []byte, a, b *big.Int) []byte {
	d := new(big.Int).Sub(b, a).Bytes()
	zeros := 0
	for zeros < 7 && zeros < len(d) && d[len(d)-1-zeros] == 0 {
		zeros++
	}
	d = d[:len(d)-zeros]
	return append(binary.AppendUvarint(out, uint64(len(d)<<3|zeros)), d...) //nolint:gosec // lengths
}

// appendSub writes a place in an aggregate, in one byte where it is the whole record.
func appendSub(out []byte, sub int64) []byte {
	if sub == whole {
		return append(out, 0)
	}
	return binary.AppendUvarint(out, uint64(sub)+1) //nolint:gosec // it is 0 or more
}

// bounds reads the bounds of intervals, one after the other.
type bounds struct {
	rest []byte
	at   *big.Int // the last one's sequence number
	bad  bool     // what was read is none, and so is all behind it
}

func (r *bounds) next() place {
	head := r.uvarint()
	n, zeros := head>>3, uint(head&7)
	if n > uint64(len(r.rest)) || n > maxDigits/2 {
		r.bad = true
		return place{}
	}
	d := new(big.Int).SetBytes(r.rest[:n])
	r.rest = r.rest[n:]
	r.at = new(big.Int).Add(r.at, d.Lsh(d, 8*zeros))
	p := place{digits(r.at.String()), whole}
	switch sub := r.uvarint(); {
	case len(p.seq) > maxDigits || sub > maxSub+1:
		r.bad = true
	case sub > 0:
		p.sub = int64(sub) - 1
	}
	return p
}

func (r *bounds) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}
