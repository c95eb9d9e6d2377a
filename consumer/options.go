package consumer

import (
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/filter"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/mapping"
	"github.com/shardlane/shardlane/metrics"
)

// An Option sets one thing about a [Consumer]. An option that is not given has its default. One that is given is taken
// literally, zero included; if it is given twice, the last one wins. A nil Option does nothing. [New] checks all options
// and returns everything that is wrong.
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
	spoil         func([]byte)  // of tests: wire.Decoder.Spoil
	poll          time.Duration // at the tip of a shard; 0: as often as limits and budget allow
	drain         time.Duration
	functionARN   string
	version       string // executedVersion
	mappingUUID   string
	mapping       *mapping.Settings // of an event source mapping's JSON
	mappingErr    error
	identityARN   string
	retries       int // -1: no limit
	maxAge        time.Duration
	bisect        bool
	tumbling      time.Duration
	idleWindow    time.Duration
	patterns      []string
	filter        *filter.Set // of patterns, by validate
	destination   batch.Destination
	reports       bool
	deaggregate   bool
	fanOut        string // the name of a stream consumer
	consumerARN   string // that of one, instead of the stream's
	fallback      time.Duration
	timeout       time.Duration
	concurrency   int
	payload       int
	backoffBase   time.Duration
	backoffFactor float64
	backoffCap    time.Duration
	notify        func(Notice)
	recorder      metrics.Recorder
	logger        *slog.Logger
	random        func() *random  // makes the source of a Run
	given         map[string]bool // options whose being given matters
	defaultMemory bool
}

const (
	defaultGroup     = "shardlane"
	defaultBatchSize = 100
	defaultDrain     = 30 * time.Second
	defaultAhead     = 48 << 20 // two full pages
	defaultRecords   = 1_000_000
	maxBatchSize     = 10_000
	maxFactor        = 1_000
	maxWindow        = 300 * time.Second
	maxRetries       = 10_000
	minAge, maxAge   = 60 * time.Second, 604_800 * time.Second
	maxTumbling      = 900 * time.Second
	defaultIdle      = 120 * time.Second // L52, C20
	defaultTimeout   = 900 * time.Second // C14
	payloadLimit     = 6 << 20           // L19
	minPayload       = 1 << 10
	minPoll, maxPoll = 200 * time.Millisecond, time.Minute // L16
)

