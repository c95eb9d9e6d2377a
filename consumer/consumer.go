// Package consumer runs the function that you would give to lambda.Start as an Amazon Kinesis consumer inside your own
// process, with the contract of Lambda's event source mapping for Kinesis. batch/SEMANTICS.md states its rules.
//
// [Run] is all that a small program needs. [New] and [Consumer.Run] are the same in two steps, and [RunAll] runs several
// consumers as one worker.
//
// # Delivery
//
// The handler gets each record at or after the starting position at least once, except for records that a filter leaves
// out, and for those that the stream drops before they are read, which is reported. A batch is tried again when its
// handler returns an error, panics, or takes too long, until it succeeds or reaches a limit: [WithMaxRetryAttempts],
// [WithMaxRecordAge]. Records that are given up go to the destination set by [WithOnFailure]. [WithBisectOnError], and
// handlers that report single records, limit all that to the records that fail.
//
// Records with the same partition key are handled one after another, in their order, within a shard and from a parent
// shard to its children: across batches, retries, restarts, splits and merges. One order per key needs a stream on which
// the partition key chooses the shard. There is none under the distribution strategy AUTO ([Status] shows it), for a key
// that explicit hash keys send to several shards, and for records without a key.
//
// The handler is called from several goroutines at once: from as many in each shard as the parallelization factor says.
//
// A checkpoint never covers a record without an outcome, nor one behind it. It is written about a second after the first
// outcome of a start, then every 10 s, at the end of a shard and at a stop. Beside it stand the records that are handled
// behind one that waits, from the lowest on, as far as a row of 1 KiB has room: about 30 runs of them between records that
// wait, or 2,500 at a stop. After a restart, records that are neither below the checkpoint nor beside it are delivered again:
// up to 10 s of work after a crash, and what had no room (1,000,000 records at most). A stop, and a hand-over to another worker,
// go on with what waits until all has room, as long as the drain timeout lets them. A tumbling window that was open starts again.
//
// # Where progress is kept
//
// [WithCheckpointer] sets a checkpoint.Store, which keeps a row for each shard, and [WithGroup] the name under which its
// rows stand. The first start of a group stores its starting position. From then on the store says where reading goes on.
//
// # A fleet
//
// Workers of one group that use one store share the shards of the stream, as evenly as their number allows. Each writes a
// row of its own every 2.5 s, the heartbeat, and reads those of the others. When a worker joins, the others announce which
// shards they give it, let running handlers finish, store the checkpoint and release them; at a stop a worker does the same
// with all its shards. Nothing is handled twice then, if the handlers finish within the drain timeout. A worker whose row
// has not changed for 10 s is declared dead in the store, and its shards are claimed by the others: what it had in flight
// comes again.
//
// A worker that cannot store its heartbeat for 7 s starts no handler, and ends the contexts of those that run; it goes on
// with the same shards if the store comes back in time. So no two workers handle a shard at once, unless a handler goes on
// for 3 s behind the end of its context, or a process stands still between the look at its clock and the effect of its
// handler: a sink can refuse that by the epoch of [batch.InvocationFrom], which grows with every change of owner. No clock
// of another machine is ever compared.
//
// A store that only one process can have open, such as a checkpoint.File, has no heartbeats: all shards are claimed at once.
//
// # Trouble
//
// What fails in AWS, in the store or in the handler is tried again with backoff. It does not end a consumer, except for the
// few errors that [Consumer.Run] lists. [Consumer.Status] shows it, and [WithNotify], [WithMetrics] and [WithLogger] report
// it under one name. A shard whose handler fails holds back only itself, and the shards that it is split or merged into.
package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer/internal/bound"
	"github.com/shardlane/shardlane/consumer/internal/clock"
	"github.com/shardlane/shardlane/consumer/internal/reader"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/consumer/internal/wire"
	"github.com/shardlane/shardlane/metrics"
)

// A Consumer is a handler, a stream and its settings. It is safe for concurrent use.
type Consumer struct {
	client  Client
	bare    bool         // it is the SDK's, and not one that wraps it
	fanOut  FanOutClient // the same; nil if it does not make these calls
	stream  string
	handler batch.Handler
	cfg     *config
	out     *tell.Outlet
	line    wire.Line // to the service

	left    left // handlers of earlier Runs
	busy    atomic.Bool
	running atomic.Pointer[stream] // nil while it does not run
	last    atomic.Pointer[Status] // of the last run
}

// New returns a Consumer of a stream, given by name or ARN. It checks every option and returns all that is wrong, joined;
// each error wraps [ErrConfig]. It calls nothing and starts no goroutine.
//
// The type of the handler decides how its results are read. Here ctx stands for context.Context, and events is the package
// of aws-lambda-go:
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
// If a response reports item failures, the lowest reported record and all records behind it are delivered again.
//
// The context of a call carries a [batch.Invocation], a lambdacontext.LambdaContext and the values of Run's context. It
// ends at the handler timeout, at the end of the drain timeout, or when the shard is lost, but not together with Run's
// context.
func New[H batch.Func](c Client, stream string, h H, opts ...Option) (*Consumer, error) {
	handler, err := batch.HandlerOf(h)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrConfig, err)
	}
	cfg := newConfig(opts)
	stream = cfg.consumed(cfg.mapped(stream))
	handler.Reports = cfg.reports
	if err := join(err, cfg.validate(c, stream, handler, time.Now())); err != nil {
		return nil, err
	}
	made := &Consumer{stream: stream, handler: handler, cfg: cfg, out: cfg.outlet(stream)}
	_, made.bare = c.(*kinesis.Client)
	if its, ok := c.(FanOutClient); ok {
		made.fanOut = &pusher{&punctual{Client: c}, its}
		made.client = made.fanOut
	} else {
		made.client = &punctual{Client: c}
	}
	return made, nil
}

