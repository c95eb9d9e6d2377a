package wire

import (
	"math/bits"
	"slices"
	"sync"
	"time"
)

const (
	smallBody = 64 << 10
	maxKept   = 48 << 20         // bytes for the bodies of next replies: three full pages
	keptFor   = 10 * time.Second // at most without use
)

// A scratch is what decoding one reply takes, and the next one may use again. Nothing of it is in the result.
type scratch struct {
	scan
	recs []record
	free time.Time // since when
}

// A shelf holds scratches that nobody uses. Those for large bodies are kept alive by large bodies only, and few of them.
type shelf struct {
	mu    sync.Mutex
	free  []*scratch
	bytes int // of their bodies
}

// take returns a scratch with room for a body of n bytes, and for one more, to see its end.
func (h *shelf) take(n int) *scratch {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, s := range slices.Backward(h.free) {
		if room := cap(s.body); room > n && room <= max(smallBody, 2*n) {
			h.remove(i)
			return s
		}
	}
	return &scratch{scan: scan{body: make([]byte, 0, roundUp(n+1))}}
}

// keep puts a scratch back, unless there is enough.
func (h *shelf) keep(s *scratch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.free = time.Now()
	for len(h.free) > 0 && s.free.Sub(h.free[0].free) > keptFor {
		h.remove(0)
	}
	if room := cap(s.body); h.bytes+room <= maxKept {
		h.free = append(h.free, s)
		h.bytes += room
	}
}

func (h *shelf) remove(i int) {
	h.bytes -= cap(h.free[i].body)
	h.free = slices.Delete(h.free, i, i+1)
}

// roundUp returns n or up to a quarter more, so that a buffer is good for pages of about the same size.
func roundUp(n int) int {
	step := 1 << max(9, bits.Len(uint(n))-3)
	return (n + step - 1) / step * step
}
