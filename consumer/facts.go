package consumer

import (
	"sync/atomic"
	"time"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer/internal/bound"
	"github.com/shardlane/shardlane/consumer/internal/clock"
	"github.com/shardlane/shardlane/consumer/internal/lease"
	"github.com/shardlane/shardlane/consumer/internal/reader"
	"github.com/shardlane/shardlane/consumer/internal/tell"
)

// facts are what the shards of a stream have in common: the settings of its consumer, and what is known of the stream once
// it has been opened.
type facts struct {
	pool    *pool
	cfg     *config
	out     *tell.Outlet
	tell    *tell.Teller // of the stream
	client  Client
	bare    bool         // it is the SDK's, and not one that wraps it
	fanOut  FanOutClient // the client; nil if it does not make these calls
	handler batch.Handler
	left    *left                       // handlers of earlier Runs
	seat    *seat                       // in the group
	rnd     *random                     // of its parts
	serial  *bound.Slots[reader.Source] // of a handler whose calls must not overlap; nil: they may
	clock   *clock.Clock                // for arrival times
	keep    atomic.Int64                // retention, in nanoseconds

	// Set by open, before any shard runs.
	name    string
	src     batch.Source // but for the shard
	mapping string       // UUID of the event source mapping
	end     ending
}

// given is the name or ARN that the consumer was given.
func (f *facts) given() string { return f.out.Stream }

// source is what all records of a shard have in common.
func (f *facts) source(shard string) batch.Source {
	src := f.src
	src.Shard = shard
	return src
}

// now is the time that arrival times are compared with: the service's, as far as its replies tell (C9).
func (f *facts) now() time.Time { return f.clock.Now() }

// local is the time on this machine when the service's clock shows t.
func (f *facts) local(t time.Time) time.Time { return time.Now().Add(f.clock.Until(t)) }

// retention is how long the stream keeps its records, 0 if that is unknown.
func (f *facts) retention() time.Duration { return time.Duration(f.keep.Load()) }

// since is until when nothing is missing of a shard with that row that has just been claimed. A row that is too old for
// that has been told of.
func (f *facts) since(r lease.Row) time.Time {
	now, keep := f.now(), f.retention()
	if at := time.UnixMilli(r.Arrival); r.Arrival > 0 && (keep == 0 || now.Sub(at) <= keep) {
		return at
	}
	return now
}
