package consumer

import "time"

// closeWindow adds the final call of the open tumbling window, if it is time for it: the shard has been read to its end,
// or the window ended some time ago and the shard is caught up (L52). Only a lane that has nothing else to do asks.
func (sh *shard) closeWindow(l *laneState) {
	end, open := l.slices.Open()
	if !open {
		return
	}
	done, closed := sh.books.Settled() // nothing is on its way to the lane
	over := done && closed
	sh.mu.Lock()
	early := sh.closed || sh.s.end.at.Before(end) // else the ending position is behind the window
	idle := done && sh.behind == 0 && !sh.lastRead.Before(sh.s.local(end.Add(sh.s.c.cfg.idleWindow)))
	sh.mu.Unlock()
	if over || idle {
		l.slices.Close(over && early)
	}
}

// laterClose wakes the lane when its open window may be closed for want of records. Where the shard has not been read
// since, or is not caught up, it looks again.
func (sh *shard) laterClose(lane int, l *laneState) {
	if done, closed := sh.books.Settled(); done && closed {
		sh.lanes.Wake(lane)
		return
	}
	end, _ := l.slices.Open()
	wait := time.Until(sh.s.local(end.Add(sh.s.c.cfg.idleWindow)))
	sh.wakeIn(lane, l, max(wait, time.Second))
}
