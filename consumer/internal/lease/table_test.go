package lease

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shardlane/shardlane/checkpoint"
)

const (
	shard  = "shardId-000000000001"
	prefix = "group/lease/123456789012:orders:1700000000/"
	key    = prefix + shard
)

// pos is a checkpoint; a greater n is further on.
func pos(n int) checkpoint.Position {
	p, err := checkpoint.After(fmt.Sprintf("49%054d", n))
	if err != nil {
		panic(err)
	}
	return p
}

// table returns the rows as worker w sees them.
func table(s checkpoint.Store, w string) *Table {
	return NewTable(s, "group", "123456789012:orders:1700000000", "host/"+w)
}

// created returns a store that has the row of shard, with a field of a later
// version, and a worker's table.
func created(t testing.TB) (*flaky, *Table) {
	t.Helper()
	s := &flaky{}
	s.force(t, key, `{"v":1,"by":"z.1","epoch":0,"ck":"0/trim","x":"keep"}`)
	return s, table(s, "a")
}

// claimed is created, with the row claimed by worker a.
func claimed(t testing.TB) (*flaky, *Table, *Lease) {
	t.Helper()
	s, a := created(t)
	l, err := a.Claim(t.Context(), shard)
	if err != nil {
		t.Fatal(err)
	}
	return s, a, l
}

// stored returns the row as it is in the store.
func (s *flaky) stored(t testing.TB) Row {
	t.Helper()
	r, ok, err := table(&s.Memory, "reader").Row(t.Context(), shard)
	if err != nil || !ok {
		t.Fatalf("row: %v, %v", ok, err)
	}
	return r
}

func want(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got error %v, want %v", got, want)
	}
}

func TestClaimCheckpointRelease(t *testing.T) {
	s, a := created(t)
	l, err := a.Claim(t.Context(), shard)
	want(t, err, nil)
	delete(l.Row().More, "x") // the caller's copy
	if l.Epoch() != 1 || l.Took() != "" || l.shard != shard || l.Row().Ck != checkpoint.TrimHorizon {
		t.Errorf("claimed: %+v, took %q", l.Row(), l.Took())
	}
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(1), Arrival: 1001}), nil)
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(1), Arrival: 1001}), nil) // no write
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(2), Arrival: 1002}), nil)
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(1), Arrival: 1001}), ErrRegress)
	if s.calls.get != 1 || s.calls.swap != 3 {
		t.Errorf("%d Gets and %d Swaps, want 1 and 3", s.calls.get, s.calls.swap)
	}
	if r := s.stored(t); r.Owner != "host/a" || r.Epoch != 1 || r.Ck != pos(2) || r.Arrival != 1002 {
		t.Errorf("stored %+v", r)
	}
	want(t, l.Release(t.Context(), Progress{Pos: pos(3), Arrival: 1003}, ""), nil)
	want(t, l.Release(t.Context(), Progress{Pos: pos(3), Arrival: 1003}, ""), nil)
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(4), Arrival: 1004}), ErrReleased)
	want(t, l.End(t.Context(), nil), ErrReleased)
	r := s.stored(t)
	if r.Owner != "" || r.Epoch != 2 || r.Ck != pos(3) || string(r.More["x"]) != `"keep"` {
		t.Errorf("released %+v", r)
	}
	if s.calls.swap != 4 {
		t.Errorf("%d Swaps, want 4", s.calls.swap)
	}

	l, err = a.Claim(t.Context(), shard)
	want(t, err, nil)
	if l.Row().Ck != pos(3) || l.Epoch() != 3 {
		t.Errorf("claimed again: %+v", l.Row())
	}
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(2)}), ErrRegress)
	want(t, l.Checkpoint(t.Context(), Progress{Pos: checkpoint.End}), ErrRegress)
	for _, p := range []checkpoint.Position{"", "2/nowhere"} {
		if err := l.Checkpoint(t.Context(), Progress{Pos: p}); err == nil {
			t.Errorf("position %q was stored", p)
		}
	}
	want(t, l.End(t.Context(), []string{"shardId-3", "shardId-2"}), nil)
	want(t, l.End(t.Context(), nil), nil)
	want(t, l.Release(t.Context(), Progress{Pos: pos(9)}, ""), nil) // there is nothing to release
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(9)}), ErrReleased)
	if r := s.stored(t); !r.Ended() || r.Owner != "" || r.Epoch != 4 || !cmp.Equal(r.Children, []string{"shardId-2", "shardId-3"}) {
		t.Errorf("ended %+v", r)
	}
	_, err = a.Claim(t.Context(), shard)
	want(t, err, ErrEnded)
	s.check(t)
}

