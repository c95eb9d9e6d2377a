package kinesistest

import "time"

// A Request is a call as a control function sees it.
type Request struct {
	Op     string    // "GetRecords"
	Stream string    // name, "" when the request names none
	Shard  string    // "" when the request is about no shard; of an iterator, its shard
	Time   time.Time // of arrival, by the clock of this process
	Body   []byte    // JSON, nil of an event; not to be changed
}

// A Fault is something that goes wrong with a call. The functions that make one say how many calls it is for; a count
// of 0 or less means every call until it is stopped ([Injected.Stop]). Its methods narrow it and return it, so that one
// line says which calls:
//
//	srv.Fail("GetRecords", kinesistest.Throttle(3).OnShard("shardId-000000000001").After(10))
//
// Faults of two kinds meet a call together or take turns, see [Server.Fail]. A Fault is of use only once it is given to
// Fail, which copies it, or returned to [Server.Control].
type Fault struct {
	count  int
	stream string
	shard  string
	skip   int
	lasts  time.Duration
	rate   float64
	does   func(c *call, e *effects)
	ends   bool     // it decides the call's outcome: at most one such fault meets a call
	only   []string // operations
}

// effects is what the faults of one call come to.
type effects struct {
	before     error // answered instead of an effect
	after      error // answered after the effect
	delay      time.Duration
	hang       bool
	empty      bool
	expire     bool
	repeat     bool
	childless  bool
	orphans    bool
	lag        *time.Duration
	failPuts   int // every so many-th record of PutRecords fails
	failPutsBy string
	page       int // shards of a page
	late       time.Duration
	drip       time.Duration
	omit       []string // fields of the answer
	noIterator bool
	refuseEnd  bool
	keep       func(size int) int // bytes of a body that go out
	stall      bool               // then nothing does, but the connection stays

	noInitial       bool // no initial-response
	corrupt         bool
	endEarly        bool
	oldContinuation bool
}

func fault(n int, ends bool, does func(*call, *effects)) *Fault {
	return &Fault{count: n, ends: ends, does: does}
}

// Throttle refuses n calls: with ProvisionedThroughputExceededException where a shard is read or written (GetRecords,
// GetShardIterator, PutRecord, PutRecords), with LimitExceededException elsewhere. The calls have no effect.
func Throttle(n int) *Fault {
	return fault(n, true, func(c *call, e *effects) {
		switch c.Op {
		case "GetRecords", "GetShardIterator", "PutRecord", "PutRecords":
			e.before = refuse("ProvisionedThroughputExceededException", "Rate exceeded for shard %s in stream %s under account %s.", c.Shard, c.Stream, account)
		default:
			e.before = refuse("LimitExceededException", "Rate exceeded for stream %s under account %s.", c.Stream, account)
		}
	})
}

// Error refuses n calls with an error code: "InternalFailure" and "ServiceUnavailable" come with HTTP status 500 and
// 503, every other code, as "AccessDeniedException" or "KMSThrottlingException", with 400. The call has no effect.
func Error(code string, n int) *Fault {
	return fault(n, true, func(_ *call, e *effects) { e.before = refuse(code, "kinesistest: error on request") })
}

// ErrorAfter carries n calls out and then answers them with an error code, as in [Error]: what the caller takes for a
// failure has taken effect. A record put so is in the stream, and comes twice if the caller puts it again.
func ErrorAfter(code string, n int) *Fault {
	return fault(n, true, func(_ *call, e *effects) { e.after = refuse(code, "kinesistest: error on request") })
}

// Delay makes n calls take effect, and be answered, later by d, on top of the latency. Several delays add up.
func Delay(d time.Duration, n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.delay += d })
}

// Drop closes the connection of n calls without an answer. The calls have no effect, but the caller sees the same as
// after [DropAfter]: an EOF or a reset, and no status.
func Drop(n int) *Fault {
	return fault(n, true, func(_ *call, e *effects) { e.before = errDropped })
}

// DropAfter carries n calls out and then closes their connections without an answer: the caller cannot know that they
// took effect.
func DropAfter(n int) *Fault {
	return fault(n, true, func(_ *call, e *effects) { e.after = errDropped })
}

// Hang never answers n calls, which have no effect: their connections stay open until the caller gives up or the server
// is closed. The SDK's client has no time limit of its own; that of the call's context is the only one. Such calls are
// missing in [Server.Calls].
func Hang(n int) *Fault {
	return fault(n, true, func(_ *call, e *effects) { e.hang = true })
}

// Truncate carries n calls out and closes their connections after half of the answer's body. Status and headers say
// success, and the caller fails while it reads the body. Of an event, half arrives; the SDK's client may take that for an
// end without an error.
func Truncate(n int) *Fault {
	return fault(n, true, func(_ *call, e *effects) { e.keep = func(size int) int { return size / 2 } })
}

// CutAfter carries n calls out and closes their connections after so many bytes of the answer's body, 0 or more. Status and
// headers say success. An answer that is no longer than that arrives unharmed.
func CutAfter(bytes, n int) *Fault {
	return fault(n, true, func(_ *call, e *effects) { e.keep = func(int) int { return max(bytes, 0) } })
}

