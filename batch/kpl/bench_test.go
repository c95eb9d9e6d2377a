package kpl

import (
	"bytes"
	"fmt"
	"testing"
)

// BenchmarkDecode decodes 100 user records of 250 bytes, whole and without the checksum, and an ordinary record (G6).
func BenchmarkDecode(b *testing.B) {
	const n = 100
	us := make([]UserRecord, n)
	for i := range us {
		us[i] = UserRecord{PartitionKey: fmt.Sprintf("customer-%d", i), Data: bytes.Repeat([]byte{'x'}, 250)}
	}
	data, dst := Encode(us...), make([]UserRecord, 0, n)
	body, plain := data[len(magic):len(data)-16], bytes.Repeat([]byte{'x'}, 250)
	for _, c := range []struct {
		name string
		f    func() bool
		n    int
	}{
		{"whole", func() (ok bool) { dst, ok = Decode(data, dst[:0]); return ok }, n},
		{"body", func() (ok bool) { dst, ok = decode(body, dst[:0]); return ok }, n},
		{"plain", func() (ok bool) { dst, ok = Decode(plain, dst[:0]); return !ok }, 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !c.f() {
					b.Fatal("not as it is meant")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.n), "ns/record")
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	us := make([]UserRecord, 100)
	for i := range us {
		us[i] = UserRecord{PartitionKey: fmt.Sprintf("customer-%d", i), Data: bytes.Repeat([]byte{'x'}, 250)}
	}
	b.ReportAllocs()
	for b.Loop() {
		Encode(us...)
	}
}
