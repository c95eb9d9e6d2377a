package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/shardlane/shardlane/checkpoint"
)

// fault is what happens to one write.
type fault int

const (
	fine      fault = iota
	before          // error, never applied
	after           // applied, then an error
	late            // error, applied when deliver is called
	throttled       // error that wraps ErrNotApplied
	twice           // delivered twice: the answer is that to the second
	faults
	conflict // a conflict though nothing changed: a store that is wrong
)

func (f fault) String() string {
	return [...]string{"fine", "before", "after", "late", "throttled", "twice"}[f]
}

var errReset = errors.New("connection reset")

// flaky is a Store with faults. It judges every write that takes effect.
type flaky struct {
	checkpoint.Memory
	onSwap func(checkpoint.Entry) fault // nil: fine
	onGet  func() error                 // nil: none
	stale  []checkpoint.Entry           // what List returns, if set
	onList error                        // nil: none

	mu      sync.Mutex
	delayed []checkpoint.Entry
	history []applied
	epochs  map[string]int64 // highest ever, deleted rows included
	wrong   []string
	calls   struct{ get, swap int }
}

// applied is a write that took effect.
type applied struct {
	key string
	row map[string]any
}

func (s *flaky) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	s.calls.get++
	if s.onGet != nil {
		if err := s.onGet(); err != nil {
			return checkpoint.Entry{}, err
		}
	}
	return s.Memory.Get(ctx, key)
}

func (s *flaky) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	if s.stale != nil || s.onList != nil {
		return s.stale, s.onList
	}
	return s.Memory.List(ctx, prefix)
}

func (s *flaky) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	s.calls.swap++
	f := fine
	if s.onSwap != nil {
		f = s.onSwap(e)
	}
	switch f {
	case before:
		return checkpoint.Entry{}, errReset
	case after:
		s.apply(e)
		return checkpoint.Entry{}, errReset
	case late:
		s.mu.Lock()
		s.delayed = append(s.delayed, e)
		s.mu.Unlock()
		return checkpoint.Entry{}, errReset
	case throttled:
		return checkpoint.Entry{}, fmt.Errorf("slow down: %w", checkpoint.ErrNotApplied)
	case conflict:
		return checkpoint.Entry{}, checkpoint.ErrConflict
	case twice:
		s.apply(e)
	}
	stored, err := s.apply(e)
	if errors.Is(err, checkpoint.ErrConflict) { // which is certain, and may say so
		err = fmt.Errorf("%w: %w", checkpoint.ErrNotApplied, err)
	}
	return stored, err
}

// deliver lets the i-th delayed write arrive.
func (s *flaky) deliver(i int) {
	e := s.delayed[i]
	s.delayed = append(s.delayed[:i:i], s.delayed[i+1:]...)
	s.apply(e)
}

// force puts value, whatever is there: a hand, or a store that went back.
func (s *flaky) force(t testing.TB, key, value string) {
	t.Helper()
	s.remove(t, key)
	if _, err := s.Memory.Swap(t.Context(), checkpoint.Entry{Key: key, Value: []byte(value)}); err != nil {
		t.Fatal(err)
	}
}

// remove deletes a row by hand.
func (s *flaky) remove(t testing.TB, key string) {
	t.Helper()
	e, err := s.Memory.Get(t.Context(), key)
	if err == nil && e.Revision != "" {
		err = s.Memory.Delete(t.Context(), e)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (s *flaky) apply(e checkpoint.Entry) (checkpoint.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, _ := s.Memory.Get(context.Background(), e.Key)
	stored, err := s.Memory.Swap(context.Background(), e)
	if err == nil {
		s.judge(e.Key, old, e.Value)
	}
	return stored, err
}

// judge holds a write that took effect to S1, S2 and S3. It reads the JSON
// itself: it must not trust the codec.
func (s *flaky) judge(key string, old checkpoint.Entry, value []byte) {
	next := fieldsOf(value)
	s.history = append(s.history, applied{key, next})
	if !strings.Contains(key, "/lease/") {
		return
	}
	if s.epochs == nil {
		s.epochs = make(map[string]int64)
	}
	bad := func(format string, args ...any) {
		s.wrong = append(s.wrong, fmt.Sprintf(format, args...)+fmt.Sprintf("\n  old %s\n  new %s", old.Value, value))
	}
	writer := next["by"].(string)
	writer = writer[:strings.LastIndexByte(writer, '.')]
	owner, epoch := text(next, "owner"), number(next, "epoch")
	if old.Revision == "" {
		if was, ok := s.epochs[key]; ok && epoch != was+1 {
			bad("S1: put back with epoch %d after %d", epoch, was)
		}
		s.epochs[key] = epoch
		return
	}
	prev := fieldsOf(old.Value)
	prevOwner, prevEpoch := text(prev, "owner"), number(prev, "epoch")
	if text(next, "ck") < text(prev, "ck") {
		bad("S2: checkpoint went back")
	}
	if text(prev, "ck") == "9/END" {
		bad("S2: written after its end")
	}
	if text(next, "x") != text(prev, "x") {
		bad("unknown field lost")
	}
	switch {
	case epoch == prevEpoch: // checkpoint
		if owner != prevOwner || owner == "" || !strings.HasSuffix(owner, "/"+writer) {
			bad("S3: checkpoint by %s", writer)
		}
	case epoch != prevEpoch+1:
		bad("S1: epoch %d after %d", epoch, prevEpoch)
	case owner == "": // release, end
		if !strings.HasSuffix(prevOwner, "/"+writer) {
			bad("S3: released by %s", writer)
		}
	default: // claim
		if !strings.HasSuffix(owner, "/"+writer) || text(next, "ck") != text(prev, "ck") {
			bad("claim changed more than the owner, or by %s", writer)
		}
	}
	s.epochs[key] = epoch
}

func fieldsOf(value []byte) map[string]any {
	var m map[string]any
	if err := json.Unmarshal(value, &m); err != nil {
		panic(err)
	}
	return m
}

func text(m map[string]any, name string) string {
	s, _ := m[name].(string)
	return s
}

func number(m map[string]any, name string) int64 {
	n, _ := m[name].(float64)
	return int64(n)
}

// once returns an onSwap that gives fs to the first writes.
func once(fs ...fault) func(checkpoint.Entry) fault {
	return func(checkpoint.Entry) fault {
		if len(fs) == 0 {
			return fine
		}
		f := fs[0]
		fs = fs[1:]
		return f
	}
}

// check fails the test if a write broke an invariant.
func (s *flaky) check(t interface{ Fatalf(string, ...any) }) {
	if len(s.wrong) > 0 {
		t.Fatalf("%s", strings.Join(s.wrong, "\n"))
	}
}
