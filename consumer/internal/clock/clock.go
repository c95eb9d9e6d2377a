// Package clock tells the time that arrival times are compared with.
package clock

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A Clock shows the time of this machine, unless that is more than a second off the service's: then it shows that one (C9).
// It is safe for concurrent use.
//
// Between two replies of the service it runs by the monotonic clock, from an anchor: a step of the wall clock, in either
// direction, makes no record older or younger. Replies are compared with the anchored time and not with the wall clock. They
// mend what the anchor cannot know: that the wall clock was wrong when the anchor was taken, and that the host was suspended
// since, whose monotonic clock stood still meanwhile. Until then a Clock is behind, and lets nothing expire too early.
type Clock struct {
	now    func() time.Time                       // with a monotonic reading
	lapse  func(from, to time.Time) time.Duration // by that
	anchor time.Time
	skew   atomic.Int64 // what the service is ahead of the anchored time, in nanoseconds

	mu          sync.Mutex
	least, most time.Duration // what that is for certain
}

// New returns a Clock that is anchored now.
func New() *Clock {
	return from(time.Now, func(from, to time.Time) time.Duration { return to.Sub(from) })
}

func from(now func() time.Time, lapse func(from, to time.Time) time.Duration) *Clock {
	return &Clock{now: now, lapse: lapse, anchor: now(), least: math.MinInt64, most: math.MaxInt64}
}

// Now returns the time.
func (c *Clock) Now() time.Time { return c.anchored(c.now()).Add(time.Duration(c.skew.Load())) }

// Until returns how long it takes until the Clock shows t, which is negative if it has.
func (c *Clock) Until(t time.Time) time.Duration { return t.Sub(c.Now()) }

// Reply takes the service's time from a reply, which names its second. The service was asked at sent, or later, and had
// answered at received; both are of time.Now. What one reply leaves open the next ones narrow down. Within that, Now is
// rather late than early: nothing expires too early.
func (c *Clock) Reply(service, sent, received time.Time) {
	least, most := service.Sub(c.anchored(received)), service.Add(time.Second).Sub(c.anchored(sent))
	c.mu.Lock()
	defer c.mu.Unlock()
	if least <= c.most && most >= c.least { // else one of the clocks was set, or stood still
		least, most = max(least, c.least), min(most, c.most)
	}
	c.least, c.most = least, most
	if least <= time.Second && most >= -time.Second {
		least = 0
	}
	c.skew.Store(int64(least))
}

// anchored is what the anchored time was at t, whatever the wall clock showed.
func (c *Clock) anchored(t time.Time) time.Time { return c.anchor.Add(c.lapse(c.anchor, t)) }
