package partition

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func BenchmarkHash(b *testing.B) {
	for _, n := range []int{8, 16, 36, 256} {
		key := strings.Repeat("k", n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(n))
			var sum uint64
			for b.Loop() {
				sum += Hash(key)
			}
			_ = sum
		})
	}
}

type record struct {
	key string
	pos int64
}

func recordKey(r record) string { return r.key }

func page(n int) []record {
	p := make([]record, n)
	for i := range p {
		p[i] = record{fmt.Sprintf("customer-%07d", i*7919%n), int64(i)}
	}
	return p
}

// BenchmarkSubmit hands pages over to lanes whose function does nothing; ns/record is the cost of a record (G5).
func BenchmarkSubmit(b *testing.B) {
	for _, c := range []struct{ lanes, records int }{{1, 500}, {10, 1}, {10, 500}, {10, 10_000}, {100, 10_000}, {1000, 1}, {1000, 500}, {1000, 10_000}} {
		b.Run(fmt.Sprintf("lanes=%d/records=%d", c.lanes, c.records), func(b *testing.B) {
			l := NewLanes(c.lanes, recordKey, func(context.Context, int, []record) error { return nil })
			p := page(c.records)
			b.ReportAllocs()
			for b.Loop() {
				if err := l.Submit(b.Context(), p...); err != nil {
					b.Fatal(err)
				}
			}
			if err := l.Drain(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.records), "ns/record")
		})
	}
}

func BenchmarkWake(b *testing.B) {
	l := NewLanes(1000, recordKey, func(context.Context, int, []record) error { return nil })
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.Wake(i % 1000)
	}
}

// BenchmarkWatermarkDone completes positions one by one: in order, and every 64th position last.
func BenchmarkWatermarkDone(b *testing.B) {
	b.Run("in order", func(b *testing.B) {
		var w Watermark
		b.ReportAllocs()
		for b.Loop() {
			w.Done(w.Begin(1))
		}
	})
	b.Run("of 1000000", func(b *testing.B) {
		var w Watermark
		b.ReportAllocs()
		for b.Loop() {
			const n = 1_000_000
			first := w.Begin(n)
			for i := range int64(n) {
				w.Done(first + (i*7919+1)%n) // 7919 and n have no common factor: every position once
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/position")
	})
	b.Run("batch of 500", func(b *testing.B) {
		var w Watermark
		pos := make([]int64, 500)
		b.ReportAllocs()
		for b.Loop() {
			first := w.Begin(500)
			for i := range pos {
				pos[i] = first + int64(i)
			}
			w.Done(pos...)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/position")
	})
}

func BenchmarkEach(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := page(n)
			b.ReportAllocs()
			for b.Loop() {
				Each(b.Context(), 16, p, recordKey, func(context.Context, record) error { return nil })
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/item")
		})
	}
}
