// Package ledger keeps the books of one shard: which records have been read, which have an outcome, and up to where the
// checkpoint may go. It does no I/O, reads no clock and starts no goroutine.
package ledger

import (
	"bytes"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/page"
	"github.com/shardlane/shardlane/partition"
)

// A Ledger holds the pages of a shard that still have a record without an outcome. Every record of a page gets a position;
// Done is the only way in which the mark, and so the checkpoint, moves. It is safe for concurrent use.
type Ledger struct {
	mu       sync.Mutex
	mark     partition.Watermark
	entries  []*entry // from the oldest page with an open record on
	held     int      // records of pages that are charged
	charged  int64
	closed   bool        // nothing more will be entered
	dropped  bool        // nothing more counts
	scratch  []int64     // positions of one Done
	safe     page.Point  // up to here everything has an outcome
	pin      *page.Point // the checkpoint goes no further, before an open tumbling window; nil: none is open
	pinned   time.Time   // arrival of the first record of that window
	stored   checkpoint.Position
	kept     []byte     // the done-set that is stored with it
	under    string     // what a done-set depends on besides
	earlier  []interval // above the checkpoint, done in earlier tenures; once dropped, in this one as well
	unstored time.Time  // arrival of the oldest record entered that stored does not cover
	above    time.Time  // likewise, of what the last Position does not cover
}

// An entry is one page. When all its records have outcomes its page is freed, and its ends stay.
type entry struct {
	p     *page.Page
	n     int64
	left  int64 // records without an outcome
	first place
	last  page.Point
	at    time.Time // when it was entered: the arrival of what has none
}

// New returns the books of a shard whose stored checkpoint is at, with done, the set of what has its outcome above it, as
// Position has returned it. Under is what a set depends on besides: one that was made under anything else is empty, and so is
// any if under is.
func New(at checkpoint.Position, done []byte, under string) *Ledger {
	l := &Ledger{stored: at, kept: done, under: under}
	if under != "" {
		l.earlier = decode(done, at, under)
	}
	return l
}

// Enter takes a page in. It gives its records their positions and returns those to deliver, and those that have their
// outcome already, for Done once the others are handed over: skip says so, or an earlier tenure has given it to them. A page
// without records is not entered. A record without an arrival time waits since now.
func (l *Ledger) Enter(p *page.Page, skip []bool, now time.Time) (deliver, settled []page.Item) {
	n := p.Len()
	if n == 0 {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped {
		return nil, nil
	}
	p.First = l.mark.Begin(int64(n))
	e := &entry{p, int64(n), int64(n), from(page.Item{P: p}), p.Point(n - 1), now}
	e.first.seq, e.last.Seq = strings.Clone(e.first.seq), strings.Clone(e.last.Seq) // they outlive the page's text
	l.entries = append(l.entries, e)
	if l.unstored.IsZero() {
		l.unstored = e.arrival(0)
	}
	if l.above.IsZero() {
		l.above = e.arrival(0)
	}
	l.held += n
	l.charged += p.Cost()
	return p.Items(l.skip(p, skip))
}

// skip adds to the records of a page that have their outcome those that an earlier tenure has given it to.
func (l *Ledger) skip(p *page.Page, skip []bool) []bool {
	if len(l.earlier) == 0 {
		return skip
	}
	if skip == nil {
		skip = make([]bool, p.Len())
	}
	for i := range skip {
		skip[i] = skip[i] || has(l.earlier, page.Item{P: p, I: int32(i)}) //nolint:gosec // as in Items
	}
	return skip
}

// Done gives items their outcome. It returns what is not charged any more.
func (l *Ledger) Done(items []page.Item) (freed int64) {
	if len(items) == 0 {
		return 0
	}
	freed, done := l.settle(items)
	for _, p := range done {
		p.Free()
	}
	return freed
}

// settle is Done, but for the pages that it returns: they are to be freed once the mutex is.
func (l *Ledger) settle(items []page.Item) (freed int64, done []*page.Page) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped {
		return 0, nil
	}
	pos := l.scratch[:0]
	for _, it := range items {
		pos = append(pos, it.Pos())
	}
	l.scratch = pos
	l.mark.Done(pos...)
	var e *entry
	for i, it := range items {
		if e == nil || e.p != it.P {
			e = l.at(pos[i])
		}
		if e.left--; e.left == 0 {
			freed += e.p.Cost()
			l.held -= int(e.n)
			done = append(done, e.p)
		}
	}
	l.charged -= freed
	l.advance()
	return freed, done
}

// at is the entry that a position belongs to.
func (l *Ledger) at(pos int64) *entry {
	i, _ := slices.BinarySearchFunc(l.entries, pos, func(e *entry, pos int64) int {
		if e.p.First+e.n <= pos {
			return -1
		}
		return 1
	})
	return l.entries[i]
}

// advance moves safe to the mark. The caller holds mu.
func (l *Ledger) advance() {
	m := l.mark.Mark()
	for len(l.entries) > 0 {
		e := l.entries[0]
		if m < e.p.First+e.n {
			if m > e.p.First {
				l.safe = e.p.Point(int(m - 1 - e.p.First))
			}
			return
		}
		l.safe = e.last
		l.entries[0] = nil
		l.entries = l.entries[1:]
	}
}

// Pin keeps the checkpoint where it is, before the first record of an open window, until Unpin (C19). It is called before
// the first records of the window have their outcome; all before them have then.
func (l *Ledger) Pin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pin == nil {
		at := l.safe
		l.pin, l.pinned = &at, l.oldest()
	}
}

// Unpin lets the checkpoint pass the window (L42).
func (l *Ledger) Unpin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pin = nil
}

