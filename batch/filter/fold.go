package filter

import (
	"unicode"
	"unicode/utf8"
)

// foldsPrefix reports whether t begins with p under simple folding, rune by rune: folding may change lengths (C17).
func foldsPrefix(t, p []byte) bool {
	for len(p) > 0 {
		a, n := utf8.DecodeRune(p)
		b, m := utf8.DecodeRune(t)
		if m == 0 || !same(a, b) {
			return false
		}
		p, t = p[n:], t[m:]
	}
	return true
}

// foldsSuffix reports whether t ends with p under simple folding.
func foldsSuffix(t, p []byte) bool {
	for len(p) > 0 {
		a, n := utf8.DecodeLastRune(p)
		b, m := utf8.DecodeLastRune(t)
		if m == 0 || !same(a, b) {
			return false
		}
		p, t = p[:len(p)-n], t[:len(t)-m]
	}
	return true
}

// same reports whether simple folding makes a and b equal.
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
