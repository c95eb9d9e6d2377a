package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

const (
	many      = 100              // members above which their list is read half as often
	gathering = 10 * time.Minute // between two looks for rows that nobody needs
)

// A watch observes the rows of the other members, and declares dead those that
// stay unchanged for Term by this process's clock. It belongs to one goroutine.
type watch struct {
	g       *Group
	said    complaints
	members map[string]*sighting // by key
	last    time.Time            // the last list was received
	gather  time.Time            // when to look for rows that nobody needs
}

// A sighting is what was seen of one member.
type sighting struct {
	key, id string
	entry   checkpoint.Entry
	row     member
	foreign bool      // written by a newer version: left alone
	since   time.Time // when the reply was received that first showed this revision
	due     time.Time // when to look whether it is still there
	moves   int       // how often the revision was seen to change
	older   []string  // revisions before that one: a list may be stale
	fences  []string  // By of the writes that say it is dead, with an unknown result
}

// watch observes the others until ctx is done.
func (g *Group) watch(ctx context.Context) {
	next := time.Now() // of the list
	w := &watch{g: g, said: complaints{tell: g.Trouble}, members: make(map[string]*sighting), gather: next.Add(gathering)}
	for ctx.Err() == nil {
		if now := time.Now(); !now.Before(next) {
			first := w.last.IsZero()
			err := w.list(ctx)
			if ctx.Err() != nil {
				return
			}
			w.said.note("members", err)
			switch next = now.Add(w.interval()); {
			case err != nil:
				next = time.Now().Add(patience)
			case first: // lists and heartbeats, of one worker and of several, are not to fall together
				next = now.Add(Beat/2 + time.Duration(hash(g.worker)%uint64(Beat/4)))
			}
		}
		for _, key := range slices.Sorted(maps.Keys(w.members)) {
			w.suspect(ctx, w.members[key])
		}
		if !time.Now().Before(w.gather) {
			w.said.note("collect", w.collect(ctx))
			w.gather = time.Now().Add(gathering)
		}
		pause(ctx, w.publish(next), g.rouse)
	}
}

// interval is the time between two lists.
func (w *watch) interval() time.Duration {
	if len(w.members) >= many {
		return 2 * Beat
	}
	return Beat
}

