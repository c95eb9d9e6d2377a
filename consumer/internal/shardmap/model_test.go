package shardmap

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A shard of the model. The stream knows all of it; the consumer only what is listed and what it has put.
type modelShard struct {
	Shard
	from, to *big.Int // hash range
	parents  []*modelShard
	before   bool // closed when the group started
	gone     bool // expired: no longer listed, its records are lost
	finished bool // the consumer has put END for it, once
	started  bool // the consumer has begun it, once
}

// A model is a stream and the rows of one group, which a worker that crashes at random works on.
type model struct {
	shards  []*modelShard
	rows    map[string]State
	deleted bool // a row was deleted by hand
}

func newModel(rt *rapid.T) *model {
	m := &model{rows: make(map[string]State)}
	n := rapid.IntRange(1, 4).Draw(rt, "shards")
	end := new(big.Int).Lsh(big.NewInt(1), 128)
	for i := range n {
		at := func(i int) *big.Int {
			return new(big.Int).Div(new(big.Int).Mul(end, big.NewInt(int64(i))), big.NewInt(int64(n)))
		}
		m.add(at(i), new(big.Int).Sub(at(i+1), big.NewInt(1)))
	}
	return m
}

func (m *model) add(from, to *big.Int, parents ...*modelShard) {
	s := &modelShard{from: from, to: to, parents: parents}
	s.ID = fmt.Sprintf("shardId-%012d", len(m.shards))
	s.HashStart, s.HashEnd = from.String(), to.String()
	for _, p := range parents {
		p.Closed = true
		s.Parents = append(s.Parents, p.ID)
	}
	slices.Sort(s.Parents)
	m.shards = append(m.shards, s)
}

func (m *model) byID(id string) *modelShard {
	return m.shards[slices.IndexFunc(m.shards, func(s *modelShard) bool { return s.ID == id })]
}

// reshard splits a shard, or merges two that are adjacent.
func (m *model) reshard(rt *rapid.T) {
	var live []*modelShard
	for _, s := range m.shards {
		if !s.Closed {
			live = append(live, s)
		}
	}
	slices.SortFunc(live, func(a, b *modelShard) int { return a.from.Cmp(b.from) })
	i := rapid.IntRange(0, len(live)-1).Draw(rt, "reshard")
	if s := live[i]; rapid.Bool().Draw(rt, "split") {
		mid := new(big.Int).Rsh(new(big.Int).Add(s.from, s.to), 1)
		m.add(s.from, mid, s)
		m.add(new(big.Int).Add(mid, big.NewInt(1)), s.to, s)
	} else if i > 0 {
		m.add(live[i-1].from, s.to, live[i-1], s)
	}
}

// expire lets the n oldest closed shards go, finished or not, up to one that may not.
func (m *model) expire(n int, may func(*modelShard) bool) {
	for _, s := range m.shards {
		if n > 0 && !s.gone && s.Closed && may(s) {
			s.gone = true
			n--
		} else if !s.gone && !may(s) {
			return
		}
	}
}

func (m *model) listed() (shards []Shard) {
	for _, s := range m.shards {
		if !s.gone {
			shards = append(shards, s.Shard)
		}
	}
	return shards
}

// put puts the first n rows, as a worker does that may crash on the way. What was closed before the start needs no row
// unless somebody deleted one.
func (m *model) put(rt *rapid.T, rows []Root, n int) {
	for _, r := range rows[:n] {
		if m.byID(r.ID).before && !m.deleted {
			rt.Fatalf("row for %s, which is older than the start\n%s", r.ID, m)
		}
		m.rows[r.ID] = State{Shard: r.Shard, Root: r.Root}
	}
}

// start begins a shard. The start is wrong if an ancestor that was open when the group started has not been finished, and
// is still there or has a row and a part of its hash range.
func (m *model) start(rt *rapid.T, id string) {
	s := m.byID(id)
	var visit func(d *modelShard)
	visit = func(d *modelShard) {
		for _, p := range d.parents {
			known := m.has(p.ID) && p.from.Cmp(s.to) <= 0 && p.to.Cmp(s.from) >= 0
			if !p.finished && (!p.gone || known) && !p.before {
				rt.Fatalf("%s starts before its ancestor %s is finished\n%s", id, p.ID, m)
			}
			visit(p)
		}
	}
	visit(s)
	s.started = true
	row := m.rows[id]
	row.Started = true
	m.rows[id] = row
}

// end finishes a shard. The worker puts the children first, unless the list does not have them yet.
func (m *model) end(rt *rapid.T, id string, children bool) {
	if children {
		for _, r := range Missing(m.listed(), m.rows) {
			if slices.Contains(r.Parents, id) {
				m.put(rt, []Root{r}, 1)
			}
		}
	}
	m.byID(id).finished = true
	row := m.rows[id]
	row.Ended = true
	m.rows[id] = row
}

