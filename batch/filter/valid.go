package filter

import "strings"

// maxDepth is how deep JSON may be nested; encoding/json has the same limit.
const maxDepth = 10_000

// valid reports whether b is one JSON value, by the rules of encoding/json, and else near which byte it is not.
func valid(b []byte) (at int, ok bool) {
	if at, ok = value(b, space(b, 0), 0); !ok {
		return min(at, len(b)), false
	}
	at = space(b, at)
	return at, at == len(b)
}

// space returns where the white space that begins at i ends.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// value returns the end of the value that begins at i.
func value(b []byte, i, depth int) (end int, ok bool) {
	if i >= len(b) {
		return i, false
	}
	switch c := b[i]; {
	case c == '"':
		return text(b, i)
	case c == '{' || c == '[':
		return container(b, i, depth)
	case c == '-' || c >= '0' && c <= '9':
		return number(b, i)
	case c == 't':
		return literal(b, i, "true")
	case c == 'f':
		return literal(b, i, "false")
	case c == 'n':
		return literal(b, i, "null")
	}
	return i, false
}

// literal returns the end of word, which may begin at i.
func literal(b []byte, i int, word string) (int, bool) {
	return i + len(word), len(b)-i >= len(word) && string(b[i:i+len(word)]) == word
}

// container returns the end of the object or array that begins at i, below depth others. The depth bounds the stack.
func container(b []byte, i, depth int) (int, bool) {
	if depth >= maxDepth {
		return i, false
	}
	object, last := b[i] == '{', b[i]+2 // ']' and '}' follow their openers by two
	i = space(b, i+1)
	if i < len(b) && b[i] == last {
		return i + 1, true
	}
	for {
		var ok bool
		if object {
			if i >= len(b) || b[i] != '"' {
				return i, false
			}
			if i, ok = text(b, i); !ok {
				return i, false
			}
			if i = space(b, i); i >= len(b) || b[i] != ':' {
				return i, false
			}
			i = space(b, i+1)
		}
		if i, ok = value(b, i, depth+1); !ok {
			return i, false
		}
		i = space(b, i)
		switch {
		case i >= len(b):
			return i, false
		case b[i] == last:
			return i + 1, true
		case b[i] != ',':
			return i, false
		}
		i = space(b, i+1)
	}
}

// text returns the end of the string that begins at i. Bytes that are not UTF-8 are taken, as encoding/json takes them.
func text(b []byte, i int) (int, bool) {
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1, true
		case c < ' ':
			return i, false
		case c == '\\':
			if i++; i >= len(b) {
				return i, false
			}
			if b[i] != 'u' {
				if strings.IndexByte(`"\/bfnrt`, b[i]) < 0 {
					return i, false
				}
				continue
			}
			if len(b)-i < 5 {
				return i, false
			}
			for range 4 {
				if i++; !hex(b[i]) {
					return i, false
				}
			}
		}
	}
	return i, false
}

func hex(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }

// digits returns where the digits that begin at i end.
func digits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}

// number returns the end of the number that begins at i: no leading zeros, a digit on each side of a point.
func number(b []byte, i int) (int, bool) {
	if b[i] == '-' {
		i++
	}
	from := i
	if i = digits(b, i); i == from || b[from] == '0' && i > from+1 {
		return i, false
	}
	if i < len(b) && b[i] == '.' {
		from = i + 1
		if i = digits(b, from); i == from {
			return i, false
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		from = i
		if i = digits(b, i); i == from {
			return i, false
		}
	}
	return i, true
}
