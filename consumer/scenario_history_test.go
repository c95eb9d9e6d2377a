package consumer_test

import (
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// An event is one line of the history: something that the fakes or the handler saw. Nothing in it comes from the library
// but what it sent them, and its notices, which count for nothing but having been given.
type event struct {
	at    time.Duration // since the first life began
	life  int
	kind  string
	shard string
	call  int      // of a handler: ties its end to its start
	seqs  []string // of a handler's start, a delivery and a discard: the ids of the records, in order
	row   row      // of a store write
	note  string

	request  string      // of a handler's start, a delivery and a discard
	n        int         // of progress: records that are done; of a start: bytes of the event, of a delivery: its count of attempts
	window   *windowCall // in window mode, of a handler's start, a delivery and a discard
	settings *settings   // of a life that begins
}

// A windowCall is what a call is told of its window.
type windowCall struct {
	start, end   time.Time
	final, early bool
	state        []string // ids that the state holds
	large        bool     // the state has reached the size that ends the window
}

// The kinds of events.
const (
	evBegan     = "began"     // a life
	evCut       = "cut"       // a process is cut off: whatever it does from here on, has no effect
	evStopped   = "stopped"   // a process is asked to stop
	evReturned  = "returned"  // Run returned; note is the error
	evRead      = "read"      // GetRecords arrived
	evStart     = "start"     // of a handler call
	evSucceeded = "succeeded" // handler call
	evFailed    = "failed"    // handler call; note says how
	evProgress  = "progress"  // handler call that reported a record behind the first
	evDelivery  = "delivery"  // the destination is called; note is the condition
	evRejected  = "rejected"  // the destination fails; note says how
	evDiscarded = "discarded" // records are given up: the destination has had their document, or there is none and the handler has failed for the last time; note says which
	evTold      = "told"      // a notice, by the name in note: the only event that comes from the library, and no outcome
	evAnchored  = "anchored"  // the row of the stream was written
	evCreated   = "created"   // store write of a shard's row: put
	evClaimed   = "claimed"   // another owner, or the same with another epoch
	evMarked    = "marked"    // same owner and epoch
	evReleased  = "released"  // no owner
	evEnded     = "ended"     // END
	evReplaced  = "replaced"  // the stream is deleted; note says after what time it is created again
)

// A row is what the checkers know of a shard's row.
type row struct {
	Owner   string   `json:"owner"`
	Epoch   int64    `json:"epoch"`
	Ck      string   `json:"ck"`
	Parents []string `json:"parents"`
	Done    []byte   `json:"done"`

	done []span // that Done says
}

const endMark = "9/END"

// written tells what a write of a shard's row did.
func written(before *row, after row) string {
	switch {
	case before == nil:
		return evCreated
	case after.Ck == endMark:
		return evEnded
	case after.Owner == "":
		return evReleased
	case after.Owner != before.Owner || after.Epoch != before.Epoch:
		return evClaimed
	}
	return evMarked
}

// covers reports whether a checkpoint lies at or behind a record. Checkpoints sort as strings.
func (r row) covers(x *rec) bool { return x.place <= r.Ck }

// A history is an append-only log, and what was put to the stream: all that the checkers look at.
type history struct {
	began time.Time
	features
	required func(kinesistest.Record) bool // must be handled
	early    func(kinesistest.Record) bool // must not be handled
	inScope  func(kinesistest.ShardInfo) bool

	mu     sync.Mutex
	parts  map[string][]part // of aggregates that are whole, by their data
	places map[string]int    // of user records in their aggregates, by their data
	events []event
	seen   []violation             // by the world itself
	shards []kinesistest.ShardInfo // set at the end
	made   *truth                  // of shards, once that is all

	replaced time.Duration // when the stream was deleted; 0: it was not
	ticks    []tick        // of the service's clock
	switched []time.Time   // when records began to be placed by the service, or by keys again
}

func (h *history) now() time.Duration { return time.Since(h.began) }

// doubt is how far off the consumer may take the service's clock to be: its replies tell whole seconds.
func (f *features) doubt() time.Duration {
	if f.clock == 0 && f.steps == nil {
		return 0
	}
	return time.Second
}

// add appends an event. The caller holds mu.
func (h *history) add(e event) {
	e.at = h.now()
	h.events = append(h.events, e)
}

// String prints an event on one line.
func (e event) String() string {
	s := fmt.Sprintf("%10v life %2d %-9s", e.at.Round(time.Millisecond), e.life, e.kind)
	if e.shard != "" {
		s += " " + strings.TrimLeft(strings.TrimPrefix(e.shard, "shardId-"), "0") + "."
	}
	if e.call > 0 {
		s += fmt.Sprintf(" call %d", e.call)
	}
	if len(e.seqs) > 0 {
		s += fmt.Sprintf(" %d records %s..%s", len(e.seqs), short(e.seqs[0]), short(e.seqs[len(e.seqs)-1]))
	}
	if e.request != "" {
		s += fmt.Sprintf(" request %.4s", e.request)
	}
	if e.n > 0 {
		s += fmt.Sprintf(" n %d", e.n)
	}
	if w := e.window; w != nil {
		s += fmt.Sprintf(" window %s final %v early %v state of %d", w.start.Format("05"), w.final, w.early, len(w.state))
	}
	if e.row.Ck != "" {
		s += fmt.Sprintf(" owner %.4q epoch %d ck %s", e.row.Owner, e.row.Epoch, short(strings.TrimSuffix(e.row.Ck, "/~")))
	}
	if e.note != "" {
		s += " " + e.note
	}
	return s
}

// short is the end of a sequence number.
func short(seq string) string {
	if len(seq) > 24 {
		return "…" + seq[len(seq)-24:]
	}
	return seq
}

// adjacent reports whether b's hash keys follow a's.
func adjacent(a, b kinesistest.ShardInfo) bool {
	end, ok1 := new(big.Int).SetString(a.HashEnd, 10)
	start, ok2 := new(big.Int).SetString(b.HashStart, 10)
	return ok1 && ok2 && end.Add(end, big.NewInt(1)).Cmp(start) == 0
}

// scope says what has to be handled: all records from the start position on, and every shard that was open then. Records
// between the second of a LATEST anchor and the write of it may be handled or not. The caller holds mu.
func (h *history) scope(p *plan) {
	from := h.began.Add(min(0, p.clock) - p.atPast)
	first := from.Truncate(time.Millisecond)
	switch p.start {
	case consumer.TrimHorizon():
		from, first = time.Time{}, time.Time{}
	case consumer.Latest():
		from, first = h.began.Add(1<<62), h.served(-time.Second-h.doubt())
		for _, e := range h.events {
			if e.kind == evAnchored {
				from = h.served(e.at + 1)
				break
			}
		}
	}
	h.required = func(r kinesistest.Record) bool { return !r.Arrival.Before(from) }
	h.early = func(r kinesistest.Record) bool { return r.Arrival.Before(first) }
	h.inScope = func(sh kinesistest.ShardInfo) bool { return !sh.Closed || !sh.ClosedAt.Before(from) }
}
