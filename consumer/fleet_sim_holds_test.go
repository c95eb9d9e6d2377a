package consumer_test

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A step of a script may wait for a write of a kind, whose worker it is done to then: before the reply, or any other thing.
// These are kinds beside those of events.
const (
	simOnJoin  = "join"  // of a worker
	simOnFence = "fence" // one declares another dead
)

// simMoments are what a step may wait for: more often what is rare, and what a shard changes hands by.
var simMoments = []string{
	evCreated, evCreated, evClaimed, evClaimed, evMarked, evReleased, evReleased, evReleased, evEnded, evEnded, simOnJoin, simOnFence, simOnFence,
}

// arm lets a step wait for its moment.
func (w *simWorld) arm(s simStep) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = append(w.armed, s)
}

// disarm lets none happen any more.
func (w *simWorld) disarm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = nil
}

// moment returns what waits for a write that has just been made. The caller holds mu.
func (w *simWorld) moment(l *simLife, e simEvent) (steps []simStep) {
	kind := e.kind
	if kind == simMember {
		switch _, own, _ := strings.Cut(e.member, "/"); {
		case e.st == simDeadRow:
			kind = simOnFence
		case strings.HasPrefix(e.note, own+".") && len(w.versions["g/member/"+e.member]) == 1:
			kind = simOnJoin
		}
	}
	i := slices.IndexFunc(w.armed, func(s simStep) bool { return s.on == kind })
	if i < 0 {
		return nil
	}
	s := w.armed[i]
	w.armed = slices.Delete(w.armed, i, i+1)
	s.at, s.slot, s.shard = e.at, l.slot, e.shard
	return []simStep{s}
}

// replace starts another worker in a place after a while, if a step that waited has freed it.
func (w *simWorld) replace(s simStep) {
	if s.on == "" {
		return // the script does
	}
	w.busy.Go(func() {
		w.turns.sleep(min(s.d, w.plan.over-w.now()), fmt.Sprint("replace ", s.slot))
		w.start(s.slot)
	})
}

// hang says what becomes of calls in an outage.
func (w *simWorld) hang(hangs bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hangs = hangs
}

// cutOff reports whether a worker's way to the store is.
func (l *simLife) cutOff() bool {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.now() < l.paused
}

// thaw holds a handler that was called back while its worker stands still, and returns for how long.
func (l *simLife) thaw(call simEvent) time.Duration {
	began, noted := l.w.now(), false
	for {
		l.w.mu.Lock()
		wait := l.frozen - l.w.now()
		l.w.mu.Unlock()
		if wait <= 0 {
			return l.w.now() - began
		}
		if !noted {
			call.kind, noted = simHeld, true
			l.w.note(l, call)
			l.w.count("handler held before its start")
		}
		l.w.turns.sleep(wait, fmt.Sprint("call ", call.call))
	}
}
