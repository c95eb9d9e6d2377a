package filter

import (
	"bytes"
	"cmp"
	"strconv"
)

// A num is a JSON number. Integers are compared exactly, whatever their length; anything else as doubles, so that no
// exponent is ever expanded (C17, P5).
type num struct {
	text     []byte // of an integer: its digits
	negative bool
	integer  bool
	double   float64
}

func parse(text []byte) num {
	double, _ := strconv.ParseFloat(string(text), 64) // infinite if it is too large
	n := num{double: double}
	digits, negative := bytes.CutPrefix(text, []byte("-"))
	if n.integer = !bytes.ContainsAny(digits, ".eE"); n.integer {
		n.text, n.negative = digits, negative && string(digits) != "0"
	}
	return n
}

func (n num) compare(m num) int {
	if !n.integer || !m.integer {
		return cmp.Compare(n.double, m.double)
	}
	if n.negative != m.negative {
		if n.negative {
			return -1
		}
		return 1
	}
	c := cmp.Compare(len(n.text), len(m.text)) // there are no leading zeros
	if c == 0 {
		c = bytes.Compare(n.text, m.text)
	}
	if n.negative {
		return -c
	}
	return c
}
