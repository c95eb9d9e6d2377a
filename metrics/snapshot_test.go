package metrics_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shardlane/shardlane/metrics"
)

var (
	one = metrics.Labels{Stream: "orders", Shard: "shardId-000000000001"}
	two = metrics.Labels{Stream: "orders", Shard: "shardId-000000000002"}
	all = metrics.Labels{Stream: "orders"}
)

func TestCatalogue(t *testing.T) {
	names := make(map[string]bool)
	units := map[string]bool{"records": true, "calls": true, "events": true, "lanes": true, "bytes": true, "ms": true, "s": true}
	for _, m := range metrics.All() {
		if names[m.Name] || m.Name == "" || m.Kind.String() == "unknown" || !units[m.Unit] || !strings.HasSuffix(m.Help, ".") {
			t.Errorf("%+v", *m)
		}
		names[m.Name] = true
	}
	last := ""
	for _, m := range metrics.Events() {
		if m.Kind != metrics.Counter || m.Unit != "events" || m.Name <= last || !names[m.Name] || metrics.Event(m.Name) != m {
			t.Errorf("event %+v after %s", *m, last)
		}
		last = m.Name
	}
	if metrics.Event("IteratorAge") != nil || metrics.Event("") != nil {
		t.Error("an event of another name")
	}
}

func TestSnapshot(t *testing.T) {
	var s metrics.Snapshot
	if s.Value(metrics.HeadAge, one) != 0 || s.Sum(metrics.StoreWrites) != 0 || s.Max(metrics.HeadAge) != 0 {
		t.Error("the zero value is not empty")
	}
	for _, v := range []float64{100, 20, -5, math.NaN(), math.Inf(1)} {
		s.Record(metrics.PolledEventCount, one, v) // 120: the last three are dropped
	}
	s.Record(metrics.PolledEventCount, two, 7)
	s.Record(metrics.HeadAge, one, 9)
	s.Record(metrics.HeadAge, one, -1)
	s.Record(metrics.HeadAge, two, -3)
	s.Record(metrics.VolatileStore, all, 1)
	for _, v := range []float64{4, 0, 8} {
		s.Record(metrics.IteratorAge, one, v)
	}
	s.Record(metrics.IteratorAge, two, 1000)
	s.Record(nil, one, 1)

	for _, tt := range []struct {
		m                *metrics.Metric
		value, sum, most float64
	}{
		{metrics.PolledEventCount, 120, 127, 120},
		{metrics.HeadAge, -1, -4, -1},
		{metrics.IteratorAge, 4, 1012, 1000},
		{metrics.VolatileStore, 0, 1, 1},
	} {
		if v, sum, most := s.Value(tt.m, one), s.Sum(tt.m), s.Max(tt.m); v != tt.value || sum != tt.sum || most != tt.most {
			t.Errorf("%v: value %v, sum %v, max %v, want %v, %v, %v", tt.m, v, sum, most, tt.value, tt.sum, tt.most)
		}
	}
	d := s.Distribution(metrics.IteratorAge)
	if d.Count != 4 || d.Sum != 1012 || d.Min != 0 || d.Max != 1000 || d.Mean() != 253 {
		t.Errorf("distribution %d %v %v %v", d.Count, d.Sum, d.Min, d.Max)
	}

	var text bytes.Buffer
	n, err := s.WriteTo(&text)
	const want = `HeadAge           -  orders  shardId-000000000001  -  -1 s
HeadAge           -  orders  shardId-000000000002  -  -3 s
IteratorAge       -  orders  shardId-000000000001  -  n 3 mean 4 p50 5 p99 8 max 8 ms
IteratorAge       -  orders  shardId-000000000002  -  n 1 mean 1000 p50 1000 p99 1000 max 1000 ms
PolledEventCount  -  orders  shardId-000000000001  -  120 records
PolledEventCount  -  orders  shardId-000000000002  -  7 records
VolatileStore     -  orders  -                     -  1 events
`
	if diff := cmp.Diff(want, text.String()); diff != "" || n != int64(len(want)) || err != nil {
		t.Errorf("%d, %v\n%s", n, err, diff)
	}
	if _, err := s.WriteTo(full{}); !errors.Is(err, errFull) {
		t.Errorf("full disk: %v", err)
	}

	for sample := range s.All() {
		if sample.Metric == metrics.IteratorAge {
			sample.Distribution.Count = 99 // a copy
			break
		}
	}
	if d := s.Distribution(metrics.IteratorAge); d.Count != 4 {
		t.Error("a sample is not a copy")
	}
}

var errFull = errors.New("no space left")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestSnapshotConcurrent(t *testing.T) {
	var s metrics.Snapshot
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 1000 {
				s.Record(metrics.StoreWrites, one, 1)
				s.Record(metrics.IteratorAge, two, float64(i))
				if i%100 == 0 {
					for sample := range s.All() {
						if d := sample.Distribution; d != nil && (d.Quantile(1) != d.Max || d.Mean() > d.Max) {
							t.Error("a sample is torn")
						}
					}
				}
			}
		})
	}
	wg.Wait()
	if d := s.Distribution(metrics.IteratorAge); s.Value(metrics.StoreWrites, one) != 8000 || d.Count != 8000 || d.Sum != 8*999*500 {
		t.Errorf("lost values: %v, %d, %v", s.Value(metrics.StoreWrites, one), d.Count, d.Sum)
	}
}

func TestTee(t *testing.T) {
	var a, b metrics.Snapshot
	metrics.Tee(&a, nil, metrics.Discard{}, &b).Record(metrics.StoreWrites, one, 2)
	if a.Sum(metrics.StoreWrites) != 2 || b.Sum(metrics.StoreWrites) != 2 {
		t.Error("a recorder was left out")
	}
	if metrics.Tee(nil) != (metrics.Discard{}) || metrics.Tee(nil, &a) != metrics.Recorder(&a) {
		t.Error("Tee of none or one")
	}
}

func BenchmarkSnapshot(b *testing.B) {
	for _, m := range []*metrics.Metric{metrics.PolledEventCount, metrics.IteratorAge} {
		b.Run(m.Name, func(b *testing.B) {
			var s metrics.Snapshot
			b.ReportAllocs()
			for b.Loop() {
				s.Record(m, one, 1234)
			}
		})
	}
}
