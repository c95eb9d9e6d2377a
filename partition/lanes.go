package partition

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

var (
	// ErrClosed is what Submit returns once Drain was called.
	ErrClosed = errors.New("partition: lanes are closed")

	// ErrSkipped is wrapped by what Each reports for an item that was not started.
	ErrSkipped = errors.New("partition: item skipped")

	errExited = errors.New("partition: function called runtime.Goexit")
)

// defaultBacklog is the Backlog of Lanes that set none.
const defaultBacklog = 10_000

// Lanes runs a function over a stream of items, in parallel across lanes and in order within one. An item's lane is
// Hash(key) mod the number of lanes, so the items of one key are never handled concurrently and never reordered.
// The key "" means that an item has none: such items take the lanes in turn and keep no order among themselves.
//
// Each lane runs one call at a time, and a call gets everything that waits for its lane at that moment. A lane has a
// goroutine only while it has something to do, and idle lanes hold next to no memory: a thousand
// of them as little as ten.
//
// An error stops its lane for good: what waits there is dropped, the other lanes finish what they have, and the next
// Submit, and Drain, return the first such error. There is no retry; a function that wants one retries inside the call.
// A panic is not recovered and ends the process. A call of runtime.Goexit counts as an error.
//
// Lanes are made by NewLanes; the fields must be set before the first call of a method. All methods may be called
// concurrently.
type Lanes[T any] struct {
	// Hash maps a key to its lane, mod the number of lanes. It is not asked for the key "". It must be pure and fast, and
	// must return the same in every process if order is to survive a restart of one of several.
	// If nil, the function Hash is used.
	Hash func(key string) uint64

	// Backlog is the number of items, waiting and in running calls together, at which Submit waits. As Submit takes its
	// items all at once, the bound is Backlog plus one Submit.
	// If zero, 10,000. If negative, there is no limit.
	Backlog int

	n    int
	key  func(T) string
	f    func(ctx context.Context, lane int, items []T) error
	turn atomic.Uint64 // items without a key so far

	mu      sync.Mutex
	ctx     context.Context //nolint:containedctx // of all calls: made by the first, ended by Drain
	cancel  context.CancelFunc
	active  map[int]*lane[T] // lanes with a goroutine, and stopped ones; nil when there are none
	free    *lane[T]         // idle lanes for reuse, at most keep, linked by next
	kept    int              // length of free
	most    int              // most lanes that active has held
	busy    int              // lanes with a goroutine
	running int              // calls of f
	pending int              // items waiting and in running calls
	err     error            // first error of a lane
	dropped error            // why a Drain dropped items; nil: none were
	room    chan struct{}    // closed when waiting Submits should look again; nil: none waits
	idle    chan struct{}    // made by the first Drain, closed once no lane is busy
	state   state
}

// state is how far the end of Lanes has come.
type state uint8

const (
	open     state = iota
	draining       // Drain was called: no Submit
	aborted        // the ctx of a Drain ended: no call begins any more
	closed         // every lane was idle after Drain
)

// NewLanes returns n lanes that call f; n below 1 counts as 1. The key of an item, "" if it has none, selects its lane;
// with one lane it may not be asked for.
//
// f owns items, of which there is at least one unless Wake was called. Its ctx is not that of a Submit: it is
// live until a Drain is over. f may call Wake and Running; a Submit from inside f can wait for itself, a Drain always does.
func NewLanes[T any](n int, key func(T) string, f func(ctx context.Context, lane int, items []T) error) *Lanes[T] {
	return &Lanes[T]{n: max(n, 1), key: key, f: f}
}

// Submit queues items for their lanes, in order, and returns without waiting for their calls. The slice is copied. It
// waits while the backlog is full, and takes either all items or none: an error means none.
//
// It returns the first error of a lane, ErrClosed once Drain was called, or ctx's error if ctx ends first. Without items
// it never waits and only tells such an error. Items of one key keep the order of Submit calls that follow one another.
func (l *Lanes[T]) Submit(ctx context.Context, items ...T) error {
	runs := l.sort(items)
	l.mu.Lock()
	for len(items) > 0 && l.refusal(ctx) == nil && l.full() {
		if l.room == nil {
			l.room = make(chan struct{})
		}
		room := l.room
		l.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		}
		l.mu.Lock()
	}
	if err := l.refusal(ctx); err != nil {
		l.mu.Unlock()
		return err
	}
	l.pending += len(items)
	var start *lane[T]
	for _, r := range runs {
		start = l.queue(r, start)
	}
	l.mu.Unlock()
	launch(start)
	return nil
}

// Wake makes f run once more for a lane: with no items, or with what came meanwhile. A lane that is busy runs f after
// the call that is running; any number of Wakes before that next call begins are one. Wake is ignored when the lane was
// stopped by an error, when a Drain's ctx has ended, and when Drain found every lane idle. It panics when there is no
// such lane.
func (l *Lanes[T]) Wake(lane int) {
	if lane < 0 || lane >= l.n {
		panic(fmt.Sprintf("partition: Lanes.Wake(%d) of %d lanes", lane, l.n))
	}
	l.mu.Lock()
	start := l.wake(lane)
	l.mu.Unlock()
	launch(start)
}

// Running returns the number of calls of f that are running.
func (l *Lanes[T]) Running() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running
}

// Drain ends the Lanes: from now on Submit returns ErrClosed, what waits is handled, and Drain returns when every lane
// is idle: nil, or the first error of a lane.
//
// If ctx ends first, the ctx of running calls is cancelled, waiting items are dropped, and Drain returns ctx's error,
// joined with the first error of a lane if there is one, without waiting for the running calls. Another Drain waits for
// them; it returns that ctx's error too if items were dropped, so nil always means that everything submitted was handled
// without an error. Drain may be called more than once and concurrently, but not from inside f.
func (l *Lanes[T]) Drain(ctx context.Context) error {
	l.mu.Lock()
	if l.state == open {
		l.state = draining
		l.idle = make(chan struct{})
		l.wakeSubmits()
		l.closeIfIdle()
	}
	over := l.state == closed
	l.mu.Unlock()
	if !over {
		select {
		case <-l.idle:
		case <-ctx.Done():
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == closed {
		return cmp.Or(l.err, l.dropped)
	}
	l.abort(ctx.Err())
	if l.err != nil {
		return errors.Join(ctx.Err(), l.err)
	}
	return ctx.Err()
}

// launch starts the goroutines of a list of lanes.
func launch[T any](ln *lane[T]) {
	for ln != nil {
		next := ln.next // the lane may go on to the free list as soon as it runs
		ln.next = nil
		go ln.run()
		ln = next
	}
}

// spawn runs f in a goroutine that wg waits for.
func spawn(wg *sync.WaitGroup, f func()) {
	wg.Go(f)
}
