package partition

import (
	"math"
	"strconv"
	"strings"
	"testing"
)

// TestHashGolden holds values of the XXH64 reference implementation (those up to 39 bytes are published test vectors)
// and of inputs for every tail. They never change: a lane depends on them.
func TestHashGolden(t *testing.T) {
	t.Attr("rule", "C1")
	for key, want := range map[string]uint64{
		"":     0xef46db3751d8e999,
		"a":    0xd24ec4f1a98c6e5b,
		"as":   0x1c330fb2d66be179,
		"asd":  0x631c37ce72a97393,
		"abc":  0x44bc2cf5ad770999,
		"asdf": 0x415872f599cea71e,
		"Call me Ishmael. Some years ago--never mind how long precisely-": 0x02a2e85470d6fd96,
	} {
		if got := Hash(key); got != want {
			t.Errorf("Hash(%q) = %#x, want %#x", key, got, want)
		}
	}
	// One value over all lengths, so over all tails: XXH64 of the hashes of the first 0..100 bytes of a text.
	text, all := strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz", 3), ""
	for n := range 101 {
		all += strconv.FormatUint(Hash(text[:n]), 16)
	}
	if got := Hash(all); got != 0xbe705170f035b63c {
		t.Errorf("over all lengths: %#x", got)
	}
}

// TestHashSpreads counts lanes of keys that differ in a number only: no lane is far from its share.
func TestHashSpreads(t *testing.T) {
	for _, lanes := range []uint64{2, 10, 16, 1000} {
		const perLane = 1000
		counts := make([]float64, lanes)
		for i := range lanes * perLane {
			counts[Hash("customer-"+strconv.FormatUint(i, 10))%lanes]++
		}
		for lane, n := range counts {
			if math.Abs(n-perLane) > 6*math.Sqrt(perLane) {
				t.Errorf("lane %d of %d has %v of %d keys", lane, lanes, n, perLane)
			}
		}
	}
}