func TestClaimTakesOver(t *testing.T) {
	s, _, old := claimed(t)
	want(t, old.Checkpoint(t.Context(), Progress{Pos: pos(5)}), nil)
	heir, err := table(s, "b").Claim(t.Context(), shard)
	want(t, err, nil)
	if heir.Took() != "host/a" || heir.Row().Ck != pos(5) || heir.Epoch() != 2 {
		t.Errorf("took %q at %+v", heir.Took(), heir.Row())
	}
	want(t, old.Checkpoint(t.Context(), Progress{Pos: pos(6)}), ErrLost)
	calls := s.calls
	want(t, old.Checkpoint(t.Context(), Progress{Pos: pos(6)}), ErrLost)
	want(t, old.Release(t.Context(), Progress{Pos: pos(6)}, ""), ErrLost)
	want(t, old.End(t.Context(), nil), ErrLost)
	if s.calls != calls {
		t.Error("a lost lease still calls the store")
	}
	if r := s.stored(t); r.Owner != "host/b" || r.Ck != pos(5) {
		t.Errorf("stored %+v", r)
	}
	s.check(t)
}

// An earlier tenure of the same worker has no say either.
func TestEarlierTenure(t *testing.T) {
	s, a, old := claimed(t)
	now, err := a.Claim(t.Context(), shard)
	want(t, err, nil)
	if now.Took() != "" {
		t.Errorf("took over from itself: %q", now.Took())
	}
	want(t, now.Checkpoint(t.Context(), Progress{Pos: pos(9)}), nil)
	want(t, old.Checkpoint(t.Context(), Progress{Pos: pos(4)}), ErrLost)
	s.check(t)
}

func TestClaimRefused(t *testing.T) {
	s := &flaky{}
	a := table(s, "a")
	_, err := a.Claim(t.Context(), shard)
	want(t, err, ErrNoRow)
	if _, ok, err := a.Row(t.Context(), shard); ok || err != nil {
		t.Errorf("absent row: %v, %v", ok, err)
	}
	want(t, a.Create(t.Context(), shard, Row{Ck: checkpoint.TrimHorizon}), nil)

	// Somebody writes the row between Get and Swap.
	s.onSwap = func(checkpoint.Entry) fault {
		s.onSwap = nil
		s.force(t, key, `{"v":1,"by":"b.9","owner":"host/b","epoch":7,"ck":"0/trim"}`)
		return fine
	}
	_, err = a.Claim(t.Context(), shard)
	want(t, err, checkpoint.ErrConflict)
	if r := s.stored(t); r.Owner != "host/b" || r.Epoch != 7 {
		t.Errorf("the winner's row became %+v", r)
	}
}

func TestCreate(t *testing.T) {
	s := &flaky{}
	row := Row{Ck: checkpoint.TrimHorizon, Parents: []string{"shardId-2", "shardId-1"}, HashStart: "0", HashEnd: "9", Root: true}
	want(t, table(s, "a").Create(t.Context(), shard, row), nil)
	want(t, table(s, "b").Create(t.Context(), shard, Row{Ck: pos(1)}), nil) // somebody else did it
	got := s.stored(t)
	if !cmp.Equal(got.Parents, []string{"shardId-1", "shardId-2"}) || got.By != "a.1" || got.V != Version || !got.Root || got.HashEnd != "9" {
		t.Errorf("created %+v", got)
	}
	if row.Parents[0] != "shardId-2" {
		t.Error("Create sorted its argument")
	}
	if err := table(s, "a").Create(t.Context(), "other", Row{}); err == nil {
		t.Error("a row without a checkpoint was created")
	}
	s.onSwap = once(before)
	want(t, table(s, "a").Create(t.Context(), "other", Row{Ck: pos(1)}), errReset)
}

