// Package shardmap derives from a stream's shards and the rows of a group which rows are missing and which shards may
// start: parents before children, children of a merge after both parents, nothing skipped. It does no I/O and reads no
// clock. The functions keep no state: what they say is computed from what they are given, at each look. A [Census] keeps
// the newest that is known.
//
// Three words recur. A shard is listed when ListShards returns it, known when it has a row, and settled when it has no
// row and is an ancestor of a known shard that is a root or has progress: it is older than the start, or was finished
// once, and is never read again.
package shardmap

import (
	"maps"
	"slices"
)

// A Shard is one shard as ListShards describes it and as its row remembers it.
type Shard struct {
	ID                 string
	Parents            []string // none for the first shards of a stream, two after a merge; sorted
	HashStart, HashEnd string   // inclusive, decimal, 0 to 2^128-1
	Closed             bool     // it has an ending sequence number: nothing is added to it any more
}

// A State is what the row of a shard says.
type State struct {
	Shard        // as of the row; Closed is not looked at
	Root    bool // starts without waiting for its parents
	Started bool // has own progress: its checkpoint is a sequence number
	Ended   bool // its checkpoint is END
	// Unreadable is true for a row that cannot be read. It counts as one with progress that is not ended, and is not
	// started.
	Unreadable bool

	Children   []string // named at its end
	Owner      string   // empty if nobody owns it
	Epoch      int64    // grows with every change of owner: of two looks at a row, the one with the greater is younger
	To         string   // whom it was released to; not looked at
	Reached    int64    // the ending position that it was read to, milliseconds since 1970; not looked at
	Checkpoint string   // not looked at
}

// Unreadable returns the State of a row that cannot be read.
func Unreadable(s Shard) State { return State{Shard: s, Started: true, Unreadable: true} }

// waits reports whether the shard starts only after its parents.
func (s State) waits() bool { return !s.Root && !s.Started && !s.Ended }

// A Root is a row to put if absent. Where Root is true the shard begins at the group's start position and waits for
// nobody; where it is false the shard begins at its own beginning and after its parents.
type Root struct {
	Shard
	Root bool
}

// Roots returns the rows to put when a stream is first seen: one for each shard of asOf, the shards as of the start
// position, that is not known. A shard is a root if none of its parents is in asOf or known, unless an older shard that
// is, and is not ended, overlaps it: what was between the two has expired. Parents come before their children, otherwise
// the order is that of the IDs, so that a start which was cut off goes on where it was.
func Roots(asOf []Shard, known map[string]State) []Root {
	l := newLineage(asOf, known)
	return l.rows(func(s Shard) bool { return true })
}

// Missing returns the rows to put for a stream whose roots are put. Listed is the whole stream. A row is missing, for a
// listed shard that is neither known nor settled, if the shard is
//   - a child of a known shard or of a missing one,
//   - a parent of a known shard that waits for it, or of a missing one,
//   - or covers a part of a hole in the hash space (see Holes), where a row was deleted or never put.
//
// Which of them are roots and in which order they come is as Roots says. Putting a part of the rows, in this order, leaves
// the others missing at the next look.
func Missing(listed []Shard, known map[string]State) []Root {
	l := newLineage(listed, known)
	missing := make(map[string]bool)
	var queue []string
	add := func(id string) {
		if _, ok := l.listed[id]; ok && !missing[id] && !l.known(id) && !l.settled[id] {
			missing[id] = true
			queue = append(queue, id)
		}
	}
	for id, s := range l.rowsByID {
		for _, child := range l.children[id] {
			add(child)
		}
		if s.waits() {
			for _, p := range s.Parents {
				add(p)
			}
		}
	}
	grow := func() {
		for len(queue) > 0 {
			id := queue[0]
			queue = queue[1:]
			for _, child := range l.children[id] {
				add(child)
			}
			for _, p := range l.listed[id].Parents {
				add(p)
			}
		}
	}
	grow()
	covered := unended(known)
	for id := range missing {
		covered = append(covered, l.listed[id])
	}
	for _, hole := range gaps(covered) {
		for id, s := range l.listed {
			if r, ok := parseRange(s); ok && r.overlaps(hole) {
				add(id)
			}
		}
	}
	grow()
	return l.rows(func(s Shard) bool { return missing[s.ID] })
}

