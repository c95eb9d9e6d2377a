package consumer_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/shardlane/shardlane/consumer"
)

// A tick is what the service's clock is ahead of this machine's from some time on, since the first life began.
type tick struct{ from, ahead time.Duration }

// heard is how long it may take until the consumer has a reply that tells of a step of the service's clock.
const heard = 20 * time.Second

// drawSteps lets the service's clock step by minutes, both ways. No two offsets are less than five minutes apart, and a
// seed is over before that: so an arrival time tells which of them it has. What goes by the service's clock beyond ages,
// does not happen in such a seed: a start at a time, a change of who places records, windows, and limits of reads.
func (p *plan) drawSteps(r *rand.Rand) {
	p.withoutTimes()
	f := &p.features
	by := time.Duration(5*60+r.IntN(3*60)) * time.Second
	if r.IntN(2) == 0 {
		by = -by
	}
	at := time.Duration(3000+r.IntN(12000)) * time.Millisecond
	f.steps = append(f.steps, tick{at + 137, f.clock + by})
	at += time.Duration(3000+r.IntN(15000)) * time.Millisecond
	f.steps = append(f.steps, tick{at + 137, f.clock - by})
}

// drawRetention lets two hours pass at once, as for a host that sleeps, where records are kept for one: all that is in the
// stream then leaves it, whether it was handled or not.
func (p *plan) drawRetention(r *rand.Rand) {
	p.withoutTimes()
	f := &p.features
	f.retention = time.Hour
	f.steps = []tick{{time.Duration(3000+r.IntN(25000))*time.Millisecond + 137, f.clock + 2*time.Hour}}
}

// withoutTimes leaves out what goes by the service's clock.
func (p *plan) withoutTimes() {
	f := &p.features
	if f.autoTo = never; f.autoFrom != -never {
		f.autoFrom = never
	}
	f.aged, p.start, p.readLimits = true, consumer.TrimHorizon(), false
}

// gone is when the records that have left a stream did, since the first life began.
func (h *history) gone() time.Duration {
	if len(h.ticks) == 0 {
		return never
	}
	return h.ticks[0].from
}

// step lets the clock step as planned.
func (w *world) step() {
	for _, s := range w.plan.steps {
		timer := time.NewTimer(time.Until(w.began.Add(s.from)))
		select {
		case <-timer.C:
		case <-w.over:
			timer.Stop()
			return
		}
		w.placing.Lock()
		w.srv.SetClock(s.ahead)
		w.mu.Lock()
		w.ticks = append(w.ticks, tick{w.now(), s.ahead})
		w.mu.Unlock()
		w.placing.Unlock()
		if s.ahead > w.plan.clock {
			w.sometimes("clock of the service ahead")
		} else {
			w.sometimes("clock of the service back")
		}
	}
}

// ahead is what the service's clock was ahead at some time since the first life began.
func (h *history) ahead(at time.Duration) time.Duration {
	ahead := h.clock
	for _, t := range h.ticks {
		if t.from <= at {
			ahead = t.ahead
		}
	}
	return ahead
}

// served is what the service's clock shows at some time since the first life began.
func (h *history) served(at time.Duration) time.Time { return h.began.Add(at + h.ahead(at)) }

// aged is what the age of a record goes by: what its arrival shows if the clock has not stepped, and the steps since.
func (h *history) aged(arrival time.Time) aged {
	a := aged{arrival: arrival.Sub(h.began), doubt: h.doubt()}
	ticks := slices.Concat([]tick{{-2 * time.Minute, h.clock}}, h.ticks)
	for i, t := range ticks {
		end := 4 * time.Minute // by then all is over
		if i+1 < len(ticks) {
			end = ticks[i+1].from
		}
		a.ahead, a.steps = t.ahead, ticks[i+1:]
		if at := a.arrival - t.ahead; at >= t.from-time.Millisecond && at < end {
			break
		}
	}
	return a
}

// aged is how a record's age is told: in all of this, times are since the first life began.
type aged struct {
	arrival time.Duration // by the service's clock then
	ahead   time.Duration // what that was ahead
	steps   []tick        // since
	doubt   time.Duration // of the clock
}

// bounds returns the ages that a record may be taken to have at some time: a consumer hears of a step with a reply. What
// was old enough before the clock was set back stays so, for it may have been given up then.
func (a aged) bounds(at time.Duration) (least, most time.Duration) {
	lo, hi := a.ahead, a.ahead
	for _, s := range a.steps {
		if s.from > at {
			break
		}
		if hi = max(hi, s.ahead); s.from+heard <= at {
			lo = s.ahead // what was before is over
		}
		lo = min(lo, s.ahead)
	}
	return at + lo - a.arrival - a.doubt, at + hi - a.arrival + a.doubt
}

func (f *features) clocks() string {
	return fmt.Sprintf("clock ahead by %v, steps %v", f.clock, f.steps)
}
