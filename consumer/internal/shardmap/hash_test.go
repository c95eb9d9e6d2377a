package shardmap

import (
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const maxKey = "340282366920938463463374607431768211455"

func TestHoles(t *testing.T) {
	row := func(from, to string, ended bool) State {
		return State{Shard: Shard{HashStart: from, HashEnd: to}, Ended: ended}
	}
	const half, halfUp = "170141183460469231731687303715884105727", "170141183460469231731687303715884105728"
	all := Range{"0", maxKey}
	for name, c := range map[string]struct {
		rows []State
		want []Range
	}{
		"no rows":           {nil, []Range{all}},
		"one":               {[]State{row("0", maxKey, false)}, nil},
		"two":               {[]State{row(halfUp, maxKey, false), row("0", half, false)}, nil},
		"parent and child":  {[]State{row(halfUp, maxKey, false), row("0", maxKey, false)}, nil},
		"ended":             {[]State{row("0", half, true), row(halfUp, maxKey, false)}, []Range{{"0", half}}},
		"the end":           {[]State{row("0", half, false)}, []Range{{halfUp, maxKey}}},
		"one key":           {[]State{row("0", "8", false), row("10", maxKey, false)}, []Range{{"9", "9"}}},
		"contained":         {[]State{row("0", half, false), row("5", "8", false), row(halfUp, maxKey, false)}, nil},
		"both ends":         {[]State{row("1", "340282366920938463463374607431768211454", false)}, []Range{{"0", "0"}, {maxKey, maxKey}}},
		"not a range":       {[]State{row("", "", false), row("-1", maxKey, false), row("0", maxKey+"0", false)}, []Range{all}},
		"upside down":       {[]State{row(maxKey, "0", false)}, []Range{all}},
		"above the largest": {[]State{row("0", "340282366920938463463374607431768211456", false)}, []Range{all}},
	} {
		t.Run(name, func(t *testing.T) {
			known := make(map[string]State)
			for i, r := range c.rows {
				known[string(rune('a'+i))] = r
			}
			if diff := cmp.Diff(c.want, Holes(known)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzHashKey compares parsing, writing and counting with math/big.
func FuzzHashKey(f *testing.F) {
	for _, s := range []string{
		"", "0", "00", "+1", "-1", " 1", "1_0", "0x1", "٣", "18446744073709551615", "18446744073709551616",
		"10000000000000000000", "100000000000000000000000000000000000000", maxKey, "340282366920938463463374607431768211456",
		"3402823669209384634633746074317682114550", strings.Repeat("0", 100) + "7", strings.Repeat("9", 100),
	} {
		f.Add(s)
	}
	limit := new(big.Int).Lsh(big.NewInt(1), 128)
	f.Fuzz(func(t *testing.T, s string) {
		k, ok := parseHashKey(s)
		want, valid := new(big.Int).SetString(s, 10)
		valid = valid && strings.Trim(s, "0123456789") == "" && want.Cmp(limit) < 0
		if ok != valid {
			t.Fatalf("parse %q: %v, want %v", s, ok, valid)
		}
		if !ok {
			return
		}
		if k.String() != want.String() {
			t.Fatalf("%q is %s, want %s", s, k, want)
		}
		if up := k.inc(); k != maxHashKey() && (up.String() != new(big.Int).Add(want, big.NewInt(1)).String() || up.dec() != k || k.compare(up) != -1) {
			t.Fatalf("%s + 1 = %s", k, up)
		}
	})
}