// A row that this worker wrote and a hand deleted comes back where it was.
func TestCreateAgain(t *testing.T) {
	s, a, l := claimed(t)
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(7), Arrival: 1007}), nil)
	s.remove(t, key)
	want(t, a.Create(t.Context(), shard, Row{Ck: checkpoint.TrimHorizon}), nil)
	if r := s.stored(t); r.Epoch != 2 || r.Ck != pos(7) || r.Arrival != 1007 || r.Owner != "" {
		t.Errorf("created again: %+v", r)
	}
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(8), Arrival: 1008}), ErrLost) // its row is another now

	s, a, l = claimed(t)
	want(t, l.Release(t.Context(), Progress{Pos: pos(8), Arrival: 1008}, ""), nil)
	s.remove(t, key)
	want(t, a.Create(t.Context(), shard, Row{Ck: checkpoint.TrimHorizon}), nil)
	if r := s.stored(t); r.Epoch != 3 || r.Ck != pos(8) || r.Arrival != 1008 {
		t.Errorf("created again: %+v", r)
	}
}

// What was seen of a row that is gone comes back, unless this worker has written it since.
func TestCreateAsSeen(t *testing.T) {
	for name, c := range map[string]struct {
		seen, want Row
	}{
		"younger":  {Row{Owner: "host/z", To: "host/y", Epoch: 4, Ck: pos(9)}, Row{Owner: "host/z", To: "host/y", Epoch: 4, Ck: pos(9)}},
		"as young": {Row{Owner: "host/z", Epoch: 3, Ck: pos(7)}, Row{Owner: "host/z", Epoch: 3, Ck: pos(8)}},
		"older":    {Row{Owner: "host/z", To: "host/y", Epoch: 2, Ck: pos(7)}, Row{Epoch: 3, Ck: pos(8)}},
	} {
		s, a, l := claimed(t)
		want(t, l.Release(t.Context(), Progress{Pos: pos(8)}, ""), nil) // epoch 2
		s.remove(t, key)
		want(t, a.Create(t.Context(), shard, c.seen), nil)
		if r := s.stored(t); r.Owner != c.want.Owner || r.To != c.want.To || r.Epoch != c.want.Epoch || r.Ck != c.want.Ck {
			t.Errorf("%s: created %+v, want %+v", name, r, c.want)
		}
	}
}

func TestRows(t *testing.T) {
	s := &flaky{}
	a := table(s, "a")
	for _, id := range []string{"shardId-1", "shardId-2", "odd/%id"} {
		want(t, a.Create(t.Context(), id, Row{Ck: checkpoint.TrimHorizon}), nil)
	}
	want(t, NewTable(s, "group", "other", "host/a").Create(t.Context(), "shardId-9", Row{Ck: checkpoint.TrimHorizon}), nil)
	want(t, NewTable(s, "group2", "123456789012:orders:1700000000", "host/a").Create(t.Context(), "shardId-9", Row{Ck: checkpoint.TrimHorizon}), nil)
	s.force(t, prefix+"shardId-4", `{"v":7,"ck":{}}`)
	s.force(t, prefix+"shardId-3", "garbage")

	s.stale, _ = s.Memory.List(t.Context(), prefix)
	slices.Reverse(s.stale) // a Store may list in any order
	rows, bad, err := a.Rows(t.Context())
	want(t, err, nil)
	if len(rows) != 3 || rows["shardId-1"].Ck != checkpoint.TrimHorizon || rows["odd/%id"].By == "" {
		t.Errorf("rows %v", rows)
	}
	if len(bad) != 2 || bad[0].Shard != "shardId-3" || bad[1].Shard != "shardId-4" ||
		!errors.Is(bad[0], ErrRowCorrupt) || !errors.Is(bad[1], ErrRowVersion) {
		t.Fatalf("bad rows %v", bad)
	}
	for i, remedy := range []string{"repair the row, or delete it", "update this program"} {
		if text := bad[i].Error(); !strings.Contains(text, bad[i].Key) || !strings.Contains(text, remedy) {
			t.Errorf("no key or no remedy in %q", text)
		}
	}

	// They are left alone, the others work on.
	for i, id := range []string{"shardId-3", "shardId-4"} {
		var e *RowError
		if _, err := a.Claim(t.Context(), id); !errors.As(err, &e) || e.Shard != id || !errors.Is(err, bad[i].Err) && e.Error() != bad[i].Error() {
			t.Errorf("claim %s: %v", id, err)
		}
		if _, ok, err := a.Row(t.Context(), id); ok || !errors.As(err, &e) {
			t.Errorf("row %s: %v, %v", id, ok, err)
		}
		want(t, a.Create(t.Context(), id, Row{Ck: checkpoint.TrimHorizon}), nil)
	}
	if e, _ := s.Memory.Get(t.Context(), prefix+"shardId-4"); string(e.Value) != `{"v":7,"ck":{}}` {
		t.Errorf("the newer row became %s", e.Value)
	}
	_, err = a.Claim(t.Context(), "shardId-2")
	want(t, err, nil)
	s.check(t)
}

