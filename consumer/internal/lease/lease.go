package lease

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/shardlane/shardlane/checkpoint"
)

// maxTries bounds the writes of one operation. A second is needed when an
// earlier write of unknown result arrives between reading and writing.
const maxTries = 4

// A Lease is the right of this worker to write the row of one shard. Its
// operations may be called concurrently and run one after the other, so that
// one write of a row is under way at most. Each is safe to repeat.
//
// An operation that returns ErrLost, ErrRollback or ErrReleased returns it ever
// after. After any other error its write may still be applied: the next
// operation reads the row first.
type Lease struct {
	table *Table
	shard string
	took  string

	mu   sync.Mutex
	busy chan struct{} // closed when the operation that runs has ended; nil while none does

	// Written by the operation that runs, under mu; read by it, or under mu.
	row   *Row      // newest state known to be stored; marks have it, too: it is not changed
	ahead *Progress // the furthest asked for, nil if it is that of row
	lost  *loss     // nil while the row was not seen to be another's

	// The following belong to the operation that runs.
	rev     string   // revision of row, or of the read-back since
	sent    []string // By of writes on rev whose result is unknown
	void    bool     // rev is not known to be current: read before writing
	gone    bool     // the row was seen absent
	closing bool     // one of sent is a release or an end
	closed  closing  // what ended the lease, if the lease did

	doubt atomic.Bool // void is to be set, which anybody may want
}

// A loss is how a tenure was found to be over.
type loss struct {
	its  Row   // what the row of somebody else said; zero: it could not be read
	over error // why nothing more can be written; nil: it had been released before
}

// A Progress is how far a shard was worked. Done and Reached are those of Row.
type Progress struct {
	Pos     checkpoint.Position
	Arrival int64 // of the record at Pos, in milliseconds; 0 if unknown
	Done    []byte
	Reached int64
}

// closing is how a lease ends by its own doing.
type closing uint8

const (
	open closing = iota
	released
	ended
)

// Took returns the owner from whom the shard was taken over; it is empty if the
// row named nobody, or this worker.
func (l *Lease) Took() string { return l.took }

// Row returns the newest state of the row that is known to be stored.
func (l *Lease) Row() Row {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.row.clone()
}

// Furthest is Row with the furthest progress that was asked for, which may be stored, too: what the row comes back as where it
// is gone.
func (l *Lease) Furthest() Row {
	l.mu.Lock()
	defer l.mu.Unlock()
	if high := l.high(); l.row.Ck.Less(high.Pos) {
		return l.row.at(high)
	}
	return l.row.clone()
}

// Its returns what the row said when the lease was found to be lost, or to have been released and claimed by another: whose the
// shard is. It is the zero Row before that, and where the row could not be read.
func (l *Lease) Its() Row {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == nil {
		return Row{}
	}
	return l.lost.its.clone()
}

// Epoch returns Row().Epoch. It grows when a row that was gone is put back.
func (l *Lease) Epoch() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.row.Epoch
}

// Checkpoint stores p. What is stored already costs no write. A position that
// is lower than an earlier one, or END, is refused with ErrRegress before
// anything is sent; so is any after a release or end of unknown result, with
// ErrReleased. Of two at one position the later Done counts.
func (l *Lease) Checkpoint(ctx context.Context, p Progress) error {
	return l.do(ctx, "checkpoint", p, open, func(r Row) Row {
		return r
	})
}

// Restore reads the row, and puts it back if it is gone.
func (l *Lease) Restore(ctx context.Context) error {
	l.doubt.Store(true)
	return l.do(ctx, "restore", Progress{}, open, func(r Row) Row { return r })
}

// Release gives the shard up at p: final checkpoint, no owner, epoch + 1 in one
// write; to is the member that is meant to claim it, empty for whoever can. A p
// without a position stands for the furthest progress asked for. A release of
// unknown result is repeated until it is resolved, or undone by a new claim;
// work is not resumed on it. A lease that has ended holds nothing: releasing it
// does nothing.
func (l *Lease) Release(ctx context.Context, p Progress, to string) error {
	return l.do(ctx, "release", p, released, func(r Row) Row {
		r.Owner, r.To, r.Epoch = "", to, r.Epoch+1
		return r
	})
}

