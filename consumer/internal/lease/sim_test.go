package lease

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

const (
	chaos = 80 * time.Second // faults stop then
	calm  = 60 * time.Second // and all is in order, and stays so, by the end of that

	blackouts = 3 // the last digit of the seeds with an outage of the store, and little else
)

// rarities are what must have happened in a long run, else it proves little.
func rarities() []string {
	return []string{
		"killed", "froze", "was cut off", "left", "outage", "member row deleted", "fenced", "fence lost to a heartbeat", "buried", "over",
		"took over", "moved", "ended", "late write applied", "late write too late", "resumed after a lapse", "work held over a lapse",
		"stale owner between check and effect", "claim repeated", "claim of a live owner's lease",
	}
}

// TestProtocol lets several workers share leases through one store, under kills, freezes, cuts, lost and late writes, stale
// lists and outages, and holds what the store and the handlers see to the rules of the design. SHARDLANE_PROTOCOL_SEEDS sets
// how many seeds, or which ones, as 7-7.
func TestProtocol(t *testing.T) {
	first, last := seedsOf(t, "SHARDLANE_PROTOCOL_SEEDS", 200)
	counts := make(map[string]int)
	bad, began := 0, time.Now()
	for seed := first; seed <= last; seed++ {
		w := play(t, seed, first == last)
		for what, n := range w.counts {
			counts[what] += n
		}
		if len(w.wrong) > 0 {
			bad++
			if bad <= 5 {
				t.Errorf("seed %d:\n  %s\nagain: SHARDLANE_PROTOCOL_SEEDS=%d-%d go test -run TestProtocol -v ./consumer/internal/lease", seed, strings.Join(w.wrong, "\n  "), seed, seed)
			}
		}
		if first == last {
			t.Logf("%s", strings.Join(w.trace, "\n"))
		}
	}
	if bad > 0 {
		t.Errorf("%d of %d seeds break a rule", bad, last-first+1)
	}
	for _, what := range rarities() {
		t.Logf("%8d %s", counts[what], what)
		if counts[what] == 0 && last-first >= 199 {
			t.Errorf("never happened: %s", what)
		}
	}
	t.Logf("%d seeds in %v", last-first+1, time.Since(began).Round(time.Millisecond))
}

// seedsOf returns the first and the last seed that an environment variable gives, or 1 and last.
func seedsOf(t *testing.T, name string, last uint64) (uint64, uint64) {
	env := os.Getenv(name)
	if env == "" {
		return 1, last
	}
	from, to, ok := strings.Cut(env, "-")
	if !ok {
		from, to = "1", env
	}
	first, err1 := strconv.ParseUint(from, 10, 64)
	last, err2 := strconv.ParseUint(to, 10, 64)
	if err1 != nil || err2 != nil {
		t.Fatalf("%s=%q: want a number of seeds, or the first and the last one as 3-9", name, env)
	}
	return first, last
}

// TestProtocolTraces plays seeds twice and wants the same trace each time: one in 97 of TestProtocol's, whatever its last digit,
// or all that SHARDLANE_PROTOCOL_TWICE names.
func TestProtocolTraces(t *testing.T) {
	name, every := "SHARDLANE_PROTOCOL_SEEDS", uint64(97)
	if os.Getenv("SHARDLANE_PROTOCOL_TWICE") != "" {
		name, every = "SHARDLANE_PROTOCOL_TWICE", 1
	}
	first, last := seedsOf(t, name, 200)
	for seed := first; seed <= last; seed++ {
		if seed%every != 0 {
			continue
		}
		one, two := play(t, seed, true).trace, play(t, seed, true).trace
		if slices.Equal(one, two) {
			continue
		}
		i := 0
		for i < min(len(one), len(two)) && one[i] == two[i] {
			i++
		}
		t.Errorf("seed %d does not play the same way twice:\n%s\nand then\n%s\nagain: SHARDLANE_PROTOCOL_TWICE=%d-%d go test -run '^TestProtocolTraces$' ./consumer/internal/lease",
			seed, slices.Concat(one, []string{"the end"})[i], slices.Concat(two, []string{"the end"})[i], seed, seed)
	}
}