// list reads the rows of all members. It may be stale, row by row.
func (w *watch) list(ctx context.Context) error {
	call, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	entries, err := w.g.store.List(call, memberKey(w.g.name, ""))
	now := time.Now()
	if err != nil {
		return fmt.Errorf("lease: list the members: %w", err)
	}
	if w.blind(now) {
		// Nobody looked for a while, or nobody could: that a row is unchanged since
		// then says nothing, as its owner may have been in the same place.
		for _, s := range w.members {
			s.since, s.due = now, now.Add(Term)
		}
	}
	w.last = now
	listed := make(map[string]bool, len(entries))
	for _, e := range entries {
		listed[e.Key] = true
		if s := w.members[e.Key]; s == nil || s.row.st != dead {
			w.see(e, now)
		} else if s.news(e.Revision) { // an old row, as death is for good: or it was collected, and a late join has put it again
			if failed := w.look(ctx, s); failed != nil {
				err = errors.Join(err, failed) // and the next list shows it again
				continue
			}
			s.forget(e.Revision)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(w.members)) {
		if !listed[key] {
			err = errors.Join(err, w.look(ctx, w.members[key]))
		}
	}
	w.g.mu.Lock()
	defer w.g.mu.Unlock()
	w.g.read = true
	return err
}

// blind reports whether the list was not read for so long that no row can be
// said to be unchanged.
func (w *watch) blind(now time.Time) bool {
	return now.Sub(w.last) > 2*w.interval()+request
}

// see takes what a reply, received now, shows of one member.
func (w *watch) see(e checkpoint.Entry, now time.Time) {
	s := w.members[e.Key]
	if s == nil {
		s = &sighting{key: e.Key, id: memberID(w.g.name, e.Key)}
		if s.id == w.own() {
			return
		}
		w.members[e.Key] = s
	}
	if s.news(e.Revision) {
		w.take(s, e, now)
	}
}

// take takes a row for the present one.
func (w *watch) take(s *sighting, e checkpoint.Entry, now time.Time) {
	if s.entry.Revision != "" {
		s.moves++
		s.forget(s.entry.Revision)
	}
	row, err := decodeMember(e.Value)
	s.entry, s.row, s.foreign, s.since, s.due = e, row, errors.Is(err, ErrRowVersion), now, now.Add(Term)
	if err != nil {
		err = fmt.Errorf("lease: member row %q: %w", s.key, err)
	}
	w.said.note("member "+s.id, err)
	w.said.note("fence "+s.id, nil)
	switch {
	case row.st == dead && slices.Contains(s.fences, row.by):
		w.fenced(s)
	case row.st == alive && s.moves == 2 && w.g.Twin != nil && s.id[:max(strings.LastIndexByte(s.id, '/'), 0)] == w.g.worker: // no trace of the last start
		w.g.Twin(s.id)
	}
}

// news reports whether a revision was not seen before, as far as is known.
func (s *sighting) news(revision string) bool {
	return revision != s.entry.Revision && !slices.Contains(s.older, revision)
}

// forget takes note that a revision is an old one.
func (s *sighting) forget(revision string) {
	s.older = append(s.older[max(0, len(s.older)-7):], revision)
}

// own returns the id of the incarnation of this worker that joins, or has joined.
func (w *watch) own() string {
	w.g.mu.Lock()
	defer w.g.mu.Unlock()
	return w.g.self
}

// look reads one member's row as it is.
func (w *watch) look(ctx context.Context, s *sighting) error {
	call, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	e, err := w.g.store.Get(call, s.key)
	switch now := time.Now(); {
	case err != nil:
		return fmt.Errorf("lease: read the member row of %s: %w", s.id, err)
	case e.Revision == s.entry.Revision:
	case e.Revision != "": // also if it was seen before: a list may have shown an older one since
		w.take(s, e, now)
	default: // it has left, or was collected
		delete(w.members, s.key)
		w.said.note("member "+s.id, nil)
		w.said.note("fence "+s.id, nil)
	}
	return nil
}

// suspect declares a member dead if its row is unchanged for Term: by what this
// worker has seen all the time, by a look just now, and while its own heartbeats
// arrive.
func (w *watch) suspect(ctx context.Context, s *sighting) {
	now := time.Now()
	t := w.g.heard(now)
	switch {
	case s.row.st == dead || s.foreign || now.Before(s.due) || ctx.Err() != nil:
		return
	case w.blind(now):
		s.due = now.Add(patience)
		return
	case t == nil:
		s.due = now.Add(hurry)
		return
	}
	seen := s.entry.Revision
	if err := w.look(ctx, s); err != nil || w.members[s.key] != s || s.entry.Revision != seen {
		if err != nil && ctx.Err() == nil {
			s.due = time.Now().Add(hurry)
			w.said.note("fence "+s.id, err)
		}
		return
	}
	if err := w.fence(ctx, s, t); err != nil && ctx.Err() == nil {
		s.due = time.Now().Add(hurry)
		w.said.note("fence "+s.id, err)
	}
}

// heard returns the present tenure if its last heartbeat was acknowledged within
// Beat, nil else: who is not heard does not judge others.
func (g *Group) heard(now time.Time) *Tenure {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Sub(g.acked) > Beat {
		return nil
	}
	return g.tenure
}

// fence writes that a member is dead, on the revision seen: a heartbeat in
// between makes it a conflict.
func (w *watch) fence(ctx context.Context, s *sighting, t *Tenure) error {
	m := s.row
	if m.v == 0 { // it could not be read
		m = member{v: Version, weight: 1}
	}
	m.st, m.by = dead, t.sign()
	value, err := m.encode()
	if err != nil {
		return err
	}
	call, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	e, err := w.g.store.Swap(call, checkpoint.Entry{Key: s.key, Value: value, Revision: s.entry.Revision})
	switch {
	case err == nil:
		s.forget(s.entry.Revision)
		s.entry, s.row, s.since = e, m, time.Now()
		w.fenced(s)
		return nil
	case errors.Is(err, checkpoint.ErrConflict):
		s.due = time.Now().Add(hurry) // it lives, or somebody else was first, or a write of ours was
		return nil
	case !errors.Is(err, checkpoint.ErrNotApplied):
		s.fences = append(s.fences[max(0, len(s.fences)-maxSent+1):], m.by)
	}
	return fmt.Errorf("lease: declare %s dead: %w", s.id, err)
}

// fenced takes note that this worker has declared a member dead.
func (w *watch) fenced(s *sighting) {
	w.said.note("fence "+s.id, nil)
	w.said.note("member "+s.id, nil)
	if w.g.Fenced != nil {
		w.g.Fenced(s.id)
	}
}

// publish shows the group who lives, and returns when there is something to do
// before next.
func (w *watch) publish(next time.Time) time.Time {
	own, now := w.own(), time.Now()
	var others []Peer
	var standing []string
	for _, key := range slices.Sorted(maps.Keys(w.members)) {
		s := w.members[key]
		if s.row.st == alive || s.row.st == leaving {
			others = append(others, s.row.peer(s.id))
		}
		if s.row.st != dead {
			standing = append(standing, s.id)
		}
		if s.row.st != dead && !s.foreign && s.due.Before(next) {
			next = s.due
		}
	}
	g := w.g
	g.mu.Lock()
	defer g.mu.Unlock()
	others = slices.DeleteFunc(others, func(p Peer) bool { return p.ID == own })
	slices.Sort(standing)
	changed := !slices.EqualFunc(others, g.others, Peer.same) || !slices.Equal(standing, g.standing)
	g.others, g.standing = others, standing
	g.refresh(changed)
	if due := g.since.Add(2 * Beat); !g.settled && len(g.ids) > 0 && due.After(now) && due.Before(next) {
		next = due
	}
	if w.gather.Before(next) {
		next = w.gather
	}
	return next
}

// collect deletes the rows of the dead whom no lease names, if it is this
// worker's turn. A mistake costs time: who is named and has no row is buried.
func (w *watch) collect(ctx context.Context) error {
	now := time.Now()
	var done []*sighting
	for _, key := range slices.Sorted(maps.Keys(w.members)) {
		if s := w.members[key]; s.row.st == dead && now.Sub(s.since) >= 2*Term {
			done = append(done, s)
		}
	}
	if len(done) == 0 || !w.g.elected() {
		return nil
	}
	call, cancel := context.WithTimeout(ctx, request)
	defer cancel()
	rows, err := w.g.store.List(call, leaseKey(w.g.name))
	if err != nil {
		return fmt.Errorf("lease: list the leases: %w", err)
	}
	named := make(map[string]bool)
	for _, e := range rows {
		var r struct {
			Owner string `json:"owner"`
		}
		if json.Unmarshal(e.Value, &r) == nil { // of whatever version
			named[memberKey(w.g.name, r.Owner)] = r.Owner != ""
		}
	}
	for _, s := range done {
		if named[s.key] {
			continue
		}
		call, cancel := context.WithTimeout(ctx, request)
		e := w.g.store.Delete(call, s.entry)
		cancel()
		if e != nil && !errors.Is(e, checkpoint.ErrConflict) {
			err = errors.Join(err, fmt.Errorf("lease: delete the member row of %s: %w", s.id, e))
		}
	}
	return err
}

// elected reports whether the work that one member does for all is this one's.
func (g *Group) elected() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	first, least := "", uint64(0)
	for _, id := range g.ids {
		if n := hash(id); first == "" || n < least {
			first, least = id, n
		}
	}
	return g.tenure != nil && first == g.tenure.owner
}

func hash(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}
