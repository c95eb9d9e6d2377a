package metrics

import "math"

// Buckets of a Distribution: one below 1, four per power of two up to 2^36
// (two years in milliseconds), one above.
const (
	perOctave = 4
	octaves   = 36
	buckets   = octaves*perOctave + 2
)

// A Distribution summarises observations: their number, sum, extremes, and
// counts in fixed buckets of at most a quarter of their lower bound. Its zero
// value is empty. A Distribution is a value: copies are independent.
type Distribution struct {
	Count    int64
	Sum      float64
	Min, Max float64 // 0 while Count is 0
	bucket   [buckets]int64
}

// observe adds v.
func (d *Distribution) observe(v float64) {
	if d.Count == 0 || v < d.Min {
		d.Min = v
	}
	if d.Count == 0 || v > d.Max {
		d.Max = v
	}
	d.Count++
	d.Sum += v
	d.bucket[bucketOf(v)]++
}

// merge adds all observations of o.
func (d *Distribution) merge(o *Distribution) {
	if o.Count == 0 {
		return
	}
	if d.Count == 0 || o.Min < d.Min {
		d.Min = o.Min
	}
	if d.Count == 0 || o.Max > d.Max {
		d.Max = o.Max
	}
	d.Count += o.Count
	d.Sum += o.Sum
	for i, n := range o.bucket {
		d.bucket[i] += n
	}
}

// Mean returns Sum / Count, and 0 while Count is 0.
func (d *Distribution) Mean() float64 {
	if d.Count == 0 {
		return 0
	}
	return d.Sum / float64(d.Count)
}

// Quantile returns a value that a share of q of the observations does not
// exceed, 0 <= q <= 1: 0.5 is the median. It is interpolated inside a bucket
// and lies within [Min, Max]: from 1 to 2^36 it is off by at most a quarter,
// below 1 by at most 1. It is 0 while Count is 0.
func (d *Distribution) Quantile(q float64) float64 {
	if d.Count == 0 {
		return 0
	}
	rank := math.Ceil(q * float64(d.Count))
	rank = min(max(rank, 1), float64(d.Count)) // the rank-th smallest
	var below float64
	for i, n := range d.bucket {
		if n == 0 || below+float64(n) < rank {
			below += float64(n)
			continue
		}
		low, high := bounds(i)
		v := low + (high-low)*(rank-below)/float64(n)
		return min(max(v, d.Min), d.Max)
	}
	return d.Max
}

// bucketOf returns the index of the bucket that holds v.
func bucketOf(v float64) int {
	if v < 1 {
		return 0
	}
	frac, exp := math.Frexp(v) // v = frac * 2^exp, 0.5 <= frac < 1
	if exp > octaves {
		return buckets - 1
	}
	return 1 + (exp-1)*perOctave + int((frac*2-1)*perOctave)
}

// bounds returns the range [low, high) of bucket i. The last one is open
// upwards: its bounds are equal.
func bounds(i int) (low, high float64) {
	if i == 0 {
		return 0, 1
	}
	i--
	octave := math.Ldexp(1, i/perOctave)
	low = octave * (1 + float64(i%perOctave)/perOctave)
	if i == octaves*perOctave {
		return low, low
	}
	return low, low + octave/perOctave
}
