package kinesistest

import "time"

// A Request is a call as a control function sees it.
type Request struct {
	Op     string // "GetRecords"
	Stream string // name, "" when the request names none
	Shard  string // "" when the request is about no shard; of an iterator, its shard
	Time   time.Time
	Body   []byte // JSON
}

// A Fault is something that goes wrong with a call. The functions that make one say how many calls it is for; a count
// of 0 or less means every call until it is stopped. Its methods narrow it and return it.
type Fault struct {
	count  int
	stream string
	shard  string
	skip   int
	lasts  time.Duration
	rate   float64
	does   func(c *call, e *effects)
	ends   bool // it decides the call's outcome: at most one such fault meets a call
	only   string
}

// effects is what the faults of one call come to.
type effects struct {
	before     error // answered instead of an effect
	after      error // answered after the effect
	delay      time.Duration
	hang       bool
	truncate   bool
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
}

func fault(n int, ends bool, does func(*call, *effects)) *Fault {
	return &Fault{count: n, ends: ends, does: does}
}

// Throttle refuses n calls: with ProvisionedThroughputExceededException where a shard is read or written, with
// LimitExceededException elsewhere.
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

// ErrorAfter carries n calls out and then answers them with an error code.
func ErrorAfter(code string, n int) *Fault {
	return fault(n, true, func(_ *call, e *effects) { e.after = refuse(code, "kinesistest: error on request") })
}

// Delay makes n calls take effect, and be answered, later by d.
func Delay(d time.Duration, n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.delay += d })
}

// Drop closes the connection of n calls without an answer. The calls have no effect.
func Drop(n int) *Fault {
	return fault(n, true, func(_ *call, e *effects) { e.before = errDropped })
}

// DropAfter carries n calls out and then closes their connections without an answer.
func DropAfter(n int) *Fault {
	return fault(n, true, func(_ *call, e *effects) { e.after = errDropped })
}

// Hang never answers n calls, which have no effect: their connections stay open until the caller gives up.
func Hang(n int) *Fault {
	return fault(n, true, func(_ *call, e *effects) { e.hang = true })
}

// Truncate carries n calls out and closes their connections after half of the answer's body.
func Truncate(n int) *Fault {
	return fault(n, true, func(_ *call, e *effects) { e.truncate = true })
}

// EmptyPages makes n GetRecords calls return no record although there are some, with an iterator that goes on.
func EmptyPages(n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.empty = true }).of("GetRecords")
}

// ExpireIterators refuses n GetRecords calls as if their iterators had expired.
func ExpireIterators(n int) *Fault {
	return fault(n, true, func(_ *call, e *effects) { e.expire = true }).of("GetRecords")
}

// RepeatPages makes n GetRecords calls return an iterator that reads the same page again.
func RepeatPages(n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.repeat = true }).of("GetRecords")
}

// WrongLag makes n GetRecords calls return d as MillisBehindLatest.
func WrongLag(d time.Duration, n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.lag = &d }).of("GetRecords")
}

// HideChildren makes n GetRecords calls that come to a shard's end leave ChildShards out.
func HideChildren(n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.childless = true }).of("GetRecords")
}

// HideParents makes n ListShards calls leave out which shards are the parents of which.
func HideParents(n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.orphans = true }).of("ListShards")
}

// ShortPages makes n ListShards calls return at most so many shards.
func ShortPages(shards, n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.page = max(shards, 1) }).of("ListShards")
}

// ListLate makes n ListShards calls leave out shards that were created less than d ago.
func ListLate(d time.Duration, n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.late = d }).of("ListShards")
}

// Drip makes n calls send the body of their answer little by little, over d.
func Drip(d time.Duration, n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.drip = d })
}

// FailRecords makes every k-th record of n PutRecords calls fail with an error code.
func FailRecords(code string, k, n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.failPuts, e.failPutsBy = max(k, 1), code }).of("PutRecords")
}

func (f *Fault) of(op string) *Fault {
	f.only = op
	return f
}

// OnStream narrows the fault to calls about a stream, named by name or ARN.
func (f *Fault) OnStream(name string) *Fault {
	f.stream = streamName(name)
	return f
}

// OnShard narrows the fault to calls about a shard: those that name it, and GetRecords by its iterator. A record to
// put is about no shard before it is put.
func (f *Fault) OnShard(id string) *Fault {
	f.shard = id
	return f
}

// After lets the first n of the calls it is for pass.
func (f *Fault) After(n int) *Fault {
	f.skip = n
	return f
}

// For ends the fault when it is d old, however many calls it met.
func (f *Fault) For(d time.Duration) *Fault {
	f.lasts = d
	return f
}

// Rate lets the fault meet a call with a probability only, drawn from the server's seeded source: see SetSeed, which
// must be called before.
func (f *Fault) Rate(p float64) *Fault {
	f.rate = p
	return f
}
