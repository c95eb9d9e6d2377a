package kinesistest

import (
	"crypto/md5"
	"encoding/binary"
	"math/big"
	"math/bits"
)

// hash is a hash key: 128 bits, unsigned.
type hash struct{ hi, lo uint64 }

func hashOf(key string) hash {
	sum := md5.Sum([]byte(key))
	return hash{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])}
}

// parseHash reads a decimal number below 2^128 without leading zeros.
func parseHash(s string) (hash, bool) {
	if !isNumber(s, 39) {
		return hash{}, false
	}
	v, ok := new(big.Int).SetString(s, 10)
	if !ok || v.BitLen() > 128 {
		return hash{}, false
	}
	return hashFrom(v), true
}

func hashFrom(v *big.Int) hash {
	var b [16]byte
	v.FillBytes(b[:])
	return hash{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (h hash) big() *big.Int {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], h.hi)
	binary.BigEndian.PutUint64(b[8:], h.lo)
	return new(big.Int).SetBytes(b[:])
}

func (h hash) String() string { return h.big().String() }

func (h hash) less(o hash) bool { return h.hi < o.hi || h.hi == o.hi && h.lo < o.lo }

// add returns h + n, modulo 2^128.
func (h hash) add(n uint64) hash {
	lo, carry := bits.Add64(h.lo, n, 0)
	return hash{h.hi + carry, lo}
}

// prev returns h - 1, modulo 2^128.
func (h hash) prev() hash {
	lo, borrow := bits.Sub64(h.lo, 1, 0)
	return hash{h.hi - borrow, lo}
}

// uniform returns the first hash key of each of n equal ranges: i × ⌊2^128/n⌋.
func uniform(n int) []hash {
	width := new(big.Int).Lsh(big.NewInt(1), 128)
	width.Div(width, big.NewInt(int64(n)))
	starts := make([]hash, n)
	for i := range starts {
		starts[i] = hashFrom(new(big.Int).Mul(width, big.NewInt(int64(i))))
	}
	return starts
}

// middle returns the first hash key of the upper half of a range.
func middle(start, end hash) hash {
	sum := new(big.Int).Add(start.big(), end.big())
	return hashFrom(sum.Add(sum, big.NewInt(1)).Rsh(sum, 1))
}
