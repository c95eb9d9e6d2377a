package checkpointtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/shardlane/shardlane/checkpoint"
)

// An op is one call on one row, as its caller saw it. Call and ret are ticks of one counter: an op whose ret is below
// the call of another one came before it. Every write writes a value of its own, which stands for its revision; ""
// stands for no row.
type op struct {
	call, ret int64
	kind      kind
	from, to  string // a write: the value that must be there, and the value after; a read: to is what was seen
}

type kind uint8

const (
	read     kind = iota
	written       // applied
	conflict      // not applied: the row was not at from
	unknown       // applied at any time after call, or never
)

func (o op) String() string {
	return fmt.Sprintf("%4d..%-4d %s %q -> %q", o.call, o.ret, [...]string{"read", "written", "conflict", "unknown"}[o.kind], o.from, o.to)
}

// linearizable reports whether there is an order of the ops, in which each takes effect at one instant between its call
// and its return, that explains what every caller saw. It searches as Wing and Gong do, and remembers where it has been.
// It takes 64 ops at most.
func linearizable(history []op) bool {
	if len(history) > 64 {
		panic("checkpointtest: history too long")
	}
	type place struct {
		done  uint64
		value string
	}
	been := make(map[place]bool)
	var search func(place) bool
	search = func(at place) bool {
		if been[at] {
			return false
		}
		been[at] = true
		deadline, open := int64(1<<62), false // one that returned must come before any that was called later
		for i, o := range history {
			if at.done&(1<<i) == 0 && o.kind != unknown {
				deadline, open = min(deadline, o.ret), true
			}
		}
		if !open {
			return true
		}
		for i, o := range history {
			if at.done&(1<<i) != 0 || o.call > deadline {
				continue
			}
			next := place{at.done | 1<<i, at.value}
			var fits bool
			switch o.kind {
			case read:
				fits = at.value == o.to
			case conflict:
				fits = at.value != o.from
			case written, unknown:
				fits, next.value = at.value == o.from, o.to
			}
			if fits && search(next) {
				return true
			}
		}
		return false
	}
	return search(place{})
}

// linearizability records short histories of clients that work on one row, and checks each.
func linearizability(ctx context.Context, s *suite) error {
	const histories = 300
	return s.repeat(histories, func(round int) error {
		r := &recorder{key: fmt.Sprintf("%shistory/%d", s.prefix, round), names: map[string]string{"": ""}}
		const clients, calls = 5, 10
		var wg sync.WaitGroup
		errs := make([]error, clients)
		start := make(chan struct{})
		for c := range clients {
			wg.Go(func() {
				<-start
				errs[c] = r.client(ctx, s.handle(c), c, calls, rand.New(rand.NewPCG(uint64(round), uint64(c))))
			})
		}
		close(start)
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		if linearizable(r.history) {
			return nil
		}
		slices.SortFunc(r.history, func(a, b op) int { return cmp.Compare(a.call, b.call) })
		var text strings.Builder
		for _, o := range r.history {
			fmt.Fprintln(&text, o)
		}
		return fmt.Errorf("no order of these calls explains their results (ticks of call and return; value required, value written or read):\n%s", &text)
	})
}

// A recorder takes down what clients of one row do.
type recorder struct {
	key   string
	clock atomic.Int64

	mu      sync.Mutex
	history []op
	names   map[string]string // revision → value, of every revision seen
}

// client reads and writes the row at random. It writes at the revision that it saw last, or at one that it remembers.
func (r *recorder) client(ctx context.Context, st checkpoint.Store, id, calls int, rnd *rand.Rand) error {
	known := []checkpoint.Entry{{Key: r.key}}
	for n := range calls {
		e := known[len(known)-1]
		if rnd.IntN(5) == 0 {
			e = known[rnd.IntN(len(known))]
		}
		o := op{from: string(e.Value), call: r.clock.Add(1)}
		var err error
		runtime.Gosched() // a store may be too fast for calls to overlap
		switch choice := rnd.IntN(10); {
		case choice < 4:
			if e, err = st.Get(ctx, r.key); err != nil {
				return err
			}
			o.kind, o.from, o.to = read, "", string(e.Value)
		case choice < 5 && e.Revision != "":
			err = st.Delete(ctx, e)
			o.kind, e = written, checkpoint.Entry{Key: r.key}
		default:
			o.kind, o.to = written, fmt.Sprintf("%d.%d", id, n)
			e.Value = []byte(o.to)
			e, err = st.Swap(ctx, e)
		}
		runtime.Gosched()
		o.ret = r.clock.Add(1)
		switch {
		case err == nil:
			known = append(known, e)
		case errors.Is(err, checkpoint.ErrConflict):
			o.kind = conflict
		case errors.Is(err, checkpoint.ErrNotApplied):
			continue
		default:
			o.kind = unknown
		}
		if err := r.add(o, e, err == nil); err != nil {
			return err
		}
	}
	return nil
}

// add takes down an op. Seen says that e is what the store returned: a revision and its value.
func (r *recorder) add(o op, e checkpoint.Entry, seen bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, o)
	if !seen {
		return nil
	}
	if value, ok := r.names[e.Revision]; ok && value != string(e.Value) {
		return fmt.Errorf("revision %q of %q stands for %q and for %q", e.Revision, e.Key, value, e.Value)
	}
	r.names[e.Revision] = string(e.Value)
	return nil
}
