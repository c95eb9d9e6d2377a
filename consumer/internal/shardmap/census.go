package shardmap

import (
	"iter"
	"maps"
	"slices"
)

// A Census is what is known of a stream's shards and of the rows of a group. It is merged from lists of both, which may be
// older than a row that was read by itself or written, and older than each other; what is known to be younger is kept.
//
// A Census is not safe for concurrent use.
type Census struct {
	rows   map[string]State
	listed []Shard
	newest string           // the greatest ID of listed
	young  map[string]bool  // rows that may be younger than listed
	gone   map[string]State // rows that were dropped
}

// NewCensus returns a Census of no shards.
func NewCensus() *Census {
	return &Census{rows: map[string]State{}, young: map[string]bool{}, gone: map[string]State{}}
}

// Merge takes a listing of the whole stream, and rows that were read before it. Rows of shards that are held, by whoever
// calls, are not looked at: their holder knows better.
func (c *Census) Merge(listed []Shard, rows map[string]State, held func(id string) bool) {
	for id, r := range rows {
		delete(c.young, id)
		old, known := c.rows[id]
		switch {
		case held(id) || old.Ended && r.Unreadable:
		case !known || !r.Unreadable && r.Epoch >= old.Epoch:
			c.rows[id] = r
		default: // what is known is younger than the list, or all that can be read
			old.Unreadable = r.Unreadable
			c.rows[id] = old
		}
	}
	c.listed, c.newest = make([]Shard, len(listed)), ""
	for i, l := range listed {
		c.newest = max(c.newest, l.ID)
		if r := c.rows[l.ID].Shard; r.ID == l.ID && r.HashStart == l.HashStart && r.HashEnd == l.HashEnd && slices.Equal(r.Parents, l.Parents) {
			r.Closed = l.Closed
			l = r // the texts of both are kept once
		}
		c.listed[i] = l
	}
}

// Look takes rows from a list that may be older, or younger, than the listing. Rows of shards that are held are not looked at.
func (c *Census) Look(rows map[string]State, held func(id string) bool) {
	for id, r := range rows {
		old, known := c.rows[id]
		switch {
		case held(id) || old.Ended && r.Unreadable:
		case !known:
			c.Add(r)
		case !r.Unreadable && r.Epoch >= old.Epoch:
			c.rows[id] = r
		default:
			old.Unreadable = r.Unreadable
			c.rows[id] = old
		}
	}
}

// Put takes a row as it is now, in place of the one that is known.
func (c *Census) Put(s State) { c.rows[s.ID] = s }

// Add takes a row that may be younger than the listing, unless one is known.
func (c *Census) Add(s State) {
	if _, known := c.rows[s.ID]; !known {
		c.rows[s.ID], c.young[s.ID] = s, true
	}
}

// Drop takes note that a row is gone.
func (c *Census) Drop(id string) {
	if s, known := c.rows[id]; known {
		c.gone[id] = s
	}
	delete(c.rows, id)
	delete(c.young, id)
}

// Row returns what is known of a row, which may be nothing.
func (c *Census) Row(id string) State { return c.rows[id] }

// Last returns what was last known of a row, which may be gone by now; false if nothing was, or it could not be read.
func (c *Census) Last(id string) (s State, known bool) {
	if s, known = c.rows[id]; !known {
		s, known = c.gone[id]
	}
	return s, known && !s.Unreadable
}

// Rows returns all rows by shard, in no order.
func (c *Census) Rows() iter.Seq2[string, State] { return maps.All(c.rows) }

// Closed reports whether a shard was closed when the stream was last listed.
func (c *Census) Closed(id string) bool {
	return slices.ContainsFunc(c.listed, func(l Shard) bool { return l.ID == id && l.Closed })
}

// Startable returns the IDs of the shards that may be read, whether they are or not, sorted: those of the function
// Startable that are no orphans.
func (c *Census) Startable() []string {
	return slices.DeleteFunc(Startable(c.listed, c.rows), c.orphan)
}

// Orphans returns the IDs of the shards that wait for the next listing, sorted. The last one is older than the shard, or
// than its row, and a parent has no row: it may be younger than the listing, too, and not expired.
func (c *Census) Orphans() (ids []string) {
	for id := range c.rows {
		if c.orphan(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (c *Census) orphan(id string) bool {
	s := c.rows[id]
	if !s.waits() || !c.young[id] && c.newest >= id {
		return false
	}
	return slices.ContainsFunc(s.Parents, func(p string) bool {
		_, known := c.rows[p]
		return !known
	})
}

// Absent returns the IDs of the shards that rows speak of and that are not among them, sorted: children of shards that have
// ended, parents that are waited for, and of the rows that are missing each and its parents. A list of rows may be too old
// to have them, and the listing of the stream, too; their part of the hash space would look like a hole then, and they
// like expired.
func Absent(rows map[string]State, missing []Root) []string {
	absent := map[string]bool{}
	look := func(ids ...string) {
		for _, id := range ids {
			if _, known := rows[id]; !known {
				absent[id] = true
			}
		}
	}
	for _, r := range rows {
		switch {
		case r.Ended:
			look(r.Children...)
		case r.waits():
			look(r.Parents...)
		}
	}
	for _, r := range missing {
		look(r.ID)
		look(r.Parents...)
	}
	return slices.Sorted(maps.Keys(absent))
}
