// Package jsontext writes strings of JSON, byte for byte the same whatever version of Go builds it: sizes that Lambda's
// limits count must not depend on that, and encoding/json changed how it writes what is not UTF-8.
//
// Escaped are quotes, backslashes and control characters, in the short form where there is one, and U+2028 and U+2029;
// "<", ">" and "&" are not (C6). Each byte that is not UTF-8 is written \ufffd.
package jsontext

import "unicode/utf8"

// AppendString appends s to b as a JSON string, with its quotes: [Len] bytes and two.
func AppendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			b = append(b, s[from:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\b':
				b = append(b, `\b`...)
			case '\f':
				b = append(b, `\f`...)
			case '\n':
				b = append(b, `\n`...)
			case '\r':
				b = append(b, `\r`...)
			case '\t':
				b = append(b, `\t`...)
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
			b = append(b, s[from:i]...)
			b = append(b, '\\', 'u', hex[r>>12], hex[r>>8&15], hex[r>>4&15], hex[r&15])
			from = i + size
		}
		i += size
	}
	return append(append(b, s[from:]...), '"')
}

// Len returns the length of s as a JSON string, without the quotes.
func Len(s string) int {
	n, i := len(s), 0
	for i+8 <= len(s) && unescaped(s[i:i+8]) {
		i += 8
	}
	if i > 0 && len(s)-i < 8 && unescaped(s[len(s)-8:]) { // some of them once more
		return n
	}
	for i < len(s) {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c >= ' ' && c != '"' && c != '\\':
			case c == '"', c == '\\', c == '\b', c == '\f', c == '\n', c == '\r', c == '\t':
				n++
			default:
				n += len(`\u0000`) - 1
			}
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
			n += len(`\ufffd`) - size
		}
		i += size
	}
	return n
}

// unescaped tells whether the first eight bytes of s stand for themselves in a JSON string: none is a control character,
// a quote, a backslash or beyond ASCII. It looks at all of them at once: a byte of x less one borrows into its top bit
// if it was zero.
func unescaped(s string) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	_ = s[7]
	x := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	quote, backslash := x^ones*'"', x^ones*'\\'
	return (x|(x-ones*' ')|(quote-ones)|(backslash-ones))&tops == 0
}
