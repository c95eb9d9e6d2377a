package lane

import "time"

// closeWindow adds the final call of the open tumbling window, if it is time for it: everything has been read, or the
// window ended some time ago and the shard is caught up (L52). Only a lane that has nothing else to do asks.
func (s *Set) closeWindow(l *lane) {
	end, open := l.slices.Open()
	if !open {
		return
	}
	over, _ := s.rules.Windows.Over(end)
	settled, closed := s.books.Settled() // asked last: of the read that Over knows of, nothing is on its way to the lane
	switch {
	case settled && closed:
		l.slices.Close(s.rules.Windows.Early(end))
	case settled && over:
		l.slices.Close(false)
	}
}

// laterClose wakes the lane when its open window may be closed for want of records. Where the shard has not been read
// since, or is not caught up, it looks again.
func (s *Set) laterClose(n int, l *lane) {
	if settled, closed := s.books.Settled(); settled && closed {
		s.lanes.Wake(n)
		return
	}
	end, _ := l.slices.Open()
	_, wait := s.rules.Windows.Over(end)
	s.wakeIn(n, l, max(wait, time.Second))
}
