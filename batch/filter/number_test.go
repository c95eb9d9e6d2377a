package filter

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// TestCompare has pairs of numbers of which the first is less, and checks both orders, both signs and numeric's answer.
// Among them are exponents at which a counter of 64 bits, or a double, overflows.
func TestCompare(t *testing.T) {
	for _, rule := range []string{"C17", "P5"} {
		t.Attr("rule", rule)
	}
	long := strings.Repeat("9", 1000)
	for _, c := range [][2]string{
		{"1", "1e18446744073709551616"},
		{"1", "1e18446744073709551617"},
		{"1", "1e9223372036854775808"},
		{"1e-18446744073709551616", "1"},
		{"1e-9223372036854775808", "1"},
		{"1e18446744073709551616", "1e18446744073709551617"},
		{"1e576460752303423488", "1e576460752303423489"},
		{"1e999999999999999999", "1e1000000000000000000"},
		{"9e999999999999999999", "0.99e1000000000000000001"},
		{"1e99999999999999999999999", "1e100000000000000000000000"},
		{"1e99999999999999999998", "1e100000000000000000001"},
		{"1e400", "1e401"},
		{"1e400", "2e400"},
		{long + ".5", "1" + long + ".5"},
		{long + ".25", long + ".5"},
		{long + ".5", "1e1001"},
		{"1e309", long + ".5"},
		{"12345678901234567890", "12345678901234567891"},
		{"0.1", "0.2"},
		{"1.5", "1e400"},
		{"0", "1e-300"},
		{"1", "1.5"},
		{"0." + long + "5", "1.5"},
		{"9007199254740992", "9007199254740993"},
		{"99", "100.5"},
		{"9.5", "10"},
		{"0", "5e-324"},
	} {
		for _, sign := range []string{"", "-"} {
			low, high := sign+c[0], sign+c[1]
			if sign == "-" {
				low, high = high, low
			}
			less, more := parse([]byte(low)), parse([]byte(high))
			if less.compare(&more) != -1 || more.compare(&less) != 1 || less.compare(&less) != 0 || more.compare(&more) != 0 {
				t.Errorf("%.60s is not less than %.60s: %d, %d", low, high, less.compare(&more), more.compare(&less))
			}
		}
	}
	for _, same := range [][]string{
		{"300", "300.0", "3e2", "0.03e4", "3E+2", "30000e-2"},
		{"0", "-0", "0.0", "0e99", "-0e-18446744073709551616", "0e18446744073709551616"},
		{"1e18446744073709551616", "10e18446744073709551615", "0.1e18446744073709551617", "1.0E+018446744073709551616"},
		{"1e1000000000000000000", "10e999999999999999999", "0.01e1000000000000000002"},
		{"1e-1000000000000000000", "0.1e-999999999999999999", "0"},
		{"1e99999999999999999999", "10e99999999999999999998", "0.1e100000000000000000000"},
		{"1e999999999999999997", "0.001e1000000000000000000"},
		{"1e999999999999999999", "0.1e1000000000000000000", "0.00001e1000000000000000004"},
		{"0.3", "0.30000000000000001", "3e-1"},
		{long + ".5", "0." + long + "5e1000"},
		{"1e-400", "2e-400", "0"},
		{"-1.5", "-15e-1"},
	} {
		for _, a := range same {
			for _, b := range same {
				x, y := parse([]byte(a)), parse([]byte(b))
				if x.compare(&y) != 0 {
					t.Errorf("%.60s is not equal to %.60s", a, b)
				}
			}
		}
	}
}

// TestDouble holds doubles to what their digits say, by way of arithmetic of any size, where a double is hard to choose:
// halfway between two, and with the digit that decides far behind.
func TestDouble(t *testing.T) {
	t.Attr("rule", "C17")
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		f := math.Float64frombits(rnd.Uint64() &^ (1 << 63))
		if math.IsNaN(f) || math.IsInf(f, 0) || f == math.MaxFloat64 {
			continue
		}
		half := new(big.Float).SetPrec(2000).SetFloat64(f)
		half.Add(half, new(big.Float).SetFloat64(math.Nextafter(f, math.Inf(1)))).Quo(half, big.NewFloat(2))
		text, even := half.Text('e', 1500), f
		if math.Float64bits(f)&1 == 1 {
			even = math.Nextafter(f, math.Inf(1))
		}
		mantissa, exponent, _ := strings.Cut(text, "e")
		for tail, want := range map[string]float64{"": even, strings.Repeat("0", 500) + "1": math.Nextafter(f, math.Inf(1))} {
			if n := parse([]byte(mantissa + tail + "e" + exponent)); n.double != want {
				t.Fatalf("%s: %g, want %g", mantissa+tail, n.double, want)
			}
		}
		if n := parse([]byte(strconv.FormatFloat(f, 'g', -1, 64))); n.double != f {
			t.Fatalf("%g is read as %g", f, n.double)
		}
	}
	for text, want := range map[string]float64{
		"1.7976931348623157e308": math.MaxFloat64, "1.8e308": math.Inf(1), "-1e309": math.Inf(-1), "4.9e-324": 5e-324, "1e-325": 0,
		strings.Repeat("9", 1<<19) + ".9": math.Inf(1), strings.Repeat("9", 1<<19) + ".9e-524288": 1,
		"0." + strings.Repeat("0", 1<<19) + "1": 0, "0." + strings.Repeat("0", 1<<19) + "15e524289": 1.5,
	} {
		if n := parse([]byte(text)); n.double != want {
			t.Errorf("%.30s is read as %g, want %g", text, n.double, want)
		}
	}
}

// FuzzCompare compares integers with arithmetic of any size.
func FuzzCompare(f *testing.F) {
	f.Add(int64(5), int64(-3), int64(50), int64(-2))
	f.Fuzz(func(t *testing.T, a, e, b, g int64) {
		e, g = e%1000, g%1000
		x, _ := new(big.Rat).SetString(fmt.Sprintf("%de%d", a, e))
		y, _ := new(big.Rat).SetString(fmt.Sprintf("%de%d", b, g))
		n, m := parse(fmt.Appendf(nil, "%de%d", a, e)), parse(fmt.Appendf(nil, "%de%d", b, g))
		if n.integer != x.IsInt() || m.integer != y.IsInt() {
			t.Fatalf("%de%d, %de%d: integers %t, %t", a, e, b, g, n.integer, m.integer)
		}
		if got := n.compareDigits(&m); got != x.Cmp(y) {
			t.Fatalf("%de%d, %de%d: %d, want %d", a, e, b, g, got, x.Cmp(y))
		}
	})
}
