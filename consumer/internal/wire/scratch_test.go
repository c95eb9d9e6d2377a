package wire

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestShelf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h shelf
		held := func(want ...int) {
			t.Helper()
			sum := 0
			if len(h.free) != len(want) {
				t.Fatalf("%d are kept, want %d", len(h.free), len(want))
			}
			for i, s := range h.free {
				if sum += cap(s.body); cap(s.body) < want[i] || cap(s.body) > want[i]*5/4+512 {
					t.Errorf("%d bytes are kept, want %d", cap(s.body), want[i])
				}
			}
			if h.bytes != sum {
				t.Errorf("%d bytes in all, by its count %d", sum, h.bytes)
			}
		}
		small, large := h.take(1000), h.take(14<<20)
		if len(small.body) != 0 || cap(small.body) <= 1000 || cap(large.body) <= 14<<20 {
			t.Fatalf("%d and %d bytes", cap(small.body), cap(large.body))
		}
		h.keep(large)
		h.keep(small)
		held(14<<20, 1000)

		// A small reply takes no large body.
		if s := h.take(500); s != small {
			t.Error("a new one for a small body")
		}
		if s := h.take(500); s == large {
			t.Error("a large one for a small body")
		}
		if s := h.take(13 << 20); s != large {
			t.Error("a new one for a large body")
		}
		held()

		// So many are kept, and not longer than they are of use.
		var all []*scratch
		for range 10 {
			all = append(all, h.take(14<<20))
		}
		for _, s := range all {
			h.keep(s)
		}
		held(14<<20, 14<<20, 14<<20)
		time.Sleep(keptFor + 1)
		h.keep(small)
		held(1000)
	})
}
