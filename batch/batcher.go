package batch

import (
	"iter"
	"slices"
	"time"
)

// Limits says when a batch is ready. In each field zero means no limit.
type Limits struct {
	Records int           // most items in a batch
	Bytes   int           // most bytes in a batch, as Batcher.Size counts them; a single larger item is a batch of its own
	Window  time.Duration // how long a batch may wait for more; without a window whatever waits is ready
}

// A Batcher gathers items into batches, in the order they are added. A batch is ready when it has as many items as it
// may have, when its window has elapsed, when the next item would exceed the bytes or may not stand in it, or when no
// bytes are left for one.
// Time comes in with the calls and never goes back; a Batcher has no clock and starts nothing.
//
// The zero value has no limits and is ready to use. Its exported fields are set before the first Add. A Batcher is not safe
// for concurrent use.
type Batcher[T any] struct {
	Limits Limits
	Size   func(T) int // bytes of an item; nil: bytes are not limited

	// Bound returns at least what Size does, and costs less. Sizes are counted only for a batch that could exceed the limit;
	// nil: for every one.
	Bound func(T) int

	// Together reports whether next may stand in a batch that begins with first; nil: any may.
	Together func(first, next T) bool

	items []T
	since []arrival // when items came, kept where there is a window

	// The first batch, as far as items have been looked at: its length, its bytes, and whether it cannot grow.
	n, sum  int
	counted bool // sum is of sizes, not of bounds
	full    bool
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
	if b.cut(); b.full || b.Limits.Window <= 0 {
		return time.Time{}, true
	}
	return b.since[0].at.Add(b.Limits.Window), true
}

// Restart starts the window of everything that waits anew, at now. A consumer calls it when the batch before is
// resolved: a window runs only while a batch could be taken.
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

// Flush yields everything that waits in batches of at most the limits, whatever the window. As with Ready, a break keeps
// the rest, and a batch belongs to the caller.
func (b *Batcher[T]) Flush() iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		for len(b.items) > 0 && yield(b.take()) {
		}
	}
}

func (b *Batcher[T]) bytes() bool { return b.Limits.Bytes > 0 && b.Size != nil }

// cut looks at the items that came since and completes n, sum and full.
func (b *Batcher[T]) cut() {
	for ; !b.full && b.n < len(b.items); b.n++ {
		if b.n > 0 && b.Together != nil && !b.Together(b.items[0], b.items[b.n]) {
			b.full = true
			return
		}
		if b.bytes() {
			size := b.size(b.n)
			if b.n > 0 && b.sum+size > b.Limits.Bytes {
				b.full = true
				return
			}
			b.sum += size
			b.full = b.sum >= b.Limits.Bytes
		}
		b.full = b.full || b.n+1 == b.Limits.Records
	}
}

// size returns the bytes of an item of the first batch, or a bound, if there is room for that much.
func (b *Batcher[T]) size(i int) int {
	if !b.counted && b.Bound != nil {
		if bound := b.Bound(b.items[i]); b.sum+bound < b.Limits.Bytes {
			return bound
		}
		b.sum = 0
		for _, it := range b.items[:i] {
			b.sum += b.Size(it)
		}
	}
	b.counted = true
	return b.Size(b.items[i])
}

// take removes the first batch.
func (b *Batcher[T]) take() []T {
	b.cut()
	n := b.n
	b.n, b.sum, b.counted, b.full = 0, 0, false, false
	for left := n; left > 0 && len(b.since) > 0; {
		k := min(left, b.since[0].n)
		left -= k
		if b.since[0].n -= k; b.since[0].n == 0 {
			b.since = drop(b.since, 1)
		}
	}
	batch := b.items[:n:n]
	if n == len(b.items) { // the whole array goes with it
		b.items = nil
		return batch
	}
	// A copy, so that a batch that is kept does not keep its neighbours.
	batch = slices.Clone(batch)
	clear(b.items[:n])
	b.items = b.items[n:]
	return batch
}

// drop returns s without its first n elements, at the start of its array if nothing is left.
func drop[E any](s []E, n int) []E {
	if n == len(s) {
		return s[:0]
	}
	return s[n:]
}
