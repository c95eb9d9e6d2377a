package consumer

import (
	"slices"
	"sync"
)

// A left set holds, by shard, the handlers of earlier Runs that ignored the end of their context and still run. Their
// records are not handed out again before they return, so that no two calls with one key run at once.
type left struct {
	mu   sync.Mutex
	runs map[string][]func() bool
}

func (l *left) add(shard string, runs func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.runs == nil {
		l.runs = map[string][]func() bool{}
	}
	l.runs[shard] = append(l.runs[shard], runs)
}

// running tells whether a handler of the shard still runs.
func (l *left) running(shard string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	still := slices.DeleteFunc(l.runs[shard], func(runs func() bool) bool { return !runs() })
	if len(still) == 0 {
		delete(l.runs, shard)
		return false
	}
	l.runs[shard] = still
	return true
}
