package kpl

import (
	"crypto/md5"
	"encoding/binary"
	"math/bits"
	"slices"
)

// Encode returns the aggregate of records, for producers and tests: the data of one record to be put under the partition
// key of any of them, if the hash keys of all of them are of one shard. A key that several records have is written once,
// as the KPL does; no tags are. Explicit hash keys are not checked. Encode knows no limits: Kinesis has one on the size of
// a record, and its producer has to keep to it. Without records it returns what [Decode] does not take for an aggregate.
func Encode(records ...UserRecord) []byte {
	keys, hashes := index{of: map[string]uint64{}}, index{of: map[string]uint64{}}
	size := overhead
	for i := range records {
		r := &records[i]
		keys.add(r.PartitionKey)
		if r.ExplicitHashKey != "" {
			hashes.add(r.ExplicitHashKey)
		}
		size += sized(recordSize(r, &keys, &hashes))
	}
	for _, s := range slices.Concat(keys.list, hashes.list) {
		size += sized(len(s))
	}

	out := append(make([]byte, 0, size), magic...)
	for _, s := range keys.list {
		out = append(appendSize(out, tagKey, len(s)), s...)
	}
	for _, s := range hashes.list {
		out = append(appendSize(out, tagHash, len(s)), s...)
	}
	for i := range records {
		r := &records[i]
		out = appendSize(out, tagRecord, recordSize(r, &keys, &hashes))
		out = binary.AppendUvarint(append(out, tagKeyIndex), keys.of[r.PartitionKey])
		if r.ExplicitHashKey != "" {
			out = binary.AppendUvarint(append(out, tagHashIndex), hashes.of[r.ExplicitHashKey])
		}
		out = append(appendSize(out, tagData, len(r.Data)), r.Data...)
	}
	sum := md5.Sum(out[len(magic):])
	return append(out, sum[:]...)
}

// An index is a table that is being written.
type index struct {
	of   map[string]uint64
	list []string
}

func (x *index) add(s string) {
	if _, ok := x.of[s]; !ok {
		x.of[s] = uint64(len(x.list))
		x.list = append(x.list, s)
	}
}

// recordSize returns the size of r as a Record. The indexes know its keys.
func recordSize(r *UserRecord, keys, hashes *index) int {
	n := 1 + varintSize(keys.of[r.PartitionKey]) + sized(len(r.Data))
	if r.ExplicitHashKey != "" {
		n += 1 + varintSize(hashes.of[r.ExplicitHashKey])
	}
	return n
}

// sized returns the size of a field of n bytes with its tag and its size.
func sized(n int) int { return 1 + varintSize(uint64(n)) + n }

func varintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func appendSize(b []byte, tag byte, n int) []byte {
	return binary.AppendUvarint(append(b, tag), uint64(n))
}
