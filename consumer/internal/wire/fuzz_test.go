package wire

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"testing"

	smithytime "github.com/aws/smithy-go/time"
)

// FuzzBase64 holds that who decodes does so like the standard library, and writes nothing behind what it decodes.
func FuzzBase64(f *testing.F) {
	long := bytes.Repeat([]byte("QUJD/+09"), 20)
	for _, s := range []string{"", "QQ==", "QUI=", "QUJD", "QQ", "Q===", "====", "QR==", "QUJD\n\n\n\n", "QQ\n\n==\n\n", "_-__", "QQ==QUJD"} {
		f.Add([]byte(s))
		f.Add(append(slices.Clone(long), s...))
		f.Add(append(append(slices.Clone(long), s...), long...))
	}
	for i := range 128 {
		f.Add(bytes.Repeat([]byte{byte(2 * i)}, 64))
		f.Add([]byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{byte(i)}, i))))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		want, err := base64.StdEncoding.DecodeString(string(src))
		broken := bytes.ContainsAny(src, "\r\n")
		n, ok := size64(src)
		if !ok {
			if err == nil && !broken {
				t.Fatalf("%q has no size", src)
			}
			return
		}
		const guard = 100
		dst := bytes.Repeat([]byte{0xa5}, n+guard)
		switch ok = decode64(dst[:n:n], src); {
		case ok != (err == nil && !broken):
			t.Fatalf("%q: decoded: %v, by the standard library: %v", src, ok, err)
		case ok && !bytes.Equal(dst[:n], want):
			t.Fatalf("%q is %q, by the standard library %q", src, dst[:n], want)
		case !bytes.Equal(dst[n:], bytes.Repeat([]byte{0xa5}, guard)):
			t.Fatalf("%q: something was written behind the %d bytes", src, n)
		}
	})
}

// FuzzFloat holds that a number is that of the standard library.
func FuzzFloat(f *testing.F) {
	for _, s := range []string{
		"0", "-0", "1.728123456789E9", "1728123456.789", "1.728123456789e9", "1E0", "1E9", "17.28E1", "1.7E", "1.5E-3", "1.5E+3", "0.3", "0.1E1", "1E22", "1e999",
		"123456789012345", "999999999999999.9", "9007199254740993", "0.000000000000001", "0.0000000000000001", "123456789.123456", "1.23456789012345E9",
	} {
		f.Add(s)
	}
	for i := range 1000 {
		f.Add(fmt.Sprintf("1.72812%07dE9", i*9973))
	}
	number := regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
	f.Fuzz(func(t *testing.T, s string) {
		if !number.MatchString(s) {
			return
		}
		want, err := strconv.ParseFloat(s, 64)
		if got, ok := float([]byte(s)); ok != (err == nil) || got != want || math.Signbit(got) != math.Signbit(want) {
			t.Fatalf("%s is %v %v, by the standard library %v %v", s, got, ok, want, err)
		}
		if got, n, ok := seconds([]byte(s + "}")); ok && (err != nil || got != want || n != len(s)) {
			t.Fatalf("%s is %v, of %d bytes, by the standard library %v %v", s, got, n, want, err)
		}
	})
}

// FuzzEpoch holds that times are those of the SDK.
func FuzzEpoch(f *testing.F) {
	for _, s := range []float64{0, 1.728123456789e9, 1728123456.7899999, -1.5, 1e-9, 8.99999999999e9, 9e9, 1e300, math.MaxFloat64, math.SmallestNonzeroFloat64} {
		f.Add(s)
		f.Add(-s)
	}
	for i := range 1000 {
		f.Add(1.7e9 + float64(i)/1000)
	}
	f.Fuzz(func(t *testing.T, s float64) {
		if math.IsNaN(s) {
			return // no JSON number is
		}
		if got, want := epoch(s), smithytime.ParseEpochSeconds(s); got != want {
			t.Fatalf("%v s is %v, by the SDK %v", s, got, want)
		}
	})
}

// BenchmarkBase64 decodes what a record of 1 KB has, through the seam and by the standard library.
func BenchmarkBase64(b *testing.B) {
	dst := make([]byte, 1000)
	src := []byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("a record, "), 100)))
	b.Run("seam", func(b *testing.B) {
		b.SetBytes(int64(len(src)))
		for b.Loop() {
			decode64(dst, src)
		}
	})
	b.Run("std", func(b *testing.B) {
		b.SetBytes(int64(len(src)))
		for b.Loop() {
			_, _ = base64.StdEncoding.Decode(dst, src)
		}
	})
}
