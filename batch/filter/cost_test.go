package filter_test

import (
	"strings"
	"testing"
	"time"
)

// payload has 500 bytes, with the fields of the pattern in the middle and at the end.
func payload() string {
	const ends = `,"type":"order","tags":["a","b"],"customer":{"id":17,"name":"Alice"},"amount":250.5}`
	return `{"text":"` + strings.Repeat("x", 500-len(`{"text":""`)-len(ends)) + `"` + ends
}

const twoFields = `{"data":{"type":["order"],"amount":[{"numeric":[">",100,"<=",1000]}]}}`

func TestMatchAllocatesNothing(t *testing.T) {
	s, src, r := compile(t, twoFields), source(), record(payload())
	if n := testing.AllocsPerRun(100, func() {
		if !s.Match(src, r) {
			t.Error("no match")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMatch(b *testing.B) {
	s, src, r := compile(b, twoFields), source(), record(payload())
	b.SetBytes(int64(len(r.Data)))
	b.ReportAllocs()
	for b.Loop() {
		s.Match(src, r)
	}
}

// Records that a producer may send, of up to a megabyte, and patterns of the greatest length: with work that grows faster
// than they do, each row takes minutes.
func TestCost(t *testing.T) {
	for _, rule := range []string{"C17", "P5"} {
		t.Attr("rule", rule)
	}
	const size = 1 << 19
	brackets := func(inside string) string {
		return `{"a":` + strings.Repeat("[", 9000) + inside + strings.Repeat("]", 9000) + `}`
	}
	for name, c := range map[string]struct{ pattern, data string }{
		"exists, elements":  {`{"data":{"a":{"b":[{"exists":false}],"c":["x"]}}}`, `{"a":[` + strings.Repeat(`{"c":"x"},`, size/10) + `{"b":1}]}`},
		"exists, arrays":    {`{"data":{"a":{"b":[{"exists":false}]}}}`, brackets(strings.Repeat(`{},[],`, size/6) + `{"b":1}`)},
		"arrays of objects": {`{"data":{"a":{"b":["x"]}}}`, brackets(strings.Repeat(`{},`, size/3) + `1`)},
		"arrays of scalars": {`{"data":{"a":["x"]}}`, brackets(strings.Repeat(`1,`, size/2) + `1`)},
		"dots":              {`{"data":{"` + strings.Repeat(".", 4000) + `":["x"]}}`, `{"` + strings.Repeat(".", 4000) + `":"y"}`},
		"wildcard":          {`{"data":{"a":[{"wildcard":"` + strings.Repeat("*a", 2000) + `*b"}]}}`, `{"a":"` + strings.Repeat("a", size) + `"}`},
		"exponents":         {`{"data":{"a":[{"numeric":[">=",1e999999999]}]}}`, `{"a":[` + strings.Repeat(`1e999999998,`, size/12) + `-1e999999999]}`},
		"digits":            {`{"data":{"a":[0.1,1e99999999]}}`, `{"a":` + strings.Repeat("9", size) + `.` + strings.Repeat("9", size) + `e-99999}`},
	} {
		start := time.Now()
		if compile(t, c.pattern).Match(source(), record(c.data)) {
			t.Errorf("%s: a match", name)
		}
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("%s: took %v", name, d)
		}
	}
}
