package consumer_test

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A truth is what was put to the stream, as the checkers look it up.
type truth struct {
	recs   map[string]*rec   // by id
	keys   map[string][]*rec // in the order in which they were put
	shards map[string]*shardTruth
}

// A rec is what a handler gets as one record: a record of the stream, or a user record of an aggregate that is split.
type rec struct {
	id, key, shard string // id is the sequence number, behind which a user record has # and its place
	place          string // of a checkpoint behind it
	n              int    // of its key
	required       bool   // it must have an outcome
	early          bool   // older than the start position
	outside        bool   // its hash key is not the shard's: it has no order but that of this shard
	left           bool   // it may be left out: its producer had the shard map of before, and puts it again
	passes         []bool // which of filterPatterns
	oversized      bool   // its event exceeds the payload limit
	arrival        time.Time
	age            aged
	gone           time.Duration // when it left the stream; never: it has not
	ordinal        int           // in its shard
}

type shardTruth struct {
	kinesistest.ShardInfo
	recs    []*rec
	inScope bool
}

// shard returns a shard, an empty one if the stream has none of that name.
func (t *truth) shard(id string) *shardTruth {
	if sh := t.shards[id]; sh != nil {
		return sh
	}
	return &shardTruth{}
}

// A part is a user record of an aggregate.
type part struct {
	key, hash string // hash is the explicit hash key, "" for none
	data      []byte
}

// truth arranges the records of a history. A key's records in a child follow those in its parents.
func (h *history) truth() *truth {
	if h.made != nil {
		return h.made
	}
	t := &truth{recs: map[string]*rec{}, keys: map[string][]*rec{}, shards: map[string]*shardTruth{}}
	for _, info := range h.shards { // in order of creation: parents first
		sh := &shardTruth{ShardInfo: info, inScope: h.inScope(info) && !info.Expired}
		t.shards[info.ID] = sh
		for i, r := range info.Records {
			for _, x := range h.recsOf(info, r) {
				x.shard, x.arrival, x.early = info.ID, r.Arrival, h.early(r)
				x.required = h.required(r)
				switch placed := h.placed(r.Arrival); {
				case x.key == "":
					x.key = x.id // they have no order
				case x.outside || placed:
					x.key = info.ID + " " + x.key
				}
				x.age = h.aged(r.Arrival)
				if x.gone = never; i < info.Trimmed {
					x.gone = h.gone()
				}
				x.n, x.ordinal = len(t.keys[x.key]), len(sh.recs)
				t.keys[x.key] = append(t.keys[x.key], x)
				t.recs[x.id] = x
				sh.recs = append(sh.recs, x)
			}
		}
	}
	return t
}

// recsOf returns what a record of the stream is to a handler.
func (h *history) recsOf(sh kinesistest.ShardInfo, r kinesistest.Record) []*rec {
	f := &h.features
	place := fmt.Sprintf("1/%03d%s/", len(r.SequenceNumber), r.SequenceNumber)
	one := func(id, place, key string, data []byte) *rec {
		return &rec{id: id, place: place, key: key, oversized: f.oversized(data), passes: matches(key, data)}
	}
	parts := h.parts[string(r.Data)]
	if !f.deaggregate || parts == nil {
		return []*rec{one(r.SequenceNumber, place+"~", r.PartitionKey, r.Data)}
	}
	recs := make([]*rec, len(parts))
	left := h.stale(sh, r.Arrival, parts)
	for i, p := range parts {
		recs[i] = one(fmt.Sprintf("%s#%d", r.SequenceNumber, i), fmt.Sprintf("%s%010d", place, i), p.key, p.data)
		recs[i].outside = !p.within(sh)
		recs[i].left = left && recs[i].outside
	}
	return recs
}

// placed reports whether the service itself may have placed a record that arrived at a time.
func (h *history) placed(at time.Time) bool {
	on := h.auto(-never)
	for _, t := range h.switched {
		if at.Before(t.Truncate(time.Millisecond)) || on && at.Before(t.Add(time.Millisecond)) {
			break
		}
		on = !on
	}
	return on
}

// stale reports whether a stale shard map may explain where an aggregate is, as far as the consumer can know (C25).
func (h *history) stale(sh kinesistest.ShardInfo, at time.Time, parts []part) bool {
	if !h.onDemand || h.auto(-never) || h.placed(at) || len(h.switched) > 0 && !at.Before(h.switched[0]) {
		return false
	}
	return slices.ContainsFunc(h.shards, func(parent kinesistest.ShardInfo) bool {
		return slices.Contains(sh.Parents, parent.ID) && !slices.ContainsFunc(parts, func(p part) bool { return !p.within(parent) })
	})
}

// hashed returns the hash key of a user record.
func (p part) hashed() *big.Int {
	if p.hash != "" {
		n, _ := new(big.Int).SetString(p.hash, 10)
		return n
	}
	sum := md5.Sum([]byte(p.key))
	return new(big.Int).SetBytes(sum[:])
}

func (p part) within(sh kinesistest.ShardInfo) bool {
	from, ok1 := new(big.Int).SetString(sh.HashStart, 10)
	to, ok2 := new(big.Int).SetString(sh.HashEnd, 10)
	n := p.hashed()
	return ok1 && ok2 && from.Cmp(n) <= 0 && n.Cmp(to) <= 0
}

// oversized reports whether data alone exceeds the payload limit; the scenario puts nothing that is close to it.
func (f *features) oversized(data []byte) bool {
	return f.payload > 0 && base64.StdEncoding.EncodedLen(len(data)) > f.payload
}

// filtered reports whether the filters of a life leave a record out.
func (r *rec) filtered(s *settings) bool {
	for _, i := range s.patterns {
		if r.passes[i] {
			return false
		}
	}
	return len(s.patterns) > 0
}

// unseen reports whether a record may have no outcome that anybody sees, at some time since the first life began: a life may
// have given it one unseen, or it has left the stream.
func (r *rec) unseen(s *settings, at time.Duration) bool { return r.gone <= at || r.passed(s, at) }

// passed reports whether a life may give a record an outcome, at some time since the first life began, that neither handler nor
// destination sees: by its filters, or by a limit where there is no destination.
func (r *rec) passed(s *settings, at time.Duration) bool {
	_, age := r.age.bounds(at)
	limit := r.oversized && s.retries >= 0 || s.maxAge > 0 && age >= s.maxAge
	return r.left || r.filtered(s) || s.destination == "" && limit
}

func (r *rec) String() string {
	return fmt.Sprintf("%s#%d of %s (%s)", r.key, r.n, r.shard, short(r.id))
}