// A stale list shows old rows; what is done goes by the row itself.
func TestStaleList(t *testing.T) {
	s, a := created(t)
	s.stale, _ = s.Memory.List(t.Context(), prefix)
	l, err := a.Claim(t.Context(), shard)
	want(t, err, nil)
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(3)}), nil)
	rows, _, err := a.Rows(t.Context())
	if err != nil || rows[shard].Owner != "" || rows[shard].Ck != checkpoint.TrimHorizon {
		t.Fatalf("the list is not stale: %+v, %v", rows, err)
	}
	heir, err := table(s, "b").Claim(t.Context(), shard)
	want(t, err, nil)
	if heir.Row().Ck != pos(3) || heir.Took() != "host/a" {
		t.Errorf("claimed from a stale list: %+v", heir.Row())
	}
	s.check(t)
}

func TestMeta(t *testing.T) {
	s := &flaky{}
	a, b := table(s, "a"), table(s, "b")
	if _, ok, err := a.Meta(t.Context()); ok || err != nil {
		t.Fatalf("absent: %v, %v", ok, err)
	}
	first := Meta{ARN: "arn:x", Created: 5, Start: checkpoint.Position("0/time/0000000000001000")}
	later := first
	later.Start = "0/time/0000000000009000"

	// The first anchor counts, whoever asks again and whatever was lost.
	s.onSwap = once(after)
	_, err := a.PutMeta(t.Context(), first)
	want(t, err, errReset)
	for _, w := range []*Table{a, b} {
		got, err := w.PutMeta(t.Context(), later)
		if err != nil || got.Start != first.Start || got.Revision == "" {
			t.Fatalf("anchored again: %+v, %v", got, err)
		}
	}
	m, ok, err := b.Meta(t.Context())
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	s.force(t, a.metaKey(), `{"v":1,"by":"n.1","arn":"arn:x","start":"0/time/0000000000001000","kcl":{"a":1}}`)
	m.Rooted = true
	if m, err = b.PutMeta(t.Context(), m); err != nil || m.Rooted || m.By != "n.1" {
		t.Fatalf("a stale update won: %+v, %v", m, err)
	}
	m.Rooted, m.Auto, m.FanOut = true, true, []string{"a", "b"}
	if m, err = b.PutMeta(t.Context(), m); err != nil || !m.Rooted {
		t.Fatalf("update: %+v, %v", m, err)
	}
	if m, ok, err = a.Meta(t.Context()); err != nil || !ok || !m.Rooted || !m.Auto || !slices.Equal(m.FanOut, []string{"a", "b"}) || string(m.More["kcl"]) != `{"a":1}` {
		t.Errorf("stored: %+v, %v", m, err)
	}

	s.force(t, a.metaKey(), `{"v":2}`)
	var e *RowError
	if _, _, err := a.Meta(t.Context()); !errors.Is(err, ErrRowVersion) || !errors.As(err, &e) || e.Shard != "" {
		t.Errorf("newer: %v", err)
	}
	s.force(t, a.metaKey(), `{"v":1,"start":"x"}`)
	if _, _, err := a.Meta(t.Context()); !errors.Is(err, ErrRowCorrupt) || !strings.Contains(err.Error(), "starting position") {
		t.Errorf("garbage: %v", err)
	}
	if _, err := a.PutMeta(t.Context(), Meta{}); err == nil {
		t.Error("a meta row without a start was written")
	}
}

