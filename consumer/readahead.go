package consumer

import (
	"math"
	"runtime/debug"
	"sync"
)

// A budget bounds what all shards of a worker hold in memory. A shard asks before it reads a page, and may always hold
// one: the bound is the limit plus a page per shard.
type budget struct {
	limit int64

	mu      sync.Mutex
	used    int64
	waiting map[*shard]bool
}

const defaultBudget = 512 << 20

// newBudget takes a quarter of GOMEMLIMIT, or 512 MiB where there is none.
func newBudget() *budget {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return &budget{limit: limit / 4, waiting: map[*shard]bool{}}
	}
	return &budget{limit: defaultBudget, waiting: map[*shard]bool{}}
}

// admit tells whether s, which holds so much, may read on. If not, s is to be woken when there is room again, and when
// it holds nothing.
func (b *budget) admit(s *shard, holds int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if holds == 0 || b.used < b.limit {
		return true
	}
	b.waiting[s] = true
	return false
}

// charge adds n bytes, or takes them away. It returns the shards that waited for it.
func (b *budget) charge(n int64) (woken map[*shard]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used += n
	if b.used < b.limit && len(b.waiting) > 0 {
		woken, b.waiting = b.waiting, map[*shard]bool{}
	}
	return woken
}
