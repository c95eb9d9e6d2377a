package filter

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strconv"
)

// A num is a JSON number. Integers, as 300.0 and 3e2 are too, are compared exactly, whatever their length; anything else
// as doubles, and exactly where both are beyond the doubles. No exponent is ever expanded (C17, P5).
type num struct {
	digits   []byte // from the first to the last that is not zero, with the point if that is between them; empty for 0
	exponent int64  // of ten: the point is so many digits after the first one begins
	far      []byte // digits of an exponent that is further away than farExponent, which exponent is then; nil for another
	negative bool
	integer  bool
	double   float64
}

const (
	// farExponent is where exponents are digits. The point of no text is moved so far.
	farExponent = 1_000_000_000_000_000_000

	// maxDigits is how many digits decide what the nearest double is; of what is behind them it is enough to know that it
	// is not zero. 767 have been shown to be enough.
	maxDigits = 800
)

// parse takes apart a number that is valid.
func parse(text []byte) num {
	var n num
	text, n.negative = bytes.CutPrefix(text, []byte("-"))
	var exponent []byte
	if i := bytes.IndexAny(text, "eE"); i >= 0 {
		text, exponent = text[:i], text[i+1:]
	}
	whole := bytes.IndexByte(text, '.')
	if whole < 0 {
		whole = len(text)
	}
	n.digits = bytes.TrimLeft(text, "0.")
	first := len(text) - len(n.digits)
	if first > whole {
		first-- // the point is no digit
	}
	n.digits = bytes.TrimRight(n.digits, "0.")
	n.exponent, n.far = exponentOf(exponent, int64(whole-first))
	count := len(n.digits)
	if bytes.IndexByte(n.digits, '.') >= 0 {
		count--
	}
	n.integer = count == 0 || n.exponent >= int64(count)
	n.double = n.nearest()
	return n
}

// exponentOf returns what stands behind the letter of a number, moved by what the place of its point adds.
func exponentOf(text []byte, point int64) (exponent int64, far []byte) {
	text, negative := bytes.CutPrefix(bytes.TrimPrefix(text, []byte("+")), []byte("-"))
	text = bytes.TrimLeft(text, "0")
	sign := int64(1)
	if negative {
		sign = -1
	}
	if len(text) > 18 {
		text = plus(text, sign*point)
		point = 0
	}
	if len(text) <= 18 {
		for _, c := range text {
			exponent = exponent*10 + int64(c-'0')
		}
		if exponent = sign*exponent + point; -farExponent < exponent && exponent < farExponent {
			return exponent, nil
		}
		text = strconv.AppendInt(nil, sign*exponent, 10)
	}
	return sign * farExponent, text
}

// plus returns the digits of a sum that is above 0.
func plus(digits []byte, n int64) []byte {
	sum := slices.Clone(digits)
	for i := len(sum) - 1; n != 0 && i >= 0; i-- {
		n += int64(sum[i] - '0')
		digit := (n%10 + 10) % 10
		sum[i], n = '0'+byte(digit), (n-digit)/10
	}
	if n > 0 {
		sum = append(strconv.AppendInt(nil, n, 10), sum...)
	}
	return bytes.TrimLeft(sum, "0")
}

// nearest returns the double that is nearest. strconv gets to see only as many digits as matter, and no large exponent:
// its versions differ beyond that.
func (n *num) nearest() (double float64) {
	switch {
	case len(n.digits) == 0 || n.exponent < -400:
	case n.exponent > 400:
		double = math.Inf(1)
	default:
		var room [32]byte
		text := append(room[:0], "0."...)
		for i, c := range n.digits {
			if i >= maxDigits {
				text = append(text, '1') // digits end with one that is not zero
				break
			}
			if c != '.' {
				text = append(text, c)
			}
		}
		text = strconv.AppendInt(append(text, 'e'), n.exponent, 10)
		double, _ = strconv.ParseFloat(string(text), 64) // infinite if it is too large
	}
	if n.negative {
		return -double
	}
	return double
}

// sign returns -1, 0 or 1; zero has no sign of its own.
func (n *num) sign() int {
	switch {
	case len(n.digits) == 0:
		return 0
	case n.negative:
		return -1
	}
	return 1
}

// compare returns -1, 0 or 1. Only if one of the two is no integer do doubles decide, and among two infinite ones the
// digits again.
func (n *num) compare(m *num) int {
	if n.integer && m.integer || math.IsInf(n.double, 0) && n.double == m.double {
		return n.compareDigits(m)
	}
	return cmp.Compare(n.double, m.double)
}

// compareDigits compares what was written, of integers and of numbers beyond the doubles.
func (n *num) compareDigits(m *num) int {
	sign := n.sign()
	if c := cmp.Compare(sign, m.sign()); c != 0 || sign == 0 {
		return c
	}
	c := cmp.Compare(n.exponent, m.exponent)
	if c == 0 && n.far != nil { // far above 0: no integer is far below it
		c = cmp.Or(cmp.Compare(len(n.far), len(m.far)), bytes.Compare(n.far, m.far))
	}
	if c == 0 {
		c = compareDigits(n.digits, m.digits)
	}
	return sign * c
}

// compareDigits compares digits that begin at the same place, whatever the place of their points.
func compareDigits(a, b []byte) int {
	for {
		a, b = bytes.TrimPrefix(a, []byte(".")), bytes.TrimPrefix(b, []byte("."))
		if len(a) == 0 || len(b) == 0 {
			return cmp.Compare(len(a), len(b))
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
}
