package partition

import "math/bits"

// The five primes of XXH64.
const (
	prime1 uint64 = 0x9E3779B185EBCA87
	prime2 uint64 = 0xC2B2AE3D27D4EB4F
	prime3 uint64 = 0x165667B19E3779F9
	prime4 uint64 = 0x85EBCA77C2B2AE63
	prime5 uint64 = 0x27D4EB2F165667C5
)

// Hash returns the XXH64 of the key's bytes with seed 0. It is the same in every process, on every machine and in every
// version of this package, and the same as other implementations of XXH64, so a producer can compute the lane of a
// key as Hash(key) mod the number of lanes. Hash does not resist keys that are chosen to collide.
func Hash(key string) uint64 {
	h, rest := prime5, key
	if len(key) >= 32 {
		h, rest = stripes(key)
	}
	h += uint64(len(key))
	for ; len(rest) >= 8; rest = rest[8:] {
		h = bits.RotateLeft64(h^round(0, word(rest)), 27)*prime1 + prime4
	}
	if len(rest) >= 4 {
		h = bits.RotateLeft64(h^uint64(half(rest))*prime1, 23)*prime2 + prime3
		rest = rest[4:]
	}
	for i := range len(rest) {
		h = bits.RotateLeft64(h^uint64(rest[i])*prime5, 11) * prime1
	}
	h = (h ^ h>>33) * prime2
	h = (h ^ h>>29) * prime3
	return h ^ h>>32
}

// stripes consumes the whole 32-byte stripes of s and returns the merged accumulators and what is left of s.
func stripes(s string) (h uint64, rest string) {
	p1, p2 := prime1, prime2 // variables, as the sums overflow on purpose
	a, b, c, d := p1+p2, p2, uint64(0), -p1
	for ; len(s) >= 32; s = s[32:] {
		a = round(a, word(s))
		b = round(b, word(s[8:]))
		c = round(c, word(s[16:]))
		d = round(d, word(s[24:]))
	}
	h = bits.RotateLeft64(a, 1) + bits.RotateLeft64(b, 7) + bits.RotateLeft64(c, 12) + bits.RotateLeft64(d, 18)
	h = (h^round(0, a))*prime1 + prime4
	h = (h^round(0, b))*prime1 + prime4
	h = (h^round(0, c))*prime1 + prime4
	h = (h^round(0, d))*prime1 + prime4
	return h, s
}

// round mixes one 8-byte word into an accumulator.
func round(acc, w uint64) uint64 {
	return bits.RotateLeft64(acc+w*prime2, 31) * prime1
}

// word reads 8 bytes, little endian; the compiler makes it one load.
func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// half reads 4 bytes, little endian.
func half(s string) uint32 {
	_ = s[3]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}
