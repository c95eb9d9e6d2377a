package kinesistest

import "time"

// now returns the service's time, in whole milliseconds as Kinesis tells it. The caller holds the lock.
func (s *Server) now() time.Time { return milliseconds(time.Now().Add(s.settings.offset)) }

func milliseconds(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// SetClock sets how far the service's clock is ahead of this process's time.Now, or with a negative d behind it. It
// shows in arrival times, expiry, retention, MillisBehindLatest and the Date header. A clock that is set back gives
// later records earlier arrival times. It may be called at any time, which is a step of the clock: one of the server's
// ahead looks as one of this host's back. Defaults to 0.
func (s *Server) SetClock(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings.offset = d
}

// SetClockCheck turns on or off what is known of a signature without its key: calls whose X-Amz-Date is more than
// 5 minutes off the service's clock get InvalidSignatureException, and have no effect. Calls without that header are not
// concerned. Defaults to off.
func (s *Server) SetClockCheck(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings.clockCheck = on
}

// checkClock refuses a call that was signed by a clock that is off.
func (s *Server) checkClock(signed string) error {
	const layout, tolerated = "20060102T150405Z", 5 * time.Minute
	s.mu.Lock()
	on, now := s.settings.clockCheck, s.now()
	s.mu.Unlock()
	at, err := time.Parse(layout, signed)
	switch {
	case !on || signed == "":
		return nil
	case err != nil:
		return refuse("IncompleteSignatureException", "Date must be in ISO-8601 'basic format'. Got '%s'.", signed)
	case now.Sub(at) > tolerated:
		return refuse("InvalidSignatureException", "Signature expired: %s is now earlier than %s (%s - 5 min.)", signed, now.Add(-tolerated).Format(layout), now.Format(layout))
	case at.Sub(now) > tolerated:
		return refuse("InvalidSignatureException", "Signature not yet current: %s is still later than %s (%s + 5 min.)", signed, now.Add(tolerated).Format(layout), now.Format(layout))
	}
	return nil
}

func defaultLatency(op string) time.Duration {
	if op == "GetRecords" {
		return 20 * time.Millisecond
	}
	return 10 * time.Millisecond
}

// SetLatency sets how long every call through a client takes, from its arrival to its answer; the operation takes
// effect half-way. Defaults to 20 ms for GetRecords and 10 ms for every other operation. Zero makes a test's bounds on
// time trivial: choose it for benchmarks only.
func (s *Server) SetLatency(d time.Duration) {
	s.SetLatencyFunc(func(string) time.Duration { return d })
}

// SetLatencyFunc sets the latency of each call to what f returns for the call's operation. f is called by many
// goroutines at once; "SubscribeToShardEvent" is for a record on its way to a subscription. SetLatency replaces it.
func (s *Server) SetLatencyFunc(f func(op string) time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings.latency = f
}

// sleep waits and reports whether the server is still open.
func (s *Server) sleep(d time.Duration) bool {
	if d <= 0 {
		select {
		case <-s.done:
			return false
		default:
			return true
		}
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.done:
		return false
	}
}
