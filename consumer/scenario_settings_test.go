package consumer_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/shardlane/shardlane/consumer"
)

// settings are the options of one life, and how its handler is. The next life may have others, as after a deployment:
// what is promised holds across it.
type settings struct {
	factor, batchSize int
	window            time.Duration
	aheadRecords      int // 0: the default
	drain             time.Duration
	form              string // of the handler: "whole", "partial", "json" or "window"
	serial            bool   // of the JSON form: its calls must not overlap
	reports           bool   // its item failures count
	bisect            bool
	retries           int           // -1: no limit
	maxAge            time.Duration // 0: no limit
	patterns          []int         // of filterPatterns
	destination       string        // "" for none, "accepts", or "mixed"
	concurrency       int           // 0: no limit
	timeout           time.Duration
	tumbling          time.Duration
	idle              time.Duration // of a window
	backoff           time.Duration // 0: the default
	handling          time.Duration // mean time of a handler call
}

// plainSettings are those of a consumer without options.
var plainSettings = settings{factor: 1, batchSize: 100, form: "whole", retries: -1, handling: 10 * time.Millisecond}

// maxAge is the smallest that there is.
const maxAge = time.Minute

// drawSettings draws those of every life, from a source of their own. Half of the lives keep those of the life before.
func (p *plan) drawSettings() {
	r := rand.New(rand.NewPCG(p.seed, 0x5e77))
	for i := range p.lives {
		if i > 0 && r.IntN(2) == 0 {
			p.lives[i].settings = p.lives[i-1].settings
			continue
		}
		p.lives[i].settings = p.settings(r)
	}
	stops := map[string]int{}
	for i := range p.lives {
		l := &p.lives[i]
		if !l.clean || l.upon == "" {
			continue
		}
		stops[l.upon]++
		if l.upon == evDelivery {
			l.destination, l.retries, l.drain = "mixed", r.IntN(2), pick(r, 0, time.Second)
		} else {
			l.drain = []time.Duration{0, 30 * time.Second}[stops[evStart]-1]
		}
		if stops[l.upon] == 1 {
			l.line()
		}
	}
	if first := &p.lives[0].settings; p.aged { // it finds what is about to be too old
		first.batchSize, first.window, first.maxAge, first.destination = max(10, first.batchSize), 0, maxAge, "accepts"
	}
	end := &p.lives[len(p.lives)-1].settings // of a process that comes to the end of a shard soon
	*end = plainSettings
	end.retries, end.backoff = 1, 5*time.Millisecond
	p.last = p.settings(r)
	if p.large {
		p.last.retries = max(0, p.last.retries) // else what exceeds the limit waits for ever
	}
	if p.last.retries < 0 {
		p.heal = pick(r, p.length()/2, p.length())
	}
}

// settings draws those of a life.
func (p *plan) settings(r *rand.Rand) settings {
	s := plainSettings
	one := func(in int) bool { return r.IntN(in) == 0 }
	s.factor, s.batchSize = pick(r, 1, 2, 4, 10), pick(r, 1, 3, 10, 100)
	s.window = pick(r, 0, 0, time.Second, 2*time.Second)
	s.drain = pick(r, 0, time.Second, 30*time.Second)
	s.handling = pick(r, 10*time.Millisecond, 30*time.Millisecond, 80*time.Millisecond)
	if s.batchSize < 10 || p.keys == 5 {
		s.handling = 10 * time.Millisecond // else there is more to do than can be done
	}
	if one(2) {
		s.aheadRecords = max(20, s.batchSize)
	}
	if p.plain {
		return s
	}
	s.form = pick(r, "whole", "partial", "partial", "json", "window", "window")
	s.reports = s.form == "partial" || s.form == "window" || s.form == "json" && !one(3)
	s.serial = s.form == "json" && one(2)
	s.bisect = one(2)
	s.retries = pick(r, -1, -1, 0, 1, 3)
	if s.form == "window" && p.steps != nil {
		s.form = "partial"
	}
	if s.form == "window" || s.form == "json" && one(3) && p.steps == nil {
		s.tumbling = time.Duration(1+r.IntN(4)) * time.Second
		s.idle = time.Duration(1+r.IntN(3)) * time.Second
		s.factor = 1
	} else if !one(3) {
		s.patterns = r.Perm(len(filterPatterns))[:pick(r, 1, 2, 2)]
	}
	if p.aged && one(2) {
		s.maxAge = maxAge
	}
	s.destination = pick(r, "", "", "accepts", "mixed", "mixed")
	if one(4) {
		s.concurrency = 2 + r.IntN(6)
	}
	if one(3) {
		s.timeout = time.Duration(200+r.IntN(400)) * time.Millisecond
	}
	if !one(4) {
		s.backoff = pick(r, 5*time.Millisecond, 30*time.Millisecond)
	}
	if s.backoff == 0 && (p.poison > 0 || s.tumbling > 0 || p.aggregates > 0 || s.batchSize < 10) {
		s.backoff = 30 * time.Millisecond // else some lanes do little but wait
	}
	if s.serial || s.concurrency > 0 || s.tumbling > 0 {
		s.handling = min(s.handling, 3*time.Millisecond)
	}
	return s
}

// line lets a shard have one lane of small batches: what the end of a drain cuts off is the first that has no outcome.
func (s *settings) line() {
	s.form, s.serial, s.reports, s.tumbling = "whole", false, false, 0
	s.factor, s.batchSize, s.window, s.handling = 1, 3, 0, 10*time.Millisecond
}

// options are those of a life.
func (s *settings) options() []consumer.Option {
	opts := []consumer.Option{
		consumer.WithDrainTimeout(s.drain), consumer.WithBatchSize(s.batchSize), consumer.WithBatchingWindow(s.window),
		consumer.WithParallelizationFactor(s.factor),
	}
	add := func(on bool, o ...consumer.Option) {
		if on {
			opts = append(opts, o...)
		}
	}
	add(s.aheadRecords > 0, consumer.WithReadAhead(s.aheadRecords, 1<<20))
	add(s.bisect, consumer.WithBisectOnError(true))
	add(s.retries >= 0, consumer.WithMaxRetryAttempts(s.retries))
	add(s.maxAge > 0, consumer.WithMaxRecordAge(s.maxAge))
	add(s.tumbling > 0, consumer.WithTumblingWindow(s.tumbling), consumer.WithWindowIdle(s.idle))
	add(s.concurrency > 0, consumer.WithMaxConcurrency(s.concurrency))
	add(s.timeout > 0, consumer.WithHandlerTimeout(s.timeout))
	add(s.backoff > 0, consumer.WithBackoff(s.backoff, 2, 20*s.backoff))
	add(s.form == "json" && s.reports, consumer.WithReportBatchItemFailures(true))
	var patterns []string
	for _, i := range s.patterns {
		patterns = append(patterns, filterPatterns[i].text)
	}
	add(len(patterns) > 0, consumer.WithFilter(patterns...))
	return opts
}

func (s *settings) String() string {
	return fmt.Sprintf("factor %d, batch size %d, window %v, read-ahead %d, drain %v, form %s (serial %v, reports %v), bisect %v, "+
		"retries %d, max age %v, patterns %v, destination %q, concurrency %d, timeout %v, tumbling %v (idle %v), backoff %v, handling %v",
		s.factor, s.batchSize, s.window, s.aheadRecords, s.drain, s.form, s.serial, s.reports, s.bisect, s.retries, s.maxAge, s.patterns, s.destination,
		s.concurrency, s.timeout, s.tumbling, s.idle, s.backoff, s.handling)
}
