package consumer

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/metrics"
)

// An Option sets one thing about a [Consumer]. An option that is not given means its default; one that is given is
// literal, zero included; given twice, the last one wins. [New] checks all of them and reports all that is wrong.
type Option func(*config)

// config is what the options say.
type config struct {
	group         string
	store         checkpoint.Store
	worker        string
	start, end    Position
	batchSize     int
	window        time.Duration
	factor        int
	sharder       func(string) uint64
	unordered     bool
	aheadRecords  int
	aheadBytes    int
	drain         time.Duration
	functionARN   string
	notify        func(Notice)
	recorder      metrics.Recorder
	logger        *slog.Logger
	given         map[string]bool // options whose being given matters
	defaultMemory bool
}

const (
	defaultGroup     = "shardlane"
	defaultBatchSize = 100
	defaultDrain     = 30 * time.Second
	defaultAhead     = 16 << 20
	defaultRecords   = 1_000_000
	maxBatchSize     = 10_000
	maxFactor        = 1_000
	maxWindow        = 300 * time.Second
	payloadLimit     = 6 << 20 // L19
)

func newConfig(opts []Option) *config {
	c := &config{
		group: defaultGroup, start: TrimHorizon(), batchSize: defaultBatchSize, factor: 1, drain: defaultDrain,
		aheadRecords: defaultRecords, aheadBytes: defaultAhead, recorder: metrics.Discard{}, given: map[string]bool{},
	}
	for _, o := range opts {
		if o != nil {
			o(c)
		}
	}
	if !c.given["WithCheckpointer"] {
		c.store, c.defaultMemory = new(checkpoint.Memory), true
	}
	if !c.given["WithWorker"] {
		c.worker, _ = os.Hostname()
		if c.worker = strings.ReplaceAll(c.worker, "/", "-"); c.worker == "" {
			c.worker = "worker"
		}
	}
	if !c.given["WithLogger"] {
		c.logger = slog.Default()
	}
	if !c.given["WithFunctionARN"] {
		c.functionARN = c.group
	}
	return c
}

// Options bundles options into one, in order.
func Options(opts ...Option) Option {
	return func(c *config) {
		for _, o := range opts {
			if o != nil {
				o(c)
			}
		}
	}
}

// WithGroup sets the name under which progress is kept: consumers with different groups on one stream are independent,
// each sees all records (L14). A new name begins at the starting position. A durable store needs one. It is also the
// default function ARN (C12). 1 to 128 characters, no "/" and no line feed. Defaults to "shardlane", which New accepts
// with [checkpoint.Memory] only.
func WithGroup(name string) Option {
	return func(c *config) { c.group = name; c.given["WithGroup"] = true }
}

// WithCheckpointer sets the store that holds progress and ownership, one row per shard. Until fleets are supported, one
// process at a time works for a group: a second one takes the shards over, and the first one's writes are refused.
// While it does not answer, nothing new is claimed, and what runs goes on without checkpoints. The caller opens and closes
// it. Defaults to a new [checkpoint.Memory], which forgets everything with the process; the event VolatileStore says so.
func WithCheckpointer(s checkpoint.Store) Option {
	return func(c *config) { c.store = s; c.given["WithCheckpointer"] = true }
}

// WithWorker sets the name of this worker in the store's rows and in [Status]. Consumers that run as one worker must
// agree on it. It is for people: every Run adds random bits of its own to it. 1 to 128 characters, no "/" and no line
// feed. Defaults to the host's name.
func WithWorker(id string) Option {
	return func(c *config) { c.worker = id; c.given["WithWorker"] = true }
}

// WithStartingPosition sets where reading starts the first time that the group sees the stream. It is stored before the
// first read, and later starts go by the store (L13): to change it, use a new group. Shards that are created later start
// at their own beginning (C11). Defaults to [TrimHorizon], since to repeat is better than to skip.
func WithStartingPosition(p Position) Option {
	return func(c *config) { c.start = p; c.given["WithStartingPosition"] = true }
}

// WithEndingPosition makes Run return nil when every shard has come to p and all records before it are resolved:
// for replays, backfills and tests. [Latest] is the tip of the stream when Run starts, by the service's clock and rounded
// up to the second: records of that second may be delivered or not. Records that arrived at or after p are not delivered.
// [TrimHorizon], and a time that is not after that of WithStartingPosition, is an error. A handler that keeps failing
// keeps Run from ending. Defaults to none: Run goes on until its context is done.
func WithEndingPosition(p Position) Option {
	return func(c *config) { c.end = p; c.given["WithEndingPosition"] = true }
}

