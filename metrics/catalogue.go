package metrics

import "log/slog"

// Lambda's metrics, by Lambda's names. The engine records them once per page
// or per attempt, never per record.
var (
	// IteratorAge is the age of the last record of an attempt, taken at its
	// start: max(0, now - arrival). Nothing is recorded while a shard is idle.
	IteratorAge = &Metric{Name: "IteratorAge", Unit: "ms", Help: "Age of the last record of a batch when its handler starts.", Kind: Histogram}
	// PolledEventCount counts records read, before any filter and without
	// those behind an ending position. An empty read records 0.
	PolledEventCount = &Metric{Name: "PolledEventCount", Unit: "records", Help: "Records read from the stream.", Kind: Counter}
	// InvokedEventCount counts records passed to the handler, once more for
	// every attempt.
	InvokedEventCount = &Metric{Name: "InvokedEventCount", Unit: "records", Help: "Records passed to the handler, counted again on every attempt.", Kind: Counter}
	// FailedInvokeEventCount counts all records of each attempt that failed or
	// was throttled by its handler, at the attempt's end.
	FailedInvokeEventCount = &Metric{Name: "FailedInvokeEventCount", Unit: "records", Help: "Records of attempts that failed.", Kind: Counter}
)

// What became of records that no handler took, by Lambda's names, and two of ours.
var (
	// FilteredOutEventCount counts records that no filter pattern matched; it
	// is recorded only where there are filters.
	FilteredOutEventCount = &Metric{Name: "FilteredOutEventCount", Unit: "records", Help: "Records removed by filters.", Kind: Counter}
	// DroppedEventCount counts records given up, by age or retry limit, that no
	// destination received, and so all of them where there is none. Those
	// lost by retention are not among them.
	DroppedEventCount = &Metric{Name: "DroppedEventCount", Unit: "records", Help: "Records given up that no destination received.", Kind: Counter}
	// OnFailureDestinationDeliveredEventCount counts the records described by
	// delivered documents.
	OnFailureDestinationDeliveredEventCount = &Metric{Name: "OnFailureDestinationDeliveredEventCount", Unit: "records", Help: "Records given up whose document was delivered.", Kind: Counter}
	// DestinationDeliveryFailures counts failed deliveries, 1 for each; their
	// records also count as dropped.
	DestinationDeliveryFailures = &Metric{Name: "DestinationDeliveryFailures", Unit: "calls", Help: "Deliveries to the on-failure destination that failed.", Kind: Counter}
	// RetentionLostEventCount counts records that left the stream by retention
	// while they waited in memory.
	RetentionLostEventCount = &Metric{Name: "RetentionLostEventCount", Unit: "records", Help: "Records lost by retention while they waited.", Kind: Counter}
	// OutOfRangeEventCount counts user records of aggregates whose hash key is
	// another shard's, delivered or left out.
	OutOfRangeEventCount = &Metric{Name: "OutOfRangeEventCount", Unit: "records", Help: "User records outside of their shard's hash key range.", Kind: Counter}
)

// The four ages of a shard, one per place where a record can wait. They answer
// "how far behind, and where": a growing HeadAge with small others is a reader
// at its limit, a growing QueueAge a slow or failing handler, a growing
// CheckpointAge alone a store in trouble. Over several shards their maximum
// counts, never their sum. They are recorded every 10 s while a shard is owned,
// before its checkpoint is written, and as 0 when it is given up.
var (
	// HeadAge is how far the newest record read is behind the tip of the shard
	// by the service's clock: MillisBehindLatest of the last read that has it,
	// in seconds, and the time since while reads fail, hang, or do not have it.
	// It is 0 when that read reached the tip.
	HeadAge = &Metric{Name: "HeadAge", Unit: "s", Help: "Distance of the newest record read from the tip of the shard, by the service's clock.", Kind: Gauge}
	// ReadAge is the time since the last successful read of the shard, empty
	// reads included. It is 0 when all of the shard has been read.
	ReadAge = &Metric{Name: "ReadAge", Unit: "s", Help: "Time since the last successful read.", Kind: Gauge}
	// QueueAge is the age, now - arrival, of the oldest record read that has no
	// outcome yet. It is 0 when every record read has one.
	QueueAge = &Metric{Name: "QueueAge", Unit: "s", Help: "Age of the oldest record read that has no outcome yet.", Kind: Gauge}
	// CheckpointAge is the age, now - arrival, of the oldest record read that
	// the stored checkpoint does not cover. It is 0 when the stored checkpoint
	// covers all that was read. Checkpoints are written every 10 s, so that up
	// to 10 s are the rule while records come.
	CheckpointAge = &Metric{Name: "CheckpointAge", Unit: "s", Help: "Age of the oldest record read that the stored checkpoint does not cover.", Kind: Gauge}
)

