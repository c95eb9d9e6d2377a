package batch

import (
	"iter"
	"time"
)

// Limits says when a batch is ready (L17). In each field zero means no limit.
type Limits struct {
	Records int           // most items in a batch
	Bytes   int           // most bytes in a batch, as Batcher.Size counts them; a single larger item is a batch of its own
	Window  time.Duration // how long a batch may wait for more; without a window whatever waits is ready
}

// A Batcher gathers items into batches, in the order they are added. A batch is ready when it has as many items as it
// may have, when its window has elapsed, when the next item would exceed the bytes, or when it has all the bytes already. Time comes in with the
// calls and has to be monotonic; a Batcher has no clock and starts nothing.
//
// The zero value has no limits and is ready to use. Limits and Size are set before the first Add. A Batcher is not safe
// for concurrent use.
type Batcher[T any] struct {
	Limits Limits
	Size   func(T) int // bytes of an item; nil: bytes are not limited

	items []T
	sizes []int     // of items, kept where bytes are limited
	since []arrival // when items came, kept where there is a window
}

// arrival says that n items began to wait at a time.
type arrival struct {
	n  int
	at time.Time
}

// Add adds items that begin to wait now. It keeps copies of the items, not the slice.
func (b *Batcher[T]) Add(now time.Time, items ...T) {
	if len(items) == 0 {
		return
	}
	b.items = append(b.items, items...)
	if b.bytes() {
		for _, it := range items {
			b.sizes = append(b.sizes, b.Size(it))
		}
	}
	if b.Limits.Window <= 0 {
		return
	}
	if last := len(b.since) - 1; last >= 0 && b.since[last].at.Equal(now) {
		b.since[last].n += len(items)
		return
	}
	b.since = append(b.since, arrival{len(items), now})
}

// Len returns the number of items that wait.
func (b *Batcher[T]) Len() int { return len(b.items) }

// Deadline returns the time at which the first batch is ready even if nothing is added, and false if nothing waits.
// The time may have passed: it is that of the window's end, or zero for a batch that is ready for another reason.
func (b *Batcher[T]) Deadline() (time.Time, bool) {
	if len(b.items) == 0 {
		return time.Time{}, false
	}
	if _, full := b.cut(); full || b.Limits.Window <= 0 {
		return time.Time{}, true
	}
	return b.since[0].at.Add(b.Limits.Window), true
}

// Restart starts the window of everything that waits anew, at now. A consumer calls it when the batch before is
// resolved: a window runs only while a batch could be taken (L20, C5).
func (b *Batcher[T]) Restart(now time.Time) {
	if len(b.since) > 0 {
		b.since = append(b.since[:0], arrival{len(b.items), now})
	}
}

// Ready yields the batches that are ready at now, oldest first. A batch that is yielded has left the Batcher and belongs
// to the caller; a break keeps the rest. Nothing is yielded empty.
func (b *Batcher[T]) Ready(now time.Time) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		for {
			at, ok := b.Deadline()
			if !ok || at.After(now) || !yield(b.take()) {
				return
			}
		}
	}
}

// Flush yields everything that waits in batches of at most the limits, whatever the window.
func (b *Batcher[T]) Flush() iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		for len(b.items) > 0 && yield(b.take()) {
		}
	}
}

func (b *Batcher[T]) bytes() bool { return b.Limits.Bytes > 0 && b.Size != nil }

// cut returns the length of the first batch and whether more items could not make it longer.
func (b *Batcher[T]) cut() (n int, full bool) {
	n = len(b.items)
	if most := b.Limits.Records; most > 0 && n >= most {
		n, full = most, true
	}
	if !b.bytes() {
		return n, full
	}
	sum := 0
	for i, size := range b.sizes[:n] {
		if sum += size; sum > b.Limits.Bytes {
			return max(i, 1), true
		}
	}
	return n, full || sum == b.Limits.Bytes
}

// take removes the first batch.
func (b *Batcher[T]) take() []T {
	n, _ := b.cut()
	if b.bytes() {
		b.sizes = b.sizes[n:]
	}
	for left := n; left > 0 && len(b.since) > 0; {
		k := min(left, b.since[0].n)
		left -= k
		if b.since[0].n -= k; b.since[0].n == 0 {
			b.since = b.since[1:]
		}
	}
	if n == len(b.items) { // the whole array goes with it
		batch := b.items[:n:n]
		b.items = nil
		return batch
	}
	// A copy, so that a batch that is kept does not keep its neighbours.
	batch := append([]T(nil), b.items[:n]...)
	clear(b.items[:n])
	b.items = b.items[n:]
	return batch[:n:n]
}