// Close says that nothing more will be entered.
func (l *Ledger) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// Settled reports whether everything that was entered has its outcome, and whether the books are closed.
func (l *Ledger) Settled() (settled, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.settled(), l.closed
}

func (l *Ledger) settled() bool { return l.mark.Mark() == l.mark.Begun() }

// Idle reports whether everything that was entered has its outcome and is covered by the position: no window is open.
func (l *Ledger) Idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.settled() && l.pin == nil && !l.closed
}

// Complete reports whether nothing is left to do: the books are closed, all has its outcome, no window is open.
func (l *Ledger) Complete() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed && l.settled() && l.pin == nil
}

// Position is what a checkpoint would store now: the place up to which all has its outcome, with the arrival time of its
// record, zero if that is unknown, and the set of what has its outcome above it, in at most limit bytes. All is of one moment.
// moved is false if there is nothing to store. An error says that the service's sequence number is none: no checkpoint can
// hold it.
func (l *Ledger) Position(limit int) (pos checkpoint.Position, done []byte, arrival time.Time, moved bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	safe := l.safe
	if l.pin != nil {
		safe = *l.pin
	}
	pos = l.stored
	if safe.Seq != "" {
		if pos, err = safe.After(); err != nil {
			return l.stored, l.kept, time.Time{}, false, err
		}
		l.above = l.oldest()
		if l.pin != nil {
			l.above = l.pinned
		}
		arrival = safe.Arrival
	}
	if pos.Compare(l.stored) <= 0 { // what is read again may lie below what is stored
		if safe.Seq != "" {
			l.unstored = l.above
		}
		pos, arrival = l.stored, time.Time{}
	}
	if l.pin == nil && l.under != "" {
		done, _ = encode(pos, l.under, l.done(), limit)
	}
	return pos, done, arrival, pos != l.stored || !bytes.Equal(done, l.kept), nil
}

// Short returns nil if a set of limit bytes has room for all that has its outcome above the mark now. Else it returns what
// tells whether a record lies below what has no room: its outcome would make some.
func (l *Ledger) Short(limit int) (below func(page.Item) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pin != nil || l.under == "" {
		return nil
	}
	pos := l.stored
	if l.safe.Seq != "" {
		switch mark, err := l.safe.After(); {
		case err != nil:
			return nil // no checkpoint can hold it
		case pos.Less(mark):
			pos = mark
		}
	}
	_, first := encode(pos, l.under, l.done(), limit)
	if first == nil {
		return nil
	}
	return func(it page.Item) bool { return from(it).compare(*first) < 0 }
}

// done returns what is known to have its outcome, but for what the mark has passed.
func (l *Ledger) done() iter.Seq[interval] {
	return func(yield func(interval) bool) {
		rest := l.earlier
		if !l.dropped {
			for first, end := range l.mark.Above() {
				run := interval{l.begins(first), l.ends(end - 1)}
				for len(rest) > 0 && rest[0].lo.compare(run.lo) <= 0 {
					if !yield(rest[0]) {
						return
					}
					rest = rest[1:]
				}
				if !yield(run) {
					return
				}
			}
		}
		for _, iv := range rest {
			if !yield(iv) {
				return
			}
		}
	}
}

// begins is the place of the first record of a run, whose page is held unless it begins with it.
func (l *Ledger) begins(pos int64) place {
	e := l.at(pos)
	if pos == e.p.First {
		return e.first
	}
	return from(page.Item{P: e.p, I: int32(pos - e.p.First)}) //nolint:gosec // as in Items
}

// ends is the place of the last record of a run, whose page is held unless it ends with it.
func (l *Ledger) ends(pos int64) place {
	e := l.at(pos)
	if i := pos - e.p.First; i < e.n-1 {
		return upTo(e.p.Point(int(i)))
	}
	return upTo(e.last)
}

// Stored notes that what Position has returned last is stored.
func (l *Ledger) Stored(pos checkpoint.Position, done []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stored, l.kept, l.unstored = pos, done, l.above
	for len(l.earlier) > 0 && l.earlier[0].hi.compare(behind(pos)) <= 0 {
		l.earlier = l.earlier[1:]
	}
}

// arrival is when the i-th record of a page arrived, as far as that is known.
func (e *entry) arrival(i int) time.Time {
	if at := e.p.Point(i).Arrival; !at.IsZero() {
		return at
	}
	return e.at
}

// oldest is the arrival of the oldest record without an outcome, zero if there is none.
func (l *Ledger) oldest() time.Time {
	m := l.mark.Mark()
	for _, e := range l.entries {
		if m < e.p.First+e.n {
			return e.arrival(int(max(0, m-e.p.First)))
		}
	}
	return time.Time{}
}

// Figures are what a shard holds at one moment.
type Figures struct {
	Held     int       // records that are charged
	Charged  int64     // bytes
	Mark     int64     // records from the first one on that have an outcome, without a gap
	Span     int64     // from the oldest record without an outcome to the newest one
	Oldest   time.Time // arrival of the oldest record without an outcome; zero: there is none
	Unstored time.Time // arrival of the oldest record that the stored checkpoint does not cover; zero likewise
}

// Figures returns the figures of now.
func (l *Ledger) Figures() Figures {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.mark.Mark()
	return Figures{l.held, l.charged, m, l.mark.Begun() - m, l.oldest(), l.unstored}
}

// Drop lets go of everything that has no outcome, at a stop, and returns what was charged for it. What Position returns
// stays.
func (l *Ledger) Drop() (charged int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	charged = l.charged
	l.earlier = slices.Collect(merged(l.done(), upTo(l.safe)))
	l.charged, l.held, l.entries, l.unstored, l.dropped = 0, 0, nil, time.Time{}, true
	return charged
}
