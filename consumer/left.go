package consumer

import (
	"slices"
	"sync"
)

// A left set holds, by shard, the handlers of earlier Runs that ignored the end of their context and still run. Their
// records are not handed out again before they return, so that no two calls with one key run at once.
type left struct {
	mu sync.Mutex
	of map[string]*strays
}

func (l *left) add(shard string, runs func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil {
		l.of = map[string]*strays{}
	}
	if l.of[shard] == nil {
		l.of[shard] = new(strays)
	}
	l.of[shard].add(runs)
}

// running tells whether a handler of the shard still runs.
func (l *left) running(shard string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.of[shard]; s == nil || s.running() > 0 {
		return s != nil
	}
	delete(l.of, shard)
	return false
}

// strays are calls of what belongs to the user that were left behind.
type strays struct {
	mu   sync.Mutex
	runs []func() bool
}

func (s *strays) add(runs func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs = append(s.runs, runs)
}

// running is how many still run.
func (s *strays) running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs = slices.DeleteFunc(s.runs, func(runs func() bool) bool { return !runs() })
	return len(s.runs)
}
