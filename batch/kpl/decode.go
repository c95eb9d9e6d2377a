package kpl

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
)

// A UserRecord is one record of an aggregate, as its producer put it.
type UserRecord struct {
	PartitionKey    string
	ExplicitHashKey string // decimal, 0 to 2^128-1; empty: the hash key is the MD5 of the partition key
	Data            []byte
}

const (
	magic    = "\xf3\x89\x9a\xc2"
	checksum = md5.Size

	// Fields of the protobuf messages AggregatedRecord and Record, and the wire types that they use.
	fieldKeys, fieldHashes, fieldRecords     = 1, 2, 3
	fieldKeyIndex, fieldHashIndex, fieldData = 1, 2, 3
	wireVarint, wire64, wireBytes, wire32    = 0, 1, 2, 5
	smallest                                 = len(magic) + checksum
)

// IsAggregate reports whether data begins as an aggregate does and is long enough to be one. Only [Decode] tells whether
// it is one: the body may be broken.
func IsAggregate(data []byte) bool {
	return len(data) > smallest && string(data[:len(magic)]) == magic
}

// Decode appends the user records of an aggregate to dst, in their order, and returns it. ok is false if data is no
// aggregate, or one whose checksum or body is broken or that has no record: it is an ordinary record then (L62), and dst
// is returned as it was.
//
// Data are parts of data, with their capacity cut; keys are copied, once per aggregate and not per record. An aggregate
// inside an aggregate is not split. Memory is proportional to data, whatever the body says of lengths and indexes.
func Decode(data []byte, dst []UserRecord) (_ []UserRecord, ok bool) {
	if !IsAggregate(data) {
		return dst, false
	}
	body, sum := data[len(magic):len(data)-checksum], data[len(data)-checksum:]
	if got := md5.Sum(body); !bytes.Equal(got[:], sum) {
		return dst, false
	}
	return decode(body, dst)
}

// decode decodes a body whose checksum is right.
func decode(body []byte, dst []UserRecord) ([]UserRecord, bool) {
	var tables [2]table // partition keys and explicit hash keys
	records := 0
	for rest := body; len(rest) > 0; {
		f, ok := next(&rest)
		if !ok {
			return dst, false
		}
		switch f.number {
		case fieldKeys, fieldHashes:
			if f.wire != wireBytes {
				return dst, false
			}
			tables[f.number-fieldKeys].add(f.bytes)
		case fieldRecords:
			if f.wire != wireBytes {
				return dst, false
			}
			records++
		}
	}
	if records == 0 {
		return dst, false
	}
	tables[0].freeze()
	tables[1].freeze()
	n := len(dst)
	for rest := body; len(rest) > 0; {
		f, _ := next(&rest)
		if f.number != fieldRecords {
			continue
		}
		u, ok := record(f.bytes, &tables)
		if !ok {
			return dst[:n], false
		}
		dst = append(dst, u)
	}
	return dst, true
}

// record decodes one Record. Its partition key and its data are required.
func record(body []byte, tables *[2]table) (u UserRecord, ok bool) {
	var keyed, filled bool
	for len(body) > 0 {
		f, ok := next(&body)
		if !ok {
			return u, false
		}
		switch f.number {
		case fieldKeyIndex:
			u.PartitionKey, keyed = tables[0].at(f)
			if !keyed {
				return u, false
			}
		case fieldHashIndex:
			if u.ExplicitHashKey, ok = tables[1].at(f); !ok {
				return u, false
			}
		case fieldData:
			if f.wire != wireBytes {
				return u, false
			}
			u.Data, filled = f.bytes, true
		}
	}
	return u, keyed && filled
}

// A table is a table of strings: pieces of the body until freeze, and then of one string.
type table struct {
	ends  []int
	bytes []byte
	text  string
}

func (t *table) add(b []byte) {
	t.bytes = append(t.bytes, b...)
	t.ends = append(t.ends, len(t.bytes))
}

func (t *table) freeze() { t.text, t.bytes = string(t.bytes), nil }

// at returns the string that an index names; ok is false if there is none.
func (t *table) at(f field) (s string, ok bool) {
	if f.wire != wireVarint || f.value >= uint64(len(t.ends)) {
		return "", false
	}
	from := 0
	if f.value > 0 {
		from = t.ends[f.value-1]
	}
	return t.text[from:t.ends[f.value]], true
}

// A field is one field of a protobuf message.
type field struct {
	number uint64
	wire   int
	value  uint64 // of a varint
	bytes  []byte // of a length-delimited field; its capacity is its length
}

// next takes the first field of a message off it. ok is false if the message is broken. Groups are: no version of the
// format has them.
func next(rest *[]byte) (f field, ok bool) {
	tag, ok := varint(rest)
	if !ok || tag>>3 == 0 || tag>>3 > 1<<29-1 {
		return f, false
	}
	f.number, f.wire = tag>>3, int(tag&7)
	n := uint64(0)
	switch f.wire {
	case wireVarint:
		f.value, ok = varint(rest)
		return f, ok
	case wireBytes:
		if n, ok = varint(rest); !ok {
			return f, false
		}
	case wire64:
		n = 8
	case wire32:
		n = 4
	default:
		return f, false
	}
	if n > uint64(len(*rest)) {
		return f, false
	}
	f.bytes, *rest = (*rest)[:n:n], (*rest)[n:]
	return f, true
}

func varint(rest *[]byte) (uint64, bool) {
	v, n := binary.Uvarint(*rest)
	if n <= 0 {
		return 0, false
	}
	*rest = (*rest)[n:]
	return v, true
}
