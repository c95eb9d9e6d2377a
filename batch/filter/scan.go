package filter

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep JSON may be nested; encoding/json has the same limit.
const maxDepth = 10_000

// valid reports whether b is one JSON value, by the rules of encoding/json.
func valid(b []byte) bool {
	i, ok := value(b, space(b, 0), 0)
	return ok && space(b, i) == len(b)
}

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

func literal(b []byte, i int, word string) (int, bool) {
	return i + len(word), len(b)-i >= len(word) && string(b[i:i+len(word)]) == word
}

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

func digits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}

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

// skip returns the end of the value that begins at i, in JSON that is valid.
func skip(b []byte, i int) int {
	switch b[i] {
	case '"':
		return skipText(b, i)
	case '{', '[':
		for depth := 0; ; {
			switch b[i] {
			case '"':
				i = skipText(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			if i++; depth == 0 {
				return i
			}
		}
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	return i
}

func skipText(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// A walk goes over the members of an object, or over the elements of an array, that is valid.
type walk struct {
	b []byte
	i int
}

func over(container []byte) walk { return walk{container, 1} }

// member returns the next key, without its quotes, and its value.
func (w *walk) member() (key, val []byte, ok bool) {
	w.i = space(w.b, w.i)
	if w.b[w.i] == '}' {
		return nil, nil, false
	}
	end := skipText(w.b, w.i)
	key = w.b[w.i+1 : end-1]
	w.i = space(w.b, end) + 1 // the colon
	val, _ = w.element()
	return key, val, true
}

// element returns the next value.
func (w *walk) element() (val []byte, ok bool) {
	w.i = space(w.b, w.i)
	if w.b[w.i] == ']' {
		return nil, false
	}
	end := skip(w.b, w.i)
	val = w.b[w.i:end]
	if w.i = space(w.b, end); w.b[w.i] == ',' {
		w.i++
	}
	return val, true
}

// unquote appends what the inside of a JSON string stands for to dst; if it stands for itself it is returned as it is.
func unquote(dst, s []byte) []byte {
	if bytes.IndexByte(s, '\\') < 0 {
		return s
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			dst = append(dst, s[i])
			continue
		}
		i++
		switch s[i] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := unit(s[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if len(s)-i > 6 && s[i+1] == '\\' && s[i+2] == 'u' {
					low = unit(s[i+3:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, s[i])
		}
	}
	return dst
}

func unit(s []byte) rune {
	n, _ := strconv.ParseUint(string(s[:4]), 16, 32)
	return rune(n)
}
