package kinesistest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// An Injected is a fault, or a control function, at work. It ends by its count, by its time or by Stop.
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

// Fail puts faults on an operation ("GetRecords"), on the events of subscriptions ("SubscribeToShardEvent"), or on all of
// these with "*". It returns what was injected, one for each fault.
//
// Faults that decide how a call ends (Throttle, Error, ErrorAfter, Drop, DropAfter, Hang, Truncate, CutAfter, StallAfter,
// ExpireIterators) take turns, in the order in which they were given: at most one meets a call, and the next waits until
// the one before is used up. The others (delays, pages, lists) meet a call together and besides.
//
// A fault begins with the next call to arrive. It panics on an operation that there is not, on a nil fault, on a fault
// that belongs to another operation (EmptyPages on "ListShards", or on "*"), and on a Rate without a seed.
func (s *Server) Fail(op string, faults ...*Fault) []*Injected {
	s.checkOp("Fail", op)
	all := make([]*Injected, len(faults))
	for i, f := range faults {
		if f == nil {
			panic("kinesistest: Fail: nil fault")
		}
		if f.only != nil && !slices.Contains(f.only, op) {
			panic(fmt.Sprintf("kinesistest: Fail: a fault of %s on %s", strings.Join(f.only, " and "), op))
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

// Control calls f for each call of an operation, or of all with "*", when it arrives, before its latency, and for each
// event of a subscription ("SubscribeToShardEvent") when it is due. f returns the fault that the call meets, or nil; the
// fault's count and its other limits mean nothing here. Control functions come before the faults of Fail, which still meet
// the call unless both decide how it ends. f may use the server, and is called by many goroutines at once. It panics on an
// operation that there is not.
func (s *Server) Control(op string, f func(*Request) *Fault) *Injected {
	s.checkOp("Control", op)
	in := &Injected{s: s, op: op, control: f}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.controls = append(s.controls, in)
	return in
}

func (s *Server) checkOp(method, op string) {
	if _, ok := s.ops[op]; !ok && op != pushOp && op != "*" {
		panic(fmt.Sprintf("kinesistest: %s: no operation %q", method, op))
	}
}

// Stop ends the fault, or the control function. A call that met it before is not saved: one that hangs still hangs.
func (in *Injected) Stop() {
	in.s.mu.Lock()
	defer in.s.mu.Unlock()
	in.stopped = true
}

// Met returns how many calls met the fault; of a control function, for how many it returned one.
func (in *Injected) Met() int {
	in.s.mu.Lock()
	defer in.s.mu.Unlock()
	return in.met
}

// inject works out what the faults of a call come to.
func (s *Server) inject(c *call) {
	s.mu.Lock()
	s.controls = slices.DeleteFunc(s.controls, func(in *Injected) bool { return in.stopped })
	controls := slices.Clone(s.controls)
	s.mu.Unlock()
	ended := false
	for _, in := range controls {
		if in.op != "*" && in.op != c.Op {
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
	case in.stopped, in.left == 0,
		!in.until.IsZero() && !time.Now().Before(in.until),
		in.op != "*" && in.op != c.Op,
		f.stream != "" && f.stream != c.Stream,
		f.shard != "" && f.shard != c.Shard:
		return false
	case f.skip > 0:
		f.skip--
		return false
	case ended && f.ends:
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
	if _, rest, ok := strings.Cut(nameOrARN, ":stream/"); ok {
		name, _, _ := strings.Cut(rest, "/") // of a consumer's ARN, its stream
		return name
	}
	return nameOrARN
}