// What the engine holds and what it costs.
var (
	// LanesBusy is the number of lanes of a shard whose handler runs now,
	// recorded whenever it changes.
	LanesBusy = &Metric{Name: "LanesBusy", Unit: "lanes", Help: "Lanes whose handler runs now.", Kind: Gauge}
	// ReadAheadBytes is what a shard is charged for: pages that still have a
	// record without an outcome, their data and keys twice because attempts
	// get copies, and 400 bytes per record. Recorded with the ages.
	ReadAheadBytes = &Metric{Name: "ReadAheadBytes", Unit: "bytes", Help: "Bytes of pages and attempts held in memory.", Kind: Gauge}
	// StoreWrites counts Swaps sent to the checkpoint store, whatever came of
	// them. It has no shard.
	StoreWrites = &Metric{Name: "StoreWrites", Unit: "calls", Help: "Writes sent to the checkpoint store.", Kind: Counter}
)

// Events. Each is a Counter that the engine raises by 1 together with one log
// record, of the event's level or higher, and one notice of the same name. A
// step that keeps failing is logged at its level once a minute, in between at
// DEBUG.
var (
	// AggregatesRaw: KPL aggregates are handed over as they are, as Lambda does
	// when it polls; once per shard, unless WithDeaggregation says so.
	AggregatesRaw = warning("AggregatesRaw", "Shards whose KPL aggregates are handed over as they are.")
	// CheckpointFailed: the row of an owned shard could not be written, for a
	// checkpoint, a release or an end; it is tried again.
	CheckpointFailed = warning("CheckpointFailed", "Checkpoint writes that failed and are tried again.")
	// ConsumerStarted: the stream is described and the first shards are
	// claimed; the notice says where each resumes.
	ConsumerStarted = info("ConsumerStarted", "Starts of a consumer.")
	// ConsumerStopped: Run has ended; the notice says after how long.
	ConsumerStopped = info("ConsumerStopped", "Ends of a consumer.")
	// DestinationFailed: a document was not delivered, and its records are
	// dropped.
	DestinationFailed = fault("DestinationFailed", "Deliveries to the on-failure destination that failed.")
	// DrainTimedOut: handlers of a shard still ran when the drain timeout
	// ended, and gave up with their context.
	DrainTimedOut = warning("DrainTimedOut", "Drains that ended by their timeout.")
	// FanOutIdle: the group has read through stream consumers that this worker
	// does not read through, and that cost money as long as they are registered.
	FanOutIdle = warning("FanOutIdle", "Starts that found stream consumers of the group that the worker does not read through.")
	// FanOutRegistration: a stream consumer is about to be registered, or was
	// found. The notice says in which units it is paid.
	FanOutRegistration = info("FanOutRegistration", "Stream consumers that were registered or found.")
	// FanOutResumed: subscriptions to a shard work again, and it is not polled
	// any more.
	FanOutResumed = info("FanOutResumed", "Shards that are read by enhanced fan-out again.")
	// FanOutSuspended: subscriptions to a shard have failed for as long as
	// WithPollingFallback says, and it is polled.
	FanOutSuspended = warning("FanOutSuspended", "Shards that are polled because subscriptions fail.")
	// HandOverWithdrawn: a shard that was to be given to another worker stays,
	// because a handler ignores its context.
	HandOverWithdrawn = warning("HandOverWithdrawn", "Shards that were not given away because a handler still runs.")
	// HandedOver: a shard was given to another worker, which has joined or has
	// fewer shards.
	HandedOver = info("HandedOver", "Shards given to another worker.")
	// HandlerFailed: an attempt failed or was throttled: by an error, by
	// item failures, by runtime.Goexit; its slice is tried again.
	HandlerFailed = warning("HandlerFailed", "Attempts that returned an error.")
	// HandlerOverstayed: an attempt did not return within 2 s after the handler
	// timeout; its lane waits for it.
	HandlerOverstayed = warning("HandlerOverstayed", "Attempts that did not return at their timeout.")
	// HandlerPanicked: an attempt panicked; its slice is tried again.
	HandlerPanicked = warning("HandlerPanicked", "Attempts that panicked.")
	// HandlerRunning: a handler ignores its context after the drain timeout;
	// its shard is not released.
	HandlerRunning = fault("HandlerRunning", "Handlers that outlived the drain timeout.")
	// HashRangeHole: known shards do not cover the whole hash range. The
	// engine mends a hole by putting the rows that are missing, and does not
	// raise this yet.
	HashRangeHole = warning("HashRangeHole", "Holes found in the hash range of the known shards.")
	// ItemFailuresIgnored: the JSON of a response names item failures, and
	// nothing reads them: their records count as handled. At most once a
	// minute.
	ItemFailuresIgnored = warning("ItemFailuresIgnored", "Responses with item failures that were not read, at most one a minute.")
	// IteratorExpired: a shard iterator expired and was replaced.
	IteratorExpired = info("IteratorExpired", "Shard iterators that expired and were replaced.")
	// LeaseLost: a row shows that the shard has another owner; work on it
	// stops.
	LeaseLost = warning("LeaseLost", "Leases lost to another owner.")
	// LeaseTakenOver: a shard was claimed from an owner who had not released
	// it.
	LeaseTakenOver = warning("LeaseTakenOver", "Leases claimed from an owner who had not released them.")
	// MappingIgnored: the JSON of an event source mapping says something that
	// has no meaning here, or that the handler's type contradicts.
	MappingIgnored = warning("MappingIgnored", "Settings of an event source mapping that have no effect.")
	// MappingResumed: a group begins a minute before a disabled event source
	// mapping was modified for the last time. What Lambda had not handled by
	// then is skipped.
	MappingResumed = warning("MappingResumed", "First starts at the time when an event source mapping was disabled.")
	// ObserverPanicked: a recorder, logger or notice function panicked, or ended its goroutine.
	ObserverPanicked = warning("ObserverPanicked", "Panics of a recorder, logger or notice function.")
	// OutOfRange: user records of aggregates have hash keys of other shards. The
	// notice says whether they were left out, or, once for each shard, that they
	// are delivered.
	OutOfRange = warning("OutOfRange", "Reads with user records outside of their shard's hash key range.")
	// PatternKeyUnknown: a filter pattern names a key that no record has; it
	// sees an absent field.
	PatternKeyUnknown = warning("PatternKeyUnknown", "Filter patterns that name a key that no record has.")
	// ReadFailed: a call of Kinesis failed for another reason than a throttle
	// or an expired iterator; it is tried again. Without a shard it is one
	// that lists or describes.
	ReadFailed = warning("ReadFailed", "Reads that failed and are tried again.")
	// ReadThrottled: a read was throttled; it is tried again.
	ReadThrottled = warning("ReadThrottled", "Reads that were throttled and are tried again.")
	// RecordsDiscarded: records were given up, by retry limit or age; they are
	// in the destination, or counted as dropped.
	RecordsDiscarded = warning("RecordsDiscarded", "Times that records were given up.")
	// RetentionLost: records were, or may have been, dropped by the stream
	// before they were read: a position or a shard is gone, or the reader or
	// the checkpoint lags by more than the retention. It counts
	// occasions, not records.
	RetentionLost = fault("RetentionLost", "Times that reading had to skip records lost by retention.")
	// Recovered: a step that had failed for 10 s or longer works again. The
	// notice says for how long it had failed, and how many tries it took.
	Recovered = info("Recovered", "Steps that work again after they failed for 10 s or longer.")
	// RowRestored: the row of an owned shard was gone and was put back.
	RowRestored = warning("RowRestored", "Store rows that were gone and were put back.")
	// RowUnreadable: a store row cannot be decoded; its shard waits.
	RowUnreadable = warning("RowUnreadable", "Store rows that cannot be decoded.")
	// RowVersion: a store row was written by a newer version; its shard waits.
	RowVersion = warning("RowVersion", "Store rows of a newer version, left alone.")
	// SequenceUnreadable: the service numbers a record with something that is
	// no number; its shard keeps no checkpoint.
	SequenceUnreadable = warning("SequenceUnreadable", "Checkpoints that could not be made of the service's sequence numbers.")
	// SettingsDiffer: another live worker of the group has handled the stream by
	// other settings, such as batch size or factor, for 15 min, longer than a
	// deploy takes. It is told once, until the settings are the same again.
	SettingsDiffer = warning("SettingsDiffer", "Times workers of the group had different settings for 15 min.")
	// ShardEnded: a shard was read to its end and its end is stored.
	ShardEnded = info("ShardEnded", "Shards finished, their end stored.")
	// SpanLimited: the distance between the oldest record without an outcome
	// and the newest one read reached its cap of 1,000,000; the shard waits.
	SpanLimited = warning("SpanLimited", "Times that a shard waited at the cap of its span.")
	// StoreFailed: a store call other than a checkpoint failed; it is tried
	// again.
	StoreFailed = warning("StoreFailed", "Store calls that failed and are tried again.")
	// StoreRollback: a row has a lower epoch than one this worker has written:
	// the store lost acknowledged writes. Work on that shard stops.
	StoreRollback = fault("StoreRollback", "Rows whose epoch went back: the store lost acknowledged writes.")
	// StreamRecreated: the stream was deleted and created again under its name.
	StreamRecreated = fault("StreamRecreated", "Streams that were deleted and created again.")
	// VolatileStore: a consumer without an ending position was given no store,
	// and forgets its progress when the process ends.
	VolatileStore = warning("VolatileStore", "Starts with a store that forgets everything at exit.")
	// WorkerDead: this worker has declared another one of the group dead; the
	// shards of that one are free.
	WorkerDead = warning("WorkerDead", "Workers of the group that were declared dead.")
	// WorkerFenced: the others have declared this worker dead; it has dropped
	// its shards and has joined again.
	WorkerFenced = warning("WorkerFenced", "Times this worker was declared dead by the others.")
	// WorkerTwin: another live worker of the group has the same name.
	WorkerTwin = warning("WorkerTwin", "Workers of the group with the name of this one.")
)