// WithBatchSize sets how many records of a lane a handler gets at most at once (L18, C2). It is no minimum: without a
// batching window a batch has what waits. More payload than 6 MiB, as Lambda counts it, also ends a batch (L17, L19). 1 to
// 10,000. Defaults to 100.
func WithBatchSize(records int) Option { return func(c *config) { c.batchSize = records } }

// WithBatchingWindow sets how long a lane waits for a batch to fill, from the moment when it is free and has a record
// (L17, C5). A full batch, a full read-ahead (C3) and the end of the shard end it early; a stop drops what it has
// gathered (C15). Whole seconds, 0 to 300 s. Defaults to 0: whatever waits is a batch as soon as the lane is free.
func WithBatchingWindow(d time.Duration) Option { return func(c *config) { c.window = d } }

// WithParallelizationFactor sets the number of lanes of each shard, and so how many handlers run at once: shards times
// factor at most. Records with the same partition key share a lane and are neither concurrent nor reordered; records
// with different keys may be both (L24). A hot key gains nothing. A change takes effect at the next start, without
// harm to order or progress (C1). 1 to 1,000, where Lambda ends at 10 (B1). Defaults to 1.
func WithParallelizationFactor(lanes int) Option { return func(c *config) { c.factor = lanes } }

// WithSharder sets what is ordered: records with equal sharder(partition key) share a lane and keep their order, within
// a shard, as with a customer's id that is a part of the key. The lane is its result modulo the factor. The function must
// be pure, is called concurrently, and must not panic. It excludes WithUnordered. Defaults to [partition.Hash].
func WithSharder(sharder func(key string) uint64) Option {
	return func(c *config) { c.sharder = sharder; c.given["WithSharder"] = true }
}

// WithUnordered gives order up: records go to the lanes of their shard in turn, so that a hot key uses all of them.
// With a factor of 1 it changes nothing. It excludes WithSharder. Defaults to order per partition key.
func WithUnordered() Option { return func(c *config) { c.unordered = true } }

// WithReadAhead sets how many records, and how many bytes of memory for them, a shard holds before it stops reading
// until some are resolved (C3). A page is charged, until its last record is resolved, with twice its data and keys (the
// second time for the copy that an attempt gets) and 400 bytes per record; the page that was being read comes on top.
// All shards of a worker together hold at most a quarter of GOMEMLIMIT, or 512 MiB without one, again plus a page each.
// More helps where a few slow keys hold many fast ones up; less where a worker has many shards and little memory.
// records is 1 to 1,000,000 and at least the batch size; bytes is at least 1. Defaults to 1,000,000 and 16 MiB.
func WithReadAhead(records, bytes int) Option {
	return func(c *config) { c.aheadRecords, c.aheadBytes = records, bytes }
}

// WithDrainTimeout sets how long Run waits, once its context is done, for running handlers. Their context ends with it;
// what they return by then, or in the 2 s after, still counts (C15). Records that wait, and batches in backoff, are
// dropped undelivered and come again at the next start. Run may take 5 s more: choose it at least so much below the time
// that the platform gives a process after SIGTERM. Consumers that run as one worker must agree on it. 0 ends running
// handlers at once; a negative one is an error. Defaults to 30 s.
func WithDrainTimeout(d time.Duration) Option { return func(c *config) { c.drain = d } }

// WithFunctionARN sets InvokedFunctionArn of the lambdacontext of every invocation (C12). Defaults to the group.
func WithFunctionARN(arn string) Option {
	return func(c *config) { c.functionARN = arn; c.given["WithFunctionARN"] = true }
}

// WithNotify sets a function that is told of every event: see [Notice]. It is called by the goroutine that found it
// out, many at once, so it must return soon; a panic in it is an event, ObserverPanicked. Defaults to none.
func WithNotify(f func(Notice)) Option { return func(c *config) { c.notify = f } }

// WithMetrics sets where metrics go; package metrics has the names, [metrics.Snapshot] keeps them in memory. nil is an
// error. Defaults to [metrics.Discard].
func WithMetrics(r metrics.Recorder) Option {
	return func(c *config) { c.recorder = r; c.given["WithMetrics"] = true }
}