func (m *model) String() string {
	var b strings.Builder
	for _, s := range m.shards {
		row, ok := m.rows[s.ID]
		fmt.Fprintf(&b, "%s %v closed=%v before=%v gone=%v finished=%v", s.ID, s.Parents, s.Closed, s.before, s.gone, s.finished)
		if ok {
			fmt.Fprintf(&b, " row: root=%v started=%v ended=%v", row.Root, row.Started, row.Ended)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// TestLineageProperty lets a worker consume a stream that splits, merges and expires, with crashes between its writes
// and rows deleted by hand. No shard starts before its ancestors are finished, and when the stream rests every open
// shard is being read: nobody waits for ever and nothing is left out.
func TestLineageProperty(t *testing.T) {
	t.Attr("rule", "L25")
	for range 10 { // 100 runs each: some faults take a rare order of events
		rapid.Check(t, consume)
	}
}

func consume(rt *rapid.T) {
	m := newModel(rt)
	for range rapid.IntRange(0, 5).Draw(rt, "before") {
		m.reshard(rt)
	}
	// The group starts at the tip or at the oldest record. Roots are put with crashes, and the stream moves on.
	asOf := m.listed()
	if rapid.Bool().Draw(rt, "tip") {
		for _, s := range m.shards {
			s.before = s.Closed
		}
		asOf = slices.DeleteFunc(asOf, func(s Shard) bool { return s.Closed })
	}
	for rows := Roots(asOf, m.rows); len(rows) > 0; rows = Roots(asOf, m.rows) {
		m.put(rt, rows, rapid.IntRange(1, len(rows)).Draw(rt, "put"))
		m.reshard(rt)
	}
	hasty := rapid.Bool().Draw(rt, "hasty") // a retention of seconds: shards come and go between two looks
	step := func() {
		what := rapid.IntRange(0, 9).Draw(rt, "what")
		startable := Startable(m.listed(), m.rows)
		switch missing := Missing(m.listed(), m.rows); {
		case what < 3 && len(missing) > 0:
			m.put(rt, missing, rapid.IntRange(1, len(missing)).Draw(rt, "put"))
		case what < 8 && len(startable) > 0:
			id := rapid.SampledFrom(startable).Draw(rt, "id")
			if s := m.byID(id); !s.started || !m.rows[id].Started {
				m.start(rt, id)
			} else if s.Closed {
				m.end(rt, id, rapid.Bool().Draw(rt, "children"))
			}
		case what == 8 && (hasty || rapid.IntRange(0, 3).Draw(rt, "expire") == 0):
			n := 1
			if hasty {
				n = rapid.IntRange(1, 4).Draw(rt, "expire")
			}
			m.expire(n, func(*modelShard) bool { return true })
		case what == 9 && rapid.Bool().Draw(rt, "delete"):
			id := rapid.SampledFrom(m.shards).Draw(rt, "deleted").ID
			// What began and is not finished would be read again; that is no matter of lineage.
			if s := m.byID(id); !s.started || s.finished {
				m.deleted = m.deleted || m.has(id)
				delete(m.rows, id)
			}
		default:
			m.reshard(rt)
		}
	}
	for range rapid.IntRange(0, 60).Draw(rt, "steps") {
		step()
	}
	m.settle(rt)
	for _, s := range m.shards {
		if row, ok := m.rows[s.ID]; !s.Closed && !(ok && row.Started && !row.Ended) {
			rt.Fatalf("%s is not read at the end (rows deleted: %v)\n%s", s.ID, m.deleted, m)
		}
		if !s.before && !s.gone && s.Closed && !s.finished {
			rt.Fatalf("%s is not finished at the end (rows deleted: %v)\n%s", s.ID, m.deleted, m)
		}
	}
	if holes := Holes(m.rows); len(holes) > 0 {
		rt.Fatalf("holes %v\n%s", holes, m)
	}
}

func (m *model) has(id string) bool {
	_, ok := m.rows[id]
	return ok
}

// settle works without crashes until nothing changes: rows, starts, ends.
func (m *model) settle(rt *rapid.T) {
	for changed := true; changed; {
		changed = false
		if missing := Missing(m.listed(), m.rows); len(missing) > 0 {
			m.put(rt, missing, len(missing))
			changed = true
		}
		for _, id := range Startable(m.listed(), m.rows) {
			switch s := m.byID(id); {
			case !m.rows[id].Started:
				m.start(rt, id)
				changed = true
			case s.Closed:
				m.end(rt, id, true)
				changed = true
			}
		}
	}
}