// info returns the counter of an event of a normal life.
func info(name, help string) *Metric { return event(slog.LevelInfo, name, help) }

// warning returns the counter of a possible loss, a gap, a take-over, a degraded mode, or a step that failed.
func warning(name, help string) *Metric { return event(slog.LevelWarn, name, help) }

// fault returns the counter of an event that nothing mends by itself: a loss, or a shard that stands still.
func fault(name, help string) *Metric { return event(slog.LevelError, name, help) }

func event(level slog.Level, name, help string) *Metric {
	return &Metric{Name: name, Unit: "events", Help: help, Kind: Counter, Level: level}
}

// Events returns the counters of all events, sorted by name. The slice is the
// caller's.
func Events() []*Metric {
	return []*Metric{
		AggregatesRaw, CheckpointFailed, ConsumerStarted, ConsumerStopped, DestinationFailed, DrainTimedOut,
		FanOutIdle, FanOutRegistration, FanOutResumed, FanOutSuspended, HandOverWithdrawn, HandedOver,
		HandlerFailed, HandlerOverstayed,
		HandlerPanicked, HandlerRunning, HashRangeHole, ItemFailuresIgnored, IteratorExpired, LeaseLost, LeaseTakenOver, MappingIgnored,
		MappingResumed,
		ObserverPanicked, OutOfRange, PatternKeyUnknown, ReadFailed, ReadThrottled, RecordsDiscarded,
		Recovered, RetentionLost, RowRestored, RowUnreadable, RowVersion, SequenceUnreadable, SettingsDiffer, ShardEnded, SpanLimited, StoreFailed,
		StoreRollback, StreamRecreated, VolatileStore, WorkerDead, WorkerFenced, WorkerTwin,
	}
}

// All returns the whole catalogue: Lambda's metrics, the ages, what is held and
// what it costs, then the events. The slice is the caller's.
func All() []*Metric {
	return append([]*Metric{
		IteratorAge, PolledEventCount, InvokedEventCount, FailedInvokeEventCount,
		FilteredOutEventCount, DroppedEventCount, OnFailureDestinationDeliveredEventCount,
		DestinationDeliveryFailures, RetentionLostEventCount, OutOfRangeEventCount,
		HeadAge, ReadAge, QueueAge, CheckpointAge,
		LanesBusy, ReadAheadBytes, StoreWrites,
	}, Events()...)
}

// Event returns the counter of the event called name, or nil if the catalogue
// has no such event.
func Event(name string) *Metric {
	for _, m := range Events() {
		if m.Name == name {
			return m
		}
	}
	return nil
}
