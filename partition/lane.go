package partition

import (
	"context"
	"slices"
)

// keep is the number of idle lanes that Lanes hold for reuse. Lambda's largest factor fits.
const keep = 10

// lane is one lane that has work. Its fields are guarded by the mutex of its Lanes.
type lane[T any] struct {
	lanes   *Lanes[T]
	id      int
	waiting [][]T    // runs in the order of their Submits
	queued  int      // items in waiting
	taken   int      // items of the running call
	running bool     // f is running
	woken   bool     // f is to be called even if nothing waits
	stopped bool     // an error stopped the lane: it has no goroutine and takes nothing
	next    *lane[T] // in the free list, or in the list of lanes to launch
}

// run calls f until nothing is left to do.
func (ln *lane[T]) run() {
	l, returned := ln.lanes, false
	var err error
	defer func() {
		if !returned {
			l.settle(ln, errExited)
		}
	}()
	for {
		ctx, runs, ok := l.settle(ln, err)
		if !ok {
			returned = true // the lane may be another's by now
			return
		}
		err = l.f(ctx, ln.id, join(runs))
	}
}

// join makes one slice of runs. One run is that slice.
func join[T any](runs [][]T) []T {
	if len(runs) == 1 {
		return runs[0]
	}
	return slices.Concat(runs...)
}

// settle ends the lane's running call, if there is one, and begins the next: it returns the ctx and the items of the
// next call, or ok false when the lane has stopped or has nothing to do; the goroutine then leaves it alone.
func (l *Lanes[T]) settle(ln *lane[T], err error) (ctx context.Context, runs [][]T, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ln.running {
		ln.running = false
		l.running--
		l.pending -= ln.taken
		ln.taken = 0
	}
	switch {
	case err != nil:
		if l.err == nil {
			l.err = err
		}
		l.drop(ln)
		ln.stopped = true
		l.busy--
		l.closeIfIdle()
	case ln.queued == 0 && !ln.woken:
		l.release(ln)
		l.closeIfIdle()
	default:
		if l.ctx == nil {
			l.ctx, l.cancel = context.WithCancel(context.Background())
		}
		ctx, runs, ok = l.ctx, ln.waiting, true
		ln.taken, ln.running = ln.queued, true
		ln.waiting, ln.queued, ln.woken = nil, 0, false
		l.running++
	}
	if l.err != nil || !l.full() {
		l.wakeSubmits()
	}
	return ctx, runs, ok
}

// queue hands a run to its lane. A lane that was idle is put in front of the list of lanes to launch.
func (l *Lanes[T]) queue(r run[T], start *lane[T]) *lane[T] {
	ln := l.active[r.lane]
	if ln == nil {
		ln = l.activate(r.lane)
		ln.next, start = start, ln
	}
	ln.waiting = append(ln.waiting, r.items)
	ln.queued += len(r.items)
	return start
}

// wake sees to a further call of a lane. It returns the lane if it was idle and is to be launched.
func (l *Lanes[T]) wake(id int) (start *lane[T]) {
	if l.state >= aborted {
		return nil
	}
	ln := l.active[id]
	if ln == nil {
		ln = l.activate(id)
		start = ln
	}
	ln.woken = !ln.stopped
	return start
}

// activate makes an idle lane busy. Its goroutine is to be launched once the mutex is free.
func (l *Lanes[T]) activate(id int) *lane[T] {
	ln := l.free
	if ln == nil {
		ln = &lane[T]{lanes: l}
	} else {
		l.free, ln.next = ln.next, nil
		l.kept--
	}
	ln.id = id
	if l.active == nil {
		l.active = make(map[int]*lane[T])
	}
	l.active[id] = ln
	l.most = max(l.most, len(l.active))
	l.busy++
	return ln
}

// release makes a lane idle. What it held is kept for reuse or given back.
func (l *Lanes[T]) release(ln *lane[T]) {
	delete(l.active, ln.id)
	l.busy--
	if l.kept < keep {
		l.free, ln.next = ln, l.free
		l.kept++
	}
	if len(l.active) == 0 && l.most > keep {
		l.active, l.most = nil, 0 // a map does not shrink
	}
}

// drop drops what waits for a lane and reports whether there were items.
func (l *Lanes[T]) drop(ln *lane[T]) bool {
	n := ln.queued
	l.pending -= n
	ln.waiting, ln.queued, ln.woken = nil, 0, false
	return n > 0
}

// abort cancels running calls and drops what waits, because of err.
func (l *Lanes[T]) abort(err error) {
	l.state = aborted
	if l.cancel != nil {
		l.cancel()
	}
	for _, ln := range l.active {
		if l.drop(ln) && l.dropped == nil {
			l.dropped = err
		}
	}
}

// closeIfIdle ends Drain when no lane is busy.
func (l *Lanes[T]) closeIfIdle() {
	if l.busy > 0 || l.state == open || l.state == closed {
		return
	}
	l.state = closed
	close(l.idle)
	if l.cancel != nil {
		l.cancel()
	}
}

// refusal returns why Submit takes nothing, or nil.
func (l *Lanes[T]) refusal(ctx context.Context) error {
	switch {
	case l.state != open:
		return ErrClosed
	case l.err != nil:
		return l.err
	}
	return ctx.Err()
}

// full reports whether Submit has to wait.
func (l *Lanes[T]) full() bool {
	switch {
	case l.Backlog < 0:
		return false
	case l.Backlog == 0:
		return l.pending >= defaultBacklog
	}
	return l.pending >= l.Backlog
}

// wakeSubmits makes waiting Submits look again.
func (l *Lanes[T]) wakeSubmits() {
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
}
