package metrics

// Lambda's metrics, by Lambda's names. The engine records them once per page
// or per attempt, never per record.
var (
	// IteratorAge is the age of the last record of an attempt, taken at its
	// start: max(0, now - arrival). Nothing is recorded while a shard is idle
	// (C18).
	IteratorAge = &Metric{"IteratorAge", "ms", "Age of the last record of a batch when its handler starts.", Histogram}
	// PolledEventCount counts records read, before any filter and without
	// those behind an ending position. An empty read records 0.
	PolledEventCount = &Metric{"PolledEventCount", "records", "Records read from the stream.", Counter}
	// InvokedEventCount counts records passed to the handler, once more for
	// every attempt.
	InvokedEventCount = &Metric{"InvokedEventCount", "records", "Records passed to the handler, counted again on every attempt.", Counter}
	// FailedInvokeEventCount counts all records of each attempt that failed or
	// was throttled by its handler (C13), at the attempt's end.
	FailedInvokeEventCount = &Metric{"FailedInvokeEventCount", "records", "Records of attempts that failed.", Counter}
)

// What became of records that no handler took, by Lambda's names, and two of ours.
var (
	// FilteredOutEventCount counts records that no filter pattern matched; it
	// is recorded only where there are filters.
	FilteredOutEventCount = &Metric{"FilteredOutEventCount", "records", "Records removed by filters.", Counter}
	// DroppedEventCount counts records given up, by age or retry limit, that no
	// destination received, and so all of them where there is none (C18). Those
	// lost by retention are not among them (L67).
	DroppedEventCount = &Metric{"DroppedEventCount", "records", "Records given up that no destination received.", Counter}
	// OnFailureDestinationDeliveredEventCount counts the records described by
	// delivered documents.
	OnFailureDestinationDeliveredEventCount = &Metric{"OnFailureDestinationDeliveredEventCount", "records", "Records given up whose document was delivered.", Counter}
	// DestinationDeliveryFailures counts failed deliveries, 1 for each; their
	// records also count as dropped.
	DestinationDeliveryFailures = &Metric{"DestinationDeliveryFailures", "calls", "Deliveries to the on-failure destination that failed.", Counter}
	// RetentionLostEventCount counts records that left the stream by retention
	// while they waited in memory (C10).
	RetentionLostEventCount = &Metric{"RetentionLostEventCount", "records", "Records lost by retention while they waited.", Counter}
	// OutOfRangeEventCount counts user records of aggregates that were left out
	// because their hash key is not the shard's (L65).
	OutOfRangeEventCount = &Metric{"OutOfRangeEventCount", "records", "User records outside of their shard's hash key range.", Counter}
)

// The four ages of a shard, one per place where a record can wait. They answer
// "how far behind, and where": a growing HeadAge with small others is a reader
// at its limit, a growing QueueAge a slow or failing handler, a growing
// CheckpointAge alone a store in trouble. Over several shards their maximum
// counts, never their sum. They are recorded every 10 s while a shard is owned,
// before its checkpoint is written; a shard that has ended keeps the last value.
var (
	// HeadAge is how far the newest record read is behind the tip of the shard
	// by the service's clock: MillisBehindLatest of the last successful read,
	// in seconds. It is 0 when that read reached the tip.
	HeadAge = &Metric{"HeadAge", "s", "Distance of the newest record read from the tip of the shard, by the service's clock.", Gauge}
	// ReadAge is the time since the last successful read of the shard, empty
	// reads included. HeadAge is only as fresh as ReadAge is small.
	ReadAge = &Metric{"ReadAge", "s", "Time since the last successful read.", Gauge}
	// QueueAge is the age, now - arrival, of the oldest record read that has no
	// outcome yet. It is 0 when every record read has one.
	QueueAge = &Metric{"QueueAge", "s", "Age of the oldest record read that has no outcome yet.", Gauge}
	// CheckpointAge is the age, now - arrival, of the oldest record read that
	// the stored checkpoint does not cover. It is 0 when the stored checkpoint
	// covers all that was read. Checkpoints are written every 10 s, so that up
	// to 10 s are the rule while records come.
	CheckpointAge = &Metric{"CheckpointAge", "s", "Age of the oldest record read that the stored checkpoint does not cover.", Gauge}
)