// End says that the shard was read to its end and that the rows of its children
// are put: the checkpoint becomes END, the owner nobody, the epoch + 1 in one
// write. As for Release, a result that is unknown is resolved by repeating.
func (l *Lease) End(ctx context.Context, children []string) error {
	children = slices.Clone(children)
	slices.Sort(children)
	return l.do(ctx, "end", Progress{}, ended, func(r Row) Row {
		r.Owner, r.To, r.Epoch = "", "", r.Epoch+1
		if _, _, _, read := r.Ck.Sequence(); !read {
			r.Arrival = 0 // when the row was put, perhaps, which says nothing of the shard's end
		}
		r.Ck, r.Done, r.Children = checkpoint.End, nil, children
		return r
	})
}

// do runs one operation: it moves the checkpoint to p, applies change, and
// writes the result in place of the current row.
func (l *Lease) do(ctx context.Context, op string, p Progress, as closing, change func(Row) Row) error {
	if err := l.enter(ctx); err != nil {
		return fmt.Errorf("lease: %s %s: %w", op, l.shard, err)
	}
	defer l.leave()

	if done, err := l.refuse(as); done {
		return err
	}
	if l.doubt.Swap(false) {
		l.void = true
	}
	if op == "checkpoint" || p.Pos != "" {
		if _, err := checkpoint.ParsePosition(string(p.Pos)); err != nil {
			return fmt.Errorf("lease: checkpoint %s: %w", l.shard, err)
		}
		high := l.high()
		if p.Pos.Less(high.Pos) || p.Pos == checkpoint.End {
			return fmt.Errorf("%w: %s: %q after %q", ErrRegress, l.shard, string(p.Pos), string(high.Pos))
		}
		high = high.onto(p)
		l.ask(&high)
	}
	for range maxTries {
		if l.void {
			if err := l.look(ctx); err != nil {
				return err
			}
			if done, err := l.refuse(as); done {
				return err
			}
		}
		next := l.row.at(l.high())
		if l.gone {
			if err := l.table.tenure.check(); err != nil { // another worker may have taken the shard before the row was deleted
				return fmt.Errorf("%w: %s", err, l.shard)
			}
			next.Epoch++ // the re-put; the operation itself follows
		} else {
			if as == open && l.row.progress().covers(l.high()) {
				l.ask(nil)
				return nil
			}
			next = change(next)
		}
		if err := l.write(ctx, next, as); err != nil {
			return err
		}
		if done, err := l.refuse(as); done {
			return err
		}
	}
	return fmt.Errorf("lease: %s %s: %w: the row keeps changing", op, l.shard, checkpoint.ErrConflict)
}

// enter waits until no other operation runs.
func (l *Lease) enter(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		l.mu.Lock()
		busy := l.busy
		if busy == nil {
			l.busy = make(chan struct{})
		}
		l.mu.Unlock()
		if busy == nil {
			return nil
		}
		select {
		case <-busy:
		case <-ctx.Done():
		}
	}
}

func (l *Lease) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.busy)
	l.busy = nil
}

// ask takes note of the furthest progress that is to be stored; nil: it is.
func (l *Lease) ask(p *Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ahead = p
}

// high returns the furthest progress asked for.
func (l *Lease) high() Progress {
	if l.ahead == nil {
		return l.row.progress()
	}
	return *l.ahead
}

// onto returns the progress after p was asked for, which is not behind h.
func (h Progress) onto(p Progress) Progress {
	p.Done = slices.Clone(p.Done)
	p.Reached = max(h.Reached, p.Reached)
	if !h.Pos.Less(p.Pos) { // the same place
		p.Pos, p.Arrival = h.Pos, max(h.Arrival, p.Arrival) // nothing that arrived until then is behind it
	}
	return p
}

// covers reports whether nothing of p is missing from h.
func (h Progress) covers(p Progress) bool {
	return h.Pos == p.Pos && h.Arrival >= p.Arrival && h.Reached >= p.Reached && bytes.Equal(h.Done, p.Done)
}

// refuse reports whether the operation needs no write, or no further one, and
// what it returns then.
func (l *Lease) refuse(as closing) (bool, error) {
	switch {
	case l.lost != nil && l.lost.over != nil:
		return true, l.lost.over
	case l.closed != open && l.closed == as, l.closed == ended && as == released:
		return true, nil
	case l.closed != open || l.closing && as == open:
		return true, fmt.Errorf("%w: %s", ErrReleased, l.shard)
	}
	return false, nil
}

