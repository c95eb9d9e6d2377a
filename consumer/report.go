package consumer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/tell"
)

// status is what the stream's shards are doing now.
func (s *stream) status(now time.Time) Status {
	s.mu.Lock()
	all := Status{Worker: s.cfg.worker, Distribution: s.placed.latest(), err: s.tell.Lasting(now), ready: s.unready()}
	if s.fatal != nil {
		all.err = join(s.fatal, all.err)
	}
	switch {
	case s.stopped:
	case !s.up:
		all.behind = s.tell.Lasted(now, "")
	default:
		all.behind = s.tell.Lasted(now, "claim ")
	}
	self := s.seat.View().Self
	for id, r := range s.census.Rows() {
		st := ShardStatus{Group: s.cfg.group, Stream: s.given(), Shard: id, State: Waiting, Owner: r.Owner, Epoch: r.Epoch, Checkpoint: checkpoint.Position(r.Checkpoint)}
		switch known := s.states[id]; {
		case known != "":
			st.State = known
		case r.Owner != "" && r.Owner != self:
			st.State = Elsewhere
		}
		if r.Ended {
			st.State = Ended
		}
		all.Shards = append(all.Shards, st)
	}
	running := make(map[string]*shard, len(s.shards))
	maps.Copy(running, s.shards)
	s.mu.Unlock()
	slices.SortFunc(all.Shards, func(a, b ShardStatus) int { return strings.Compare(a.Shard, b.Shard) })
	errs := []error{all.err}
	for i := range all.Shards {
		if sh := running[all.Shards[i].Shard]; sh != nil {
			behind := sh.status(&all.Shards[i], now)
			errs = append(errs, sh.tell.Lasting(now), sh.still(now))
			all.behind = max(all.behind, behind)
		}
	}
	all.err = join(errs...)
	return all
}

// unready says what the stream waits for before it is ready, nil if it is. The caller holds mu.
func (s *stream) unready() error {
	switch {
	case s.stopped:
		return s.out.Wrap("", tell.Failure{Op: "ready", Err: errors.New("the consumer is draining"), Hint: "its shards are given up"})
	case !s.up:
		return s.out.Wrap("", notYet("the stream is not opened yet", s.tell.Latest()))
	}
	for _, sh := range s.shards {
		if sh.read.Load().none && !sh.lost.Load() {
			return s.out.Wrap(sh.id, notYet("the shard has not been read yet", sh.tell.Latest()))
		}
	}
	return nil
}

// notYet says what has not happened, and what fails, if something does.
func notYet(what string, trouble error) tell.Failure {
	f := tell.Failure{Op: "ready", Err: errors.New(what), Hint: "nothing has failed so far: wait a moment"}
	var e *Error
	if errors.As(trouble, &e) {
		f.Err, f.Hint = fmt.Errorf("%s: %s: %w", what, e.Op, e.Err), e.Hint
	}
	return f
}
