package lease

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

const hang = conflict + 1 // a fault: nothing happens until the caller gives up

// A wire is one worker's connection to rows that several share. Half of delay passes
// before a call is applied, and half after it.
type wire struct {
	rows  *checkpoint.Memory
	delay time.Duration

	mu      sync.Mutex
	fault   func(op, key string) fault                  // of list, get, swap and delete; nil: fine
	list    func([]checkpoint.Entry) []checkpoint.Entry // what a list shows instead
	upon    func(op string, e checkpoint.Entry)         // called before a call is applied
	arrives []checkpoint.Entry                          // late writes
	calls   map[string]int                              // by op and kind of row
}

func travel(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	return ctx.Err()
}

// call makes the way there and back, and apply in between.
func (w *wire) call(ctx context.Context, op string, e checkpoint.Entry, apply func(context.Context) error) error {
	w.mu.Lock()
	f, upon, delay := fine, w.upon, w.delay
	if w.fault != nil {
		f = w.fault(op, e.Key)
	}
	if w.calls == nil {
		w.calls = make(map[string]int)
	}
	w.calls[op+" "+strings.Split(e.Key, "/")[1]]++
	w.mu.Unlock()
	if f == hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if err := travel(ctx, delay/2); err != nil {
		return err
	}
	if upon != nil {
		upon(op, e)
	}
	err := errReset
	switch f {
	case before:
	case throttled:
		err = fmt.Errorf("slow down: %w", checkpoint.ErrNotApplied)
	case late:
		w.mu.Lock()
		w.arrives = append(w.arrives, e)
		w.mu.Unlock()
	case after:
		_ = apply(context.Background())
	default:
		err = apply(context.Background())
	}
	if lost := travel(ctx, delay/2); lost != nil {
		return lost
	}
	return err
}

func (w *wire) List(ctx context.Context, prefix string) (list []checkpoint.Entry, _ error) {
	err := w.call(ctx, "list", checkpoint.Entry{Key: prefix}, func(ctx context.Context) (err error) {
		list, err = w.rows.List(ctx, prefix)
		return err
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil && w.list != nil {
		list = w.list(list)
	}
	return list, err
}

func (w *wire) Get(ctx context.Context, key string) (e checkpoint.Entry, _ error) {
	err := w.call(ctx, "get", checkpoint.Entry{Key: key}, func(ctx context.Context) (err error) {
		e, err = w.rows.Get(ctx, key)
		return err
	})
	return e, err
}

func (w *wire) Swap(ctx context.Context, e checkpoint.Entry) (stored checkpoint.Entry, _ error) {
	err := w.call(ctx, "swap", e, func(ctx context.Context) (err error) {
		stored, err = w.rows.Swap(ctx, e)
		return err
	})
	return stored, err
}

func (w *wire) Delete(ctx context.Context, e checkpoint.Entry) error {
	return w.call(ctx, "delete", e, func(ctx context.Context) error { return w.rows.Delete(ctx, e) })
}

// set changes what happens to calls from now on.
func (w *wire) set(fault func(op, key string) fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = fault
}

// count returns how many calls of one kind were made.
func (w *wire) count(kind string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[kind]
}

func down(string, string) fault { return before }

// A mate is a worker with its membership.
type mate struct {
	*Group
	wire *wire
	stop func() // ends Run, and leaves the row as it is

	mu   sync.Mutex
	told []string // by the hooks
}

// mate starts a worker. Its incarnations are called after it: a1, a2 and so on.
func start(t *testing.T, rows *checkpoint.Memory, name string) *mate {
	t.Helper()
	return startAs(t, rows, name, name)
}

func startAs(t *testing.T, rows *checkpoint.Memory, worker, name string) *mate {
	t.Helper()
	m := &mate{wire: &wire{rows: rows, delay: 10 * time.Millisecond}}
	n := 0
	m.Group = NewGroup(m.wire, m.wire, "group", worker, func() string { n++; return fmt.Sprint(name, n) })
	say := func(format string, args ...any) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.told = append(m.told, fmt.Sprintf(format, args...))
	}
	failing := make(map[string]bool)
	m.Trouble = func(op string, err error) {
		m.mu.Lock()
		was := failing[op]
		failing[op] = err != nil
		m.mu.Unlock()
		switch {
		case err == nil:
			say("%s works", op)
		case !was:
			say("%s fails", op)
		}
	}
	m.Fenced = func(id string) { say("fenced %s", id) }
	m.Over = func(id string, err error) { say("over %s", id) }
	m.Twin = func(id string) { say("twin %s", id) }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.Run(ctx)
	}()
	m.stop = func() { cancel(); <-ended }
	return m
}

// hears returns what the hooks were told, and forgets it.
func (m *mate) hears() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	told := strings.Join(m.told, ", ")
	m.told = nil
	return told
}

// ids are those of the peers, with a mark on whoever leaves.
func (v View) ids() string {
	var ids []string
	for _, p := range v.Peers {
		id := p.ID
		if p.Leaving {
			id += "-"
		}
		ids = append(ids, id)
	}
	return strings.Join(ids, " ")
}

// says returns what the row of a member says.
func says(t *testing.T, rows *checkpoint.Memory, id string) string {
	t.Helper()
	e, err := rows.Get(t.Context(), memberKey("group", id))
	if err != nil {
		t.Fatal(err)
	}
	if e.Revision == "" {
		return "none"
	}
	m, err := decodeMember(e.Value)
	if err != nil {
		return err.Error()
	}
	return string(m.st)
}

// pass lets d go by, and everything that happens in it.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// put stores a row, whatever is there; "" removes it.
func put(t *testing.T, rows *checkpoint.Memory, key, value string) {
	t.Helper()
	e, err := rows.Get(t.Context(), key)
	if err == nil && value == "" {
		err = rows.Delete(t.Context(), e)
	} else if err == nil {
		e.Value = []byte(value)
		_, err = rows.Swap(t.Context(), e)
	}
	if err != nil {
		t.Fatal(err)
	}
}
