// Package bound holds the two bounds that all shards of a worker share: how much memory read-ahead takes, and how many
// attempts run at once. Whoever shares a bound is known by a key; the package knows nothing else of shards.
package bound

import (
	"math"
	"runtime/debug"
	"slices"
	"sync"
)

// A Memory bounds what all shards of a worker hold, and what is on its way to them: a shard reserves room before it asks for a
// page, is charged for what has come, and gives the room back.
type Memory[K comparable] struct {
	limit int64

	mu      sync.Mutex
	used    int64 // reserved and charged
	waiting []K   // in the order in which they came
	waits   map[K]bool
}

const (
	defaultMemory = 512 << 20
	woken         = 16 // at once, since few of many can have what has become free
)

// NewMemory returns a Memory of a quarter of GOMEMLIMIT, or of 512 MiB where there is none.
func NewMemory[K comparable]() *Memory[K] {
	m := &Memory[K]{limit: defaultMemory, waits: map[K]bool{}}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		m.limit = limit / 4
	}
	return m
}

// Reserve takes want bytes, or what there is, if that is least or more. With ok false it takes nothing, and k waits: a Charge
// that makes room returns it. With a least of 0 it always succeeds, and may have got nothing.
func (m *Memory[K]) Reserve(k K, want, least int64) (got int64, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if got = min(want, max(0, m.limit-m.used)); got < least {
		if !m.waits[k] {
			m.waits[k] = true
			m.waiting = append(m.waiting, k)
		}
		return 0, false
	}
	m.used += got
	return got, true
}

// Charge adds n bytes, or gives them back if n is negative. It returns some of those that have waited longest, once there is room:
// they reserve, and what they give back later lets the others in.
func (m *Memory[K]) Charge(n int64) []K {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used += n
	return m.wake()
}

// Leave gives n bytes back for k, which does not wait any more.
func (m *Memory[K]) Leave(k K, n int64) []K {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used -= n
	if m.waits[k] {
		delete(m.waits, k)
		m.waiting = slices.DeleteFunc(m.waiting, func(other K) bool { return other == k })
	}
	return m.wake()
}

func (m *Memory[K]) wake() []K {
	if m.used >= m.limit || len(m.waiting) == 0 {
		return nil
	}
	n := min(woken, len(m.waiting))
	first := slices.Clone(m.waiting[:n])
	m.waiting = slices.Delete(m.waiting, 0, n)
	for _, k := range first {
		delete(m.waits, k)
	}
	return first
}
