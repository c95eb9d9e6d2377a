package kinesistest

import "time"

// now returns the service's time, in whole milliseconds as Kinesis tells it. The caller holds the lock.
func (s *Server) now() time.Time { return milliseconds(time.Now().Add(s.settings.offset)) }

func milliseconds(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// SetClock sets how far the service's clock is ahead of this process's time.Now, or with a negative d behind it. It
// shows in arrival times, expiry, retention, MillisBehindLatest and the Date header. A clock that is set back gives
// later records earlier arrival times. Defaults to 0.
func (s *Server) SetClock(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings.offset = d
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
// goroutines at once. SetLatency replaces it.
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