// unnumbered is what remains of a signature in a trace: the numbers of two writes at one instant have no order.
var unnumbered = regexp.MustCompile(`("by":"[^"]*)\.[0-9]+`)

// A world is one play: the rows, the workers and what they do, as an observer sees it who knows everything.
type world struct {
	seed   uint64
	rates  [5]float64 // of before, after, late, throttled and stale
	began  time.Time
	ctx    context.Context
	all    sync.WaitGroup
	procs  []*proc
	shards []string

	mu      sync.Mutex
	rows    flaky
	past    map[string][]version
	outage  time.Time // until when
	handled map[string]int
	died    map[string]bool // by key of the member row
	active  map[string][]*turn
	counts  map[string]int
	wrong   []string
	tracing bool
	trace   []string
}

// A version is a row as it was from a time on.
type version struct {
	at time.Time
	e  checkpoint.Entry // without a revision: it was absent
}

// dice returns randomness that depends on the seed and on what it is for, and on nothing else.
func (w *world) dice(parts ...any) *rand.Rand {
	h := fnv.New64a()
	_, _ = fmt.Fprintln(h, parts...)
	return rand.New(rand.NewPCG(w.seed, h.Sum64()))
}

func (w *world) log(format string, args ...any) {
	if !w.tracing {
		return
	}
	w.trace = append(w.trace, fmt.Sprintf("%12v ", time.Since(w.began))+fmt.Sprintf(format, args...))
}

func (w *world) bad(format string, args ...any) {
	w.wrong = append(w.wrong, fmt.Sprintf("%v ", time.Since(w.began))+fmt.Sprintf(format, args...))
	w.log("!! "+format, args...)
}

