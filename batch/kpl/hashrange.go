package kpl

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"math/bits"
	"unsafe"
)

// A HashRange is the hash keys of a shard, both ends included. The zero HashRange has no bounds: it holds every record.
type HashRange struct {
	from, to uint128
	bounded  bool
}

type uint128 struct{ hi, lo uint64 }

func (a uint128) less(b uint128) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

// ParseHashRange returns the range of StartingHashKey and EndingHashKey as Kinesis writes them: decimal, 0 to 2^128-1.
func ParseHashRange(from, to string) (HashRange, error) {
	a, ok := decimal(from)
	b, valid := decimal(to)
	if !ok || !valid || b.less(a) {
		return HashRange{}, fmt.Errorf("kpl: hash key range %.50q to %.50q", from, to)
	}
	return HashRange{a, b, true}, nil
}

// Contains reports whether the hash key of u is in the range: its explicit hash key, and without one, or with one that is
// no decimal number of 128 bits, the MD5 of its partition key. It does not allocate.
func (h HashRange) Contains(u UserRecord) bool {
	if !h.bounded {
		return true
	}
	key, ok := decimal(u.ExplicitHashKey)
	if !ok {
		sum := md5.Sum(unsafe.Slice(unsafe.StringData(u.PartitionKey), len(u.PartitionKey))) // only read; a copy would be allocated
		key = uint128{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])}
	}
	return !key.less(h.from) && !h.to.less(key)
}

// decimal reads a number of 128 bits.
func decimal(s string) (n uint128, ok bool) {
	if s == "" {
		return n, false
	}
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return n, false
		}
		over, hi := bits.Mul64(n.hi, 10)
		carry, lo := bits.Mul64(n.lo, 10)
		lo, c := bits.Add64(lo, uint64(d), 0)
		hi, c = bits.Add64(hi, carry, c)
		if over+c > 0 {
			return n, false
		}
		n = uint128{hi, lo}
	}
	return n, true
}
