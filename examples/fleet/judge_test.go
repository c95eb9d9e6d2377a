package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// at is a moment so many milliseconds behind the start.
func at(ms int) time.Time { return time.UnixMilli(int64(ms)) }

// did is a call that went well.
func did(shard string, epoch int64, from, to int, records ...record) *call {
	return &call{shard: shard, epoch: epoch, began: at(from), ended: at(to), ok: true, records: records}
}

func by(name string, calls ...*call) trail {
	p := newPast()
	p.calls, p.done = calls, len(calls)
	for _, c := range calls {
		p.held[c.shard] = true
	}
	return trail{name: name, past: &p, ended: at(100_000)}
}

// The judge finds what is wrong, so it must find it, and only that.
func TestJudgeSeesWhatIsWrong(t *testing.T) {
	a := func(n int) record { return record{"a", n} }
	failed := func(c *call) *call { c.ok = false; return c }
	dies := func(t trail, ms int) trail { t.killed, t.ended = at(ms), at(ms); return t }
	stands := func(t trail, from, to int) trail { t.stops = []span{{at(from), at(to)}}; return t }
	for name, c := range map[string]struct {
		trails     []trail
		wrong      []string // parts of the sentences
		duplicates int
		across     int
	}{
		"well": {[]trail{by("x", did("0", 1, 0, 10, a(1), a(2))), by("y", did("0", 2, 10, 20, a(3)))}, nil, 0, 0},
		"lost": {[]trail{by("x", did("0", 1, 0, 10, a(1)), did("0", 1, 10, 20, a(2)))}, []string{"a:3 of 3 was not handled"}, 0, 0},
		"failed for good": {
			[]trail{by("x", did("0", 1, 0, 10, a(1), a(2)), failed(did("0", 1, 10, 20, a(3))))},
			[]string{"a:3 of 3 was not handled"},
			0, 0,
		},
		"never put":         {[]trail{by("x", did("0", 1, 0, 10, a(1), a(2), a(3), a(4)))}, []string{"a:4 was handled, and never put"}, 0, 0},
		"order in a batch":  {[]trail{by("x", did("0", 1, 0, 10, a(2), a(1), a(3)))}, []string{"x started on a:2"}, 0, 0},
		"order of batches":  {[]trail{by("x", did("0", 1, 0, 10, a(1), a(2)), did("0", 1, 9, 20, a(3)))}, []string{"x started on a:3"}, 0, 0},
		"child too early":   {[]trail{by("x", did("0", 1, 0, 10, a(1))), by("y", did("1", 1, 5, 20, a(2), a(3)))}, []string{"y started on a:2"}, 0, 0},
		"attempt too early": {[]trail{by("x", failed(did("0", 1, 0, 5, a(2))), did("0", 1, 5, 9, a(1), a(2), a(3)))}, []string{"x started on a:2"}, 0, 0},
		"again after a crash": {
			[]trail{dies(by("x", did("0", 1, 0, 10, a(1), a(2))), 12), by("y", did("0", 2, 13, 20, a(1), a(2), a(3)))}, nil, 2, 0,
		},
		"again after a stop": {
			[]trail{by("x", did("0", 1, 0, 10, a(1))), by("y", did("0", 2, 13, 20, a(1), a(2), a(3)))}, []string{"a:1 was handled by x"}, 1, 0,
		},
		"again after a crash of the next one": {
			[]trail{
				by("x", did("0", 1, 0, 10, a(1))), dies(by("y", failed(did("0", 2, 13, 14, a(2)))), 20),
				by("z", did("0", 3, 30, 40, a(1), a(2), a(3))),
			},
			nil, 1, 0,
		},
		"again, and a crash elsewhere": {
			[]trail{
				by("x", did("0", 1, 0, 10, a(1))), dies(by("y", failed(did("1", 2, 13, 14, a(2)))), 20),
				by("z", did("0", 3, 30, 40, a(1), a(2), a(3))),
			},
			[]string{"a:1 was handled by x"},
			1, 0,
		},
		"two at once": {
			[]trail{by("x", did("0", 1, 0, 10, a(1))), by("y", failed(did("0", 2, 9, 10, a(1))), did("0", 2, 10, 20, a(2), a(3)))},
			[]string{"x and y both handled records of 0"},
			0, 0,
		},
		"two at once behind a short call": {
			[]trail{by("x", did("0", 1, 0, 30, a(1)), failed(did("0", 1, 1, 2, a(1)))), by("y", failed(did("0", 2, 9, 10, a(1))), did("0", 2, 30, 40, a(2), a(3)))},
			[]string{"x and y both handled records of 0"},
			0, 0,
		},
		"killed in a call": {
			[]trail{dies(by("x", did("0", 1, 0, 5, a(1)), &call{shard: "0", epoch: 1, began: at(6), records: []record{a(2)}}), 12), by("y", did("0", 2, 12, 20, a(2), a(3)))},
			nil, 0, 0,
		},
		"an heir before the kill": {
			[]trail{dies(by("x", did("0", 1, 0, 5, a(1)), &call{shard: "0", epoch: 1, began: at(6), records: []record{a(2)}}), 12), by("y", did("0", 2, 11, 20, a(2), a(3)))},
			[]string{"x and y both handled records of 0"},
			0, 0,
		},
		"across a pause": {
			[]trail{stands(by("x", did("0", 1, 0, 15_010, a(1))), 5, 15_005), by("y", did("0", 2, 12_000, 12_010, a(1)), did("0", 2, 12_010, 12_020, a(2), a(3)))},
			nil, 1, 2,
		},
		"long after a pause": {
			[]trail{stands(by("x", did("0", 1, 0, 2, a(1)), did("0", 1, 16_000, 16_100, a(2))), 5, 15_005), by("y", did("0", 2, 16_000, 16_050, a(2)), did("0", 2, 16_050, 16_060, a(3)))},
			[]string{"both handled records of 0 at 00:00:16.000", "of 0 at 00:00:16.050", "again by x"},
			1, 0,
		},
		"one epoch, two workers": {
			[]trail{by("x", did("0", 1, 0, 10, a(1), a(2))), by("y", did("0", 1, 10, 20, a(3)))}, []string{"x and y handled 0 with epoch 1"}, 0, 0,
		},
	} {
		v := judge(map[string]int{"a": 3}, c.trails)
		fits := len(v.wrong) == len(c.wrong)
		for _, want := range c.wrong {
			fits = fits && slices.ContainsFunc(v.wrong, func(s string) bool { return strings.Contains(s, want) })
		}
		if again := v.duplicates[killed] + v.duplicates[paused] + v.duplicates[stop]; !fits || again != c.duplicates || v.across != c.across {
			t.Errorf("%s: %q, %d duplicates, %d across a pause; want %q, %d, %d", name, v.wrong, again, v.across, c.wrong, c.duplicates, c.across)
		}
	}
}