func (w *world) happened(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

func (w *world) over() bool { return time.Since(w.began) > chaos }

// play plays one seed.
func play(t *testing.T, seed uint64, tracing bool) *world {
	w := &world{
		seed: seed, tracing: tracing, past: make(map[string][]version), handled: make(map[string]int), died: make(map[string]bool),
		active: make(map[string][]*turn), counts: make(map[string]int),
	}
	synctest.Test(t, func(t *testing.T) {
		var cancel context.CancelFunc
		w.ctx, cancel = context.WithCancel(t.Context())
		w.began = time.Now()
		time.AfterFunc(time.Hour, func() { panic("the seed does not end") })
		r := w.dice("world")
		for i := range w.rates {
			w.rates[i] = []float64{0, .01, .05, .2}[r.IntN(4)]
			if seed%10 == blackouts { // a call in five fails at most: else nobody says whether a death is the outage's
				w.rates[i] = min(w.rates[i], .05)
			}
		}
		w.rates[4] *= 4
		for i := range 2 + r.IntN(5) {
			id := fmt.Sprintf("shardId-%012d", i)
			w.shards = append(w.shards, id)
			value := `{"v":1,"by":"z.1","epoch":0,"ck":"0/trim"}`
			if _, err := w.swap(checkpoint.Entry{Key: (&Table{group: "group", stream: stream}).Key(id), Value: []byte(value)}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 2 + r.IntN(3) {
			p := &proc{w: w, name: string(rune('a' + i))}
			w.procs = append(w.procs, p)
			p.start()
		}
		if seed%10 == blackouts {
			w.blackout(r)
		} else {
			w.nemesis(r)
		}
		for _, p := range w.procs {
			p.restart(0)
		}
		time.Sleep(chaos + calm - 15*time.Second - time.Since(w.began))
		w.mu.Lock()
		epochs, handled := make(map[string]int64), maps.Clone(w.handled)
		for _, id := range w.shards {
			epochs[id] = w.row(id).Epoch
		}
		fenced := w.counts["fenced"]
		w.mu.Unlock()
		time.Sleep(15 * time.Second)
		w.mu.Lock()
		for _, id := range w.shards {
			r := w.row(id)
			switch owner := w.holder(r.Owner); {
			case r.Ended():
			case r.Epoch != epochs[id]:
				w.bad("CV2: %s moves long after the last fault: epoch %d of %s", id, r.Epoch, r.Owner)
			case owner == nil:
				w.bad("CV1: %s is %q's, who does not work", id, r.Owner)
			case w.handled[id] == handled[id]:
				w.bad("CV1: %s makes no progress at %s", id, r.Ck)
			}
		}
		if w.counts["fenced"] != fenced {
			w.bad("a member was declared dead long after the last fault")
		}
		w.mu.Unlock()
		for _, p := range w.procs {
			p.kill()
		}
		cancel()
		w.all.Wait()
		w.wrong = append(w.wrong, w.rows.wrong...)
	})
	return w
}

// blackout is one outage of the store, and little else: nobody is declared dead for it.
func (w *world) blackout(r *rand.Rand) {
	time.Sleep(15*time.Second + time.Duration(r.Int64N(int64(Beat)))) // not when all send a heartbeat
	w.mu.Lock()
	d := 5*time.Second + time.Duration(r.Int64N(int64(55*time.Second)))
	w.outage = time.Now().Add(d)
	w.log("outage for %v", d)
	w.mu.Unlock()
	time.Sleep(chaos - time.Since(w.began))
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.counts["fenced"] + w.counts["over"]; n > 0 {
		w.bad("CV4: %d were declared dead after an outage", n)
	}
}

// nemesis does harm until the faults stop.
func (w *world) nemesis(r *rand.Rand) {
	for {
		time.Sleep(time.Duration(r.ExpFloat64() * float64(6*time.Second)))
		if w.over() {
			return
		}
		p := w.procs[r.IntN(len(w.procs))]
		d := min(time.Duration(r.Float64()*r.Float64()*float64(25*time.Second)), chaos-time.Since(w.began))
		switch n := r.IntN(20); {
		case n < 5:
			p.restart(time.Duration(1 + r.Int64N(int64(20*time.Second))))
		case n < 9:
			p.freeze(d)
		case n < 11:
			w.mu.Lock()
			p.trap = d + valid
			w.mu.Unlock()
		case n < 14:
			p.cut(d)
		case n < 17:
			p.leave()
		case n < 18:
			w.mu.Lock()
			d = min(3*d, chaos-time.Since(w.began))
			w.outage = time.Now().Add(d)
			w.counts["outage"]++
			w.log("outage for %v", d)
			w.mu.Unlock()
		default:
			w.mu.Lock()
			if life := p.life; life != nil {
				life.g.mu.Lock()
				id := life.g.self
				life.g.mu.Unlock()
				key := memberKey("group", id)
				if e, _ := w.rows.Memory.Get(w.ctx, key); e.Revision != "" {
					_ = w.rows.Memory.Delete(w.ctx, e)
					w.counts["member row deleted"]++
					w.keep(checkpoint.Entry{Key: key})
					w.log("the row of %s is deleted by hand", id)
				}
			}
			w.mu.Unlock()
		}
	}
}

// row returns the row of a lease as it is. It is called under mu.
func (w *world) row(id string) Row {
	e, _ := w.rows.Memory.Get(context.Background(), (&Table{group: "group", stream: stream}).Key(id))
	r, err := decodeRow(e.Value)
	if err != nil {
		w.bad("the row of %s: %v", id, err)
	}
	return r
}

// holder returns the live process whose incarnation owner is.
func (w *world) holder(owner string) *proc {
	for _, p := range w.procs {
		if p.life != nil && p.life.g.Tenure() != nil && p.life.g.Tenure().Owner() == owner {
			return p
		}
	}
	return nil
}

// swap applies a write, if it applies, and holds it to the rules.
func (w *world) swap(e checkpoint.Entry) (checkpoint.Entry, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old, _ := w.rows.Memory.Get(context.Background(), e.Key)
	stored, err := w.rows.Memory.Swap(context.Background(), e)
	if err != nil {
		return stored, err
	}
	w.keep(stored)
	w.log("%s: %s", e.Key, unnumbered.ReplaceAll(e.Value, []byte("$1")))
	w.rows.judge(e.Key, old, e.Value)
	next := fieldsOf(e.Value)
	prev := map[string]any{}
	if old.Revision != "" {
		prev = fieldsOf(old.Value)
	}
	if strings.Contains(e.Key, "/member/") {
		if text(prev, "st") == "DEAD" {
			w.bad("S7: the row of a dead member changes: %s", e.Value)
		}
		switch text(next, "st") {
		case "LOST":
			w.counts["buried"]++
		case "DEAD":
			w.died[e.Key] = true
		}
		return stored, nil
	}
	id := e.Key[strings.LastIndexByte(e.Key, '/')+1:]
	owner, was := text(next, "owner"), text(prev, "owner")
	if owner != "" && was != "" && owner != was {
		w.counts["took over"]++
		if st := w.standing(was); st != "DEAD" && !w.died[memberKey("group", was)] { // once is for good, though a hand deletes the row
			w.bad("S6: %s is taken from %s, which is %q", id, was, st)
		}
	}
	if was != "" && owner == "" {
		w.counts["moved"]++
	}
	if ck := step(checkpoint.Position(text(next, "ck"))); ck > w.handled[id] {
		w.bad("S4: %s has checkpoint %d, and %d were handled", id, ck, w.handled[id])
	}
	if text(next, "ck") == string(checkpoint.End) {
		w.counts["ended"]++
	}
	return stored, nil
}

// standing returns what the member row of owner says, "" if there is none.
func (w *world) standing(owner string) string {
	e, _ := w.rows.Memory.Get(context.Background(), memberKey("group", owner))
	if e.Revision == "" {
		return ""
	}
	return text(fieldsOf(e.Value), "st")
}

// keep notes a version of a row, for lists that are stale.
func (w *world) keep(e checkpoint.Entry) {
	past := w.past[e.Key]
	w.past[e.Key] = append(past[max(0, len(past)-7):], version{time.Now(), e})
}

// list returns the rows, each of them as it was some seconds ago perhaps.
func (w *world) list(r *rand.Rand, prefix string) []checkpoint.Entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []checkpoint.Entry
	for _, key := range slices.Sorted(mapKeys(w.past)) {
		at := time.Now()
		if r.Float64() < w.rates[4] && !w.over() {
			at = at.Add(-time.Duration(r.Int64N(int64(6 * time.Second))))
		}
		var e checkpoint.Entry
		for _, v := range w.past[key] {
			if !v.at.After(at) {
				e = v.e
			}
		}
		if strings.HasPrefix(key, prefix) && e.Revision != "" {
			list = append(list, e)
		}
	}
	return list
}

// A turn is one handler at work.
type turn struct {
	run     *run
	entered time.Time
}

// enter takes note that a handler starts, which was allowed at that time.
func (w *world) enter(s *turn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := s.run
	stale := r.life.p.thawed.After(s.entered)
	if st := w.standing(r.owner); st == "DEAD" || st == "" && w.counts["member row deleted"] == 0 {
		if !stale {
			w.bad("S7: %s starts a handler of %s, and its row is %q", r.owner, r.shard, st)
		}
		w.counts["stale owner between check and effect"]++
	}
	if row := w.row(r.shard); !stale && (row.Owner != r.owner || row.Epoch != r.lease.Epoch()) {
		w.bad("I6: %s starts a handler of %s in epoch %d, which is %q's in epoch %d", r.owner, r.shard, r.lease.Epoch(), row.Owner, row.Epoch)
	}
	for _, other := range w.active[r.shard] {
		older := other
		if r.lease.Epoch() < other.run.lease.Epoch() {
			older = s
		}
		if !older.run.life.p.thawed.After(older.entered) && !older.run.life.p.frozen.After(time.Now()) {
			w.bad("S5: %s and %s work on %s at once", r.owner, other.run.owner, r.shard)
		}
	}
	w.active[r.shard] = append(w.active[r.shard], s)
}

// leave takes note of the end of a handler. A success is a further record handled.
func (w *world) leave(s *turn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := s.run.shard
	w.active[id] = slices.DeleteFunc(w.active[id], func(o *turn) bool { return o == s })
}

// resolve takes note of an outcome.
func (w *world) resolve(id string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n > w.handled[id]+1 {
		w.bad("S11: %s goes on with record %d, and %d were handled", id, n, w.handled[id])
	}
	w.handled[id] = max(w.handled[id], n)
}

// step is the record that a position stands for: those up to it were handled.
func step(p checkpoint.Position) int {
	seq, _, _, ok := p.Sequence()
	if !ok {
		return 0
	}
	n, _ := strconv.Atoi(seq[2:])
	return n
}
