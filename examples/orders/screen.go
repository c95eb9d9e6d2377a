package main

import (
	"fmt"
	"io"
	"time"

	"github.com/shardlane/shardlane/consumer"
)

const (
	lookEvery = 7 * time.Millisecond // no divisor of the pause between rounds, so that looks fall anywhere in a round
	lookBack  = time.Second
)

// A glance is what was seen at one moment.
type glance struct {
	at            time.Time
	handled, busy int
}

// A screen shows how it goes: figures of the last second, and shards that begin and end as they do.
type screen struct {
	out   io.Writer
	want  int  // orders
	live  bool // rewrite the line instead of adding lines
	every time.Duration

	shown  time.Time
	seen   []glance // of the last second, oldest first
	shards map[string]consumer.State
	status consumer.Status
}

func newScreen(s settings, out io.Writer) *screen {
	sc := &screen{out: out, want: s.orders, live: s.live, every: 2 * time.Second, shown: time.Now()}
	if s.live {
		sc.every = 100 * time.Millisecond
	}
	return sc
}

// look takes in one moment, and shows it if it is time.
func (sc *screen) look(now time.Time, st consumer.Status, handled int) {
	g := glance{at: now, handled: handled}
	for _, sh := range st.Shards {
		g.busy += sh.LanesBusy
	}
	sc.seen, sc.status = append(sc.seen, g), st
	for len(sc.seen) > 2 && now.Sub(sc.seen[1].at) >= lookBack {
		sc.seen = sc.seen[1:]
	}
	sc.shardsOf(st)
	if now.Sub(sc.shown) >= sc.every {
		sc.show()
		sc.shown = now
	}
}

// shardsOf says which shards have begun and ended since the last look. The first shards are no news.
func (sc *screen) shardsOf(st consumer.Status) {
	now := make(map[string]consumer.State, len(st.Shards))
	for _, sh := range st.Shards {
		now[sh.Shard] = sh.State
		if sc.shards == nil || sh.State == sc.shards[sh.Shard] {
			continue
		}
		switch sh.State { //nolint:exhaustive // the others are on the way
		case consumer.Running:
			sc.say("reads " + sh.Shard)
		case consumer.Ended:
			sc.say("has handled all of " + sh.Shard)
		}
	}
	if len(now) > 0 {
		sc.shards = now
	}
}

// show prints the figures of the last second: orders handled, and lanes busy in the mean.
func (sc *screen) show() {
	if len(sc.seen) == 0 {
		return
	}
	first, last := sc.seen[0], sc.seen[len(sc.seen)-1]
	var busy, running int
	for _, g := range sc.seen {
		busy += g.busy
	}
	var head time.Duration
	for _, sh := range sc.status.Shards {
		if sh.State == consumer.Running {
			running++
		}
		head = max(head, sh.HeadAge)
	}
	rate := 0.0
	if span := last.at.Sub(first.at).Seconds(); span > 0 {
		rate = float64(last.handled-first.handled) / span
	}
	before, after := "", "\n"
	if sc.live {
		before, after = "\r\033[K", ""
	}
	fmt.Fprintf(sc.out, "%s%7d of %d orders  %6.0f/s  %d shards  %4.1f lanes busy  head age %v%s",
		before, last.handled, sc.want, rate, running, float64(busy)/float64(len(sc.seen)), head.Round(time.Millisecond), after)
}

// say prints a line of its own.
func (sc *screen) say(what string) {
	before := ""
	if sc.live {
		before = "\r\033[K"
	}
	fmt.Fprintf(sc.out, "%s        %s\n", before, what)
}

func (sc *screen) end() {
	if sc.live {
		fmt.Fprintln(sc.out)
	}
}
