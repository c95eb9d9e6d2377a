package wire

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// A scan reads JSON from its front, while it comes. Its methods return false where the text is not what they read, or holds
// something that is better left to the SDK: then nothing else may be read.
type scan struct {
	src  io.Reader
	turn *turn  // nil: no reply is waited for
	err  error  // the one that ended src; nil: there may be more
	size int    // bytes that came
	body []byte // those of them that are looked at
	i    int
	text []byte // the strings that were read
}

// more reads more of the body. What is there stays where it is for those who hold it.
func (s *scan) more() bool {
	for s.err == nil && s.size <= maxBody {
		if len(s.body) == cap(s.body) {
			s.body = slices.Grow(s.body, max(len(s.body), 512))
		}
		s.turn.give()
		n, err := s.src.Read(s.body[len(s.body):cap(s.body)])
		s.turn.take(s.size + n)
		s.body, s.size, s.err = s.body[:len(s.body)+n], s.size+n, err
		if n > 0 {
			return true
		}
	}
	return false
}

// any tells whether there is a byte at i.
func (s *scan) any() bool { return s.i < len(s.body) || s.more() }

// maxDepth is how deep what is skipped may be nested.
const maxDepth = 16

// A span is a part of the body, or of the text. The zero value is that of a field that is not there.
type span struct {
	from, to int32
	found    bool
}

// found is the span between two offsets.
func found(from, to int) span {
	return span{int32(from), int32(to), true}
}

func (s span) of(b []byte) []byte { return b[s.from:s.to] }

func (s *scan) space() {
	for s.any() {
		switch s.body[s.i] {
		case ' ', '\n', '\r', '\t':
			s.i++
		default:
			return
		}
	}
}

// peek is the next byte that is no space, 0 at the end.
func (s *scan) peek() byte {
	if s.i < len(s.body) && s.body[s.i] > ' ' {
		return s.body[s.i]
	}
	s.space()
	if !s.any() {
		return 0
	}
	return s.body[s.i]
}

// eat reads one byte, and space before it.
func (s *scan) eat(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.i++
	return true
}

func (s *scan) literal(text string) bool {
	s.space()
	for i := range len(text) {
		if !s.at(text[i]) {
			return false
		}
		s.i++
	}
	return true
}

func (s *scan) null() bool { return s.peek() == 'n' && s.literal("null") }

// object reads an object: field reads the value of each key, which is one without escapes.
func (s *scan) object(field func(key []byte) bool) bool {
	if !s.eat('{') {
		return false
	}
	if s.eat('}') {
		return true
	}
	for {
		key, escaped, ok := s.quoted()
		if !ok || escaped || !s.eat(':') || !field(key) {
			return false
		}
		if s.eat('}') {
			return true
		}
		if !s.eat(',') {
			return false
		}
	}
}

// array reads an array: item reads each element.
func (s *scan) array(item func() bool) bool {
	if !s.eat('[') {
		return false
	}
	if s.eat(']') {
		return true
	}
	for {
		if !item() {
			return false
		}
		if s.eat(']') {
			return true
		}
		if !s.eat(',') {
			return false
		}
	}
}

// str reads a string and appends it to the text.
func (s *scan) str(at *span) bool {
	b, escaped, ok := s.quoted()
	if !ok {
		return false
	}
	from := len(s.text)
	if !escaped {
		s.text = append(s.text, b...)
	} else if !s.unescape(b) {
		return false
	}
	*at = found(from, len(s.text))
	return true
}

// quoted reads a string and returns what is between its quotes: valid UTF-8 without control characters.
func (s *scan) quoted() (b []byte, escaped, ok bool) {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	if !s.eat('"') {
		return nil, false, false
	}
	from, i, all := s.i, s.i, uint64(0)
	for {
		for i+8 <= len(s.body) {
			v := binary.LittleEndian.Uint64(s.body[i:])
			all |= v
			quote, slash := v^('"'*ones), v^('\\'*ones)
			// The high bit of each byte that is a quote, a backslash or a control character. A byte above one may be set
			// wrongly, the lowest one is right.
			m := ((quote - ones) &^ quote) | ((slash - ones) &^ slash) | ((v - ' '*ones) &^ v)
			if m &= highs; m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
			i += 8
		}
		for i >= len(s.body) {
			if !s.more() {
				return nil, false, false
			}
		}
		switch c := s.body[i]; {
		case c == '"':
			b, s.i = s.body[from:i], i+1
			return b, escaped, all&highs == 0 || utf8.Valid(b)
		case c == '\\':
			escaped = true
			i += 2
		case c < ' ':
			return nil, false, false
		default: // near the end of what has come
			all |= uint64(c)
			i++
		}
	}
}

// unescape appends a string with escapes to the text. A surrogate without its other half is refused.
func (s *scan) unescape(b []byte) bool {
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 {
			s.text = append(s.text, b...)
			return true
		}
		s.text = append(s.text, b[:i]...)
		c := b[i+1] // no string ends with a backslash
		b = b[i+2:]
		switch c {
		case '"', '\\', '/':
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, ok := hex4(b)
			if !ok {
				return false
			}
			b = b[4:]
			if utf16.IsSurrogate(r) {
				if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
					return false
				}
				low, ok := hex4(b[2:])
				if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
					return false
				}
				b = b[6:]
			}
			s.text = utf8.AppendRune(s.text, r)
			continue
		default:
			return false
		}
		s.text = append(s.text, c)
	}
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// number reads a number and returns its text.
func (s *scan) number() (b []byte, ok bool) {
	s.space()
	from := s.i
	if s.at('-') {
		s.i++
	}
	zero := s.at('0')
	if n := s.digits(); n == 0 || n > 1 && zero {
		return nil, false
	}
	if s.at('.') {
		s.i++
		if s.digits() == 0 {
			return nil, false
		}
	}
	if s.at('e') || s.at('E') {
		s.i++
		if s.at('+') || s.at('-') {
			s.i++
		}
		if s.digits() == 0 {
			return nil, false
		}
	}
	return s.body[from:s.i], true
}

func (s *scan) at(c byte) bool { return s.any() && s.body[s.i] == c }

func (s *scan) digits() (n int) {
	for s.any() {
		from := s.i
		for s.i < len(s.body) && '0' <= s.body[s.i] && s.body[s.i] <= '9' {
			s.i++
		}
		n += s.i - from
		if s.i < len(s.body) {
			break
		}
	}
	return n
}

// skip reads any value.
func (s *scan) skip(depth int) bool {
	if depth > maxDepth {
		return false
	}
	switch s.peek() {
	case '{':
		return s.object(func([]byte) bool { return s.skip(depth + 1) })
	case '[':
		return s.array(func() bool { return s.skip(depth + 1) })
	case '"':
		var at span
		ok := s.str(&at) // its escapes have to be right, too
		s.text = s.text[:at.from]
		return ok
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	_, ok := s.number()
	return ok
}
