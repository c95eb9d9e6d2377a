package shardmap

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func none(string) bool { return false }

// census returns a Census of a listing and of rows in epoch 5.
func census(listed []Shard, rows map[string]string) *Census {
	c := NewCensus()
	c.Merge(listed, epoch(known(rows), 5), none)
	return c
}

func epoch(rows map[string]State, n int64) map[string]State {
	for id, r := range rows {
		r.Epoch = n
		rows[id] = r
	}
	return rows
}

// What a list says of a row is taken unless more is known.
func TestMerge(t *testing.T) {
	row := known(map[string]string{"2ab": "s"})["2ab"]
	at := func(epoch int64, change func(*State)) State {
		r := row
		r.Epoch, r.Owner = epoch, "b"
		if change != nil {
			change(&r)
		}
		return r
	}
	unreadable := Unreadable(Shard{ID: "2ab"})
	for name, c := range map[string]struct {
		known *State
		held  bool
		list  State
		want  State
	}{
		"new":                       {nil, false, at(0, nil), at(0, nil)},
		"younger":                   {&row, false, at(1, nil), at(1, nil)},
		"as old":                    {&row, false, at(0, nil), at(0, nil)},
		"older":                     {ptr(at(5, nil)), false, at(4, nil), at(5, nil)},
		"held":                      {&row, true, at(9, nil), row},
		"unreadable, new":           {nil, false, unreadable, unreadable},
		"unreadable, known":         {ptr(at(5, nil)), false, unreadable, at(5, func(s *State) { s.Unreadable = true })},
		"unreadable, held":          {ptr(at(5, nil)), true, unreadable, at(5, nil)},
		"unreadable, ended":         {ptr(at(5, func(s *State) { s.Ended = true })), false, unreadable, at(5, func(s *State) { s.Ended = true })},
		"readable again":            {&unreadable, false, at(1, nil), at(1, nil)},
		"readable again, but older": {ptr(at(5, func(s *State) { s.Unreadable = true })), false, at(4, nil), at(5, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			census := NewCensus()
			if c.known != nil {
				census.Put(*c.known)
			}
			census.Merge(history(), map[string]State{"2ab": c.list}, func(string) bool { return c.held })
			if diff := cmp.Diff(c.want, census.Row("2ab")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func ptr(s State) *State { return &s }

// What the listing says of a shard stays what the listing says, whatever its row does.
func TestListing(t *testing.T) {
	listed := []Shard{
		{ID: "1", HashStart: "0", HashEnd: "9", Closed: true},
		{ID: "2", HashStart: "0", HashEnd: "9", Closed: true},
		{ID: "3", Closed: true},
		{ID: "4", HashStart: "0", HashEnd: "9", Parents: []string{"1"}},
	}
	c := NewCensus()
	c.Merge(listed, map[string]State{
		"1": {Shard: Shard{ID: "1", HashStart: "0", HashEnd: "9"}},
		"2": {Shard: Shard{ID: "2", HashStart: "0", HashEnd: "8"}},
		"4": {Shard: Shard{ID: "4", HashStart: "0", HashEnd: "9", Closed: true}},
	}, none)
	if diff := cmp.Diff(listed, c.listed); diff != "" {
		t.Error(diff)
	}
}

// A shard whose parent is in no list has to wait for the next listing if this one may be older than the parent.
func TestOrphans(t *testing.T) {
	t.Attr("rule", "L25")
	old := only(history(), "1ad", "2ab", "2cd") // listed before the second split
	add := func(c *Census, ids ...string) *Census {
		for _, id := range ids {
			c.Add(known(map[string]string{id: ""})[id])
		}
		return c
	}
	for name, c := range map[string]struct {
		census            *Census
		startable, orphan []string
	}{
		"expired":                    {census(only(history(), "3a", "3d", "4bc"), map[string]string{"4bc": ""}), []string{"4bc"}, nil},
		"parent younger than list":   {census(old, map[string]string{"2ab": "e", "4bc": ""}), nil, []string{"4bc"}},
		"parents of it are known":    {census(old, map[string]string{"3b": "e", "3c": "e", "4bc": ""}), []string{"4bc"}, nil},
		"one of two parents":         {census(old, map[string]string{"3b": "e", "4bc": ""}), nil, []string{"4bc"}},
		"a root":                     {census(old, map[string]string{"4bc": "r"}), []string{"4bc"}, nil},
		"own progress":               {census(old, map[string]string{"4bc": "s"}), []string{"4bc"}, nil},
		"ended":                      {census(old, map[string]string{"4bc": "e"}), nil, nil},
		"row younger than list":      {add(census(only(history(), "4bc"), map[string]string{"3c": "e"}), "3a"), nil, []string{"3a"}},
		"child of one that is known": {add(census(history(), map[string]string{"2ab": "e"}), "3a", "3b"), []string{"3a", "3b"}, nil},
		"unreadable":                 {census(old, map[string]string{"2ab": "u"}), nil, nil},
		"unreadable parent":          {census(without(history(), "2ab"), map[string]string{"2ab": "u", "3a": ""}), nil, nil},
		"unreadable, listed parent":  {census(history(), map[string]string{"2ab": "u", "3a": ""}), nil, nil},
		"unreadable sibling":         {census(history(), map[string]string{"2ab": "e", "3a": "u", "3b": ""}), []string{"3b"}, nil},
		"unreadable grandparent":     {census(only(history(), "3a", "3c", "3d", "4bc"), map[string]string{"2ab": "u", "3c": "e", "4bc": ""}), nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.startable, c.census.Startable(), cmpopts.EquateEmpty()); diff != "" {
				t.Error("startable", diff)
			}
			if diff := cmp.Diff(c.orphan, c.census.Orphans()); diff != "" {
				t.Error("orphans", diff)
			}
		})
	}
	c := add(census(only(history(), "4bc"), map[string]string{"3c": "e"}), "3a")
	c.Merge(only(history(), "3a", "4bc"), known(map[string]string{"3a": ""}), none)
	if got := c.Startable(); !slices.Equal(got, []string{"3a"}) {
		t.Errorf("with a listing that is younger, %q may start", got)
	}
}

func TestAbsent(t *testing.T) {
	rows := known(map[string]string{"1ad": "e", "2ab": "e", "3a": "", "3b": "s", "4bc": ""})
	for id, children := range map[string][]string{"1ad": {"2ab", "2cd"}, "2ab": {"3a", "3b"}, "3b": {"5no"}} {
		r := rows[id]
		r.Children = children
		rows[id] = r
	}
	if diff := cmp.Diff([]string{"2cd", "3c"}, Absent(rows, nil)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"2cd", "3c", "4no", "6no"}, Absent(rows, []Root{{Shard: Shard{ID: "6no", Parents: []string{"1ad", "4no"}}}})); diff != "" {
		t.Error(diff)
	}
}

func TestClosed(t *testing.T) {
	listed := history()
	listed[1].Closed = true
	c := census(listed, nil)
	if !c.Closed(listed[1].ID) || c.Closed(listed[0].ID) || c.Closed("5no") {
		t.Error("wrong")
	}
}

// A stale worker is one whose lists of rows and of shards are as they were some time ago, each by itself. What it writes
// and what it reads of one row is as it is.
type staleWorker struct {
	*model
	census   *Census
	rowLists []map[string]State
	listings [][]Shard
}

// remember makes what is there now a list that may be seen later.
func (w *staleWorker) remember() {
	w.rowLists = append(w.rowLists, maps.Clone(w.rows))
	w.listings = append(w.listings, w.listed())
}

// audit does what the loop of a stream does, with lists of which the n newest may be the ones that are seen.
func (w *staleWorker) audit(rt *rapid.T, n int) {
	w.remember()
	old := func(what string) int {
		return len(w.listings) - rapid.IntRange(1, min(n, len(w.listings))).Draw(rt, what)
	}
	rows := maps.Clone(w.rowLists[old("rows")])
	if out := rapid.IntRange(0, 3).Draw(rt, "left out"); n > 1 {
		for range out {
			delete(rows, rapid.SampledFrom(w.shards).Draw(rt, "row").ID)
		}
	}
	reread := func(ids []string) (found bool) {
		for _, id := range ids {
			if r, ok := w.rows[id]; ok {
				rows[id], found = r, true
			}
		}
		return found
	}
	for reread(Absent(rows, nil)) {
	}
	listed := w.listings[old("listed")]
	for reread(Absent(rows, Missing(listed, rows))) {
	}
	missing := Missing(listed, rows)
	w.put(rt, missing, len(missing))
	reread(Absent(rows, missing))
	w.census.Merge(listed, rows, none)
}

// step starts or ends a shard that may run.
func (w *staleWorker) step(rt *rapid.T, id string) (moved bool) {
	row := w.rows[id]
	row.Epoch++
	w.rows[id] = row
	switch s := w.byID(id); {
	case row.Ended: // the claim finds out
	case !row.Started:
		w.start(rt, id)
		moved = true
	case s.Closed:
		for _, c := range w.shards {
			if slices.Contains(c.Parents, id) {
				if !w.has(c.ID) {
					w.rows[c.ID] = State{Shard: c.Shard}
				}
				w.census.Add(w.rows[c.ID])
				row.Children = append(row.Children, c.ID)
			}
		}
		w.rows[id] = row
		w.end(rt, id, false)
		moved = true
	}
	w.census.Put(w.rows[id])
	return moved
}

// TestCensusProperty lets a worker consume a stream that splits and merges, by lists that are too old. No shard starts
// before its ancestors are finished, and once the lists are as they should be, everything is read.
func TestCensusProperty(t *testing.T) {
	t.Attr("rule", "L25")
	for range 10 {
		rapid.Check(t, func(rt *rapid.T) {
			w := &staleWorker{model: newModel(rt), census: NewCensus()}
			for range rapid.IntRange(0, 3).Draw(rt, "before") {
				w.reshard(rt)
			}
			asOf := w.listed()
			if rapid.Bool().Draw(rt, "tip") {
				for _, s := range w.shards {
					s.before = s.Closed
				}
				asOf = slices.DeleteFunc(asOf, func(s Shard) bool { return s.Closed })
			}
			w.put(rt, Roots(asOf, w.rows), len(asOf))
			for range rapid.IntRange(0, 40).Draw(rt, "steps") {
				switch what := rapid.IntRange(0, 9).Draw(rt, "what"); {
				case what < 2:
					w.reshard(rt)
				case what < 4:
					w.audit(rt, 8)
				case what == 4 && rapid.Bool().Draw(rt, "restart"):
					w.census = NewCensus()
				case what == 4:
					w.expire(1, func(s *modelShard) bool { return s.before || w.has(s.ID) }) // retention is long
				default:
					if ids := w.census.Startable(); len(ids) > 0 {
						w.step(rt, rapid.SampledFrom(ids).Draw(rt, "id"))
					}
				}
				w.remember()
			}
			for moved := true; moved; {
				moved = false
				w.audit(rt, 1)
				for _, id := range w.census.Startable() {
					moved = w.step(rt, id) || moved
				}
			}
			for _, s := range w.shards {
				if row := w.rows[s.ID]; !s.before && !s.gone && (!row.Started || s.Closed && !row.Ended) {
					rt.Fatalf("%s is not read\n%s", s.ID, w)
				}
			}
		})
	}
}
