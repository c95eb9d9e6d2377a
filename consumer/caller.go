package consumer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer/internal/lane"
	"github.com/shardlane/shardlane/consumer/internal/lease"
	"github.com/shardlane/shardlane/consumer/internal/page"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

// A caller makes the attempts of one shard: it calls the handler, with its context, its event and its time limit, and hands
// what is given up to the destination. It implements lane.Caller.
type caller struct {
	f        *facts
	id       string // of the shard
	tell     *tell.Teller
	src      batch.Source
	ids      *random // of requests: lanes begin side by side, and which of them draws first is not known
	handlers context.Context
	halted   <-chan struct{}
	lost     *atomic.Bool // somebody else owns the shard
	tenure   *lease.Tenure
	lease    *lease.Lease
	left     <-chan struct{} // closed when handlers that still run are left behind
	aside    func(func())    // waits without a slot

	busy       atomic.Int64   // handlers running
	overdue    atomic.Int64   // handlers left behind
	began      []atomic.Int64 // when the handler of a lane was called, in nanoseconds since the worker began; 0: none runs
	deliveries []<-chan error // a lane's delivery that was left behind, and still runs perhaps
}

// Attempt implements lane.Caller: it calls the handler with a fresh event of a slice (L5).
func (c *caller) Attempt(ctx context.Context, a lane.Attempt) batch.Result {
	s, n := a.Slice, len(a.Slice.Records)
	if a.Oversized {
		err := fmt.Errorf("the record's event exceeds the payload limit of %d bytes", c.f.cfg.payload)
		return c.failed(a, batch.Result{Outcome: batch.Oversized, Err: err})
	}
	var age time.Duration
	if n > 0 {
		age = s.Records[n-1].Record().Age(c.f.now())
	}
	limited, returned := c.limited(ctx, a.Lane, s.RequestID)
	defer returned()
	own := batch.NewContext(limited, batch.Invocation{
		Stream: c.f.name, Shard: c.id, Epoch: c.lease.Epoch(), Attempt: s.Attempts + 1, IteratorAge: age,
		RequestID: s.RequestID, FunctionARN: c.f.cfg.functionARN, Subs: page.Subs(s.Records),
	})
	ev := page.Event(c.src, s.Records)
	window := a.Window
	if window != nil {
		window.Shard, window.StreamARN = c.id, c.src.StreamARN
	}
	begun := append(make([]tell.Value, 0, 3), c.working(a.Lane, 1))
	if n > 0 {
		if age != batch.NoAge {
			begun = append(begun, tell.Value{Metric: metrics.IteratorAge, Value: float64(age.Milliseconds())})
		}
		begun = append(begun, tell.Value{Metric: metrics.InvokedEventCount, Value: float64(n)})
	}
	c.tell.Records(begun...)
	exited := batch.Result{Outcome: batch.Failed, Err: batch.ErrGoexit}
	res, runs := guard(c.left, 0, exited, func() batch.Result {
		res := c.f.handler.Call(own, ev, window)
		if errors.Is(limited.Err(), context.DeadlineExceeded) { // C14, whatever it returned, and whatever came later
			res = batch.Result{Outcome: batch.Failed, Err: fmt.Errorf("handler timeout of %v: %w", c.f.cfg.timeout, limited.Err())}
		}
		return res
	})
	c.tell.Records(c.working(a.Lane, -1))
	switch {
	case runs != nil:
		c.overdue.Add(1)
		c.f.left.add(c.id, func() bool { return len(runs) == 0 })
		return batch.Result{Outcome: batch.Aborted, Err: ErrHandlerRunning}
	case c.lost.Load() || !c.tenure.Valid() && !c.again():
		return batch.Result{Outcome: batch.Aborted, Err: ErrLeaseLost}
	case errors.Is(context.Cause(ctx), lease.ErrLapsed) && res.Outcome != batch.Succeeded && res.Outcome != batch.Progressed:
		return batch.Result{Outcome: batch.Interrupted, Err: res.Err} // not its fault
	case res.Outcome == batch.Succeeded:
		c.Idle(a.Lane)
		if res.Unread > 0 {
			c.tell.Remind(metrics.ItemFailuresIgnored, "the response names "+count(res.Unread, "item failure")+
				", which nothing reads: the whole batch counts as handled; WithReportBatchItemFailures(true) reads them")
		}
		return res
	}
	return c.failed(a, res)
}

// again holds a result back while the worker is in doubt. It returns false if the shard may belong to others.
func (c *caller) again() bool {
	var ok bool
	c.aside(func() { _, ok = c.tenure.Enter(c.handlers.Done()) })
	return ok && !c.lost.Load()
}

// limited gives a handler its time limit, and tells of one that overstays it until returned is called.
func (c *caller) limited(ctx context.Context, lane int, request string) (limited context.Context, returned func()) {
	limit := c.f.cfg.timeout
	if limit <= 0 {
		return ctx, func() {}
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	late := time.AfterFunc(min(limit, math.MaxInt64-unwindTime)+unwindTime, func() {
		c.tell.Event(metrics.HandlerOverstayed, nil, fmt.Sprintf("lane %d waits for a handler that should have returned after %v, request %s", lane, limit, request))
	})
	return limited, func() {
		late.Stop()
		cancel()
	}
}

// failed tells of an attempt that did not succeed, and returns its result: at a stop it is aborted, but for the progress it
// has made (C15).
func (c *caller) failed(a lane.Attempt, res batch.Result) batch.Result {
	s := a.Slice
	c.tell.Record(metrics.FailedInvokeEventCount, float64(len(s.Records)))
	f := tell.Failure{
		Op: handlerOp(a.Lane), Err: res.Err,
		Hint:   "the batch is tried again until it succeeds or reaches a limit, and is given up then",
		Detail: fmt.Sprintf("attempt %d of %s, request %s", s.Attempts+1, count(len(s.Records), "record"), s.RequestID),
	}
	if a.Endless {
		f.Hint = "the batch is tried again until it succeeds; the records behind it in its lane wait"
	}
	if len(s.Records) > 0 {
		f.Detail += ", from " + s.Records[0].Seq()
	}
	m := metrics.HandlerFailed
	if panicked := new(batch.PanicError); errors.As(res.Err, &panicked) {
		m, f.Detail = metrics.HandlerPanicked, fmt.Sprintf("%s\n%s", f.Detail, panicked.Stack)
	}
	_ = c.tell.Fail(m, f)
	if over(c.halted) && res.Outcome != batch.Progressed {
		return batch.Result{Outcome: batch.Aborted, Err: res.Err}
	}
	return res
}

// Idle implements lane.Caller.
func (c *caller) Idle(lane int) {
	if c.tell.Troubled() {
		c.tell.Mend(handlerOp(lane))
	}
}

// Lost implements lane.Caller.
func (c *caller) Lost(items []page.Item) {
	c.tell.Record(metrics.RetentionLostEventCount, float64(len(items)))
	c.tell.Event(metrics.RetentionLost, nil, fmt.Sprintf("%s from %s on left the stream while they waited", count(len(items), "record"), items[0].Seq()))
}

// working notes that a lane begins or ends an attempt, and returns how many are busy.
func (c *caller) working(lane int, n int64) tell.Value {
	c.began[lane].Store(max(0, n) * int64(time.Since(c.f.pool.began)+1))
	return tell.Value{Metric: metrics.LanesBusy, Value: float64(c.busy.Add(n))}
}

func handlerOp(lane int) string { return fmt.Sprintf("handler, lane %d", lane) }

// count says how many there are of what noun names.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
