package partition

import (
	"fmt"
	"iter"
	"math/bits"
	"sync"
)

// A Watermark turns completions that come in any order into the position that is safe to remember: everything below
// Mark is done. Positions are numbers from 0, handed out by Begin in the order in which work arrives. The zero value is
// ready; its methods may be called concurrently.
//
// A Watermark holds one bit per position from the mark up to the highest position that is done; the words below the
// mark are given back. It does not limit that span.
type Watermark struct {
	mu    sync.Mutex
	begun int64
	mark  int64
	words []uint64 // bit i of words[head+w] is position 64*(mark/64+w)+i; words above the highest done are absent
	head  int      // first word that is not wholly below the mark
}

// spare is the number of words that a Watermark keeps for reuse when it holds fewer.
const spare = 16

// Begin registers the next n positions and returns the first of them: first to first+n-1 are now open. It panics when
// n is negative.
func (w *Watermark) Begin(n int64) int64 {
	if n < 0 {
		panic(fmt.Sprintf("partition: Watermark.Begin(%d): want 0 or more", n))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	first := w.begun
	w.begun += n
	return first
}

// Done marks positions as done. A position that is done already is left as it is, so outcomes may be told twice. Done
// panics, having marked none of its positions, when one was never begun.
func (w *Watermark) Done(pos ...int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range pos {
		if p < 0 || p >= w.begun {
			panic(fmt.Sprintf("partition: Watermark.Done(%d): %d positions were begun", p, w.begun))
		}
	}
	base := w.mark >> 6
	for _, p := range pos {
		i := int(p>>6 - base)
		if i < 0 {
			continue
		}
		if w.head+i >= len(w.words) {
			w.extend(i)
		}
		w.words[w.head+i] |= 1 << (p & 63)
	}
	w.advance()
}

// Mark returns how many leading positions are done: every position below it is, the position itself is not. It never
// decreases.
func (w *Watermark) Mark() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mark
}

// Begun returns how many positions were registered. All of them are done when it equals Mark.
func (w *Watermark) Begun() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.begun
}

// Above returns the runs of positions that are done above the mark, in order: each from its first position up to, but
// without, its end. Other methods may be called while it is ranged over; each run is as of the moment at which it comes.
func (w *Watermark) Above() iter.Seq2[int64, int64] {
	return func(yield func(first, end int64) bool) {
		for from := int64(0); ; {
			first, end, ok := w.run(from)
			if !ok || !yield(first, end) {
				return
			}
			from = end
		}
	}
}

// run returns the next run of done positions from a position on that lies above the mark.
func (w *Watermark) run(from int64) (first, end int64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first = w.seek(max(from, w.mark), 0)
	end = w.seek(first, ^uint64(0))
	return first, end, first < end
}

// seek returns the first position from a position on whose bit differs from those of like. If the words have none, it is
// the first position behind them.
func (w *Watermark) seek(from int64, like uint64) int64 {
	live, base := w.words[w.head:], w.mark>>6
	for i := from>>6 - base; i < int64(len(live)); i++ {
		if word := (live[i] ^ like) >> (from & 63); word != 0 {
			return from + int64(bits.TrailingZeros64(word))
		}
		from = (base + i + 1) << 6
	}
	return from
}

// extend makes word i of the live words exist.
func (w *Watermark) extend(i int) {
	for n := w.head + i + 1 - len(w.words); n > 0; n-- {
		if len(w.words) == cap(w.words) && 2*w.head >= len(w.words) && w.head > 0 {
			w.words = w.words[:copy(w.words, w.words[w.head:])]
			w.head = 0
		}
		w.words = append(w.words, 0)
	}
}

// advance moves the mark over the leading done positions and lets go of the words below it.
func (w *Watermark) advance() {
	for w.head < len(w.words) && w.words[w.head] == ^uint64(0) {
		w.head++
		w.mark = (w.mark>>6 + 1) << 6
	}
	live := w.words[w.head:]
	if len(live) > 0 {
		w.mark = w.mark&^63 + int64(bits.TrailingZeros64(^live[0]))
	}
	if cap(w.words) > spare && 8*len(live) < cap(w.words) {
		w.words, w.head = append(make([]uint64, 0, max(spare, 2*len(live))), live...), 0
	}
}