// Histories are read while they are written, and a line that a kill cut off counts for nothing.
func TestHistory(t *testing.T) {
	path := t.TempDir() + "/history"
	h, err := openHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := followHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	h.write("owns", "s-1", "s-2")
	h.write("begin", 1, "s-1", 7, record{"a", 1}, record{"b", 1})
	h.write("store", "Swap", "member")
	h.f.WriteString("end 17000")
	if err := r.read(); err != nil || len(r.calls) != 1 || !r.calls[0].ended.IsZero() || len(r.owns) != 2 || len(r.ops) != 1 {
		t.Fatalf("%v %+v", err, r.past)
	}
	h.f.WriteString("00 1 ok\nbegin 5 2 s-2 8 a:2\nend 6 2 failed\nowns 7\nend 9 3")
	if err := r.read(); err != nil || r.done != 2 || !r.calls[0].ok || r.calls[0].ended != time.Unix(0, 1700000) || r.calls[1].ok || r.calls[1].epoch != 8 ||
		len(r.owns) != 0 || !slices.Equal(r.calls[0].records, []record{{"a", 1}, {"b", 1}}) {
		t.Fatalf("%v %+v", err, r.past)
	}
	h.f.WriteString(" ok\n")
	if err := r.read(); err == nil {
		t.Error("the end of a call that never began is taken")
	}
}

// Each gap is measured from what made it.
func TestFigures(t *testing.T) {
	rec := record{"a", 1}
	x, y, z := by("x", did("0", 1, 0, 1000, rec), did("1", 1, 0, 1000, rec)), by("y", did("0", 3, 12_000, 13_000, rec), did("1", 3, 1300, 1400, rec)), by("z", did("0", 5, 24_000, 25_000, rec))
	x.killed, x.ended = at(2000), at(2000)
	y.stops = []span{{at(13_000), at(28_000)}}
	f := measure([]trail{x, y, z}, []event{{at(1100), "restart"}, {at(2000), "kill"}})
	if !slices.Equal(f.crash, []time.Duration{10 * time.Second}) || !slices.Equal(f.handover, []time.Duration{300 * time.Millisecond}) ||
		!slices.Equal(f.pause, []time.Duration{11 * time.Second}) || !slices.Equal(f.moved["restart"], []int{1}) || !slices.Equal(f.moved["kill"], []int{2}) {
		t.Errorf("%+v", f)
	}
	// A shard that is handed over while a record fails may have stood still before.
	bad := did("0", 1, 990, 1000, rec)
	bad.ok = false
	f = measure([]trail{by("x", bad), by("y", did("0", 3, 4000, 4100, rec)), by("z", did("0", 5, 4200, 4300, rec))}, nil)
	if !slices.Equal(f.failing, []time.Duration{3 * time.Second}) || !slices.Equal(f.handover, []time.Duration{100 * time.Millisecond}) {
		t.Errorf("%+v", f)
	}
	// The heir of a shard may have been killed before its first record, or stood still.
	dead, still := by("u"), by("v")
	dead.killed, dead.ended, still.stops = at(900), at(900), []span{{at(500), at(9000)}}
	for _, struck := range []trail{dead, still} {
		f = measure([]trail{by("x", did("0", 1, 0, 1000, rec)), by("y", did("0", 4, 14_000, 14_100, rec)), by("z", did("0", 6, 31_000, 30_100, rec)), struck}, nil)
		if !slices.Equal(f.struck, []time.Duration{13 * time.Second}) || !slices.Equal(f.handover, []time.Duration{16_900 * time.Millisecond}) {
			t.Errorf("%+v", f)
		}
	}
	for _, c := range [][3]int{{1, 99, 0}, {100, 99, 98}, {100, 50, 49}, {3, 50, 1}, {3, 0, 0}, {3, 100, 2}} {
		if got := rank(c[0], c[1]); got != c[2] {
			t.Errorf("rank %d of %d: %d, want %d", c[1], c[0], got, c[2])
		}
	}
}

func FuzzHistory(f *testing.F) {
	f.Add("begin 5 1 s 8 a:2\nend 6 1 ok\nowns 7 s\nstore 8 Get lease\n")
	f.Fuzz(func(_ *testing.T, text string) {
		p := newPast()
		for line := range strings.Lines(text) {
			_ = p.take(strings.Fields(line))
		}
	})
}