// Startable returns the IDs of the known shards that may be read now, sorted: those that are not ended and are a root,
// have progress, or have only parents that are out of the way; not those whose rows cannot be read. A parent is out of the way when it is ended, when it is
// settled, or when it has expired: it is neither known nor listed. A parent that is listed and has no row is waited for;
// Missing tells to put its row. One that has no row and is not waited for says nothing of its own parents: then the shard
// waits for every older one that is known, not ended, and overlaps it.
//
// Listed is the whole stream, asked for after the rows were read. An empty list proves no expiry.
func Startable(listed []Shard, known map[string]State) []string {
	l := newLineage(listed, known)
	var ids []string
	for id, s := range known {
		if !s.Ended && !s.Unreadable && (!s.waits() || !slices.ContainsFunc(s.Parents, l.blocks) && !l.overtakes(s.Shard)) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// lineage is the family of the shards that are listed or known.
type lineage struct {
	listed   map[string]Shard
	rowsByID map[string]State
	children map[string][]string
	settled  map[string]bool
	open     cover // of what is known and not ended; made when it is first asked for
}

func newLineage(listed []Shard, known map[string]State) *lineage {
	l := &lineage{
		listed:   make(map[string]Shard, len(listed)),
		rowsByID: known,
		children: make(map[string][]string),
		settled:  make(map[string]bool),
	}
	for _, s := range listed {
		if _, ok := l.listed[s.ID]; ok {
			continue
		}
		l.listed[s.ID] = s
		for _, p := range s.Parents {
			l.children[p] = append(l.children[p], s.ID)
		}
	}
	for _, s := range known {
		if !s.waits() {
			l.settle(s.Parents)
		}
	}
	return l
}

// settle marks the ancestors that have no row. It stops where it was before.
func (l *lineage) settle(parents []string) {
	for _, p := range parents {
		if l.settled[p] {
			continue
		}
		l.settled[p] = true
		l.settle(l.parents(p))
	}
}

// parents returns the parents of a shard that is listed or known.
func (l *lineage) parents(id string) []string {
	if s, ok := l.listed[id]; ok {
		return s.Parents
	}
	return l.rowsByID[id].Parents
}

func (l *lineage) known(id string) bool {
	_, ok := l.rowsByID[id]
	return ok
}

// blocks reports whether a child of the shard has to wait for it.
func (l *lineage) blocks(id string) bool {
	if s, ok := l.rowsByID[id]; ok {
		return !s.Ended
	}
	_, listed := l.listed[id]
	return !l.settled[id] && (listed || len(l.listed) == 0)
}

// overtakes reports whether a shard would start before an ancestor, as a parent that knows of it has no row.
func (l *lineage) overtakes(s Shard) bool {
	if !slices.ContainsFunc(s.Parents, func(p string) bool { return !l.known(p) }) {
		return false
	}
	if l.open == nil {
		l.open = newCover(unended(l.rowsByID))
	}
	return l.open.older(s)
}

// unended returns the known shards that are not ended.
func unended(known map[string]State) []Shard {
	shards := make([]Shard, 0, len(known))
	for _, s := range known {
		if !s.Ended {
			shards = append(shards, s.Shard)
		}
	}
	return shards
}

// rows returns the rows of the listed shards that are chosen and not known, parents first.
func (l *lineage) rows(chosen func(Shard) bool) []Root {
	var rows []Root
	visited := make(map[string]bool, len(l.listed))
	var visit func(id string)
	visit = func(id string) {
		s, ok := l.listed[id]
		if !ok || visited[id] {
			return
		}
		visited[id] = true
		for _, p := range s.Parents {
			visit(p)
		}
		if chosen(s) && !l.known(id) {
			rows = append(rows, Root{Shard: s})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(l.listed)) {
		visit(id)
	}
	put := make(map[string]bool, len(rows))
	open := unended(l.rowsByID)
	for _, r := range rows {
		put[r.ID] = true
		open = append(open, r.Shard)
	}
	before := newCover(open)
	for i, r := range rows {
		child := slices.ContainsFunc(r.Parents, func(p string) bool { return put[p] || l.known(p) })
		rows[i].Root = !child && (len(r.Parents) == 0 || !before.older(r.Shard))
	}
	return rows
}