// Run is [New] followed by [Consumer.Run]: it consumes a stream, given by name or ARN, with h until ctx is done or the
// ending position is reached.
func Run[H batch.Func](ctx context.Context, c Client, stream string, h H, opts ...Option) error {
	cons, err := New(c, stream, h, opts...)
	if err != nil {
		return err
	}
	return cons.Run(ctx)
}

// Run consumes until ctx is done, or until every shard has reached the ending position, and then drains: it stops reading,
// drops the records that wait, lets running handlers finish, stores the last checkpoints and releases the shards. It
// returns 5 s after the drain timeout at the latest. No goroutine is left then, except those of handlers and destinations
// that do not return, and those of idle connections, until the HTTP client's time for them is over. A Consumer may run again
// after Run has returned.
//
// Without an ending position, Run returns nil after a clean drain: the end of ctx is no error. With one, nil means that
// every record before it has an outcome. These errors come wrapped in an [*Error]:
//
//   - [ErrNotReached]: ctx was done before the ending position was reached. The text says how many shards have reached
//     it, and [Consumer.Status] which ones. Another Run with the same group and store goes on from there.
//   - [ErrStreamNotFound], [ErrAccessDenied], and [ErrConfig] for a client without a region or with an endpoint that is not
//     a URL: only at the start, until the stream has been described and its shards listed. Later, Run waits them out and
//     [Consumer.Status] shows them. Missing credentials are waited for from the start, because those of a role may come. A
//     signature that is refused ends Run after five tries, unless the reply shows that this machine's clock is off.
//   - [ErrStreamRecreated]: the stream was deleted and created again while it was consumed.
//   - [ErrDrainTimeout]: handlers or deliveries did not finish within the drain timeout, or had to go on until its end for
//     want of room in the shard's row. There is one for each shard.
//   - [ErrHandlerRunning]: a handler ignores the end of its context. It still runs, and its shard is not released.
//   - checkpoint.ErrSequence: the service numbers records with what is no number, so that no checkpoint could be kept.
//   - the error of a last write to the store that failed.
//   - [ErrRunning], without any effect, while another Run of the Consumer has not returned. It is not wrapped in an
//     [*Error], and neither is [ErrConfig] for a Consumer that was not made by New.
//
// No other error of AWS or of the store ends Run, and none of the handler does: one shard's trouble never stops another.
func (c *Consumer) Run(ctx context.Context) error { return RunAll(ctx, c) }

// RunAll runs several consumers, of one stream or of many, as one worker: they share an identity, the goroutines that read,
// the read-ahead budget and the drain. It returns when ctx is done, when all have reached their ending positions, or when
// one cannot go on. The errors of [Consumer.Run] are joined over all consumers. All must have the same worker name, drain
// timeout and maximum concurrency, and consumers of one stream need different groups and different stream consumers; otherwise
// nothing runs, and the error wraps [ErrConfig]. That a name and an ARN are the same stream shows when it is described: RunAll
// then drains, and returns such an error.
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
		for _, d := range cs[:i] {
			if name := c.cfg.streamConsumer(); c != d && c.stream == d.stream && name != "" && name == d.cfg.streamConsumer() {
				errs = append(errs, fmt.Errorf("%w: two consumers of %s read through the stream consumer %q, and would end each other's subscriptions: WithEnhancedFanOut must differ", ErrConfig, c.stream, name))
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
	w := newWorker(ctx, cs[0].cfg, &cs[0].line)
	streams := make([]*stream, len(cs))
	for i, c := range cs {
		streams[i] = newStream(c.facts(w.pool))
		c.running.Store(streams[i])
	}
	err := w.run(ctx, streams)
	for i, c := range cs {
		c.ended(streams[i])
		c.running.Store(nil)
	}
	return err
}

// warn tells of settings that forget, or that have no effect.
func (c *Consumer) warn() {
	t := c.out.Teller("")
	for _, key := range c.cfg.filter.Unknown() {
		t.Event(metrics.PatternKeyUnknown, nil, fmt.Sprintf("a filter pattern names %q, which no record has: it is an absent field", key))
	}
	c.cfg.warnOfMapping(t, c.stream, c.handler.Kind())
	if c.cfg.defaultMemory && c.cfg.end.kind == noPosition {
		detail := "progress is kept in memory: a restart begins at the starting position again; WithCheckpointer keeps it"
		if c.cfg.start.kind == latest {
			detail = "progress is kept in memory: a restart skips what came while nothing ran; WithCheckpointer keeps it"
		}
		t.Event(metrics.VolatileStore, nil, detail)
	}
}

// Status says what the consumer is doing, from memory and without a call to AWS. While it does not run, Status returns what
// it was at the end of the last Run; before the first Run there are no shards. It may be called at any time and as often
// as you like.
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

// facts are what a Run knows of the consumer.
func (c *Consumer) facts(p *pool) *facts {
	t := c.out.Teller("")
	f := &facts{pool: p, rnd: p.rnd.part(c.stream + "\n" + c.cfg.group), seat: p.seat(c.cfg, t), cfg: c.cfg, out: c.out, tell: t, client: c.client, bare: c.bare, fanOut: c.fanOut, handler: c.handler, left: &c.left, clock: clock.New()}
	if c.handler.Serial() {
		f.serial = bound.NewSlots[reader.Source](1)
	}
	return f
}
