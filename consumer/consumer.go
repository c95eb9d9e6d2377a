// Package consumer runs the function that people give to lambda.Start as an Amazon Kinesis consumer inside their own
// process, with the contract of Lambda's event source mapping for Kinesis.
//
// [Run] is all that a small program needs; [New] and [Consumer.Run] are the same in two steps, [RunAll] runs several
// consumers as one worker.
//
// # Delivery
//
// Every record at or after the starting position is handed to the handler at least once, unless the stream's retention
// takes it away first, which is reported, or a filter leaves it out. A batch whose handler returns an error, panics, or
// takes too long is tried again, until it succeeds or reaches a limit: [WithMaxRetryAttempts], [WithMaxRecordAge]. What
// is given up goes to the destination of [WithOnFailure]. [WithBisectOnError], and handlers that report single records,
// keep that to the records that fail. Records with the same partition key are handled in their order, never
// concurrently, across batches, retries, restarts, splits and merges.
//
// A checkpoint never covers a record that has not been handled, nor one behind such a record. It is written every 10 s,
// at the end of a shard and at a stop. After a restart comes again what was handled above it: after a crash up to 10 s
// of work, and after any stop what was done behind a record that was not, at most 1,000,000 records.
//
// The handler is called concurrently: once per shard, times the parallelization factor.
//
// # Where progress is kept
//
// [WithCheckpointer] gives a checkpoint.Store, one row per shard, and [WithGroup] the name under which its rows stand.
// The first start of a group stores its starting position; from then on the store says where reading goes on. One
// process at a time works for a group: a second one takes its shards over, and the first one stops working on them.
//
// # Trouble
//
// An error of AWS, of the store or of the handler concerns its shard, is retried with backoff, and never ends the
// consumer. [Consumer.Status] shows it, and [WithNotify], [WithMetrics] and [WithLogger] tell of it under one name. A
// shard whose handler fails holds back only itself and the shards that it is split or merged into.
package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

// A Consumer is a handler, a stream and its settings. It is safe for concurrent use.
type Consumer struct {
	client  Client
	stream  string
	handler batch.Handler
	cfg     *config
	out     *tell.Outlet

	left    left // handlers of earlier Runs
	busy    atomic.Bool
	running atomic.Pointer[stream] // nil while it does not run
	last    atomic.Pointer[Status] // of the last run
}

// New returns a Consumer of a stream, given by name or ARN. It checks everything and reports all that is wrong, joined,
// each wrapping [ErrConfig]. It makes no call and starts no goroutine.
//
// The type of the handler says how its results are read. With ctx for context.Context, and events for the package of
// aws-lambda-go:
//
//	you have                                                             you write
//	func(ctx, events.KinesisEvent) error                                 h
//	func(ctx, events.KinesisEvent) (events.KinesisEventResponse, error)  h
//	func(ctx, events.KinesisEventRecord) error                           batch.Each(h)
//	func(ctx, events.KinesisTimeWindowEvent) (events.KinesisTimeWindowEventResponse, error)
//	                                                                     h, with WithTumblingWindow
//	a lambda.Handler, or func(ctx, []byte) ([]byte, error)               h.Invoke or h; calls do not overlap
//	anything else that lambda.Start takes                                adapt.Func(h)
//	a method of one of these types                                       value.Method
//	a typed one of these, and interceptors a and b around it             batch.Wrap(h, a, b)
//
// A response that reports item failures makes the lowest reported record and all behind it come again.
//
// The context of a call carries a [batch.Invocation], a lambdacontext.LambdaContext and the values of the context of
// Run. It ends with the handler timeout. It is not cancelled with the context of Run, and lives until the drain timeout
// has passed, or the shard is lost.
func New[H batch.Func](c Client, stream string, h H, opts ...Option) (*Consumer, error) {
	handler, err := batch.HandlerOf(h)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrConfig, err)
	}
	cfg := newConfig(opts)
	stream = cfg.mapped(stream)
	handler.Reports = cfg.reports
	if err := join(err, cfg.validate(c, stream, handler, time.Now())); err != nil {
		return nil, err
	}
	return &Consumer{client: &punctual{Client: c}, stream: stream, handler: handler, cfg: cfg, out: cfg.outlet(stream)}, nil
}

// Run is [New] and [Consumer.Run]: it consumes a stream, given by name or ARN, with h until ctx is done or the ending
// position is reached, and returns the errors of both.
func Run[H batch.Func](ctx context.Context, c Client, stream string, h H, opts ...Option) error {
	cons, err := New(c, stream, h, opts...)
	if err != nil {
		return err
	}
	return cons.Run(ctx)
}

