package consumer

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

// started says, once, that the stream is open and where its shards resume.
func (s *stream) started() {
	s.mu.Lock()
	first := !s.up
	s.up = true
	var detail string
	if first {
		detail = s.resumes()
	}
	s.mu.Unlock()
	if first {
		s.tell.Event(metrics.ConsumerStarted, nil, detail)
	}
}

// ended says that the consumer has stopped, if it said that it had started.
func (s *stream) ended() {
	s.mu.Lock()
	up := s.up
	s.mu.Unlock()
	if up {
		s.tell.Event(metrics.ConsumerStopped, nil, fmt.Sprintf("after %v", time.Since(s.pool.began).Round(time.Second)))
	}
}

// resumes counts the shards by where they resume, for people. The caller holds mu.
func (s *stream) resumes() string {
	from, waiting, elsewhere, self := map[string]int{}, 0, 0, s.seat.View().Self
	for id, r := range s.census.Rows() {
		switch {
		case s.shards[id] == nil && !r.Ended && r.Owner != "" && r.Owner != self:
			elsewhere++
		case s.shards[id] == nil && !r.Ended:
			waiting++
		default:
			from[resumeText(checkpoint.Position(r.Checkpoint))]++
		}
	}
	var parts []string
	for what, n := range from {
		parts = append(parts, fmt.Sprintf("%d %s", n, what))
	}
	slices.Sort(parts)
	if elsewhere > 0 {
		parts = append(parts, fmt.Sprintf("%d with other workers", elsewhere))
	}
	if waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d waiting for a parent or for the claim", waiting))
	}
	if len(parts) == 0 {
		return "no shards"
	}
	return "shards: " + strings.Join(parts, ", ")
}

func resumeText(pos checkpoint.Position) string {
	if at, ok := pos.Time(); ok {
		return "from " + at.UTC().Format(time.RFC3339)
	}
	switch _, _, _, numeric := pos.Sequence(); {
	case numeric:
		return "from a checkpoint"
	case pos == checkpoint.End:
		return "ended"
	}
	return "from " + TrimHorizon().String()
}

// unreached is the error of a run that was stopped before the ending position; nil if there is none, or it was reached.
func (s *stream) unreached() error {
	if s.cfg.end.kind == noPosition || s.reached {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	done, all, far := 0, 0, "the shards were not listed"
	for id, r := range s.census.Rows() {
		if all++; r.Ended || s.states[id] == Reached || s.reachedBy(r.Reached) {
			done++
		}
	}
	if all > 0 {
		far = fmt.Sprintf("shards done: %d of %d", done, all)
	}
	hint := "run again to go on: the checkpoints are stored, and Status says where each shard is"
	if s.cfg.defaultMemory {
		hint = "run this Consumer again to go on; another process begins anew, unless WithCheckpointer gives a store that keeps the checkpoints"
	}
	return s.out.Wrap("", tell.Failure{Op: "run", Err: fmt.Errorf("%w: %s", ErrNotReached, far), Hint: hint})
}
