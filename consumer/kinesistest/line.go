package kinesistest

import (
	"context"
	"net/http"
	"time"
)

// SetBandwidth sets how many bytes a second the server's line carries to its clients, all answers together: 125,000 are
// 1 Mbit/s. Only bodies count, in the JSON in which they go out, where a record's data take four thirds of their size.
// The line is shared in pieces of a tenth of a second at most, and a new bandwidth holds from the next piece on, also for
// answers under way. In a testing/synctest bubble the time that it takes is virtual. 0 and less are no limit, which is
// the default.
func (s *Server) SetBandwidth(bytesPerSecond int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings.bandwidth = bytesPerSecond
}

// piece returns how many bytes of what is left to send go next, and how long the line takes for them, with what it
// promised others before.
func (s *Server) piece(left int) (n int, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rate := s.settings.bandwidth
	if rate <= 0 {
		return left, 0
	}
	now := time.Now()
	if s.lineFree.Before(now) {
		s.lineFree = now
	}
	n = min(left, max(rate/10, 1), 64<<10)
	s.lineFree = s.lineFree.Add(time.Duration(n) * time.Second / time.Duration(rate))
	return n, s.lineFree.Sub(now)
}

// send writes a part of an answer's body at the line's pace.
func (s *Server) send(w http.ResponseWriter, body []byte) {
	for len(body) > 0 {
		n, wait := s.piece(len(body))
		if !s.sleep(wait) {
			panic(http.ErrAbortHandler)
		}
		if _, err := w.Write(body[:n]); err != nil {
			panic(http.ErrAbortHandler) // the caller gave up
		}
		if body = body[n:]; wait > 0 && http.NewResponseController(w).Flush() != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

// sendAll writes the body of an answer, as far as its faults let it.
func (s *Server) sendAll(ctx context.Context, w http.ResponseWriter, e *effects, body []byte) {
	sent := body
	if e.keep != nil {
		sent = body[:min(e.keep(len(body)), len(body))]
	}
	if e.drip > 0 {
		const parts = 16
		for i := range parts {
			if !s.sleep(e.drip / parts) {
				panic(http.ErrAbortHandler)
			}
			s.send(w, sent[len(sent)*i/parts:len(sent)*(i+1)/parts])
			http.NewResponseController(w).Flush()
		}
	} else {
		s.send(w, sent)
	}
	if len(sent) == len(body) {
		return
	}
	http.NewResponseController(w).Flush()
	if e.stall {
		s.hang(ctx)
	}
	panic(http.ErrAbortHandler)
}
