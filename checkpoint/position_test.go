package checkpoint

import (
	"cmp"
	"errors"
	"math/big"
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
		{must(After("0007")), "1/0017/~/000"},
		{must(AfterSub("0010", 10)), "1/00210/0000000010/00"},
		{must(After("00")), "1/0010/~/0"},
		{must(After(strings.Repeat("0", 999))), Position("1/0010/~/" + strings.Repeat("0", 998))},
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

// TestPositionSamePlace checks that zeros take no part in the order.
func TestPositionSamePlace(t *testing.T) {
	t.Attr("rule", "C28")
	must := must(t)
	for _, same := range [][]Position{
		{must(After("7")), must(After("07")), must(After("0007"))},
		{must(AfterSub("10", 100)), must(AfterSub("010", 100)), must(AfterSub("000010", 100))},
		{must(AfterSub("0", 0)), must(AfterSub("00", 0))},
	} {
		for _, p := range same {
			for _, q := range same {
				if p.Compare(q) != 0 || p.Less(q) {
					t.Errorf("%s.Compare(%s) = %d", p, q, p.Compare(q))
				}
			}
		}
	}
	for _, p := range []Position{"1/a/b/c", "1/0011/~/", "1/0011/~/0/0", "0/trim/00/0", "0/time/0000000000000000", "x/y/z/0", "1/0010/0000000000"} {
		if got := p.place(); got != string(p) {
			t.Errorf("%s is cut to %s", p, got)
		}
	}
}

// TestPositionNumbers holds the order of the strings against that of the numbers.
func TestPositionNumbers(t *testing.T) {
	t.Attr("rule", "L37")
	must := must(t)
	type place struct {
		text string // the number as the service writes it
		seq  *big.Int
		sub  int64 // maxSub + 1: the whole record
		p    Position
	}
	draw := rapid.Custom(func(t *rapid.T) place {
		at := place{text: rapid.StringMatching(`0{0,3}[0-9]{1,60}`).Draw(t, "seq"), sub: rapid.Int64Range(0, maxSub+1).Draw(t, "sub")}
		at.seq, _ = new(big.Int).SetString(at.text, 10)
		if at.sub > maxSub {
			at.p = must(After(at.text))
		} else {
			at.p = must(AfterSub(at.text, at.sub))
		}
		return at
	})
	rapid.Check(t, func(t *rapid.T) {
		places := rapid.SliceOfN(draw, 2, 8).Draw(t, "places")
		for _, at := range places {
			seq, sub, whole, ok := at.p.Sequence()
			if !ok || seq != at.text || whole != (at.sub > maxSub) || !whole && sub != at.sub {
				t.Fatalf("%s.Sequence() = %s, %d, %v, %v", at.p, seq, sub, whole, ok)
			}
			for _, o := range places {
				want := cmp.Or(at.seq.Cmp(o.seq), cmp.Compare(at.sub, o.sub))
				if got := at.p.Compare(o.p); got != want || at.p.Less(o.p) != (want < 0) {
					t.Fatalf("%s.Compare(%s) = %d, want %d", at.p, o.p, got, want)
				}
				if bytes := strings.Compare(string(at.p), string(o.p)); want != 0 && bytes != want {
					t.Fatalf("the bytes of %s and %s sort as %d, want %d", at.p, o.p, bytes, want)
				}
			}
		}
	})
}

func TestPositionRefused(t *testing.T) {
	t.Attr("rule", "C28")
	for _, seq := range []string{"", "word", "0word", "00-1", "-1", "+1", "1.0", "1e3", " 1", "1 ", "١", "0x1", "1/", strings.Repeat("9", 1000), strings.Repeat("0", 1000)} {
		if p, err := After(seq); !errors.Is(err, ErrSequence) || p != "" {
			t.Errorf("After(%.9q…) = %q, %v", seq, p, err)
		} else if len(err.Error()) > 200 {
			t.Errorf("After(%.9q…): the error has %d bytes", seq, len(err.Error()))
		}
		if p, err := AfterSub(seq, 1); !errors.Is(err, ErrSequence) || p != "" {
			t.Errorf("AfterSub(%.9q…) = %q, %v", seq, p, err)
		}
	}
	for _, sub := range []int64{-1, 10_000_000_000} {
		if p, err := AfterSub("1", sub); err == nil || errors.Is(err, ErrSequence) {
			t.Errorf("AfterSub(1, %d) = %q, %v", sub, p, err)
		}
	}
	for _, s := range []string{
		"", "0", "0/", "0/trim ", "0/TRIM", "0/time/", "0/time/1", "0/time/00000000000000001", "0/time/-000000000000001", "0/time/000000000000000x",
		"1", "1/", "1/001", "1/0011", "1/0011/", "1/0011/*", "1/0011/~~", "1/0011/1", "1/0011/00000000001", "1/0011/-000000001", "1/0021/~",
		"1/00201/~", "1/11/~", "1/001a/~", "1/000/~", "2/0011/~", "9/end", "9/END/", "LATEST", "1/0011/~/", "1/0011/~\n",
		"1/00201/~", "1/00207/~/0", "1/0017/~/1", "1/0017/~/0a", "1/0017/~/00/", "1/0017/~//", "1/0017/~/0\n", "1/0017//0", "1/0017/0",
		"1/0017/~/" + strings.Repeat("0", 999), "0/trim/0", "9/END/0",
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
	for _, s := range []string{"0/trim", "9/END", "0/time/0001700000000123", "1/0011/~", "1/00212/0000000003", "1/056" + sequence + "/~", "1/002012/~", "1/0017/~/000", "1/0010/0000000000/0"} {
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

// FuzzAfter gives services' numbers of all kinds: each is a place and comes back as it was, or is told.
func FuzzAfter(f *testing.F) {
	for _, seq := range []string{"7", "0007", "0", "000", "", "shard-7", sequence, "0000" + sequence, "7/~", "٣"} {
		f.Add(seq, int64(0), "07")
	}
	f.Fuzz(func(t *testing.T, seq string, sub int64, other string) {
		p, err := After(seq)
		if (err == nil) != (len(seq) <= maxDigits && isDigits(seq)) || err != nil && (!errors.Is(err, ErrSequence) || p != "") {
			t.Fatalf("After(%q) = %q, %v", seq, p, err)
		}
		if err != nil {
			return
		}
		places := []Position{p}
		if p, err := AfterSub(seq, sub); err == nil {
			places = append(places, p)
		}
		for _, p := range places {
			if again, err := ParsePosition(string(p)); err != nil || again != p {
				t.Fatalf("%q is parsed as %q, %v", p, again, err)
			}
			if got, _, _, ok := p.Sequence(); !ok || got != seq {
				t.Fatalf("%q has the number %q, want %q", p, got, seq)
			}
		}
		q, err := After(other)
		if err != nil {
			return
		}
		a, _ := new(big.Int).SetString(seq, 10)
		b, _ := new(big.Int).SetString(other, 10)
		if p.Compare(q) != a.Cmp(b) {
			t.Fatalf("%q.Compare(%q) = %d", p, q, p.Compare(q))
		}
	})
}