// StallAfter is [CutAfter] with a connection that stays open: nothing more comes, until the caller gives up or the server is
// closed.
func StallAfter(bytes, n int) *Fault {
	return fault(n, true, func(_ *call, e *effects) { e.keep, e.stall = func(int) int { return max(bytes, 0) }, true })
}

// EmptyPages makes n GetRecords calls, or events, return no record although there are some, with an iterator that goes on
// and a MillisBehindLatest above 0. The service does so for a sparse shard; a reader that takes an empty page for the tip
// stops too early. Where there is no record it changes nothing.
func EmptyPages(n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.empty = true }).of("GetRecords", pushOp)
}

// ExpireIterators refuses n GetRecords calls with ExpiredIteratorException, as if their iterators were older than
// 5 minutes.
func ExpireIterators(n int) *Fault {
	return fault(n, true, func(_ *call, e *effects) { e.expire = true }).of("GetRecords")
}

// RepeatPages makes n GetRecords calls return their records with an iterator that reads the same page again, also at the
// end of a shard: a caller that trusts the iterator delivers records twice. Of n events of a subscription, the records
// come again in the next one.
func RepeatPages(n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.repeat = true }).of("GetRecords", pushOp)
}

// WrongLag makes n GetRecords calls, or events, return d as MillisBehindLatest, whatever their page. With 0 a shard seems
// caught up that is not.
func WrongLag(d time.Duration, n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.lag = &d }).of("GetRecords", pushOp)
}

// HideChildren makes n GetRecords calls, or events, that come to a shard's end leave ChildShards out, as some emulators do:
// children have to be found by ListShards.
func HideChildren(n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.childless = true }).of("GetRecords", pushOp)
}

// NoIterators makes n GetShardIterator calls answer with success and without an iterator where a closed shard has nothing
// more to read from the position that is asked for. A reader that asks again until it gets one asks for ever.
func NoIterators(n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.noIterator = true }).of("GetShardIterator")
}

// RefuseEnds makes n GetShardIterator or SubscribeToShard calls that ask AFTER_SEQUENCE_NUMBER get InvalidArgumentException
// where a closed shard has nothing after the number, as after its last record. A reader that takes it for a bad number and
// starts again reads the shard twice.
func RefuseEnds(n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.refuseEnd = true }).of("GetShardIterator", "SubscribeToShard")
}

// Omit makes n calls leave a field out of their answers, wherever it stands in them: one that the API has as optional.
// With "ApproximateArrivalTimestamp" on GetRecords, nobody knows when the records of a page arrived. Several of them leave
// out several fields. Refusals are not concerned.
func Omit(field string, n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.omit = append(e.omit, field) })
}

// HideParents makes n ListShards calls leave out which shards are the parents of which (ParentShardId and
// AdjacentParentShardId of every shard).
func HideParents(n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.orphans = true }).of("ListShards")
}

// ShortPages makes n ListShards or ListStreamConsumers calls return at most so many shards or consumers, 1 if it is less,
// and a NextToken for the rest.
func ShortPages(shards, n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.page = max(shards, 1) }).of("ListShards", "ListStreamConsumers")
}

// ListLate makes n ListShards calls leave out shards that were created less than d ago: a list from before a split, whose
// parent is closed in it already.
func ListLate(d time.Duration, n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.late = d }).of("ListShards")
}

// Drip makes n calls send the body of their answer in 16 parts, evenly over d, after the headers. It takes effect as
// usual; a caller whose time limit is shorter than d fails while it reads.
func Drip(d time.Duration, n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.drip = d })
}

// FailRecords makes every k-th record of n PutRecords calls fail with an error code, in its place of an answer that is
// otherwise a success. A k below 1 is 1: all records fail. The others are stored.
func FailRecords(code string, k, n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.failPuts, e.failPutsBy = max(k, 1), code }).of("PutRecords")
}

func (f *Fault) of(ops ...string) *Fault {
	f.only = ops
	return f
}

// OnStream narrows the fault to calls about a stream, named by name or ARN. Defaults to all streams.
func (f *Fault) OnStream(name string) *Fault {
	f.stream = streamName(name)
	return f
}

// OnShard narrows the fault to calls about a shard: those that name it, and GetRecords by its iterator. A record to
// put is about no shard before it is put, so that no fault narrowed so meets PutRecord or PutRecords. Ids are unique
// within a stream only: with several streams use OnStream, too. Defaults to all shards.
func (f *Fault) OnShard(id string) *Fault {
	f.shard = id
	return f
}

// After lets the first n of the calls that it is for, by operation, stream and shard, pass unharmed. Defaults to 0.
func (f *Fault) After(n int) *Fault {
	f.skip = n
	return f
}

// For ends the fault d after it was given to [Server.Fail], by time.Now and however many calls it met: with a count of
// 0, an outage of length d. Defaults to no end.
func (f *Fault) For(d time.Duration) *Fault {
	f.lasts = d
	return f
}

// Rate lets the fault meet a call with a probability only, 0 < p <= 1, drawn from the server's seeded source: see
// [Server.SetSeed], without which Fail panics. Calls that it does not meet are not counted. Defaults to every call, which
// is also what 0 means.
func (f *Fault) Rate(p float64) *Fault {
	f.rate = p
	return f
}