// WithLogger sets where events are logged: as a warning those with an error, at info level the others, and at debug level
// a read or a checkpoint that goes on failing. nil is an error. Defaults to [slog.Default].
func WithLogger(l *slog.Logger) Option {
	return func(c *config) { c.logger = l; c.given["WithLogger"] = true }
}

// validStream is true for a stream's name and for its ARN.
func validStream(s string) bool {
	if rest, ok := strings.CutPrefix(s, "arn:"); ok {
		part := strings.Split(rest, ":") // partition, service, region, account, resource
		if len(part) != 5 || part[1] != "kinesis" || part[2] == "" || part[3] == "" {
			return false
		}
		s, ok = strings.CutPrefix(part[4], "stream/")
		if !ok {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 128 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == ""
}

// validate returns all that is wrong, joined (L12).
func (c *config) validate(client Client, stream string, h batch.Handler, now time.Time) error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
	}
	if client == nil {
		bad("client is nil: want a *kinesis.Client")
	}
	switch {
	case strings.Contains(stream, "/consumer/"):
		bad("stream %q is the ARN of a stream consumer: enhanced fan-out is not supported, want the stream's", stream)
	case !validStream(stream):
		bad("stream %q: want a name of 1 to 128 letters, digits, '_', '.' and '-', or a stream ARN", stream)
	}
	if h.Kind() == batch.Window {
		bad("the handler takes events.KinesisTimeWindowEvent: tumbling windows are not supported (L10)")
	}
	for _, o := range []struct{ option, id string }{{"WithGroup", c.group}, {"WithWorker", c.worker}} {
		if o.id == "" || len(o.id) > 128 || strings.ContainsAny(o.id, "/\n") {
			bad("%s(%q): want 1 to 128 characters without '/'", o.option, o.id)
		}
	}
	if c.store == nil {
		bad("WithCheckpointer(nil): want a checkpoint.Store")
	} else if _, memory := c.store.(*checkpoint.Memory); !memory && !c.given["WithGroup"] {
		bad("WithCheckpointer(%T) needs WithGroup: two services that share a default name would split one stream", c.store)
	}
	if c.start.kind == noPosition {
		bad("WithStartingPosition(%v): want TrimHorizon(), Latest() or At(t)", c.start)
	}
	if c.start.kind == atTimestamp && (c.start.at.After(now) || c.start.at.Unix() < 0) {
		bad("WithStartingPosition(%v): want a time from 1970 to now", c.start)
	}
	if c.given["WithEndingPosition"] && c.end.kind != latest && c.end.kind != atTimestamp {
		bad("WithEndingPosition(%v): want Latest() or At(t)", c.end)
	}
	if c.end.kind == atTimestamp && c.start.kind == atTimestamp && !c.end.at.After(c.start.at) {
		bad("WithEndingPosition(%v): want a time after WithStartingPosition(%v)", c.end, c.start)
	}
	if c.batchSize < 1 || c.batchSize > maxBatchSize {
		bad("WithBatchSize(%d): want 1 to %d", c.batchSize, maxBatchSize)
	}
	if c.window < 0 || c.window > maxWindow || c.window%time.Second != 0 {
		bad("WithBatchingWindow(%v): want whole seconds from 0s to %v", c.window, maxWindow)
	}
	if c.factor < 1 || c.factor > maxFactor {
		bad("WithParallelizationFactor(%d): want 1 to %d", c.factor, maxFactor)
	}
	if c.given["WithSharder"] && c.sharder == nil {
		bad("WithSharder(nil): want a function")
	}
	if c.given["WithSharder"] && c.unordered {
		bad("WithUnordered excludes WithSharder: give one of them")
	}
	if c.aheadRecords < 1 || c.aheadRecords > defaultRecords || c.aheadBytes < 1 {
		bad("WithReadAhead(%d, %d): want 1 to %d records and at least 1 byte", c.aheadRecords, c.aheadBytes, defaultRecords)
	} else if c.aheadRecords < c.batchSize && c.batchSize <= maxBatchSize {
		bad("WithReadAhead(%d, %d): want at least the %d records of WithBatchSize", c.aheadRecords, c.aheadBytes, c.batchSize)
	}
	if c.drain < 0 {
		bad("WithDrainTimeout(%v): want 0s or more", c.drain)
	}
	if c.recorder == nil {
		bad("WithMetrics(nil): want a metrics.Recorder")
	}
	if c.logger == nil {
		bad("WithLogger(nil): want a *slog.Logger")
	}
	return errors.Join(errs...)
}