func newConfig(opts []Option) *config {
	c := &config{
		group: defaultGroup, start: TrimHorizon(), batchSize: defaultBatchSize, factor: 1, drain: defaultDrain,
		aheadRecords: defaultRecords, aheadBytes: defaultAhead, recorder: metrics.Discard{}, given: map[string]bool{},
		version: "$LATEST", retries: -1, maxAge: -1, idleWindow: defaultIdle, timeout: defaultTimeout, payload: payloadLimit,
		backoffBase: 200 * time.Millisecond, backoffFactor: 2, backoffCap: time.Minute, random: newRandom,
	}
	Options(opts...)(c)
	if !c.given["WithCheckpointer"] {
		c.store, c.defaultMemory = new(private), true
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

// Options bundles several options into one. They apply in order.
func Options(opts ...Option) Option {
	return func(c *config) {
		for _, o := range opts {
			if o != nil {
				o(c)
			}
		}
	}
}

// WithGroup sets the name under which progress is kept. Consumers of one stream with different groups are independent, and
// each gets all records. A new name begins at the starting position. The group is also the default function ARN. It has 1
// to 128 characters, without "/" and line feeds. Defaults to "shardlane", which New accepts only with
// [checkpoint.Memory]: a durable store needs a group.
func WithGroup(name string) Option {
	return func(c *config) { c.group = name; c.given["WithGroup"] = true }
}

// WithCheckpointer sets the store for progress and ownership, with a row for each shard and each worker. Workers of one
// group that use one store share the shards. While the store does not answer, no new shard is claimed; after 7 s handlers
// pause, since others might have taken the shards over. With a store that only one process can have open they go on
// without checkpoints. You open and close it. Defaults to a [checkpoint.Memory] of the consumer's own, which forgets
// everything when the process ends; the event VolatileStore says so.
func WithCheckpointer(s checkpoint.Store) Option {
	return func(c *config) { c.store = s; c.given["WithCheckpointer"] = true }
}

// WithWorker sets the name of this worker in the store's rows and in [Status]. Consumers that run as one worker need the
// same one. It is for people to read and need not be unique, since every Run adds random bits to it; where two live workers
// have the same, the event WorkerTwin says so. It has 1 to 128 characters, without "/" and line feeds. Defaults to the
// host's name.
func WithWorker(id string) Option {
	return func(c *config) { c.worker = id; c.given["WithWorker"] = true }
}

// WithStartingPosition sets where reading starts when the group sees the stream for the first time. It is stored before the
// first read, and later starts go by the store; to start elsewhere, use a new group. Shards that are created later are
// read from their beginning. Defaults to [TrimHorizon], because repeating records is better than skipping them.
func WithStartingPosition(p Position) Option {
	return func(c *config) { c.start = p; c.given["WithStartingPosition"] = true }
}

// WithEndingPosition makes Run return nil once every shard has reached p and every record before p has an outcome. It is
// for replays, backfills and tests. Records that arrived at or after p are not delivered. [Latest] is the tip of the stream
// when Run starts, by the service's clock and rounded up to the second; records of that second may be delivered or not.
// [TrimHorizon] is an error, and so is a time that is not after that of WithStartingPosition. A handler that keeps failing
// keeps Run from ending. Defaults to none: Run goes on until its context is done.
func WithEndingPosition(p Position) Option {
	return func(c *config) { c.end = p; c.given["WithEndingPosition"] = true }
}

// WithBatchSize sets the maximum number of records in a batch, from 1 to 10,000. There is no minimum: without a batching
// window, a batch has what waits in its lane. The payload limit also ends a batch. Defaults to 100.
func WithBatchSize(records int) Option {
	return func(c *config) { c.batchSize = records; c.given["WithBatchSize"] = true }
}

// WithBatchingWindow sets how long a lane waits for a batch to fill, from the moment when it is free and has a record. A
// full batch, a full read-ahead and the end of the shard end the wait early; a stop drops the records gathered so far. 0 to
// 300 s, in whole seconds. Defaults to 0: as soon as the lane is free, whatever waits is a batch.
func WithBatchingWindow(d time.Duration) Option {
	return func(c *config) { c.window = d; c.given["WithBatchingWindow"] = true }
}

// WithParallelizationFactor sets the number of lanes of each shard. At most shards × factor handlers run at once. Records
// with the same partition key share a lane, so they are never concurrent and never change their order; a hot key gains
// nothing. You may change the factor between two starts without harm to order or progress. 1 to 1,000, where Lambda
// allows 10. Defaults to 1.
func WithParallelizationFactor(lanes int) Option {
	return func(c *config) { c.factor = lanes; c.given["WithParallelizationFactor"] = true }
}

// WithSharder sets what is kept in order, for example the customer's ID that is a part of the partition key: records for
// which sharder(partition key) is equal share a lane and keep their order within a shard. The lane is the result modulo the
// factor. The function must be pure, and is called from several goroutines at once. While it panics, its shard is not read
// any further. It excludes WithUnordered. Defaults to [partition.Hash].
func WithSharder(sharder func(key string) uint64) Option {
	return func(c *config) { c.sharder = sharder; c.given["WithSharder"] = true }
}

// WithUnordered gives up order: records take the lanes of their shard in turn, so that a hot key uses all of them. With a
// factor of 1 it changes nothing. It excludes WithSharder. Defaults to order per partition key.
func WithUnordered() Option { return func(c *config) { c.unordered = true } }

// WithReadAhead sets how many records, and how many bytes for them, a shard holds in memory before it stops reading until
// some have an outcome. Until its last record has one, a page counts with 400 bytes per record and twice its data and keys,
// the second time for the copy that the handler gets. The page that is being read comes on top. All shards of a worker
// together hold at most a quarter of GOMEMLIMIT, or 512 MiB without one: room is reserved before a page is asked for, by what the
// records before it took, and where there is little, the page is small, down to the one record that a shard with none always
// gets. With enhanced fan-out an event, of 2 MiB or one record, comes on top for each shard. Set more where a few slow keys hold up
// many fast ones, and less where a worker has many shards and little memory. records is 1 to 1,000,000 and at least the batch
// size; bytes is at least 1. Defaults to 1,000,000 and 48 MiB, which is two of the largest pages: one to work on and one to come.
func WithReadAhead(records, bytes int) Option {
	return func(c *config) { c.aheadRecords, c.aheadBytes = records, bytes }
}

// WithPollInterval sets how long after the beginning of a read that came to the tip of a shard the next one begins. It is for those
// who want fewer calls: where several consumers share the 5 reads a second of a shard, or a worker with little to do is to cost
// less. Records wait longer, half of d in the mean. A shard that is behind is read as fast as its limits allow, whatever d is, and
// none faster than that. 200 ms to 1 minute. Defaults to none: about 5 times a second, as long as reads that bring nothing
// take no more than half a core of the worker; beyond that their shards are read less often, evenly, down to once in 5 s. With
// enhanced fan-out it counts while reading falls back to polling.
func WithPollInterval(d time.Duration) Option {
	return func(c *config) { c.poll = d; c.given["WithPollInterval"] = true }
}

// WithDrainTimeout sets how long Run waits for running handlers once its context is done. Then their contexts end; what
// they return within 2 s after that still counts. Records that wait, and batches in backoff, are not handled and are
// delivered at the next start; those that wait are, within the timeout, as long as a shard's row has no room for all that is
// done behind them. Run may take 5 s longer than the timeout, so choose it at least 5 s shorter than the time
// that the platform gives a process after SIGTERM. Consumers that run as one worker need the same one. 0 ends running
// handlers at once. Defaults to 30 s.
func WithDrainTimeout(d time.Duration) Option { return func(c *config) { c.drain = d } }

// WithMaxRetryAttempts sets how often a failing batch is tried again before its records are given up. They go to the
// destination set by [WithOnFailure], if there is one, and the lane goes on behind them. 0 to 10,000, or -1 for no limit:
// then a batch that cannot succeed blocks its lane until its records leave the stream. Defaults to -1.
func WithMaxRetryAttempts(n int) Option {
	return func(c *config) { c.retries = n; c.given["WithMaxRetryAttempts"] = true }
}

// WithMaxRecordAge sets how long after its arrival in the stream a record at the front of a batch is given up instead of
// handled, even before its first attempt. 60 s to 604,800 s, or -1 for no limit. Defaults to -1.
func WithMaxRecordAge(d time.Duration) Option {
	return func(c *config) { c.maxAge = d; c.given["WithMaxRecordAge"] = true }
}

// WithBisectOnError sets whether a failed batch is split in two halves, which are tried one after the other, instead of
// tried again whole. So a record that cannot succeed is alone after a few attempts. A split does not count as a retry.
// Defaults to false.
func WithBisectOnError(on bool) Option {
	return func(c *config) { c.bisect = on; c.given["WithBisectOnError"] = true }
}

// WithTumblingWindow sets the length of tumbling windows. The handler gets the state that its last call in the window
// returned, and a final call when the window closes. Its type must be that for windows or for JSON, the parallelization
// factor 1, and there must be no filter. The checkpoint stays before an open window, so a restart replays it. 0 to 900 s,
// in whole seconds. Defaults to 0: none.
func WithTumblingWindow(d time.Duration) Option {
	return func(c *config) { c.tumbling = d; c.given["WithTumblingWindow"] = true }
}

// WithWindowIdle sets how long after the end of a tumbling window its final call is made if no record of a later window
// has come and the shard is caught up. 0 or more. Defaults to 120 s.
func WithWindowIdle(d time.Duration) Option {
	return func(c *config) { c.idleWindow = d; c.given["WithWindowIdle"] = true }
}

// WithFilter sets event filter patterns. A record that matches none of them counts as done: the handler does not get it,
// and neither does a destination. Package filter describes the language. 0 to 10 patterns of at most 4,096 characters.
// Defaults to none: every record is handled.
func WithFilter(patterns ...string) Option {
	return func(c *config) { c.patterns = patterns; c.given["WithFilter"] = true }
}

// WithOnFailure sets where records go that are given up because of [WithMaxRetryAttempts] or [WithMaxRecordAge]: to a queue,
// a topic or a bucket with the module destination, or to a Go function with [batch.DestinationFunc]. A delivery has 30 s.
// If it fails, the event DestinationFailed says so, its records count as dropped, and the lane goes on. Defaults to none:
// records that are given up are only counted and logged.
func WithOnFailure(d batch.Destination) Option {
	return func(c *config) { c.destination = d; c.given["WithOnFailure"] = true }
}

// WithReportBatchItemFailures sets whether batchItemFailures is read in the responses of a handler that returns JSON. For
// other handlers the type decides, and New refuses this option. Defaults to false.
func WithReportBatchItemFailures(on bool) Option {
	return func(c *config) { c.reports = on; c.given["WithReportBatchItemFailures"] = true }
}

// WithDeaggregation sets whether KPL aggregates are split into their user records or handed over as they are. A user record
// whose hash key belongs to another shard is left out only where its producer will put it again, because it worked with a
// shard map from before a split or merge: within 10 minutes of the shard's first record, and never on a stream where Kinesis
// has placed records by itself. All others are delivered. Defaults to false, since Lambda does not split when it polls, and to true
// with enhanced fan-out, where it does.
func WithDeaggregation(on bool) Option {
	return func(c *config) { c.deaggregate = on; c.given["WithDeaggregation"] = true }
}

// WithHandlerTimeout sets how long an attempt may take. Then its context ends and the attempt has failed, whatever it returns
// later; its lane waits until it returns. -1 means no timeout. Defaults to 900 s, Lambda's maximum.
func WithHandlerTimeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// WithMaxConcurrency sets how many handlers run at once in the worker, as Lambda's reserved concurrency does. Lanes take
// turns in the order in which they came; while lanes of other shards wait, no shard gets more than half of it, rounded up.
// Consumers that run as one worker need the same one. 1 or more. Defaults to no limit but the number of lanes.
func WithMaxConcurrency(n int) Option {
	return func(c *config) { c.concurrency = n; c.given["WithMaxConcurrency"] = true }
}

// WithPayloadLimit sets the maximum size of an event as JSON, in bytes. A batch ends before it would grow larger. A single
// record that is larger fails without a call of the handler, and is given up in the end. 1,024 or more, or -1 for no limit.
// Defaults to 6,291,456, Lambda's limit.
func WithPayloadLimit(bytes int) Option { return func(c *config) { c.payload = bytes } }

// WithBackoff sets the wait before retry n of a batch: min(limit, base × factor^(n-1)), plus up to 20 % jitter.
// base is 1 ms or more, factor 1 to 10, limit at least base and at most 1 hour. Defaults to 200 ms, 2 and 1 minute.
func WithBackoff(base time.Duration, factor float64, limit time.Duration) Option {
	return func(c *config) { c.backoffBase, c.backoffFactor, c.backoffCap = base, factor, limit }
}

// WithExecutedVersion sets executedVersion of on-failure documents. Defaults to "$LATEST".
func WithExecutedVersion(v string) Option { return func(c *config) { c.version = v } }

// WithMappingUUID sets the event source mapping's UUID, a part of the names of on-failure objects. Defaults to a UUID made
// from group and stream ARN, which is the same after every restart.
func WithMappingUUID(id string) Option {
	return func(c *config) { c.mappingUUID = id; c.given["WithMappingUUID"] = true }
}

// WithIdentityARN sets invokeIdentityArn of event records, in Lambda the execution role. Defaults to none.
func WithIdentityARN(arn string) Option { return func(c *config) { c.identityARN = arn } }

// WithFunctionARN sets InvokedFunctionArn of the lambdacontext of every invocation, and functionArn of on-failure
// documents. Defaults to the group.
func WithFunctionARN(arn string) Option {
	return func(c *config) { c.functionARN = arn; c.given["WithFunctionARN"] = true }
}

// WithNotify sets a function that gets every event as a [Notice]. It is called by the goroutine that saw the event, and by
// several at once, so it must return soon. A panic or runtime.Goexit in it is an event of its own, ObserverPanicked.
// Defaults to none.
func WithNotify(f func(Notice)) Option { return func(c *config) { c.notify = f } }

// WithMetrics sets where metrics go. Package metrics lists them, and [metrics.Snapshot] keeps them in memory. nil is an
// error. Defaults to [metrics.Discard].
func WithMetrics(r metrics.Recorder) Option {
	return func(c *config) { c.recorder = r; c.given["WithMetrics"] = true }
}

// WithLogger sets where events are logged: each at the level that package metrics gives it, and at warning level or above if
// it has an error. Trouble that lasts is a warning when it begins and once a minute, and logged at debug level in between.
// nil is an error. Defaults to [slog.Default].
func WithLogger(l *slog.Logger) Option {
	return func(c *config) { c.logger = l; c.given["WithLogger"] = true }
}

// isNil is true for nil and for a nil pointer, function, map or channel in an interface: a call of a method would panic,
// later and elsewhere.
func isNil(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Chan:
		return r.IsNil()
	}
	return false
}

// validate returns all that is wrong, joined (L12).
func (c *config) validate(client Client, stream string, h batch.Handler, now time.Time) error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
	}
	if isNil(client) {
		bad("client is nil: want a *kinesis.Client")
	}
	switch {
	case stream == "" && (c.mappingErr != nil || c.mapping.Refers("")): // validateMapping says it
	case !mapping.ValidStream(stream):
		bad("stream %q: want a name of 1 to 128 letters, digits, '_', '.' and '-', or a stream ARN", stream)
	}
	for _, o := range []struct{ option, id string }{{"WithGroup", c.group}, {"WithWorker", c.worker}} {
		if o.id == "" || len(o.id) > 128 || strings.ContainsAny(o.id, "/\n") {
			bad("%s(%q): want 1 to 128 characters without '/'", o.option, o.id)
		}
	}
	if isNil(c.store) {
		bad("WithCheckpointer(nil): want a checkpoint.Store")
	} else if _, memory := c.store.(*checkpoint.Memory); !memory && !c.defaultMemory && !c.given["WithGroup"] {
		bad("WithCheckpointer(%T) needs WithGroup: two services that share a default name would split one stream", c.store)
	}
	if v, ok := c.store.(interface{ Validate() error }); ok && !isNil(c.store) {
		if err := v.Validate(); err != nil {
			bad("WithCheckpointer: %w", err)
		}
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
		bad("WithReadAhead(%d, %d): want at least as many records as WithBatchSize(%d)", c.aheadRecords, c.aheadBytes, c.batchSize)
	}
	if c.given["WithPollInterval"] && (c.poll < minPoll || c.poll > maxPoll) {
		bad("WithPollInterval(%v): want %v to %v", c.poll, minPoll, maxPoll)
	}
	c.validateFanOut(client, bad)
	c.validateMapping(h, bad)
	c.validateBatch(h, bad)
	if c.drain < 0 {
		bad("WithDrainTimeout(%v): want 0s or more", c.drain)
	}
	if isNil(c.recorder) {
		bad("WithMetrics(nil): want a metrics.Recorder")
	}
	if c.logger == nil {
		bad("WithLogger(nil): want a *slog.Logger")
	}
	return join(errs...)
}

