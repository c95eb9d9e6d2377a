package consumer

import (
	"fmt"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

// A Position is a place in a stream: where reading starts ([WithStartingPosition]) or ends ([WithEndingPosition]).
// Its zero value is not valid.
type Position struct {
	kind positionKind
	at   time.Time
}

type positionKind uint8

const (
	noPosition positionKind = iota
	trimHorizon
	latest
	atTimestamp
)

// TrimHorizon is the oldest record that the stream still has.
func TrimHorizon() Position { return Position{kind: trimHorizon} }

// Latest is the tip of the stream when a consumer first sees it. As a starting position it is stored before the first
// read, as the service's time, so that a restart skips nothing.
func Latest() Position { return Position{kind: latest} }

// At is the first record whose approximate arrival time is t or later. As a starting position t must not lie in the
// future; as an ending position it may.
func At(t time.Time) Position { return Position{kind: atTimestamp, at: t} }

// String returns Lambda's word for the position.
func (p Position) String() string {
	switch p.kind {
	case trimHorizon:
		return "TRIM_HORIZON"
	case latest:
		return "LATEST"
	case atTimestamp:
		return fmt.Sprintf("AT_TIMESTAMP %s", p.at.UTC().Format(time.RFC3339Nano))
	}
	return "none"
}

// start is what the store keeps of a starting position; now is the service's time. A shard that is first seen later
// than the stream starts at its own beginning, whatever this is.
func (p Position) start(now time.Time) checkpoint.Position {
	switch p.kind {
	case latest:
		return checkpoint.AtTime(now.Truncate(time.Second))
	case atTimestamp:
		return checkpoint.AtTime(p.at)
	}
	return checkpoint.TrimHorizon
}

// An ending is an ending position, anchored when a consumer starts.
type ending struct {
	at  time.Time // records that arrived at or after it are not delivered; zero: no end
	tip bool      // a shard whose tip has been seen is at its end, too
}

// end anchors an ending position. The service's clock comes in whole seconds, so the tip is rounded up.
func (p Position) end(now time.Time) ending {
	switch p.kind {
	case latest:
		return ending{at: now.Truncate(time.Second).Add(time.Second), tip: true}
	case atTimestamp:
		return ending{at: p.at}
	}
	return ending{}
}
