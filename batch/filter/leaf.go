package filter

import (
	"bytes"
	"net/netip"
	"unicode"
	"unicode/utf8"
)

// A scalar is a JSON value that is neither an object nor an array.
type scalar struct {
	kind byte   // '"', '0', 't', 'f' or 'n'
	text []byte // of a string, unquoted
	num  num
}

// A leaf is what one field may be: one of its members has to match.
type leaf struct {
	members []func(scalar) bool
	absent  bool // {"exists": false} is among them
}

func (l *leaf) match(s scalar) bool {
	for _, m := range l.members {
		if m(s) {
			return true
		}
	}
	return false
}

func isText(f func([]byte) bool) func(scalar) bool {
	return func(s scalar) bool { return s.kind == '"' && f(s.text) }
}

func equals(want []byte) func([]byte) bool {
	return func(t []byte) bool { return bytes.Equal(t, want) }
}

// folds reports whether s and t are equal under simple folding.
func folds(want []byte) func([]byte) bool {
	return func(t []byte) bool { return bytes.EqualFold(t, want) }
}

func hasPrefix(p []byte) func([]byte) bool {
	return func(t []byte) bool { return bytes.HasPrefix(t, p) }
}

func hasSuffix(p []byte) func([]byte) bool {
	return func(t []byte) bool { return bytes.HasSuffix(t, p) }
}

// foldsPrefix reports whether t begins with p under simple folding, rune by rune: folding may change lengths.
func foldsPrefix(p []byte) func([]byte) bool {
	return func(t []byte) bool {
		for rest := p; len(rest) > 0; {
			if len(t) == 0 {
				return false
			}
			a, n := utf8.DecodeRune(rest)
			b, m := utf8.DecodeRune(t)
			if !same(a, b) {
				return false
			}
			rest, t = rest[n:], t[m:]
		}
		return true
	}
}

func foldsSuffix(p []byte) func([]byte) bool {
	return func(t []byte) bool {
		for rest := p; len(rest) > 0; {
			if len(t) == 0 {
				return false
			}
			a, n := utf8.DecodeLastRune(rest)
			b, m := utf8.DecodeLastRune(t)
			if !same(a, b) {
				return false
			}
			rest, t = rest[:len(rest)-n], t[:len(t)-m]
		}
		return true
	}
}

func same(a, b rune) bool {
	if a == b {
		return true
	}
	for r := unicode.SimpleFold(a); r != a; r = unicode.SimpleFold(r) {
		if r == b {
			return true
		}
	}
	return false
}

// wild matches the pieces between the stars of a wildcard: the first at the start, the last at the end, those between
// where they are found first. That is linear in the length of t for each piece.
func wild(pieces [][]byte) func([]byte) bool {
	first, last := pieces[0], pieces[len(pieces)-1]
	return func(t []byte) bool {
		if len(pieces) == 1 {
			return bytes.Equal(t, first)
		}
		if len(t) < len(first)+len(last) || !bytes.HasPrefix(t, first) || !bytes.HasSuffix(t, last) {
			return false
		}
		t = t[len(first) : len(t)-len(last)]
		for _, p := range pieces[1 : len(pieces)-1] {
			i := bytes.Index(t, p)
			if i < 0 {
				return false
			}
			t = t[i+len(p):]
		}
		return true
	}
}

func inBlock(block netip.Prefix) func([]byte) bool {
	return func(t []byte) bool {
		if len(t) > 45 { // no address is longer
			return false
		}
		addr, err := netip.ParseAddr(string(t))
		return err == nil && block.Contains(addr.Unmap())
	}
}
