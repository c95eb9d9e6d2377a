package batch_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shardlane/shardlane/batch"
	"pgregory.net/rapid"
)

// naive is L17 read word by word: what waits, with its size and the time its wait began.
type naive struct {
	batch.Limits
	items []int // an item is its own size
	since []time.Time
}

// ready returns the length of the first batch, 0 if none is ready.
func (n *naive) ready(now time.Time, flush bool) int {
	sum := 0
	for i, size := range n.items {
		if n.Bytes > 0 && i > 0 && sum+size > n.Bytes || n.Records > 0 && i == n.Records {
			return i // the next one would be too many, or too much
		}
		sum += size
	}
	full := n.Records > 0 && len(n.items) == n.Records || n.Bytes > 0 && sum >= n.Bytes
	if len(n.items) > 0 && (flush || full || n.Window == 0 || now.Sub(n.since[0]) >= n.Window) {
		return len(n.items)
	}
	return 0
}

func TestBatcher(t *testing.T) {
	t.Attr("rule", "L17")
	t.Attr("rule", "L18")
	t.Attr("rule", "C4")
	rapid.Check(t, func(t *rapid.T) {
		limits := batch.Limits{
			Records: rapid.IntRange(0, 4).Draw(t, "records"), Bytes: rapid.IntRange(0, 20).Draw(t, "bytes"),
			Window: time.Duration(rapid.IntRange(0, 3).Draw(t, "window")) * time.Second,
		}
		b := batch.Batcher[int]{Limits: limits, Size: func(i int) int { return i }}
		if slack := rapid.IntRange(-1, 4).Draw(t, "slack"); slack >= 0 {
			b.Bound = func(i int) int { return i + i*3%7*slack }
		}
		model := naive{Limits: limits}
		now := time.Unix(0, 0)
		var kept, copies [][]int // batches must not change after they left
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				items := rapid.SliceOfN(rapid.IntRange(1, 25), 0, 6).Draw(t, "items")
				b.Add(now, items...)
				for range items {
					model.since = append(model.since, now)
				}
				model.items = append(model.items, items...)
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond)
			},
			"restart": func(*rapid.T) {
				b.Restart(now)
				for i := range model.since {
					model.since[i] = now
				}
			},
			"take": func(t *rapid.T) {
				most, flush := rapid.IntRange(1, 5).Draw(t, "most"), rapid.Bool().Draw(t, "flush")
				var want, got [][]int
				for k := model.ready(now, flush); k > 0 && len(want) < most; k = model.ready(now, flush) {
					want = append(want, slices.Clone(model.items[:k]))
					model.items, model.since = model.items[k:], model.since[k:]
				}
				seq := b.Ready(now)
				if flush {
					seq = b.Flush()
				}
				for items := range seq {
					got = append(got, items)
					if len(got) == most {
						break
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("batches (-want +got):\n%s", diff)
				}
				for _, items := range got {
					kept, copies = append(kept, items), append(copies, slices.Clone(items))
					_ = append(items, -1) // must not reach what waits
				}
			},
			"": func(t *rapid.T) {
				if diff := cmp.Diff(copies, kept); diff != "" || b.Len() != len(model.items) {
					t.Fatalf("%d wait, want %d; kept batches (-want +got):\n%s", b.Len(), len(model.items), diff)
				}
				at, ok := b.Deadline()
				if ok != (len(model.items) > 0) || ok && (!at.After(now)) != (model.ready(now, false) > 0) {
					t.Fatalf("deadline %v %v at %v", at, ok, now)
				}
				if ok && at.After(now) && (model.ready(at, false) == 0 || model.ready(at.Add(-1), false) > 0) {
					t.Fatalf("deadline %v is not the first moment", at)
				}
			},
		})
	})
}

// TestBatcherAddInside adds while batches are taken, as a lane does that is fed by its own handler.
func TestBatcherAddInside(t *testing.T) {
	b := batch.Batcher[int]{Limits: batch.Limits{Records: 2}}
	b.Add(time.Unix(0, 0), 1, 2, 3)
	var got [][]int
	for items := range b.Ready(time.Unix(0, 0)) {
		if got = append(got, items); len(got) == 1 {
			b.Add(time.Unix(0, 0), 4)
		}
	}
	if diff := cmp.Diff([][]int{{1, 2}, {3, 4}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestBatcherRestart has a window begin anew for all that waits, also for what a full batch leaves behind (L20, C5).
func TestBatcherRestart(t *testing.T) {
	t.Attr("rule", "L20")
	t.Attr("rule", "C5")
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	b := batch.Batcher[int]{Limits: batch.Limits{Records: 2, Window: time.Second}}
	b.Add(at(0), 1)
	b.Add(at(1), 2)
	b.Add(at(2), 3)
	b.Restart(at(5))
	for items := range b.Ready(at(5)) {
		if len(items) != 2 {
			t.Errorf("batch %v", items)
		}
	}
	if end, ok := b.Deadline(); !ok || !end.Equal(at(6)) {
		t.Errorf("the rest is ready at %v %v, want %v", end, ok, at(6))
	}
}

// BenchmarkBatcher hands pages of 10,000 records through batches of 100.
func BenchmarkBatcher(b *testing.B) {
	bt := batch.Batcher[*int]{
		Limits: batch.Limits{Records: 100, Bytes: 1 << 20, Window: time.Second}, Size: func(*int) int { return 1000 },
	}
	page, now := make([]*int, 10000), time.Unix(0, 0)
	b.ReportAllocs()
	for b.Loop() {
		bt.Add(now, page...)
		for range bt.Ready(now) {
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(page)), "ns/record")
}
