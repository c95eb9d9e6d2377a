package wire

import (
	"encoding/base64"
	"io"
	"math/bits"
	"slices"
	"sync"
	"time"
	"unsafe"
)

const (
	smallBody = 64 << 10
	longBody  = 4 << 20          // a body is looked at as a whole up to here
	window    = 256 << 10        // of a longer one
	maxKept   = 48 << 20         // bytes of what next replies may use
	maxSpares = 512              // that they are at most, as each is looked at
	keptFor   = 10 * time.Second // at most without use

	maxRecords = 10_000 // of a page
)

// A scratch is what decoding one reply takes, and the next one may use again. Nothing of it is in the result.
//
// Of a long body it has a window only: buffers for all of it, as many as there are calls, would be too much to keep. The front
// of it is put aside as it came, but for the data: that is there, decoded, and makes the same base64 again.
type scratch struct {
	scan
	recs   []record
	moved  int    // of them, those in the front
	front  []byte // what was in the body before what is there
	window int    // bytes of a body that are looked at
	length int64  // of the body, by its header
	room   int    // bytes of the bodies that it is for
	loan   *Loan  // is what data goes into; nil: memory of its own
}

// begin makes a scratch ready for a body, whose length is what its header says.
func (s *scratch) begin(src io.Reader, length int64) {
	s.scan = scan{src: src, body: s.body[:0], text: s.text[:0]}
	s.recs, s.moved, s.front, s.length = s.recs[:0], 0, s.front[:0], length
}

// slide moves what was read to the front. It is called between two records.
func (s *scratch) slide() bool {
	if !s.decode() {
		return false
	}
	from := 0
	for i := s.moved; i < len(s.recs); i++ {
		if r := &s.recs[i]; r.text.found && canonical(r.text.of(s.body)) {
			s.front = append(s.front, s.body[from:r.text.from]...)
			from, r.cut = int(r.text.to), int32(len(s.front)) //nolint:gosec // less than maxBody
		}
	}
	s.front = append(s.front, s.body[from:s.i]...)
	if s.moved == 0 { // what is to come is like this
		k := min(size(s.length)/s.i+1, maxRecords/max(1, len(s.recs)))
		s.front, s.text = slices.Grow(s.front, k*len(s.front)), slices.Grow(s.text, k*len(s.text))
		s.recs = slices.Grow(s.recs, k*len(s.recs))
	}
	s.moved = len(s.recs)
	s.body, s.i = s.body[:copy(s.body, s.body[s.i:])], 0
	return true
}

// raw is all of the body that came.
func (s *scratch) raw() []byte {
	if len(s.front) == 0 {
		return s.body
	}
	b, from := make([]byte, 0, s.size), int32(0)
	for i := range s.recs[:s.moved] {
		if r := &s.recs[i]; r.cut > 0 {
			b = base64.StdEncoding.AppendEncode(append(b, s.front[from:r.cut]...), r.data)
			from = r.cut
		}
	}
	return append(append(b, s.front[from:]...), s.body...)
}

// bytes is what a scratch holds.
func (s *scratch) bytes() int {
	return cap(s.body) + cap(s.text) + cap(s.front) + cap(s.recs)*int(unsafe.Sizeof(record{}))
}

// A shelf holds what nobody uses. What is for large bodies is kept alive by large bodies only, and there is little of it.
type shelf struct {
	mu    sync.Mutex
	free  []spare
	bytes int // that they hold
}

// A spare is a scratch, a block for data, or a table for records.
type spare struct {
	*scratch
	block []byte
	table *table
	since time.Time
}

func (s spare) bytes() int {
	switch {
	case s.scratch != nil:
		return s.scratch.bytes()
	case s.table != nil:
		return s.table.bytes()
	}
	return cap(s.block)
}

// take returns a scratch for a body of n bytes, with room for one more, to see its end.
func (h *shelf) take(n int) *scratch {
	if s, ok := h.find(func(s spare) bool { return s.scratch != nil && s.room > n && s.room <= max(smallBody, 2*n) }); ok {
		return s.scratch
	}
	s := &scratch{room: roundUp(n + 1), window: longBody}
	if n > longBody {
		s.window = window
	}
	s.body = make([]byte, 0, min(s.room, s.window))
	return s
}

// block returns a block of n bytes, or a little more. What is in it is not known.
func (h *shelf) block(n int) []byte {
	n = roundUp(n)
	if s, ok := h.find(func(s spare) bool { return cap(s.block) == n }); ok {
		return s.block
	}
	return make([]byte, n)
}

// table returns a table of n records, or some more.
func (h *shelf) table(n int) *table {
	if s, ok := h.find(func(s spare) bool { return s.table != nil && cap(s.table.recs) >= n && cap(s.table.recs) <= 2*n }); ok {
		return s.table
	}
	return newTable(n + n/8)
}

// find takes from the shelf what fits, and came last.
func (h *shelf) find(fits func(spare) bool) (spare, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, s := range slices.Backward(h.free) {
		if fits(s) {
			h.remove(i)
			return s, true
		}
	}
	return spare{}, false
}

// keep puts a scratch back.
func (h *shelf) keep(s *scratch) {
	clear(s.recs) // they hold data
	s.src, s.turn, s.loan, s.room = nil, nil, nil, max(s.room, roundUp(s.size+1))
	h.put(spare{scratch: s})
}

// put keeps something, unless there is enough.
func (h *shelf) put(s spare) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.since = time.Now()
	for len(h.free) > 0 && s.since.Sub(h.free[0].since) > keptFor {
		h.remove(0)
	}
	if n := s.bytes(); len(h.free) < maxSpares && h.bytes+n <= maxKept {
		h.free = append(h.free, s)
		h.bytes += n
	}
}

func (h *shelf) remove(i int) {
	h.bytes -= h.free[i].bytes()
	h.free = slices.Delete(h.free, i, i+1)
}

// roundUp returns n or up to a quarter more, so that a buffer is good for pages of about the same size.
func roundUp(n int) int {
	step := 1 << max(9, bits.Len(uint(n))-3)
	return (n + step - 1) / step * step
}
