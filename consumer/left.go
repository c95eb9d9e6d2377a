package consumer

import (
	"slices"
	"sync"
)

// A left set holds, by shard, the handlers of earlier Runs that ignored the end of their context and still run. Their
// records are not handed out again before they return, so that no two calls with one key run at once.
type left struct {
	mu   sync.Mutex
	runs map[string][]<-chan struct{}
}

func (l *left) add(shard string, runs <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.runs == nil {
		l.runs = map[string][]<-chan struct{}{}
	}
	l.runs[shard] = append(l.runs[shard], runs)
}

// running tells whether a handler of the shard still runs.
func (l *left) running(shard string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	still := slices.DeleteFunc(l.runs[shard], func(runs <-chan struct{}) bool {
		select {
		case <-runs:
			return true
		default:
			return false
		}
	})
	if len(still) == 0 {
		delete(l.runs, shard)
		return false
	}
	l.runs[shard] = still
	return true
}
