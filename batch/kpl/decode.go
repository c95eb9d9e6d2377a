package kpl

import (
	"crypto/md5"
	"encoding/binary"
	"math"
	"slices"
)

// A UserRecord is one record of an aggregate, as its producer put it.
type UserRecord struct {
	PartitionKey    string
	ExplicitHashKey string // decimal, 0 to 2^128-1; empty: the hash key is the MD5 of the partition key
	Data            []byte
}

const (
	magic    = "\xf3\x89\x9a\xc2"
	overhead = len(magic) + md5.Size

	// Wire types of protobuf. The others are those of groups.
	wireVarint, wire64, wireBytes, wire32 = 0, 1, 2, 5

	// Tags of an AggregatedRecord's fields: the field's number, and the wire type in the last three bits.
	tagKey    = 1<<3 | wireBytes
	tagHash   = 2<<3 | wireBytes
	tagRecord = 3<<3 | wireBytes

	// Tags of a Record's fields. It has a fourth one, of producers' tags, that no consumer shows to handlers.
	tagKeyIndex  = 1<<3 | wireVarint
	tagHashIndex = 2<<3 | wireVarint
	tagData      = 3<<3 | wireBytes

	smallest = 4 // bytes of a Record, which has at least a key index and data of length 0
)

// IsAggregate reports whether data begins as an aggregate does and is long enough to be one. Only [Decode] tells whether
// it is one: the body may be broken.
func IsAggregate(data []byte) bool {
	return len(data) > overhead && string(data[:len(magic)]) == magic
}

// Decode appends the user records of an aggregate to dst, in their order, and returns it. ok is false if data is no
// aggregate, or one whose checksum or body is broken or that has no record: it is an ordinary record then, and dst
// is returned as it was. A body is broken if
//
//   - it, or one of its records, is no protobuf message, or has a group
//   - a field of the format has another wire type than it should
//   - a record has no partition key index or no data
//   - an index is not in its table
//
// and not if it has unknown fields, or partition keys that are no UTF-8. The tags of records are not looked at.
//
// The Data of a user record is a part of data, with its capacity cut, and never nil. Keys are copied, those of one
// aggregate in one piece. An aggregate inside an aggregate is not split. Decode allocates once, besides what dst and
// tables of more than a hundred keys need, and memory in proportion to len(data), whatever the body says of sizes.
func Decode(data []byte, dst []UserRecord) (_ []UserRecord, ok bool) {
	if !IsAggregate(data) {
		return dst, false
	}
	body, sum := data[len(magic):len(data)-md5.Size], data[len(data)-md5.Size:]
	if md5.Sum(body) != [md5.Size]byte(sum) {
		return dst, false
	}
	return decode(body, dst)
}

// decode decodes a body whose checksum is right. The tables may stand anywhere in it, so they are looked for first.
func decode(body []byte, dst []UserRecord) ([]UserRecord, bool) {
	if uint64(len(body)) > math.MaxUint32 {
		return dst, false
	}
	var forKeys [128]span // as many as most aggregates have, so that the tables are not allocated
	var forHashes [32]span
	keys, hashes, records := forKeys[:0], forHashes[:0], 0
	from, to, first := len(body), 0, 0 // of all entries of the tables, and of the first record
	for at := 0; at < len(body); {
		tag, size, end := next(body, at)
		if end < 0 {
			return dst, false
		}
		s := span{uint32(end - int(size)), uint32(end)} // if it is no varint
		switch {
		case tag == tagRecord && size >= smallest:
			if records == 0 {
				first = at
			}
			records++
		case tag == tagKey:
			keys = append(keys, s)
			from, to = min(from, int(s.from)), end
		case tag == tagHash:
			hashes = append(hashes, s)
			from, to = min(from, int(s.from)), end
		case tag>>3 <= tagRecord>>3:
			return dst, false
		}
		at = end
	}
	if len(keys) == 0 || records == 0 {
		return dst, false
	}

	text, n := string(body[from:to]), len(dst)
	out := slices.Grow(dst, records)[:n+records]
	for at, i := first, n; i < len(out); {
		tag, size, end := next(body, at)
		at = end
		if tag != tagRecord {
			continue
		}
		r, ok := parse(body[end-int(size) : end])
		if !ok || r.key >= uint64(len(keys)) || r.hashed && r.hash >= uint64(len(hashes)) {
			return dst, false
		}
		u := &out[i]
		u.PartitionKey, u.ExplicitHashKey, u.Data = keys[r.key].of(text, from), "", r.data
		if r.hashed {
			u.ExplicitHashKey = hashes[r.hash].of(text, from)
		}
		i++
	}
	return out, true
}

// A span is where the entry of a table is in the body.
type span struct{ from, to uint32 }

// of returns the entry. text is the body from at on.
func (s span) of(text string, at int) string { return text[int(s.from)-at : int(s.to)-at] }

// A record is a Record whose keys are still indexes.
type record struct {
	data      []byte
	key, hash uint64
	hashed    bool
}

// parse reads a Record. Of a field that is there twice the last one counts, as everywhere in protobuf.
func parse(b []byte) (r record, ok bool) {
	keyed := false
	for at := 0; at < len(b); {
		tag, value, end := next(b, at)
		switch {
		case end < 0:
			return r, false
		case tag == tagKeyIndex:
			r.key, keyed = value, true
		case tag == tagHashIndex:
			r.hash, r.hashed = value, true
		case tag == tagData:
			r.data = b[end-int(value) : end : end]
		case tag>>3 <= tagData>>3:
			return r, false
		}
		at = end
	}
	return r, keyed && r.data != nil
}

// next reads the field at b[at:]. value is that of a varint and the size of anything else, which are the last bytes before
// end. end is -1 if the message is broken there.
func next(b []byte, at int) (tag, value uint64, end int) {
	if at < len(b) && b[at] < 0x80 { // varint, were it inlined
		tag, at = uint64(b[at]), at+1
	} else {
		tag, at = varint(b, at)
	}
	if at < 0 || tag>>3 == 0 || tag>>3 > 1<<29-1 {
		return 0, 0, -1
	}
	switch tag & 7 {
	case wireVarint, wireBytes:
		if at < len(b) && b[at] < 0x80 {
			value, at = uint64(b[at]), at+1
		} else {
			value, at = varint(b, at)
		}
		if tag&7 == wireVarint {
			return tag, value, at
		}
	case wire64:
		value = 8
	case wire32:
		value = 4
	default:
		return 0, 0, -1
	}
	if at < 0 || value > uint64(len(b)-at) {
		return 0, 0, -1
	}
	return tag, value, at + int(value)
}

// varint reads the number at b[at:]. end is -1 if there is none of 64 bits.
func varint(b []byte, at int) (v uint64, end int) {
	if at+1 < len(b) && b[at+1] < 0x80 && b[at] >= 0x80 { // most sizes of data
		return uint64(b[at]&0x7f) | uint64(b[at+1])<<7, at + 2
	}
	v, n := binary.Uvarint(b[at:])
	if n <= 0 {
		return 0, -1
	}
	return v, at + n
}
