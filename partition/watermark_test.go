package partition

import (
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// TestWatermarkProperty runs a Watermark beside a plain slice of what is done.
func TestWatermarkProperty(t *testing.T) {
	t.Attr("rule", "L40")
	t.Attr("rule", "L41")
	rapid.Check(t, func(rt *rapid.T) {
		var w Watermark
		var done []bool
		mark := 0
		rt.Repeat(map[string]func(*rapid.T){
			"begin": func(rt *rapid.T) {
				n := rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, 3000)).Draw(rt, "n")
				if first := w.Begin(int64(n)); first != int64(len(done)) {
					rt.Fatalf("Begin = %d, want %d", first, len(done))
				}
				done = append(done, make([]bool, n)...)
			},
			"done": func(rt *rapid.T) {
				if len(done) == 0 {
					return
				}
				from := rapid.IntRange(0, len(done)-1).Draw(rt, "from")
				if rapid.Bool().Draw(rt, "at the mark") {
					from = min(mark, len(done)-1)
				}
				step := rapid.IntRange(1, 70).Draw(rt, "step")
				var pos []int64
				for range rapid.IntRange(0, 500).Draw(rt, "n") {
					if from < len(done) {
						pos = append(pos, int64(from))
						done[from] = true
					}
					from += step
				}
				if rapid.Bool().Draw(rt, "downwards") {
					slices.Reverse(pos)
				}
				w.Done(pos...)
			},
			"": func(rt *rapid.T) {
				for mark < len(done) && done[mark] {
					mark++
				}
				if w.Mark() != int64(mark) || w.Begun() != int64(len(done)) {
					rt.Fatalf("Mark = %d of %d, want %d of %d", w.Mark(), w.Begun(), mark, len(done))
				}
				var above, want [][2]int64
				for first, end := range w.Above() {
					above = append(above, [2]int64{first, end})
				}
				for p := mark; p < len(done); p++ {
					if n := len(want); done[p] && n > 0 && want[n-1][1] == int64(p) {
						want[n-1][1]++
					} else if done[p] {
						want = append(want, [2]int64{int64(p), int64(p) + 1})
					}
				}
				if !slices.Equal(above, want) {
					rt.Fatalf("above mark %d: %v, want %v", mark, above, want)
				}
				if live := len(w.words) - w.head; cap(w.words) > max(spare, 8*live+64) {
					rt.Fatalf("%d words for %d live", cap(w.words), live)
				}
			},
		})
	})
}

func TestWatermarkMisuse(t *testing.T) {
	var w Watermark
	w.Begin(2)
	for name, f := range map[string]func(){
		"never begun": func() { w.Done(0, 2) },
		"negative":    func() { w.Done(-1) },
		"begin -1":    func() { w.Begin(-1) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
				if w.Mark() != 0 || w.Begun() != 2 {
					t.Errorf("%d of %d after it", w.Mark(), w.Begun())
				}
			}()
			f()
		})
	}
	w.Done(0, 0)
	w.Done(0)
	if w.Mark() != 1 {
		t.Errorf("Mark = %d after Done twice", w.Mark())
	}
}

func TestWatermarkConcurrent(t *testing.T) {
	var w Watermark
	var workers sync.WaitGroup
	const n, each = 8, 5000
	for range n {
		workers.Go(func() {
			for range each {
				p := w.Begin(1)
				if m := w.Mark(); m > p {
					t.Errorf("Mark %d above an open position %d", m, p)
				}
				w.Done(p)
			}
		})
	}
	workers.Wait()
	if w.Mark() != n*each {
		t.Errorf("Mark = %d, want %d", w.Mark(), n*each)
	}
}

// TestWatermarkFrees holds a million positions behind an open one and then lets go of them.
func TestWatermarkFrees(t *testing.T) {
	var w Watermark
	const n = 1_000_000
	w.Begin(n)
	for p := int64(1); p < n; p++ {
		w.Done(p)
	}
	if got := cap(w.words); w.Mark() != 0 || got > n/32 {
		t.Errorf("%d words for %d positions, mark %d", got, n, w.Mark())
	}
	w.Done(0)
	if got := cap(w.words); w.Mark() != n || got > spare {
		t.Errorf("%d words kept, mark %d", got, w.Mark())
	}
}
