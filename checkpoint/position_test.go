package checkpoint

import (
	"cmp"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const sequence = "49590338271490256608559692538361571095921575989136588898"

func must(t *testing.T) func(p Position, err error) Position {
	return func(p Position, err error) Position {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
}

func TestPositionForm(t *testing.T) {
	t.Attr("rule", "C21")
	must := must(t)
	for _, test := range []struct{ got, want Position }{
		{TrimHorizon, "0/trim"},
		{AtTime(time.UnixMilli(1_700_000_000_123)), "0/time/0001700000000123"},
		{AtTime(time.UnixMilli(5).Add(999 * time.Microsecond)), "0/time/0000000000000005"},
		{AtTime(time.Unix(-1, 0)), "0/time/0000000000000000"},
		{AtTime(time.Time{}), "0/time/0000000000000000"},
		{must(After(sequence)), "1/056" + sequence + "/~"},
		{must(AfterSub(sequence, 3)), "1/056" + sequence + "/0000000003"},
		{must(AfterSub("0", 9_999_999_999)), "1/0010/9999999999"},
		{must(After(strings.Repeat("9", 999))), Position("1/999" + strings.Repeat("9", 999) + "/~")},
		{End, "9/END"},
	} {
		if test.got != test.want {
			t.Errorf("got %s, want %s", test.got, test.want)
		}
		if p, err := ParsePosition(string(test.want)); err != nil || p != test.want {
			t.Errorf("ParsePosition(%q) = %q, %v", test.want, p, err)
		}
	}
}

func TestPositionOrder(t *testing.T) {
	t.Attr("rule", "L37")
	must := must(t)
	order := []Position{
		"", AtTime(time.UnixMilli(0)), AtTime(time.UnixMilli(999)), AtTime(time.UnixMilli(1000)), AtTime(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)),
		TrimHorizon, // beside the times: a shard starts at one of the two, and neither follows the other
		must(AfterSub("9", 0)), must(AfterSub("9", 9)), must(AfterSub("9", 10)), must(AfterSub("9", 9_999_999_999)), must(After("9")),
		must(AfterSub("10", 0)), must(After("10")), must(After("11")), must(After(sequence)), must(After(strings.Repeat("9", 999))), End,
	}
	for i, p := range order {
		for j, q := range order {
			if got := p.Compare(q); got != cmp.Compare(i, j) || p.Less(q) != (i < j) {
				t.Errorf("%q.Compare(%q) = %d", p, q, got)
			}
		}
	}
}

// TestPositionNumbers holds the order of the strings against that of the numbers.
func TestPositionNumbers(t *testing.T) {
	t.Attr("rule", "L37")
	must := must(t)
	type place struct {
		seq *big.Int
		sub int64 // maxSub + 1: the whole record
		p   Position
	}
	draw := rapid.Custom(func(t *rapid.T) place {
		seq, _ := new(big.Int).SetString(rapid.StringMatching(`[0-9]{1,60}`).Draw(t, "seq"), 10)
		at := place{seq: seq, sub: rapid.Int64Range(0, maxSub+1).Draw(t, "sub")}
		if at.sub > maxSub {
			at.p = must(After(seq.String()))
		} else {
			at.p = must(AfterSub(seq.String(), at.sub))
		}
		return at
	})
	rapid.Check(t, func(t *rapid.T) {
		places := rapid.SliceOfN(draw, 2, 8).Draw(t, "places")
		slices.SortFunc(places, func(a, b place) int { return a.p.Compare(b.p) })
		for i, at := range places {
			seq, sub, whole, ok := at.p.Sequence()
			if !ok || seq != at.seq.String() || whole != (at.sub > maxSub) || !whole && sub != at.sub {
				t.Fatalf("%s.Sequence() = %s, %d, %v, %v", at.p, seq, sub, whole, ok)
			}
			if i > 0 {
				if before := places[i-1]; cmp.Or(before.seq.Cmp(at.seq), cmp.Compare(before.sub, at.sub)) > 0 {
					t.Fatalf("%s sorts before %s", before.p, at.p)
				}
			}
		}
	})
}

func TestPositionRefused(t *testing.T) {
	for _, seq := range []string{"", "01", "00", "-1", "+1", "1.0", "1e3", " 1", "1 ", "١", "0x1", "1/", strings.Repeat("9", 1000)} {
		if p, err := After(seq); err == nil {
			t.Errorf("After(%q) = %q", seq, p)
		} else if len(err.Error()) > 200 {
			t.Errorf("After(%.9q…): the error has %d bytes", seq, len(err.Error()))
		}
		if p, err := AfterSub(seq, 1); err == nil {
			t.Errorf("AfterSub(%q) = %q", seq, p)
		}
	}
	for _, sub := range []int64{-1, 10_000_000_000} {
		if p, err := AfterSub("1", sub); err == nil {
			t.Errorf("AfterSub(1, %d) = %q", sub, p)
		}
	}
	for _, s := range []string{
		"", "0", "0/", "0/trim ", "0/TRIM", "0/time/", "0/time/1", "0/time/00000000000000001", "0/time/-000000000000001", "0/time/000000000000000x",
		"1", "1/", "1/001", "1/0011", "1/0011/", "1/0011/*", "1/0011/~~", "1/0011/1", "1/0011/00000000001", "1/0011/-000000001", "1/0021/~",
		"1/00201/~", "1/11/~", "1/001a/~", "1/000/~", "2/0011/~", "9/end", "9/END/", "LATEST", "1/0011/~/", "1/0011/~\n",
	} {
		if p, err := ParsePosition(s); err == nil {
			t.Errorf("ParsePosition(%q) = %q", s, p)
		}
		if _, ok := Position(s).Time(); ok {
			t.Errorf("%q.Time() is ok", s)
		}
		if _, _, _, ok := Position(s).Sequence(); ok {
			t.Errorf("%q.Sequence() is ok", s)
		}
	}
}

func TestPositionParts(t *testing.T) {
	at := time.Date(2024, 2, 29, 12, 0, 0, 123_456_789, time.UTC)
	if got, ok := AtTime(at).Time(); !ok || got != at.Truncate(time.Millisecond) {
		t.Errorf("Time() = %v, %v", got, ok)
	}
	for _, p := range []Position{TrimHorizon, End, must(t)(After("1"))} {
		if _, ok := p.Time(); ok {
			t.Errorf("%s has a time", p)
		}
		if p.IsEnd() != (p == End) {
			t.Errorf("%s.IsEnd() = %v", p, p.IsEnd())
		}
	}
	for _, p := range []Position{TrimHorizon, End, AtTime(at)} {
		if _, _, _, ok := p.Sequence(); ok {
			t.Errorf("%s has a sequence number", p)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{"0/trim", "9/END", "0/time/0001700000000123", "1/0011/~", "1/00212/0000000003", "1/056" + sequence + "/~", "1/002012/~"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePosition(s)
		at, isTime := Position(s).Time()
		seq, sub, whole, isRecord := Position(s).Sequence()
		if err != nil {
			if p != "" || isTime || isRecord {
				t.Fatalf("%q is refused and has parts: %q, %v, %v", s, p, isTime, isRecord)
			}
			return
		}
		again := p
		switch {
		case isTime:
			again = AtTime(at)
		case isRecord && whole:
			again, err = After(seq)
		case isRecord:
			again, err = AfterSub(seq, sub)
		case p != TrimHorizon && p != End:
			t.Fatalf("%q is parsed and is nothing", s)
		}
		if err != nil || again != p || string(p) != s {
			t.Fatalf("%q is parsed as %q and made again as %q, %v", s, p, again, err)
		}
	})
}
