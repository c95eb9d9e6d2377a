package filter

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// repair returns b with U+FFFD for each byte that is not UTF-8, as encoding/json reads strings. In JSON that is valid no
// such byte is outside of strings.
func repair(b []byte) []byte {
	if utf8.Valid(b) {
		return b
	}
	var out []byte
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		out = utf8.AppendRune(out, r)
		b = b[n:]
	}
	return out
}

// unquote appends what the inside of a JSON string stands for to dst; if it stands for itself it is returned as it is, and
// nothing is copied. Half of a surrogate pair stands for U+FFFD, as in encoding/json.
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

// unit returns the UTF-16 code unit of four hexadecimal digits.
func unit(s []byte) rune {
	n, _ := strconv.ParseUint(string(s[:4]), 16, 32)
	return rune(n)
}
