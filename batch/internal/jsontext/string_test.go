package jsontext

import (
	"encoding/json"
	"testing"
)

// TestString holds what is written to literal bytes: no version of Go may change them.
func TestString(t *testing.T) {
	t.Attr("rule", "C6")
	for s, want := range map[string]string{
		"": `""`, "customer-17": `"customer-17"`, `a"b\c/d`: `"a\"b\\c/d"`, "<&>'": `"<&>'"`, "\x7f": "\"\x7f\"", "é😀": `"é😀"`,
		"\b\f\n\r\t":            `"\b\f\n\r\t"`,
		"\x00\x01\x0b\x0e\x1f":  `"\u0000\u0001\u000b\u000e\u001f"`,
		"\u2028\u2029\u2027":    `"\u2028\u2029` + "\u2027\"",
		"\xff":                  `"\ufffd"`,
		"\ufffd":                "\"\ufffd\"",
		"a\x80\xfeb":            `"a\ufffd\ufffdb"`,
		"\xe2\x80":              `"\ufffd\ufffd"`,
		"\xed\xa0\x80":          `"\ufffd\ufffd\ufffd"`,
		"\xf0\x9f\x98":          `"\ufffd\ufffd\ufffd"`,
		"\xc0\xaf":              `"\ufffd\ufffd"`,
		"12345678\xff12345678é": `"12345678\ufffd12345678é"`,
	} {
		for _, before := range []string{"", "x", "eight...", "eight and more"} {
			in, out := before+s, `"`+before+want[1:]
			if got := string(AppendString([]byte("b"), in)); got != "b"+out || Len(in) != len(out)-2 {
				t.Errorf("%q is written %s with %d bytes, want %s with %d", in, got[1:], Len(in), out, len(out)-2)
			}
		}
	}
}

// TestLen has each byte alone at each place of a block of eight, which Len looks at together.
func TestLen(t *testing.T) {
	t.Attr("rule", "C6")
	for c := range 256 {
		for place := range 8 {
			s := []byte("eight...more")
			s[place] = byte(c)
			if n := len(AppendString(nil, string(s))) - 2; Len(string(s)) != n {
				t.Errorf("%q has %d bytes, want %d", s, Len(string(s)), n)
			}
		}
	}
}

// FuzzString holds the length to what is written, and that to what is read back.
func FuzzString(f *testing.F) {
	f.Add("a\"\u2028\xff\x01")
	f.Fuzz(func(t *testing.T, s string) {
		b := AppendString(nil, s)
		var back string
		if err := json.Unmarshal(b, &back); err != nil || back != string([]rune(s)) {
			t.Fatalf("%q is written %s, and read as %q: %v", s, b, back, err)
		}
		if len(b) != Len(s)+2 {
			t.Fatalf("%q has %d bytes, want %d", s, len(b), Len(s)+2)
		}
	})
}
