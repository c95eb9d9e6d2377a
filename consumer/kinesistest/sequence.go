package kinesistest

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// sequence is what a sequence number is made of. As the service's, it is 188 bits that begin with a 2, and so has 56
// decimal digits: first the shard's creation, so that a child's numbers are above its parents', then a counter.
type sequence struct {
	created uint64 // seconds, 36 bits; above that of every parent
	shard   uint32
	n       uint64 // grows within the stream
	at      uint64 // seconds, 36 bits
}

func (q sequence) String() string {
	var bits big.Int
	bits.SetUint64(2<<40 | q.created&(1<<36-1)<<4 | uint64(q.shard&15))
	for _, f := range [...]struct {
		width uint
		value uint64
	}{{64, q.n}, {8, 0}, {36, q.at & (1<<36 - 1)}, {32, uint64(q.shard)}, {4, 2}} {
		var v big.Int
		bits.Lsh(&bits, f.width)
		bits.Or(&bits, v.SetUint64(f.value))
	}
	return bits.String()
}

// parseSequence takes a sequence number apart; ok is false for numbers that no stream gives out.
func parseSequence(s string) (q sequence, ok bool) {
	if !isNumber(s, 129) {
		return q, false
	}
	var bits, mask big.Int
	if _, ok := bits.SetString(s, 10); !ok || bits.BitLen() != 186 {
		return q, false
	}
	take := func(width uint) uint64 {
		mask.Sub(mask.Lsh(big.NewInt(1), width), big.NewInt(1))
		v := mask.And(&mask, &bits).Uint64()
		bits.Rsh(&bits, width)
		return v
	}
	version := take(4)
	q.shard = uint32(take(32))
	q.at = take(36)
	zero := take(8)
	q.n = take(64)
	low := take(4)
	q.created = take(36)
	return q, version == 2 && zero == 0 && bits.Uint64() == 2 && low == uint64(q.shard&15)
}

// SetSequencePrefix puts text before every sequence number that the server tells, to clients and here, and expects it in
// every one that it is given: with "0000" they have leading zeros, with "record-" they are no numbers, as those of some
// emulators. It is for a server that nobody has read yet: numbers without the prefix are refused from then on. It panics
// on anything but letters, digits, '_', '.' and '-'. Defaults to none.
func (s *Server) SetSequencePrefix(prefix string) {
	var v validation
	v.name("prefix", "0"+prefix)
	if err := v.err(); err != nil {
		panic(fmt.Sprintf("kinesistest: SetSequencePrefix: %v", err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings.prefix = prefix
}

// told returns records with a prefix before their sequence numbers.
func told(records []Record, prefix string) []Record {
	records = records[:len(records):len(records)]
	if prefix == "" {
		return records
	}
	records = slices.Clone(records)
	for i := range records {
		records[i].SequenceNumber = prefix + records[i].SequenceNumber
	}
	return records
}

// sequence checks the form of a sequence number that was given.
func (v *validation) sequence(field, seq, prefix string) {
	v.check(prefix != "" || isNumber(seq, 129), field, seq, `satisfy regular expression pattern: 0|([1-9]\d{0,128})`)
}

// isNumber reports whether s is a decimal number of at most so many digits without leading zeros.
func isNumber(s string, digits int) bool {
	if s == "" || len(s) > digits || s[0] == '0' && len(s) > 1 {
		return false
	}
	return strings.Trim(s, "0123456789") == ""
}
