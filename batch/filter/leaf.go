package filter

import (
	"bytes"
	"net/netip"
)

// A scalar is a JSON value that is neither an object nor an array.
type scalar struct {
	kind byte   // '"', '0', 't', 'f' or 'n'
	text []byte // of a string, unquoted
	num  num
}

// A leaf is what one field may be: one of its members has to match.
type leaf struct {
	members []member
	absent  bool // {"exists": false} is among them
	bit     int  // of an outer, if absent
}

// A member is a value, or an operator with its operand. It holds no functions: what it is asked about stays on the stack.
type member struct {
	op     string       // the name of the operator; empty for a value
	kind   byte         // of a value, as in scalar
	text   []byte       // of a string, and of operators on strings
	fold   bool         // prefix and suffix ignore case
	num    num          // of a number
	bounds []bound      // of numeric
	block  netip.Prefix // of cidr
	pieces [][]byte     // of wildcard
	not    []member     // of anything-but
}

// A bound is a comparison of numeric.
type bound struct {
	op  string
	num num
}

// holds reports whether n is on the right side of b.
func (b *bound) holds(n *num) bool {
	switch c := n.compare(&b.num); b.op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	case ">=":
		return c >= 0
	default:
		return c == 0
	}
}

// match reports whether a member matches (L55).
func (l *leaf) match(s *scalar) bool {
	for i := range l.members {
		if l.members[i].match(s) {
			return true
		}
	}
	return false
}

// value matches a scalar as it stands in the payload.
func (l *leaf) value(v []byte) bool {
	switch v[0] {
	case '"':
		var room [256]byte
		return l.match(&scalar{kind: '"', text: unquote(room[:0], v[1:len(v)-1])})
	case 't', 'f', 'n':
		return l.match(&scalar{kind: v[0]})
	}
	return l.match(&scalar{kind: '0', num: parse(v)})
}

// match takes the rows of the table in L55 for a field that is present.
func (m *member) match(s *scalar) bool {
	switch m.op {
	case "":
		return m.kind == s.kind && bytes.Equal(m.text, s.text) && (m.kind != '0' || s.num.compare(&m.num) == 0)
	case "exists":
		return true
	case "numeric":
		for i := range m.bounds {
			if s.kind != '0' || !m.bounds[i].holds(&s.num) {
				return false
			}
		}
		return true
	case "anything-but":
		for i := range m.not {
			if m.not[i].match(s) {
				return false
			}
		}
		return true
	}
	return s.kind == '"' && m.matchText(s.text)
}

// matchText matches a string with the operators on strings.
func (m *member) matchText(t []byte) bool {
	switch m.op {
	case "prefix":
		return !m.fold && bytes.HasPrefix(t, m.text) || m.fold && foldsPrefix(t, m.text)
	case "suffix":
		return !m.fold && bytes.HasSuffix(t, m.text) || m.fold && foldsSuffix(t, m.text)
	case "equals-ignore-case":
		return bytes.EqualFold(t, m.text)
	case "wildcard":
		return wild(t, m.pieces)
	}
	return contains(m.block, t)
}

// contains reports whether t is an address in block. An IPv4 address in the notation of IPv6, as ::ffff:10.0.0.1, counts
// as both.
func contains(block netip.Prefix, t []byte) bool {
	if len(t) > len("0000:0000:0000:0000:0000:ffff:255.255.255.255") { // no address is longer
		return false
	}
	addr, err := netip.ParseAddr(string(t))
	return err == nil && (block.Contains(addr) || block.Contains(addr.Unmap()))
}