// write swaps next into the store. It returns an error if the operation cannot
// go on; a nil error means that the state of l has moved, by this write or by
// an earlier one.
func (l *Lease) write(ctx context.Context, next Row, as closing) error {
	next.V, next.By = Version, l.table.tenure.sign()
	stored, rev, err := l.table.swap(ctx, l.shard, next, l.rev)
	switch {
	case err == nil:
		l.settle(stored, rev)
		return nil
	case errors.Is(err, checkpoint.ErrNotApplied) && !errors.Is(err, checkpoint.ErrConflict):
		return err
	}
	l.sent = append(l.sent, next.By)
	l.closing = l.closing || as != open && next.Owner == ""
	l.void = true
	if errors.Is(err, checkpoint.ErrConflict) {
		return nil // read back at once
	}
	return err
}

// settle takes r, stored under rev, as the current state. Every write sent
// before is ruled out by it.
func (l *Lease) settle(r *Row, rev string) {
	restored := l.gone
	l.mu.Lock()
	l.row = r
	l.mu.Unlock()
	l.rev, l.void, l.gone, l.sent, l.closing = rev, false, false, nil, false
	switch {
	case r.Owner != "":
	case r.Ended():
		l.closed = ended
	default:
		l.closed = released
	}
	if restored && l.table.Restored != nil {
		l.table.Restored(l.shard, r.clone())
	}
}

// look reads the row back and decides what became of the writes sent. Its error
// is the store's; that the tenure is over is in l.lost.
func (l *Lease) look(ctx context.Context) error {
	e, r, err := l.table.get(ctx, l.shard)
	var over error
	var bad *RowError
	switch {
	case err != nil && !errors.As(err, &bad):
		return err
	case e.Revision == l.rev:
		l.void = false // the writes sent may still arrive: they stay in sent
	case e.Revision == "":
		l.rev, l.void, l.gone = "", false, true
	case bad != nil:
		over = fmt.Errorf("%w: %w", ErrLost, bad)
		r = Row{} // nobody knows whose it is
	case slices.Contains(l.sent, r.By):
		l.table.tenure.wrote.note(l.table.stream, l.shard, &r)
		l.settle(&r, e.Revision)
	case l.passedOn(r):
		freed := l.row.at(l.high())
		freed.Owner, freed.To, freed.Epoch = "", "", freed.Epoch+1
		l.table.tenure.wrote.note(l.table.stream, l.shard, &freed)
		l.settle(&freed, "")
		l.found(r, nil)
	case l.gone:
		over = fmt.Errorf("%w: %s was deleted and is %q's, epoch %d", ErrLost, l.shard, r.Owner, r.Epoch)
	case l.rolledBack(r):
		over = fmt.Errorf("%w: %s shows epoch %d written by %s after epoch %d by %s",
			ErrRollback, l.shard, r.Epoch, strconv.Quote(r.By), l.row.Epoch, strconv.Quote(l.row.By))
	default:
		over = fmt.Errorf("%w: %s shows owner %q, epoch %d", ErrLost, l.shard, r.Owner, r.Epoch)
	}
	if over != nil {
		l.found(r, over)
	}
	return nil
}

// found takes note that the row is r by now, somebody else's, and of what that means.
func (l *Lease) found(r Row, over error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = &loss{r, over}
}

// passedOn reports whether r says that a release of unknown result was applied, and that the shard has another owner since:
// nobody else frees a shard of a member that lives, and a claim is one epoch only.
func (l *Lease) passedOn(r Row) bool {
	return l.closing && !l.gone && r.Epoch > l.row.Epoch+1 && !r.Ck.Less(l.high().Pos) &&
		!l.table.tenure.sole && !errors.Is(l.table.tenure.check(), ErrFenced)
}

// rolledBack reports whether r is older than what is known to have been stored.
func (l *Lease) rolledBack(r Row) bool {
	if r.Epoch != l.row.Epoch {
		return r.Epoch < l.row.Epoch
	}
	n, own := l.table.tenure.mine(r.By)
	last, _ := l.table.tenure.mine(l.row.By)
	return own && n < last
}
