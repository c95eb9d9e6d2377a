package batch

import (
	"encoding/json"
	"time"
)

// maxState is the size of a state, as JSON, that ends its window (L53).
const maxState = 1 << 20

// emptyState is the state of a window's first call (L50).
const emptyState = `{}`

// A Window is what a call has to know about its tumbling window.
type Window struct {
	Start, End time.Time       // UTC; a multiple of the length since 1970, start inclusive, end exclusive
	Final      bool            // the call that closes the window: it has no records
	Early      bool            // with Final: the window ends before its time, by the size of its state or the end of the shard
	State      json.RawMessage // a JSON value: {} in the first call, then what the latest successful call returned
	Shard      string          // shard id
	StreamARN  string
}

// span is the time of a window.
type span struct{ start, end time.Time }

// windows is the state of a lane's tumbling windows.
type windows struct {
	current span            // of the batch that was pushed last
	next    time.Time       // start of the next batch's, if its first record does not say; zero before anybody asked
	begun   bool            // records have been resolved since the last final call
	state   json.RawMessage // for the next call; nil: {}
}

func (w *windows) close() { w.begun, w.state = false, nil }

// windowOf returns the start of the window of a batch that begins with first: that of its arrival, or the current one if
// that is later, as with a late record (C20). A record without a time of arrival joins the open window, and where none is
// open that of the time at which it is first asked about (C27).
func (l *Lane[T]) windowOf(first T) time.Time {
	at, current := l.Arrival(first), l.windows.current.start
	if !at.IsZero() {
		return l.windowAt(current, at)
	}
	if l.windows.next.IsZero() {
		l.windows.next = current
		if _, open := l.Open(); !open {
			l.windows.next = l.windowAt(current, l.now())
		}
	}
	return l.windows.next
}

// windowAt returns the start of the window that a time falls in, or current if that is later.
func (l *Lane[T]) windowAt(current, at time.Time) time.Time {
	ms, length := at.UnixMilli(), l.Window.Milliseconds()
	start := time.UnixMilli(ms - (ms%length+length)%length).UTC()
	if start.Before(current) {
		return current
	}
	return start
}

func (l *Lane[T]) now() time.Time {
	if l.Now == nil {
		return time.Now()
	}
	return l.Now()
}

// SameWindow reports whether next may stand in a batch whose first record is first, the next batch to be pushed: what
// a [Batcher] has as Together in window mode.
func (l *Lane[T]) SameWindow(first, next T) bool {
	at := l.Arrival(next)
	if at.IsZero() {
		return true
	}
	w := l.windowOf(first)
	return l.windowAt(w, at).Equal(w)
}

// Open returns the end of the open window, and whether there is one: records have come that no final call follows, not
// even one that waits.
func (l *Lane[T]) Open() (end time.Time, open bool) {
	open = l.windows.begun
	if len(l.stack) > 0 {
		open = !l.stack[0].final
	}
	return l.windows.current.end, l.Window > 0 && open && !l.stopped
}

// Close adds the final call of the open window behind everything that is there: as a slice without records that is
// attempted like any other, and never split. early says that the window ends before its time, as with its shard.
// Without an open window Close does nothing.
func (l *Lane[T]) Close(early bool) {
	if _, open := l.Open(); open {
		s := l.slice(nil)
		s.final, s.early = true, early
		l.stack = append([]*Slice[T]{s}, l.stack...)
	}
}

// Call returns what the next attempt of the current slice has to know about its window, but for shard and stream. It is
// nil outside of window mode.
func (l *Lane[T]) Call() *Window {
	s, ok := l.Current()
	if !ok || l.Window <= 0 {
		return nil
	}
	return l.call(s)
}

func (l *Lane[T]) call(s *Slice[T]) *Window {
	state := l.windows.state
	if state == nil {
		state = json.RawMessage(emptyState)
	}
	return &Window{Start: s.window.start, End: s.window.end, Final: s.final, Early: s.early, State: state}
}

// adopt keeps the state that an attempt of s returned. One that is too large is handed to a final call, before anything
// else of the lane.
func (l *Lane[T]) adopt(s *Slice[T], r Result) {
	if l.Window <= 0 || s.final {
		return
	}
	l.windows.state = r.State
	if len(r.State) >= maxState {
		end := l.slice(nil)
		end.window, end.final, end.early = s.window, true, true
		l.stack = append(l.stack, end)
	}
}
