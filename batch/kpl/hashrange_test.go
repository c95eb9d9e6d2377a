package kpl_test

import (
	"crypto/md5"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shardlane/shardlane/batch/kpl"
)

const (
	half = "170141183460469231731687303715884105728" // 2^127
	most = "340282366920938463463374607431768211455" // 2^128-1
)

func hashRange(t testing.TB, from, to string) kpl.HashRange {
	h, err := kpl.ParseHashRange(from, to)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHashRange(t *testing.T) {
	t.Attr("rule", "L65")
	lower, upper := hashRange(t, "0", "170141183460469231731687303715884105727"), hashRange(t, half, most)
	for _, c := range []struct {
		u     kpl.UserRecord
		lower bool
	}{
		{kpl.UserRecord{PartitionKey: "a"}, true},  // MD5 0cc1…
		{kpl.UserRecord{PartitionKey: "b"}, false}, // MD5 92eb…
		{kpl.UserRecord{PartitionKey: ""}, false},  // MD5 d41d…
		{kpl.UserRecord{PartitionKey: "b", ExplicitHashKey: "0"}, true},
		{kpl.UserRecord{PartitionKey: "b", ExplicitHashKey: "000"}, true},
		{kpl.UserRecord{PartitionKey: "a", ExplicitHashKey: half}, false},
		{kpl.UserRecord{PartitionKey: "a", ExplicitHashKey: most}, false},
		// No number of 128 bits: as if absent.
		{kpl.UserRecord{PartitionKey: "b", ExplicitHashKey: "340282366920938463463374607431768211456"}, false},
		{kpl.UserRecord{PartitionKey: "a", ExplicitHashKey: most + "0"}, true},
		{kpl.UserRecord{PartitionKey: "a", ExplicitHashKey: "x"}, true},
		{kpl.UserRecord{PartitionKey: "b", ExplicitHashKey: "-1"}, false},
	} {
		if lower.Contains(c.u) != c.lower || upper.Contains(c.u) == c.lower || !(kpl.HashRange{}).Contains(c.u) {
			t.Errorf("%v: lower half %t, upper half %t; want lower %t", c.u, lower.Contains(c.u), upper.Contains(c.u), c.lower)
		}
	}
	for _, bad := range [][2]string{{"", most}, {"0", ""}, {"0", "-1"}, {half, "0"}, {"0", most + "0"}, {"0x0", "1"}, {" 0", "1"}} {
		if _, err := kpl.ParseHashRange(bad[0], bad[1]); err == nil {
			t.Errorf("%q is taken for a range", bad)
		}
	}
}

// The one user record whose hash key is another shard's is left out alone, and the others keep their indexes (F50).
func TestHashRangeAlone(t *testing.T) {
	t.Attr("rule", "L65")
	t.Attr("rule", "C21")
	users, _ := kpl.Decode(kpl.Encode(
		kpl.UserRecord{PartitionKey: "a", Data: []byte("0")},
		kpl.UserRecord{PartitionKey: "b", Data: []byte("1")},
		kpl.UserRecord{PartitionKey: "b", ExplicitHashKey: "7", Data: []byte("2")},
		kpl.UserRecord{PartitionKey: "a", Data: []byte("3")}), nil)
	lower, inside := hashRange(t, "0", half), []int(nil)
	for i, u := range users {
		if lower.Contains(u) {
			inside = append(inside, i)
		}
	}
	if !slices.Equal(inside, []int{0, 2, 3}) {
		t.Errorf("inside are %v", inside)
	}
}

// The range agrees with numbers of any size.
func TestHashRangeModel(t *testing.T) {
	t.Attr("rule", "L65")
	number := rapid.Custom(func(t *rapid.T) *big.Int {
		n := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(t, "bytes"))
		return n.SetBit(n, rapid.IntRange(0, 127).Draw(t, "bit"), 1)
	})
	rapid.Check(t, func(t *rapid.T) {
		from, to, at := number.Draw(t, "from"), number.Draw(t, "to"), number.Draw(t, "at")
		if rapid.Bool().Draw(t, "at an end") {
			at = to
		}
		h, err := kpl.ParseHashRange(from.String(), to.String())
		if from.Cmp(to) > 0 {
			if err == nil {
				t.Fatal("a range that ends before it begins")
			}
			return
		}
		key := rapid.String().Draw(t, "key")
		sum := md5.Sum([]byte(key))
		for u, n := range map[string]*big.Int{at.String(): at, "": new(big.Int).SetBytes(sum[:])} {
			want := from.Cmp(n) <= 0 && n.Cmp(to) <= 0
			if got := h.Contains(kpl.UserRecord{PartitionKey: key, ExplicitHashKey: u}); err != nil || got != want {
				t.Fatalf("%d in [%d,%d] is %t, %v", n, from, to, got, err)
			}
		}
	})
}

func TestHashRangeAllocates(t *testing.T) {
	h := hashRange(t, "0", half)
	long := strings.Repeat("k", 256)
	for _, u := range []kpl.UserRecord{{PartitionKey: long}, {PartitionKey: long, ExplicitHashKey: most}} {
		if n := testing.AllocsPerRun(100, func() { h.Contains(u) }); n > 0 {
			t.Errorf("%v allocations for %v", n, u)
		}
	}
}

func BenchmarkHashRange(b *testing.B) {
	h := hashRange(b, "0", half)
	for name, u := range map[string]kpl.UserRecord{"key": {PartitionKey: "customer-17"}, "explicit": {ExplicitHashKey: most}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.Contains(u)
			}
		})
	}
}
