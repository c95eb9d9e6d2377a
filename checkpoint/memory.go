package checkpoint

import (
	"bytes"
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"sync"
)

// A Memory is a Store in the memory of the process, for tests and for work that may begin anew: nothing outlives the
// process, and after a restart reading begins at the starting position. At TRIM_HORIZON that delivers again all that the
// stream still holds; at LATEST it skips what came in between. The zero value is empty and ready, and must not be
// copied once used. Consumers that share one Memory share its rows.
type Memory struct {
	mu   sync.Mutex
	rows map[string]Entry
}

var _ Store = (*Memory)(nil)

// List returns the rows whose keys start with prefix, sorted by key.
func (m *Memory) List(ctx context.Context, prefix string) ([]Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return list(m.rows, prefix), nil
}

// Get returns the row of key, or an Entry with Revision "".
func (m *Memory) Get(ctx context.Context, key string) (Entry, error) {
	if err := ctx.Err(); err != nil {
		return Entry{Key: key}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return get(m.rows, key), nil
}

// Swap puts e.Value if the row is at e.Revision. Its errors are ErrConflict, or wrap ErrNotApplied.
func (m *Memory) Swap(ctx context.Context, e Entry) (Entry, error) {
	if err := ctx.Err(); err != nil {
		return e, notApplied(err)
	}
	if err := checkSize(e); err != nil {
		return e, err
	}
	next := Entry{Key: e.Key, Value: bytes.Clone(e.Value), Revision: rand.Text()}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rows[e.Key].Revision != e.Revision {
		return e, ErrConflict
	}
	if m.rows == nil {
		m.rows = make(map[string]Entry)
	}
	m.rows[e.Key] = next
	e.Revision = next.Revision
	return e, nil
}

// Delete removes the row of e.Key if it is at e.Revision. Its errors are ErrConflict, or wrap ErrNotApplied.
func (m *Memory) Delete(ctx context.Context, e Entry) error {
	if err := ctx.Err(); err != nil {
		return notApplied(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rows[e.Key].Revision != e.Revision {
		return ErrConflict
	}
	delete(m.rows, e.Key)
	return nil
}

// list returns copies of the rows whose keys start with prefix, sorted by key.
func list(rows map[string]Entry, prefix string) []Entry {
	var found []Entry
	for key, e := range rows {
		if strings.HasPrefix(key, prefix) {
			e.Value = bytes.Clone(e.Value)
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	return found
}

// get returns a copy of the row of key, or an Entry with Revision "".
func get(rows map[string]Entry, key string) Entry {
	e, ok := rows[key]
	if !ok {
		return Entry{Key: key}
	}
	e.Value = bytes.Clone(e.Value)
	return e
}