// Run consumes until ctx is done, or every shard has come to the ending position, and then drains: it stops reading,
// drops what waits, lets running handlers finish, stores the last checkpoints and gives the shards up. It returns at most
// 5 s after the drain timeout, with no goroutine left but that of a handler or a destination that does not return. A Consumer may run
// again after Run has returned.
//
// Without an ending position it returns nil after a clean drain: the end of ctx is no error, and ctx.Err says whether it
// was that. With one, nil means that all before it has an outcome. Errors are, wrapped in an [*Error]:
//
//   - [ErrNotReached]: ctx was done before the ending position was reached. The text says how many shards have come to
//     it, and [Consumer.Status] which. The same group and store go on from there.
//   - [ErrStreamNotFound], [ErrAccessDenied], and [ErrConfig] for a client without a region or with an endpoint that is no
//     URL: at the start only, until the stream has been described and its shards listed. Later they are waited out and
//     shown by [Consumer.Status], as missing credentials are from the start: a role's may come. A signature that is
//     refused ends Run after five tries, unless the reply shows that this machine's clock is off.
//   - [ErrStreamRecreated]: the stream was deleted and created again while it was consumed.
//   - [ErrDrainTimeout], joined over the shards that did not finish: handlers, or deliveries, ended with their context.
//   - [ErrHandlerRunning]: a handler ignores the end of its context. It still runs, and its shard is not released.
//   - a failed last write to the store.
//   - [ErrRunning], without any effect, while another Run of the Consumer has not returned. It is not in an [*Error], and
//     neither is [ErrConfig] for a Consumer that New has not made.
//
// No other error of AWS or of the store, and none of the handler, ends Run: one shard's trouble never stops another.
func (c *Consumer) Run(ctx context.Context) error { return RunAll(ctx, c) }

// RunAll runs consumers, of one stream or of many, as one worker: one identity, one set of poll workers, one read-ahead
// budget, one drain. It returns when ctx is done, when all have come to their ending positions, or when one cannot go on,
// and what [Consumer.Run] says of errors holds for each; they are joined. Worker and drain timeout of all must agree, the
// groups of consumers of one stream must differ, or the error wraps [ErrConfig] and nothing has run. A stream given once
// by name and once by ARN is not seen to be one.
func RunAll(ctx context.Context, cs ...*Consumer) error {
	if len(cs) == 0 {
		return join(fmt.Errorf("%w: RunAll needs a consumer", ErrConfig))
	}
	for i, c := range cs {
		if c == nil || c.cfg == nil {
			return join(fmt.Errorf("%w: consumer %d of %d is not one that New has returned", ErrConfig, i+1, len(cs)))
		}
	}
	var errs []error
	for i, c := range cs {
		for _, d := range cs[:i] {
			if c != d && c.stream == d.stream && c.cfg.group == d.cfg.group {
				errs = append(errs, fmt.Errorf("%w: two consumers of %s are in group %q: WithGroup must differ", ErrConfig, c.stream, c.cfg.group))
			}
		}
		if a, b := cs[0].cfg.worker, c.cfg.worker; a != b {
			errs = append(errs, fmt.Errorf("%w: WithWorker(%q) of %s: the worker of %s is %q", ErrConfig, b, c.stream, cs[0].stream, a))
		}
		if a, b := cs[0].cfg.concurrency, c.cfg.concurrency; a != b {
			errs = append(errs, fmt.Errorf("%w: WithMaxConcurrency(%d) of %s: that of %s is %d", ErrConfig, b, c.stream, cs[0].stream, a))
		}
		if a, b := cs[0].cfg.drain, c.cfg.drain; a != b {
			errs = append(errs, fmt.Errorf("%w: WithDrainTimeout(%v) of %s: that of %s is %v", ErrConfig, b, c.stream, cs[0].stream, a))
		}
	}
	if len(errs) > 0 {
		return join(errs...)
	}
	for i, c := range cs {
		if !c.busy.CompareAndSwap(false, true) {
			for _, d := range cs[:i] {
				d.busy.Store(false)
			}
			return ErrRunning
		}
	}
	defer func() {
		for _, c := range cs {
			c.busy.Store(false)
		}
	}()
	for _, c := range cs {
		c.warn()
	}
	return newWorker(ctx, cs[0].cfg).run(ctx, cs)
}

// warn tells of settings that forget, or that have no effect.
func (c *Consumer) warn() {
	t := c.out.Teller("")
	for _, key := range c.cfg.filter.Unknown() {
		t.Event(metrics.PatternKeyUnknown, nil, fmt.Sprintf("a filter pattern names %q, which no record has: it is an absent field", key))
	}
	c.warnOfMapping(t)
	if c.cfg.defaultMemory && c.cfg.end.kind == noPosition {
		detail := "progress is kept in memory: a restart begins at the starting position again; WithCheckpointer keeps it"
		if c.cfg.start.kind == latest {
			detail = "progress is kept in memory: a restart skips what came while nothing ran; WithCheckpointer keeps it"
		}
		t.Event(metrics.VolatileStore, nil, detail)
	}
}

// Status says what the consumer is doing, from memory and without a call. While it does not run, it is the status at the
// end of the last Run, and before the first one it has no shards. It may be called at any time, as often as one likes.
func (c *Consumer) Status() Status {
	if c == nil || c.cfg == nil { // New has not made it
		return Status{}
	}
	if s := c.running.Load(); s != nil {
		return s.status(time.Now())
	}
	if last := c.last.Load(); last != nil {
		return *last
	}
	return Status{Worker: c.cfg.worker, ready: c.out.Wrap("", notRunning())}
}

// notRunning is why a consumer that does not run is not ready.
func notRunning() tell.Failure {
	return tell.Failure{Op: "ready", Err: errors.New("the consumer does not run"), Hint: "Run has not been called, or has returned"}
}

func (c *Consumer) ended(s *stream) {
	last := s.status(time.Now())
	last.ready = c.out.Wrap("", notRunning())
	c.last.Store(&last)
}
