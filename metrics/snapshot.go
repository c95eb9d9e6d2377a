package metrics

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strconv"
	"sync"
	"text/tabwriter"
)

// A Snapshot is a Recorder that keeps every metric in memory, for tests,
// progress lines and debug pages. Its zero value is empty and ready. It is safe
// for concurrent use and must not be copied after its first use.
//
// NaN and infinities are dropped, and so is a negative value of a Counter. It
// keeps about 100 bytes for each pair of metric and labels, 1.3 KB for a
// Histogram, and forgets none.
type Snapshot struct {
	mu     sync.RWMutex
	series map[seriesKey]*series
}

type seriesKey struct {
	metric *Metric
	labels Labels
}

// series holds what was recorded under one key.
type series struct {
	mu    sync.Mutex
	value float64
	dist  *Distribution // of a Histogram, else nil
}

// Record keeps v.
func (s *Snapshot) Record(m *Metric, l Labels, v float64) {
	if m == nil || math.IsNaN(v) || math.IsInf(v, 0) || m.Kind == Counter && v < 0 {
		return
	}
	r := s.at(m, l)
	r.mu.Lock()
	switch m.Kind {
	case Counter:
		r.value += v
	case Histogram:
		r.dist.observe(v)
	default:
		r.value = v
	}
	r.mu.Unlock()
}

// at returns the series of m and l, a new one if there is none.
func (s *Snapshot) at(m *Metric, l Labels) *series {
	k := seriesKey{m, l}
	s.mu.RLock()
	r := s.series[k]
	s.mu.RUnlock()
	if r != nil {
		return r
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r = s.series[k]; r == nil {
		r = &series{}
		if m.Kind == Histogram {
			r.dist = new(Distribution)
		}
		if s.series == nil {
			s.series = make(map[seriesKey]*series)
		}
		s.series[k] = r
	}
	return r
}

// Value returns the total of a Counter, the last level of a Gauge, the mean of
// a Histogram. It is 0 where nothing was recorded.
func (s *Snapshot) Value(m *Metric, l Labels) float64 {
	s.mu.RLock()
	r := s.series[seriesKey{m, l}]
	s.mu.RUnlock()
	if r == nil {
		return 0
	}
	sample := r.sample(m, l)
	return sample.Value
}

// Sum returns the sum over all labels: of the totals of a Counter, of the
// levels of a Gauge, of the observations of a Histogram. For ages use Max.
func (s *Snapshot) Sum(m *Metric) float64 {
	var sum float64
	for _, one := range s.samples(m) {
		if m.Kind == Histogram {
			sum += one.Distribution.Sum
		} else {
			sum += one.Value
		}
	}
	return sum
}

// Max returns the largest value over all labels: the largest total of a
// Counter, the highest level of a Gauge, the largest observation of a
// Histogram. It is 0 where nothing was recorded.
func (s *Snapshot) Max(m *Metric) float64 {
	var top float64
	for i, one := range s.samples(m) {
		v := one.Value
		if m.Kind == Histogram {
			v = one.Distribution.Max
		}
		if i == 0 || v > top {
			top = v
		}
	}
	return top
}

// Distribution returns the observations of the Histogram m over all labels. It
// is empty for a metric of another kind.
func (s *Snapshot) Distribution(m *Metric) Distribution {
	var d Distribution
	for _, one := range s.samples(m) {
		if one.Distribution != nil {
			d.merge(one.Distribution)
		}
	}
	return d
}

// A Sample is one metric under one set of labels, at one moment.
type Sample struct {
	Metric       *Metric
	Labels       Labels
	Value        float64       // as Snapshot.Value returns it
	Distribution *Distribution // a copy, for a Histogram; else nil
}

// All returns everything that was recorded, sorted by metric, group, stream,
// shard and worker.
// The samples are taken when the loop starts, each consistent in itself; values
// recorded meanwhile may be in one and not in another.
func (s *Snapshot) All() iter.Seq[Sample] {
	return func(yield func(Sample) bool) {
		for _, one := range s.samples(nil) {
			if !yield(one) {
				return
			}
		}
	}
}

// samples returns the samples of m, or of all metrics if m is nil, sorted.
func (s *Snapshot) samples(m *Metric) []Sample {
	var all []Sample
	s.mu.RLock()
	for k, r := range s.series {
		if m == nil || k.metric == m {
			all = append(all, r.sample(k.metric, k.labels))
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(all, func(a, b Sample) int {
		return cmp.Or(
			cmp.Compare(a.Metric.Name, b.Metric.Name),
			cmp.Compare(a.Labels.Group, b.Labels.Group),
			cmp.Compare(a.Labels.Stream, b.Labels.Stream),
			cmp.Compare(a.Labels.Shard, b.Labels.Shard),
			cmp.Compare(a.Labels.Worker, b.Labels.Worker),
		)
	})
	return all
}

// sample copies what r holds.
func (r *series) sample(m *Metric, l Labels) Sample {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := Sample{Metric: m, Labels: l, Value: r.value}
	if r.dist != nil {
		d := *r.dist
		one.Distribution, one.Value = &d, d.Mean()
	}
	return one
}

// WriteTo writes everything that was recorded as text, a line per metric and
// labels in the order of All: name, group, stream, shard, worker ("-" for none),
// value and unit; for a Histogram its number of observations, mean, median, 99th
// percentile and maximum. The form is for people and may change.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	var text bytes.Buffer
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for one := range s.All() {
		value := number(one.Value)
		if d := one.Distribution; d != nil {
			value = fmt.Sprintf("n %d mean %s p50 %s p99 %s max %s", d.Count, number(d.Mean()),
				number(d.Quantile(0.5)), number(d.Quantile(0.99)), number(d.Max))
		}
		l := one.Labels
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s %s\n", one.Metric.Name,
			cmp.Or(l.Group, "-"), cmp.Or(l.Stream, "-"), cmp.Or(l.Shard, "-"), cmp.Or(l.Worker, "-"), value, one.Metric.Unit)
	}
	if err := table.Flush(); err != nil {
		return 0, err
	}
	return text.WriteTo(w)
}

// number formats v with at most three decimals.
func number(v float64) string {
	return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64)
}
