package metrics

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Buckets follow each other without a hole, and each holds what lies within its
// bounds.
func TestBuckets(t *testing.T) {
	end := 0.0
	for i := range buckets {
		low, high := bounds(i)
		if low != end {
			t.Fatalf("bucket %d starts at %v, the one before ends at %v", i, low, end)
		}
		if bucketOf(low) != i || i < buckets-1 && bucketOf(math.Nextafter(high, 0)) != i {
			t.Fatalf("bucket %d does not hold [%v, %v)", i, low, high)
		}
		end = high
	}
	if bucketOf(math.MaxFloat64) != buckets-1 || bucketOf(-1) != 0 {
		t.Error("values outside")
	}
}

// Quantiles of a Distribution against those of the sorted observations.
func TestQuantile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOf(rapid.OneOf(rapid.Float64Range(0, 10), rapid.Float64Range(0, 1e9))).Draw(t, "values")
		var whole, left, right Distribution
		for i, v := range values {
			whole.observe(v)
			if i%3 == 0 {
				left.observe(v)
			} else {
				right.observe(v)
			}
		}
		left.merge(&right)
		if left.bucket != whole.bucket || left.Count != whole.Count || left.Min != whole.Min || left.Max != whole.Max {
			t.Fatalf("merged %+v, want %+v", left, whole)
		}
		slices.Sort(values)
		before := math.Inf(-1)
		for _, q := range []float64{-1, 0, 0.01, 0.5, 0.9, 0.99, 1, 2} {
			got := whole.Quantile(q)
			if len(values) == 0 {
				if got != 0 || whole.Mean() != 0 {
					t.Fatalf("empty: %v", got)
				}
				continue
			}
			rank := int(math.Ceil(min(max(q, 0), 1) * float64(len(values))))
			want := values[max(rank-1, 0)]
			if off := math.Abs(got - want); off > max(1, want/4) || got < whole.Min || got > whole.Max || got < before {
				t.Fatalf("quantile %v of %v is %v, want about %v", q, values, got, want)
			}
			before = got
		}
	})
}