// What the engine holds and what it costs.
var (
	// LanesBusy is the number of lanes of a shard whose handler runs now,
	// recorded whenever it changes.
	LanesBusy = &Metric{"LanesBusy", "lanes", "Lanes whose handler runs now.", Gauge}
	// ReadAheadBytes is what a shard is charged for: pages that still have a
	// record without an outcome, their data and keys twice because attempts
	// get copies, and 400 bytes per record. Recorded with the ages.
	ReadAheadBytes = &Metric{"ReadAheadBytes", "bytes", "Bytes of pages and attempts held in memory.", Gauge}
	// StoreWrites counts Swaps sent to the checkpoint store, whatever came of
	// them. It has no shard.
	StoreWrites = &Metric{"StoreWrites", "calls", "Writes sent to the checkpoint store.", Counter}
)

// Events. Each is a Counter that the engine raises by 1 together with one log
// record and one notice of the same name.
var (
	// AggregatesRaw: KPL aggregates are handed over as they are, as Lambda does
	// when it polls (L63); once per shard, unless WithDeaggregation says so.
	AggregatesRaw = event("AggregatesRaw", "Shards whose KPL aggregates are handed over as they are.")
	// CheckpointFailed: the row of an owned shard could not be written, for a
	// checkpoint, a release or an end; it is tried again.
	CheckpointFailed = event("CheckpointFailed", "Checkpoint writes that failed and are tried again.")
	// DestinationFailed: a document was not delivered, and its records are
	// dropped (C23).
	DestinationFailed = event("DestinationFailed", "Deliveries to the on-failure destination that failed.")
	// DrainTimedOut: handlers of a shard still ran when the drain timeout
	// ended, and gave up with their context.
	DrainTimedOut = event("DrainTimedOut", "Drains that ended by their timeout.")
	// HandlerFailed: an attempt failed or was throttled (C13): by an error, by
	// item failures, by runtime.Goexit; its slice is tried again.
	HandlerFailed = event("HandlerFailed", "Attempts that returned an error.")
	// HandlerOverstayed: an attempt did not return within 2 s after the handler
	// timeout; its lane waits for it (C14).
	HandlerOverstayed = event("HandlerOverstayed", "Attempts that did not return at their timeout.")
	// HandlerPanicked: an attempt panicked; its slice is tried again.
	HandlerPanicked = event("HandlerPanicked", "Attempts that panicked.")
	// HandlerRunning: a handler ignores its context after the drain timeout;
	// its shard is not released.
	HandlerRunning = event("HandlerRunning", "Handlers that outlived the drain timeout.")
	// HashRangeHole: known shards do not cover the whole hash range. The
	// engine mends a hole by putting the rows that are missing, and does not
	// raise this yet.
	HashRangeHole = event("HashRangeHole", "Holes found in the hash range of the known shards.")
	// IteratorExpired: a shard iterator expired and was replaced.
	IteratorExpired = event("IteratorExpired", "Shard iterators that expired and were replaced.")
	// LeaseLost: a row shows that the shard has another owner; work on it
	// stops.
	LeaseLost = event("LeaseLost", "Leases lost to another owner.")
	// LeaseTakenOver: a shard was claimed from an owner who had not released
	// it.
	LeaseTakenOver = event("LeaseTakenOver", "Leases claimed from an owner who had not released them.")
	// MappingIgnored: the JSON of an event source mapping says something that
	// has no meaning here, or that the handler's type contradicts.
	MappingIgnored = event("MappingIgnored", "Settings of an event source mapping that have no effect.")
	// ObserverPanicked: a recorder, logger or notice function panicked.
	ObserverPanicked = event("ObserverPanicked", "Panics of a recorder, logger or notice function.")
	// OutOfRange: user records of aggregates were left out because their hash
	// key is not the shard's (L65).
	OutOfRange = event("OutOfRange", "Reads with user records outside of their shard's hash key range.")
	// PatternKeyUnknown: a filter pattern names a key that no record has; it
	// sees an absent field (C16).
	PatternKeyUnknown = event("PatternKeyUnknown", "Filter patterns that name a key that no record has.")
	// ReadFailed: a call of Kinesis failed for another reason than a throttle
	// or an expired iterator; it is tried again. Without a shard it is one
	// that lists or describes.
	ReadFailed = event("ReadFailed", "Reads that failed and are tried again.")
	// ReadThrottled: a read was throttled; it is tried again.
	ReadThrottled = event("ReadThrottled", "Reads that were throttled and are tried again.")
	// RecordsDiscarded: records were given up, by retry limit or age; they are
	// in the destination, or counted as dropped.
	RecordsDiscarded = event("RecordsDiscarded", "Times that records were given up.")
	// RetentionLost: records were, or may have been, dropped by the stream
	// before they were read: a position or a shard is gone, or the reader or
	// the checkpoint lags by more than the retention (C10). It counts
	// occasions, not records.
	RetentionLost = event("RetentionLost", "Times that reading had to skip records lost by retention.")
	// RowRestored: the row of an owned shard was gone and was put back.
	RowRestored = event("RowRestored", "Store rows that were gone and were put back.")
	// RowUnreadable: a store row cannot be decoded; its shard waits.
	RowUnreadable = event("RowUnreadable", "Store rows that cannot be decoded.")
	// RowVersion: a store row was written by a newer version; its shard waits.
	RowVersion = event("RowVersion", "Store rows of a newer version, left alone.")
	// ShardEnded: a shard was read to its end and its end is stored.
	ShardEnded = event("ShardEnded", "Shards finished, their end stored.")
	// SpanLimited: the distance between the oldest record without an outcome
	// and the newest one read reached its cap of 1,000,000; the shard waits.
	SpanLimited = event("SpanLimited", "Times that a shard waited at the cap of its span.")
	// StoreFailed: a store call other than a checkpoint failed; it is tried
	// again.
	StoreFailed = event("StoreFailed", "Store calls that failed and are tried again.")
	// StoreRollback: a row has a lower epoch than one this worker has written:
	// the store lost acknowledged writes. Work on that shard stops.
	StoreRollback = event("StoreRollback", "Rows whose epoch went back: the store lost acknowledged writes.")
	// StreamRecreated: the stream was deleted and created again under its name.
	StreamRecreated = event("StreamRecreated", "Streams that were deleted and created again.")
	// VolatileStore: a consumer without an ending position was given no store,
	// and forgets its progress when the process ends.
	VolatileStore = event("VolatileStore", "Starts with a store that forgets everything at exit.")
)

// event returns the counter of the event called name.
func event(name, help string) *Metric {
	return &Metric{Name: name, Unit: "events", Help: help, Kind: Counter}
}

// Events returns the counters of all events, sorted by name. The slice is the
// caller's.
func Events() []*Metric {
	return []*Metric{
		AggregatesRaw, CheckpointFailed, DestinationFailed, DrainTimedOut, HandlerFailed, HandlerOverstayed,
		HandlerPanicked, HandlerRunning, HashRangeHole, IteratorExpired, LeaseLost, LeaseTakenOver, MappingIgnored,
		ObserverPanicked, OutOfRange, PatternKeyUnknown, ReadFailed, ReadThrottled, RecordsDiscarded, RetentionLost, RowRestored, RowUnreadable, RowVersion, ShardEnded, SpanLimited, StoreFailed,
		StoreRollback, StreamRecreated, VolatileStore,
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
