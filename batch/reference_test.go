package batch_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// A refCase is a shard with one lane, what its handler makes of the records, and the limits. Times are milliseconds.
type refCase struct {
	form      string // of the handler: whole, partial, json
	bisect    bool
	retries   int // -1: no limit
	maxAge    int // -1: no limit
	retention int // -1: unknown
	start     int
	ahead     int // batches that are pushed at once
	interrupt int // one in that many attempts is interrupted; 0: none
	abort     int // attempt that is cut off; -1: none
	noise     uint64
	batches   [][]int // of indexes of records
	records   []refRecord
}

type refRecord struct {
	arrival int
	fate    string // of an attempt in which it is the first that fails
	times   int    // attempts that it fails; -1: all
	big     bool   // it exceeds the payload limit alone
}

func (c *refCase) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s bisect=%v retries=%d age=%d retention=%d start=%d ahead=%d interrupt=%d abort=%d noise=%d\n",
		c.form, c.bisect, c.retries, c.maxAge, c.retention, c.start, c.ahead, c.interrupt, c.abort, c.noise)
	for _, batch := range c.batches {
		fmt.Fprintf(&b, "  batch:")
		for _, r := range batch {
			fmt.Fprintf(&b, " %d%+v", r, c.records[r])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func randomCase(rnd *rand.Rand) *refCase {
	pick := func(list ...int) int { return list[rnd.IntN(len(list))] }
	c := &refCase{
		form: []string{"whole", "partial", "partial", "json"}[rnd.IntN(4)], bisect: rnd.IntN(2) == 0,
		retries: pick(-1, 0, 1, 2, 5), maxAge: pick(-1, -1, 500, 2000, 10_000, 70_000), retention: -1,
		start: 100_000, ahead: rnd.IntN(4), interrupt: pick(0, 0, 4, 10), abort: pick(-1, -1, -1, -1, 1+rnd.IntN(20)), noise: rnd.Uint64(),
	}
	if rnd.IntN(3) == 0 {
		c.retention = pick(1050, 5050, 30_050, 80_050) // between the instants at which attempts are made
	}
	span := max(c.maxAge, c.retention, 1000) * 5 / 4
	ends := c.maxAge >= 0 || c.retention >= 0
	trouble := pick(0, 1, 3, 6)
	fates := []string{"error", "panic", "busy", "report", "report", "report", "unknown", "empty", "garbage"}
	for range 1 + rnd.IntN(4) {
		size, big := 1+rnd.IntN(12), (ends || c.retries >= 0) && rnd.IntN(6) == 0
		if big && rnd.IntN(4) > 0 {
			size = 1 // as the size limit cuts batches (L32)
		}
		arrivals := make([]int, size)
		for i := range arrivals {
			arrivals[i] = c.start + 500 - rnd.IntN(span/100)*100
		}
		if rnd.IntN(4) > 0 {
			slices.Sort(arrivals)
		}
		var list []int
		for i, at := range arrivals {
			r := refRecord{arrival: at, fate: fates[rnd.IntN(len(fates))], big: big && i == size/2}
			if rnd.IntN(12) < trouble {
				r.times = 1 + rnd.IntN(6)
				if ends && rnd.IntN(2) == 0 || c.retries >= 0 && r.fate != "busy" && rnd.IntN(2) == 0 {
					r.times = -1
				}
			}
			list, c.records = append(list, len(c.records)), append(c.records, r)
		}
		c.batches = append(c.batches, list)
	}
	return c
}

// seq is the sequence number of record r. As texts they are in another order.
func seq(r int) string { return strconv.Itoa(990 + r) }

// A world is everything around the machine: it knows what the handler answers. Every run of a case has its own.
type world struct {
	c     *refCase
	seen  []int // attempts per record
	tries int
	noise uint64
}

func newWorld(c *refCase) *world {
	return &world{c: c, seen: make([]int, len(c.records)), noise: c.noise}
}

// begin starts an attempt. It says how long the attempt takes, and whether it is interrupted or aborted.
func (w *world) begin() (took int, event string) {
	w.tries++
	w.noise = w.noise*6364136223846793005 + 1442695040888963407
	switch {
	case w.tries == w.c.abort:
		event = "aborted"
	case w.c.interrupt > 0 && w.tries < 60 && w.draw(24, w.c.interrupt) == 0:
		event = "interrupted"
	}
	return 100 * w.draw(32, 4), event
}

func (w *world) draw(shift, n int) int { return int(w.noise>>shift&0xff) % n }

// A reply is what the handler does with a slice.
type reply struct {
	kind string   // fine, error, panic, busy, report, garbage
	ids  []string // report: what is named
	pick int      // garbage, fine: which one
}

func (w *world) answer(records []int) reply {
	var bad []int
	for _, r := range records {
		w.seen[r]++
		if times := w.c.records[r].times; times < 0 || w.seen[r] <= times {
			bad = append(bad, r)
		}
	}
	a := reply{kind: "fine", pick: w.draw(40, 64)}
	if len(bad) == 0 {
		return a
	}
	fate := w.c.records[bad[0]].fate
	switch fate {
	case "error", "panic", "busy":
		a.kind = fate
		return a
	}
	if w.c.form == "whole" {
		a.kind = "error"
		return a
	}
	if a.kind = fate; fate == "garbage" && w.c.form == "json" {
		return a
	}
	a.kind = "report"
	switch w.draw(48, 4) {
	case 0:
		bad = bad[:1]
	case 1:
		slices.Reverse(bad)
		bad = append(bad, bad[0])
	case 2:
		bad = append([]int{records[len(records)-1]}, bad...)
	}
	for _, r := range bad {
		a.ids = append(a.ids, seq(r))
	}
	at := w.draw(56, len(a.ids)+1)
	switch fate {
	case "unknown":
		if other := seq(records[0] - 1); a.pick%2 == 0 {
			a.ids = slices.Insert(a.ids, at, other)
		} else {
			a.ids = []string{other}
		}
	case "empty", "garbage":
		a.ids = slices.Insert(a.ids, at, "")
	}
	return a
}

// A line is one thing that a run does.
type line struct {
	what    string // call, oversized, interrupted, aborted, sleep, discard, lost, checkpoint
	records string
	id, n   int    // request id by first appearance; attempt, number of the wait, invoke count, position
	at      int    // time
	note    string // condition and functionError
}

func (l line) String() string {
	return fmt.Sprintf("%-11s records=%v id=%d n=%d at=%d %s", l.what, []byte(l.records), l.id, l.n, l.at, l.note)
}

// text is a list of records as a string of bytes.
func text(records []int) string {
	b := make([]byte, len(records))
	for i, r := range records {
		b[i] = byte(r)
	}
	return string(b)
}

type refSlice struct {
	records       []int
	attempts      int
	waits         int
	functionError string // of the latest attempt
}

// A model is the machine of L27, line by line.
type model struct {
	*world
	now      int
	stack    []*refSlice
	ids      map[*refSlice]int
	resolved []bool
	trace    []line
	branches map[string]int
}

func (m *model) log(what string, s *refSlice, records []int, n int, note string) {
	l := line{what: what, records: text(records), n: n, at: m.now, note: note}
	if s != nil {
		if m.ids[s] == 0 {
			m.ids[s] = len(m.ids) + 1
		}
		l.id = m.ids[s]
	}
	m.trace = append(m.trace, l)
}

func (m *model) push(records []int) { m.stack = append(m.stack, &refSlice{records: records}) }

func (m *model) resolve(records []int) {
	for _, r := range records {
		m.resolved[r] = true
	}
	checkpoint := 0
	for checkpoint < len(m.resolved) && m.resolved[checkpoint] {
		checkpoint++
	}
	m.log("checkpoint", nil, records, checkpoint, "")
}

func (m *model) discard(s *refSlice, records []int, condition string) {
	context := "absent"
	if condition == "RetryAttemptsExhausted" && s.functionError != "oversized" {
		context = s.functionError
	}
	m.log("discard", s, records, max(s.attempts, 1), condition+" "+context)
	m.resolve(records)
}

// prefix is the longest one in which every record is at least that old.
func (m *model) prefix(s *refSlice, age int) []int {
	n := 0
	for age >= 0 && n < len(s.records) && m.now-m.c.records[s.records[n]].arrival >= age {
		n++
	}
	return s.records[:n]
}

// sleep waits, but not longer than until the first record reaches the maximum age (C7).
func (m *model) sleep(s *refSlice, n int) {
	backoff := 200
	for range n - 1 {
		backoff = min(60_000, 2*backoff)
	}
	wake := m.now + backoff
	if m.c.maxAge >= 0 {
		wake = max(m.now, min(wake, m.c.records[s.records[0]].arrival+m.c.maxAge))
	}
	m.log("sleep", s, s.records, n, "")
	m.now = wake
}

// classify is the table of §5: success, partial and the lowest position named, failed, throttled.
func (m *model) classify(s *refSlice, a reply) (class string, i int) {
	switch a.kind {
	case "fine":
		return "success", 0
	case "busy":
		return "throttled", 0
	case "error", "panic":
		s.functionError = "Unhandled"
		return "failed", 0
	}
	s.functionError = "null"
	if a.kind == "garbage" {
		m.branches["garbage"]++
		return "failed", 0
	}
	lowest := len(s.records)
	for _, id := range a.ids {
		at := slices.IndexFunc(s.records, func(r int) bool { return seq(r) == id })
		if at < 0 {
			m.branches["invalid id"]++
			return "failed", 0
		}
		lowest = min(lowest, at)
	}
	return "partial", lowest
}

func (m *model) run() {
	batches := m.c.batches
	var s *refSlice
next:
	if len(m.stack) == 0 { // gather
		if len(batches) == 0 {
			return
		}
		m.push(batches[0])
		batches = batches[1:]
	}
	s, m.stack = m.stack[len(m.stack)-1], m.stack[:len(m.stack)-1]

ageCheck:
	if p := m.prefix(s, m.c.maxAge); len(p) > 0 {
		m.branches["discard by age"]++
		if s.waits > 0 {
			m.branches["throttle ended by age"]++
		}
		if s.records = s.records[len(p):]; len(s.records) > 0 {
			m.branches["prefix expiry"]++
		}
		m.discard(s, p, "RecordAgeExceeded")
	}
	if r := m.prefix(s, m.c.retention); len(r) > 0 {
		m.branches["lost"]++
		s.records = s.records[len(r):]
		m.log("lost", s, r, 0, "")
		m.resolve(r)
	}
	if len(s.records) == 0 {
		goto next
	}

	{ // invoke
		took, event := m.begin()
		class, i := event, 0
		switch {
		case event != "":
			m.log(event, s, s.records, s.attempts+1, "")
			m.branches[event]++
		case slices.ContainsFunc(s.records, func(r int) bool { return m.c.records[r].big }):
			m.log("oversized", s, s.records, s.attempts+1, "")
			class, s.functionError = "oversized", "oversized"
		default:
			m.log("call", s, s.records, s.attempts+1, "")
			class, i = m.classify(s, m.answer(s.records))
		}
		m.now += took
		if class == "throttled" {
			s.waits++
			m.sleep(s, s.waits)
			goto ageCheck
		}
		s.waits = 0
		switch class {
		case "aborted":
			return
		case "interrupted":
			goto ageCheck
		case "success":
			m.resolve(s.records)
			goto next
		case "partial":
			if i > 0 {
				m.branches["progress"]++
				m.resolve(s.records[:i])
				m.push(s.records[i:])
				goto next
			}
			m.branches["no progress"]++
		}
	}

	// failed
	if k := len(s.records) / 2; m.c.bisect && k > 0 {
		m.branches["split"]++
		m.push(s.records[k:])
		m.push(s.records[:k])
		goto next
	}
	s.attempts++
	if m.c.retries >= 0 && s.attempts > m.c.retries {
		m.branches["discard by retries"]++
		if s.functionError == "oversized" {
			m.branches["oversized discard"]++
		}
		m.discard(s, s.records, "RetryAttemptsExhausted")
		goto next
	}
	m.sleep(s, s.attempts)
	goto ageCheck
}