// The arrival time is that of the checkpoint, or a later one up to which nothing more has arrived. It never goes back at one
// checkpoint, and an unknown one of a later checkpoint takes its place.
func TestArrival(t *testing.T) {
	s, _, l := claimed(t)
	for _, tt := range []struct {
		pos           int
		arrival, want int64
	}{{5, 500, 500}, {5, 900, 900}, {5, 700, 900}, {6, 600, 600}, {7, 0, 0}, {7, 800, 800}, {8, 1000, 1000}} {
		if err := l.Checkpoint(t.Context(), Progress{Pos: pos(tt.pos), Arrival: tt.arrival}); err != nil {
			t.Fatal(err)
		}
		if r := s.stored(t); r.Arrival != tt.want || r.Ck != pos(tt.pos) {
			t.Errorf("checkpoint %d of %d: the row has %s of %d, want %d", tt.pos, tt.arrival, r.Ck, r.Arrival, tt.want)
		}
	}
	if err := l.Release(t.Context(), Progress{Pos: pos(8), Arrival: 1100}, ""); err != nil {
		t.Fatal(err)
	}
	if r := s.stored(t); r.Arrival != 1100 {
		t.Errorf("released with arrival %d", r.Arrival)
	}
}

// A shard that ended without a checkpoint has no arrival time: that of its row is when it was put, and its end may be older.
func TestArrivalOfEnd(t *testing.T) {
	for _, read := range []bool{false, true} {
		s, _, l := claimed(t)
		at := l.Row().Ck
		if read {
			at = pos(5)
		}
		if err := l.Checkpoint(t.Context(), Progress{Pos: at, Arrival: 500}); err != nil {
			t.Fatal(err)
		}
		if err := l.End(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if r := s.stored(t); !r.Ended() || (r.Arrival == 500) != read || !read && r.Arrival != 0 {
			t.Errorf("read %v: ended with arrival %d", read, r.Arrival)
		}
	}
}

// What was worked above the checkpoint goes with it: it is stored though the checkpoint stays, a checkpoint without it clears
// it, a claim finds it, and a row that is put back or ends has its own.
func TestDone(t *testing.T) {
	s, a, l := claimed(t)
	at := func(n int, done string, reached int64) Progress {
		return Progress{Pos: pos(n), Arrival: 1, Done: []byte(done), Reached: reached}
	}
	stored := func(n int, done string, reached int64) {
		t.Helper()
		if r := s.stored(t); r.Ck != pos(n) || string(r.Done) != done || r.Reached != reached {
			t.Errorf("stored %+v, want %d, done %q, reached %d", r, n, done, reached)
		}
	}
	want(t, l.Checkpoint(t.Context(), at(1, "x", 0)), nil)
	done := []byte("xy")
	want(t, l.Checkpoint(t.Context(), Progress{Pos: pos(1), Done: done, Reached: 5}), nil)
	done[0] = '?' // the caller's
	stored(1, "xy", 5)
	swaps := s.calls.swap
	want(t, l.Checkpoint(t.Context(), at(1, "xy", 4)), nil)
	if s.calls.swap != swaps {
		t.Error("what was stored is written again")
	}
	want(t, l.Checkpoint(t.Context(), at(2, "", 0)), nil)
	stored(2, "", 5)
	want(t, l.Checkpoint(t.Context(), at(3, "z", 6)), nil)
	s.remove(t, key)
	want(t, a.Create(t.Context(), shard, Row{Ck: checkpoint.TrimHorizon}), nil)
	stored(3, "z", 6)
	l, err := a.Claim(t.Context(), shard)
	want(t, err, nil)
	stored(3, "z", 6)
	if r := l.Row(); string(r.Done) != "z" {
		t.Errorf("claimed %+v", r)
	}
	want(t, l.Release(t.Context(), Progress{}, "host/b"), nil)
	stored(3, "z", 6)
	if r := s.stored(t); r.To != "host/b" || r.Owner != "" {
		t.Errorf("released %+v", r)
	}
	l, err = a.Claim(t.Context(), shard)
	want(t, err, nil)
	if r := s.stored(t); r.To != "" {
		t.Errorf("claimed, and still meant for %q", r.To)
	}
	want(t, l.End(t.Context(), nil), nil)
	if r := s.stored(t); r.Done != nil {
		t.Errorf("ended %+v", r)
	}
	s.check(t)
}
