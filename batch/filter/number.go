package filter

import (
	"bytes"
	"cmp"
	"strconv"
)

// A num is a JSON number. Integers, as 300.0 and 3e2 are too, are compared exactly, whatever their length; anything else
// as doubles. No exponent is ever expanded (C17, P5).
type num struct {
	digits   []byte // from the first to the last that is not zero, with the point if that is between them; empty for 0
	exponent int64  // of ten: the point is so many digits after the first one begins
	negative bool
	integer  bool
	double   float64
}

// maxExponent is where exponents stop to be told apart. It is beyond what any number of digits makes up for.
const maxExponent = 1 << 59

// parse takes apart a number that is valid.
func parse(text []byte) num {
	var n num
	n.double, _ = strconv.ParseFloat(string(text), 64) // infinite if it is too large
	text, n.negative = bytes.CutPrefix(text, []byte("-"))
	if i := bytes.IndexAny(text, "eE"); i >= 0 {
		n.exponent = exponent(text[i+1:])
		text = text[:i]
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
	n.exponent += int64(whole - first)
	n.digits = bytes.TrimRight(n.digits, "0.")
	count := len(n.digits)
	if bytes.IndexByte(n.digits, '.') >= 0 {
		count--
	}
	n.integer = count == 0 || n.exponent >= int64(count)
	return n
}

// exponent returns what stands behind the letter of a number.
func exponent(text []byte) (n int64) {
	text, negative := bytes.CutPrefix(bytes.TrimPrefix(text, []byte("+")), []byte("-"))
	for _, c := range text {
		if n = n*10 + int64(c-'0'); n > maxExponent {
			n = maxExponent
			break
		}
	}
	if negative {
		return -n
	}
	return n
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

// compare returns -1, 0 or 1. Only if one of the two is no integer do doubles decide.
func (n *num) compare(m *num) int {
	if !n.integer || !m.integer {
		return cmp.Compare(n.double, m.double)
	}
	sign := n.sign()
	if c := cmp.Compare(sign, m.sign()); c != 0 || sign == 0 {
		return c
	}
	c := cmp.Compare(n.exponent, m.exponent)
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
