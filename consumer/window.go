package consumer

import "time"

// closeWindow adds the final call of the open tumbling window, if it is time for it: the shard has been read to its end,
// or the window ended some time ago and the shard is caught up (L52). Only a lane that has nothing else to do asks.
func (sh *shard) closeWindow(l *laneState) {
	end, open := l.slices.Open()
	if !open {
		return
	}
	sh.mu.Lock()
	done := sh.mark.Mark() == sh.mark.Begun() // nothing is on its way to the lane
	over := done && sh.allRead
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
	sh.mu.Lock()
	over := sh.allRead && sh.mark.Mark() == sh.mark.Begun()
	sh.mu.Unlock()
	if over {
		sh.lanes.Wake(lane)
		return
	}
	end, _ := l.slices.Open()
	wait := time.Until(sh.s.local(end.Add(sh.s.c.cfg.idleWindow)))
	sh.wakeIn(lane, l, max(wait, time.Second))
}

// pinned keeps the checkpoint before the first record of the open window until its final call is resolved (C19). It is
// called before records of the window are resolved; all before them are then.
func (sh *shard) pinned() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.pin == nil {
		sh.advance()
		at := sh.safe
		sh.pin = &at
	}
}

// unpin lets the checkpoint pass the window (L42).
func (sh *shard) unpin() {
	sh.mu.Lock()
	sh.pin = nil
	sh.mu.Unlock()
	sh.complete()
}
