// Package tell says what happens to a consumer: each event is one log record, one counter and one notice by the same name,
// and what keeps failing is remembered until it works again.
//
// An [Outlet] is where a consumer's events go, a [Teller] speaks for its stream or for one of its shards.
package tell

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shardlane/shardlane/metrics"
)

// An Outlet is the logger, recorder and notice function of one consumer. Its fields are set before its first use and never
// changed.
type Outlet struct {
	Group, Stream, Worker string

	Logger   *slog.Logger
	Recorder metrics.Recorder
	Notify   func(Notice) // nil: nobody wants notices

	// Apart runs f, which is the user's, on a goroutine of its own, and waits for it: runtime.Goexit ends no other.
	Apart func(f func())
	// Wrap makes the error of a failed step, with its hint.
	Wrap func(shard string, f Failure) error
	// Text takes an error apart for a log record; hint is empty if it has none.
	Text func(err error) (text, hint string)
	// Final is true for errors that waiting does not mend.
	Final func(err error) bool

	observing atomic.Bool // while it is told that an observer panicked or exited

	mu   sync.Mutex
	loud map[*metrics.Metric]*burst
	last map[*metrics.Metric]time.Time // of a Remind
}

// A Notice is one event.
type Notice struct {
	Event  *metrics.Metric
	Shard  string // empty if the event concerns the stream
	Time   time.Time
	Err    error // nil if nothing failed
	Detail string
}

// A Failure is one failed try of a step.
type Failure struct {
	Op, Hint string
	Err      error
	Detail   string // for log and notice, not for the error
}

// event logs, counts and tells of one event. What is logged at a lower level than the event's own is there for those who
// ask for it; counter and notice are the same.
func (o *Outlet) event(level slog.Level, m *metrics.Metric, shard string, err error, detail string, more ...slog.Attr) {
	n := Notice{Event: m, Shard: shard, Time: time.Now(), Err: err, Detail: detail}
	o.observe("logger", func() { o.log(level, n, more) })
	o.record(shard, Value{m, 1})
	if o.Notify != nil {
		o.observe("notify function", func() { o.Notify(n) })
	}
}

func (o *Outlet) log(level slog.Level, n Notice, more []slog.Attr) {
	if !o.Logger.Enabled(context.Background(), level) {
		return
	}
	attrs := []slog.Attr{slog.String("stream", o.Stream), slog.String("group", o.Group)}
	if n.Shard != "" {
		attrs = append(attrs, slog.String("shard", n.Shard))
	}
	if n.Detail != "" {
		attrs = append(attrs, slog.String("detail", n.Detail))
	}
	if n.Err != nil {
		text, hint := o.Text(n.Err)
		attrs = append(attrs, slog.String("err", text))
		if hint != "" {
			attrs = append(attrs, slog.String("hint", hint))
		}
	}
	o.Logger.LogAttrs(context.Background(), level, n.Event.Name, append(attrs, more...)...)
}

// levelOf is the level of an event: its own, and at least a warning where something failed.
func levelOf(m *metrics.Metric, err error) slog.Level {
	if err != nil {
		return max(m.Level, slog.LevelWarn)
	}
	return m.Level
}

// A Value is one value of a metric.
type Value struct {
	Metric *metrics.Metric
	Value  float64
}

// record hands values to the recorder, in one go: what it costs to run it apart is paid once. The library's own recorders
// are trusted.
func (o *Outlet) record(shard string, values ...Value) {
	l := metrics.Labels{Group: o.Group, Stream: o.Stream, Shard: shard, Worker: o.Worker}
	switch r := o.Recorder.(type) {
	case metrics.Discard:
	case *metrics.Snapshot:
		for _, v := range values {
			r.Record(v.Metric, l, v.Value)
		}
	default:
		values := slices.Clone(values) // only these have to be on the heap
		for i := 0; i < len(values); { // once more for what a panic has left over
			o.observe("recorder", func() {
				for i < len(values) {
					v := values[i]
					i++
					r.Record(v.Metric, l, v.Value)
				}
			})
		}
	}
}

// observe calls one of the user's observers. That it panics or exits never reaches records and shards: it is told to the
// others.
func (o *Outlet) observe(who string, f func()) {
	var returned bool
	var p any
	o.Apart(func() {
		defer func() { p = recover() }()
		f()
		returned = true
	})
	if returned || !o.observing.CompareAndSwap(false, true) {
		return // else the second of two, in the telling of the first
	}
	defer o.observing.Store(false)
	failed := Failure{Op: "observe", Err: fmt.Errorf("the %s called runtime.Goexit", who), Hint: "correct the " + who + ": it misses what it was told, and nothing else suffers"}
	if p != nil {
		failed.Err = fmt.Errorf("the %s panicked: %v", who, p)
	}
	o.event(slog.LevelWarn, metrics.ObserverPanicked, "", o.Wrap("", failed), "")
}

// due tells whether a reminder is due, and takes it for told.
func (o *Outlet) due(m *metrics.Metric, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if last, ok := o.last[m]; ok && now.Sub(last) < again {
		return false
	}
	if o.last == nil {
		o.last = map[*metrics.Metric]time.Time{}
	}
	o.last[m] = now
	return true
}

// A burst bounds how many failures of one name are logged as warnings: so many a minute, the others are counted. A hundred
// failing lanes write ten lines and not thousands.
type burst struct {
	began  time.Time
	lines  int
	silent int // not logged since the last line
}

const (
	burstLines = 10
	burstTime  = time.Minute
)

// aloud tells whether a failure may be logged as a warning, and how many were not since the last one that was.
func (o *Outlet) aloud(m *metrics.Metric, now time.Time) (silent int, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.loud[m]
	if b == nil {
		if o.loud == nil {
			o.loud = map[*metrics.Metric]*burst{}
		}
		b = &burst{began: now}
		o.loud[m] = b
	}
	if now.Sub(b.began) >= burstTime {
		b.began, b.lines = now, 0
	}
	if b.lines == burstLines {
		b.silent++
		return 0, false
	}
	b.lines++
	silent, b.silent = b.silent, 0
	return silent, true
}
