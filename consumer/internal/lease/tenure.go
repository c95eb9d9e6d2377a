package lease

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

const (
	// Term is how long a member row stays unchanged, by an observer's own clock,
	// before the observer declares the member dead.
	Term = 10 * time.Second
	// Beat is the interval of heartbeats, and of looks at those of others.
	Beat = Term / 4
	// valid is how long a heartbeat allows to work, from when it was sent. What
	// is left of Term is for handlers to come to an end.
	valid   = 7 * time.Second
	request = Beat / 2 // the time of one call of the store
)

// These do not compile with a validity too near to Term, or heartbeats too far
// apart.
const (
	_ = uint64(Term*8/10 - valid)
	_ = uint64(Term/3 - Beat)
)

// A Tenure is one incarnation of a worker in a Group: from when its member row
// was seen stored until the row is known to be dead. It is safe for concurrent
// use.
//
// Its clock is the monotonic one of the process, which on most systems stands
// still while the whole machine is suspended. Who comes back from that takes
// itself for valid until its next heartbeat is refused, within Beat and the time
// of two calls.
type Tenure struct {
	store      checkpoint.Store
	group      string
	owner, inc string
	sole       bool // nobody else has the store open: valid for ever, and whoever owned a row before is gone
	wrote      *marks
	writes     atomic.Int64  // counts this incarnation's writes, for Row.By
	over       chan struct{} // closed when the incarnation is dead

	mu      sync.Mutex
	ended   bool
	tables  map[string]*Table
	until   time.Time       // the end of validity
	period  context.Context // of the validity at present; nil in a lapse
	cut     context.CancelCauseFunc
	expiry  *time.Timer
	renewed chan struct{} // closed when a lapse ends
}

// newTenure returns the tenure of owner, which is in a lapse, unless sole.
func newTenure(store checkpoint.Store, group, owner string, wrote *marks, sole bool) *Tenure {
	t := &Tenure{
		store: store, group: group, owner: owner, inc: owner[strings.LastIndexByte(owner, '/')+1:],
		sole: sole, wrote: wrote, over: make(chan struct{}),
		tables: make(map[string]*Table), renewed: make(chan struct{}),
	}
	if sole {
		t.period, t.cut = context.WithCancelCause(context.Background())
	}
	return t
}

// Owner returns the member's id, "<worker>/<incarnation>".
func (t *Tenure) Owner() string { return t.owner }

// Over is closed when this incarnation is known to be dead.
func (t *Tenure) Over() <-chan struct{} { return t.over }

// Valid reports whether work may start at this moment.
func (t *Tenure) Valid() bool { return t.check() == nil }

// check returns nil while the tenure is valid, ErrLapsed or ErrFenced else.
func (t *Tenure) check() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(time.Now())
	switch {
	case t.ended:
		return fmt.Errorf("%w: %s", ErrFenced, t.owner)
	case t.period == nil:
		return fmt.Errorf("%w: %s", ErrLapsed, t.owner)
	}
	return nil
}

// Enter waits until the tenure is valid and returns the context of this period
// of validity, one for all who enter in it. It ends when the validity lapses,
// with cause ErrLapsed, or when the tenure is over, with ErrFenced. Enter
// returns false if stop is closed or the tenure is over.
func (t *Tenure) Enter(stop <-chan struct{}) (context.Context, bool) {
	for {
		select {
		case <-stop:
			return nil, false
		default:
		}
		t.mu.Lock()
		t.expire(time.Now())
		ended, period, renewed := t.ended, t.period, t.renewed
		t.mu.Unlock()
		switch {
		case ended:
			return nil, false
		case period != nil:
			return period, true
		}
		select {
		case <-renewed:
		case <-t.over:
		case <-stop:
		}
	}
}

// Table returns the Table of stream, the same one at each call.
func (t *Tenure) Table(stream string) *Table {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tables[stream] == nil {
		t.tables[stream] = &Table{tenure: t, store: t.store, group: t.group, stream: stream, owner: t.owner}
	}
	return t.tables[stream]
}

// renew takes note that the heartbeat sent at that time is stored.
func (t *Tenure) renew(sent time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	until, now := sent.Add(valid), time.Now()
	if t.ended || !until.After(t.until) {
		return
	}
	t.expire(now) // before its end is moved: a period that has ended does not go on
	t.until = until
	if !now.Before(until) {
		return
	}
	if t.period == nil {
		t.period, t.cut = context.WithCancelCause(context.Background())
		close(t.renewed)
		t.renewed = make(chan struct{})
	}
	if t.expiry == nil {
		t.expiry = time.AfterFunc(until.Sub(now), func() { _ = t.check() })
	} else {
		t.expiry.Reset(until.Sub(now))
	}
}

// expire ends the period of validity if its time is over. It is called under mu.
func (t *Tenure) expire(now time.Time) {
	if t.period != nil && !t.sole && !now.Before(t.until) {
		t.cut(ErrLapsed)
		t.period = nil
	}
}

// end says that the incarnation is dead, or leaves.
func (t *Tenure) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	t.ended = true
	if t.period != nil {
		t.cut(ErrFenced)
		t.period = nil
	}
	if t.expiry != nil {
		t.expiry.Stop()
	}
	close(t.over)
}

// sign returns a new value for Row.By.
func (t *Tenure) sign() string {
	return t.inc + "." + strconv.FormatInt(t.writes.Add(1), 10)
}

// mine reports whether by is a signature of this incarnation, and its number.
func (t *Tenure) mine(by string) (int64, bool) {
	num, ok := strings.CutPrefix(by, t.inc+".")
	n, err := strconv.ParseInt(num, 10, 64)
	return n, ok && err == nil
}

// marks are the newest states of lease rows that a worker has itself written. A lease shares its own with them: nobody
// changes a Row that is in here.
type marks struct {
	mu    sync.Mutex
	wrote map[string]map[string]*Row // by stream and shard
}

// note takes note that r is stored for a shard.
func (m *marks) note(stream, shard string, r *Row) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wrote == nil {
		m.wrote = make(map[string]map[string]*Row)
	}
	if m.wrote[stream] == nil {
		m.wrote[stream] = make(map[string]*Row)
	}
	if last := m.wrote[stream][shard]; last == nil || r.Epoch >= last.Epoch {
		m.wrote[stream][shard] = r
	}
}

// last returns the newest state of the row; nil if none was written.
func (m *marks) last(stream, shard string) *Row {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wrote[stream][shard]
}
