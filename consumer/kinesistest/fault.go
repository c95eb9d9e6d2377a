package kinesistest

import (
	"fmt"
	"strings"
	"time"
)

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

// OnShard narrows the fault to calls about a shard.
func (f *Fault) OnShard(id string) *Fault {
	f.shard = id
	return f
}

// After lets the first n calls it would meet pass.
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

// An Injected is a fault, or a control function, at work.
type Injected struct {
	s       *Server
	op      string
	fault   Fault
	control func(*Request) *Fault
	until   time.Time // zero: no end
	left    int       // -1: no end
	met     int
	stopped bool
}

// Fail puts faults on an operation ("GetRecords"), or on all with "*". Faults that decide a call's outcome take turns,
// in the order in which they were given; delays and the like add up. It panics on an operation that there is not.
// It returns what was injected, one for each fault.
func (s *Server) Fail(op string, faults ...*Fault) []*Injected {
	s.checkOp("Fail", op)
	all := make([]*Injected, len(faults))
	for i, f := range faults {
		if f == nil {
			panic("kinesistest: Fail: nil fault")
		}
		if f.only != "" && op != f.only {
			panic(fmt.Sprintf("kinesistest: Fail: a fault of %s on %s", f.only, op))
		}
		all[i] = &Injected{s: s, op: op, fault: *f, left: f.count}
		if f.count <= 0 {
			all[i].left = -1
		}
		if f.lasts > 0 {
			all[i].until = time.Now().Add(f.lasts)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range all {
		if in.fault.rate > 0 && s.rand == nil {
			panic("kinesistest: Fail: a Rate needs SetSeed")
		}
	}
	s.faults = append(s.faults, all...)
	return all
}

// Control calls f for each call of an operation, or of all with "*", when it arrives. f returns the fault that the call
// meets, or nil; the fault's count and its other limits mean nothing here. f may use the server, and is called by many
// goroutines at once. It panics on an operation that there is not.
func (s *Server) Control(op string, f func(*Request) *Fault) *Injected {
	s.checkOp("Control", op)
	in := &Injected{s: s, op: op, control: f}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.controls = append(s.controls, in)
	return in
}

func (s *Server) checkOp(method, op string) {
	if _, ok := s.ops[op]; !ok && op != "*" {
		panic(fmt.Sprintf("kinesistest: %s: no operation %q", method, op))
	}
}

// Stop ends the fault. A call that met it before is not saved.
func (in *Injected) Stop() {
	in.s.mu.Lock()
	defer in.s.mu.Unlock()
	in.stopped = true
}

// Met returns how many calls met the fault.
func (in *Injected) Met() int {
	in.s.mu.Lock()
	defer in.s.mu.Unlock()
	return in.met
}

// inject works out what the faults of a call come to.
func (s *Server) inject(c *call) {
	s.mu.Lock()
	controls := s.controls
	s.mu.Unlock()
	ended := false
	for _, in := range controls {
		if in.op != "*" && in.op != c.Op {
			continue
		}
		s.mu.Lock()
		stopped := in.stopped
		s.mu.Unlock()
		if stopped {
			continue
		}
		request := c.Request
		if f := in.control(&request); f != nil && !(ended && f.ends) {
			ended = ended || f.ends
			f.does(c, &c.faults)
			s.mu.Lock()
			in.met++
			s.mu.Unlock()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := time.Now()
	kept := s.faults[:0]
	for _, in := range s.faults {
		if s.meets(in, c, ended) {
			ended = ended || in.fault.ends
			in.fault.does(c, &c.faults)
		}
		if !in.stopped && in.left != 0 && (in.until.IsZero() || at.Before(in.until)) {
			kept = append(kept, in)
		}
	}
	clear(s.faults[len(kept):])
	s.faults = kept
}

// meets reports whether a call meets a fault, and counts it.
func (s *Server) meets(in *Injected, c *call, ended bool) bool {
	f := &in.fault
	switch {
	case in.stopped, in.left == 0, ended && f.ends,
		!in.until.IsZero() && !time.Now().Before(in.until),
		in.op != "*" && in.op != c.Op,
		f.stream != "" && f.stream != c.Stream,
		f.shard != "" && f.shard != c.Shard:
		return false
	case f.skip > 0:
		f.skip--
		return false
	case f.rate > 0 && s.rand.Float64() >= f.rate:
		return false
	}
	if in.left > 0 {
		in.left--
	}
	in.met++
	return true
}

// streamName returns the name in a name or an ARN.
func streamName(nameOrARN string) string {
	if _, name, ok := strings.Cut(nameOrARN, ":stream/"); ok {
		return name
	}
	return nameOrARN
}