// validateBatch checks what becomes of a batch.
func (c *config) validateBatch(h batch.Handler, bad func(format string, args ...any)) {
	if c.retries < -1 || c.retries > maxRetries {
		bad("WithMaxRetryAttempts(%d): want 0 to %d, or -1 for no limit", c.retries, maxRetries)
	}
	if c.maxAge != -1 && (c.maxAge < minAge || c.maxAge > maxAge) {
		bad("WithMaxRecordAge(%v): want %v to %v, or -1 for no limit", c.maxAge, minAge, maxAge)
	}
	if c.tumbling < 0 || c.tumbling > maxTumbling || c.tumbling%time.Second != 0 {
		bad("WithTumblingWindow(%v): want whole seconds from 0s to %v", c.tumbling, maxTumbling)
	}
	windows := c.tumbling > 0
	switch {
	case windows && c.factor > 1:
		bad("WithTumblingWindow(%v) with WithParallelizationFactor(%d): windows want a factor of 1", c.tumbling, c.factor)
	case windows && len(c.patterns) > 0:
		bad("WithTumblingWindow(%v) with WithFilter: windows want no filter", c.tumbling)
	}
	switch kind := h.Kind(); {
	case windows && kind != batch.Windowed && kind != batch.JSON && kind != 0:
		bad("WithTumblingWindow(%v) with a handler of the %s form: want one that takes events.KinesisTimeWindowEvent, or JSON", c.tumbling, kind)
	case !windows && kind == batch.Windowed:
		bad("the handler takes events.KinesisTimeWindowEvent: want WithTumblingWindow")
	}
	if c.given["WithReportBatchItemFailures"] && h.Kind() != batch.JSON && h.Kind() != 0 {
		bad("WithReportBatchItemFailures(%t): the type of a handler of the %s form decides; want a handler of the JSON form", c.reports, h.Kind())
	}
	if c.idleWindow < 0 {
		bad("WithWindowIdle(%v): want 0s or more", c.idleWindow)
	}
	if c.given["WithWindowIdle"] && !windows {
		bad("WithWindowIdle(%v) without WithTumblingWindow: give both", c.idleWindow)
	}
	var err error
	if c.filter, err = filter.Compile(c.patterns...); err != nil {
		bad("WithFilter: %w", err)
	}
	if c.given["WithOnFailure"] && isNil(c.destination) {
		bad("WithOnFailure(nil): want a batch.Destination")
	} else if v, ok := c.destination.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			bad("WithOnFailure: %w", err)
		}
	}
	if c.timeout <= 0 && c.timeout != -1 {
		bad("WithHandlerTimeout(%v): want more than 0s, or -1 for none", c.timeout)
	}
	if c.given["WithMaxConcurrency"] && c.concurrency < 1 {
		bad("WithMaxConcurrency(%d): want 1 or more", c.concurrency)
	}
	if c.payload != -1 && c.payload < minPayload {
		bad("WithPayloadLimit(%d): want %d bytes or more, or -1 for none", c.payload, minPayload)
	}
	if c.backoffBase < time.Millisecond || !(c.backoffFactor >= 1 && c.backoffFactor <= 10) || c.backoffCap < c.backoffBase || c.backoffCap > time.Hour {
		bad("WithBackoff(%v, %v, %v): want a base of 1ms or more, a factor of 1 to 10, and a limit from the base to 1h0m0s",
			c.backoffBase, c.backoffFactor, c.backoffCap)
	}
	if c.given["WithMappingUUID"] && c.mappingUUID == "" {
		bad("WithMappingUUID(%q): want a UUID", c.mappingUUID)
	}
}
