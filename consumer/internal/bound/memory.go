// Package bound holds the two bounds that all shards of a worker share: how much memory read-ahead takes, and how many
// attempts run at once. Whoever shares a bound is known by a key; the package knows nothing else of shards.
package bound

import (
	"math"
	"runtime/debug"
	"sync"
)

// A Memory bounds what all shards of a worker hold. A shard asks before it reads a page, and one that holds nothing may
// always read: the bound is the limit plus a page per shard.
type Memory[K comparable] struct {
	limit int64

	mu      sync.Mutex
	used    int64
	waiting map[K]bool
}

const defaultMemory = 512 << 20

// NewMemory returns a Memory of a quarter of GOMEMLIMIT, or of 512 MiB where there is none.
func NewMemory[K comparable]() *Memory[K] {
	m := &Memory[K]{limit: defaultMemory, waiting: map[K]bool{}}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		m.limit = limit / 4
	}
	return m
}

// Admit tells whether k, which holds so many bytes, may read on. If not, k waits: a Charge that makes room returns it.
func (m *Memory[K]) Admit(k K, holds int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if holds == 0 || m.used < m.limit {
		return true
	}
	m.waiting[k] = true
	return false
}

// Charge adds n bytes, or takes them away if n is negative. It returns those that waited, once there is room.
func (m *Memory[K]) Charge(n int64) (woken map[K]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used += n
	if m.used < m.limit && len(m.waiting) > 0 {
		woken, m.waiting = m.waiting, map[K]bool{}
	}
	return woken
}
