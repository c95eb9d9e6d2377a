package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

// A machine has a wall clock that can be set, and a monotonic one that stands still while it is suspended.
type machine struct {
	true, wall time.Time
	mono       time.Duration
	read       map[time.Time]time.Duration // the monotonic readings that times of now have
}

func newMachine(off time.Duration) *machine {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	return &machine{true: at, wall: at.Add(off), read: map[time.Time]time.Duration{}}
}

func (m *machine) now() time.Time {
	m.wall = m.wall.Add(1) // no two times are the same
	m.read[m.wall] = m.mono
	return m.wall
}

func (m *machine) lapse(from, to time.Time) time.Duration { return m.read[to] - m.read[from] }

func (m *machine) sleep(d time.Duration) { m.suspend(d); m.mono += d }

func (m *machine) suspend(d time.Duration) { m.true, m.wall = m.true.Add(d), m.wall.Add(d) }

func (m *machine) step(d time.Duration) { m.wall = m.wall.Add(d) }

// call is a call that takes 200 ms and is answered in the middle.
func (m *machine) call(c *Clock) {
	sent := m.now()
	m.sleep(100 * time.Millisecond)
	service := m.true.Truncate(time.Second)
	m.sleep(100 * time.Millisecond)
	c.Reply(service, sent, m.now())
}

func TestClock(t *testing.T) {
	t.Attr("rule", "C9")
	const hour = time.Hour
	for name, c := range map[string]struct {
		off  time.Duration // of the wall clock when the anchor is taken
		do   func(*machine, *Clock)
		want time.Duration // what the Clock is ahead of the true time, give or take a second
	}{
		"right":                     {0, func(m *machine, c *Clock) { m.sleep(hour) }, 0},
		"right, told":               {0, func(m *machine, c *Clock) { m.call(c); m.sleep(hour) }, 0},
		"off, not told":             {hour, func(m *machine, c *Clock) { m.sleep(hour) }, hour},
		"fast, told":                {hour, func(m *machine, c *Clock) { m.call(c); m.sleep(hour) }, 0},
		"slow, told":                {-hour, func(m *machine, c *Clock) { m.call(c); m.sleep(hour) }, 0},
		"set forward":               {0, func(m *machine, c *Clock) { m.call(c); m.step(hour) }, 0},
		"set back":                  {0, func(m *machine, c *Clock) { m.call(c); m.step(-hour) }, 0},
		"set forward, told":         {0, func(m *machine, c *Clock) { m.step(hour); m.call(c) }, 0},
		"set back, told":            {0, func(m *machine, c *Clock) { m.step(-hour); m.call(c) }, 0},
		"set right":                 {hour, func(m *machine, c *Clock) { m.call(c); m.step(-hour) }, 0},
		"set right, told":           {hour, func(m *machine, c *Clock) { m.call(c); m.step(-hour); m.call(c) }, 0},
		"set within a call":         {0, func(m *machine, c *Clock) { sent := m.now(); m.step(hour); c.Reply(m.true, sent, m.now()) }, 0},
		"set back within a call":    {0, func(m *machine, c *Clock) { sent := m.now(); m.step(-hour); c.Reply(m.true, sent, m.now()) }, 0},
		"suspended":                 {0, func(m *machine, c *Clock) { m.call(c); m.suspend(hour) }, -hour},
		"suspended, told":           {0, func(m *machine, c *Clock) { m.call(c); m.suspend(hour); m.call(c) }, 0},
		"suspended twice":           {0, func(m *machine, c *Clock) { m.suspend(hour); m.call(c); m.suspend(hour); m.call(c) }, 0},
		"suspended and set, told":   {-hour, func(m *machine, c *Clock) { m.suspend(hour); m.step(2 * hour); m.call(c) }, 0},
		"less than a second is not": {700 * time.Millisecond, func(m *machine, c *Clock) { m.call(c) }, 700 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(c.off)
			clock := from(m.now, m.lapse)
			c.do(m, clock)
			if off := clock.Now().Sub(m.true) - c.want; off > 10*time.Millisecond || off < -1200*time.Millisecond {
				t.Errorf("the clock is off by %v", off)
			}
			if until := clock.Until(m.true.Add(hour)) + c.want; (until - hour).Abs() > 1200*time.Millisecond {
				t.Errorf("an hour is %v away", until)
			}
		})
	}
}

// A reply names its second: up to it nothing is known, and nothing is changed. Of what is left open the Clock takes the
// earliest, and later replies leave less.
func TestReply(t *testing.T) {
	t.Attr("rule", "C9")
	type reply struct{ sent, received, service time.Duration } // since the anchor was taken
	const s, ms = time.Second, time.Millisecond
	for name, c := range map[string]struct {
		replies []reply
		want    time.Duration
	}{
		"same":                   {[]reply{{0, 0, 0}}, 0},
		"end of a second":        {[]reply{{999 * ms, 999 * ms, 0}}, 0},
		"a second ahead":         {[]reply{{0, 0, s}}, 0},
		"ahead":                  {[]reply{{0, 0, 5 * s}}, 5 * s},
		"slow, ahead":            {[]reply{{0, 3 * s, 5 * s}}, 2 * s},
		"slow, perhaps":          {[]reply{{0, 10 * s, 5 * s}}, 0},
		"slow, but known":        {[]reply{{0, 0, 5 * s}, {0, 10 * s, 5 * s}}, 5 * s},
		"two seconds back":       {[]reply{{2 * s, 2 * s, 0}}, 0},
		"back":                   {[]reply{{5 * s, 5 * s, 0}}, -5 * s},
		"back, narrowed":         {[]reply{{5 * s, 5 * s, 0}, {5200 * ms, 5200 * ms, 1 * s}}, -4200 * ms},
		"ahead, narrowed":        {[]reply{{0, 0, 5 * s}, {300 * ms, 300 * ms, 6 * s}}, 5700 * ms},
		"right again":            {[]reply{{0, 0, 5 * s}, {s, s, s}}, 0},
		"further ahead":          {[]reply{{0, 0, 5 * s}, {s, s, 60 * s}}, 59 * s},
		"narrowed at both sides": {[]reply{{0, 0, 5 * s}, {900 * ms, 900 * ms, 5 * s}}, 5 * s},
	} {
		m := newMachine(0)
		clock := from(m.now, func(from, to time.Time) time.Duration { return to.Sub(from) })
		at := func(d time.Duration) time.Time { return clock.anchor.Add(d) }
		for _, r := range c.replies {
			clock.Reply(at(r.service), at(r.sent), at(r.received))
		}
		if got := time.Duration(clock.skew.Load()); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// With the clocks of this machine, the wall reading of a time does not matter.
func TestNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		time.Sleep(time.Hour)
		if got := c.Now(); !got.Equal(time.Now()) {
			t.Errorf("%v at %v", got, time.Now())
		}
		c.Reply(time.Now().Add(time.Minute), time.Now(), time.Now())
		if got := c.Until(time.Now().Add(time.Hour).Round(0)); got != 59*time.Minute {
			t.Errorf("an hour is %v away", got)
		}
	})
}
