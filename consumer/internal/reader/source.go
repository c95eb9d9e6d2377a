package reader

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/consumer/internal/page"
	"github.com/shardlane/shardlane/consumer/internal/shardmap"
)

// A Source brings what is in one shard to a Sink.
type Source interface {
	// Wake makes it read on, after Reserve has refused, and in the beginning.
	Wake()
	// Stop ends reading. The channel is closed as soon as nothing of the Source runs any more.
	Stop() <-chan struct{}
}

// A Sink takes what a Source reads. Its methods are called by one goroutine at a time.
type Sink interface {
	// Reserve is called before a page is read, and says how many records it may have. With ok false there is no room: the
	// Source waits for Wake.
	Reserve() (limit int, ok bool)
	// Release gives back the room that was reserved: the page has been taken, or none will come soon. It may be called at any time.
	Release()
	// Take takes what was read. It returns false to end reading.
	Take(Read) (more bool)
}

// MaxRecords is how many records a page has at most, by the service.
const MaxRecords = 10_000

// A Read is what one read brought, less the records that an earlier one did.
type Read struct {
	Page     *page.Page       // never nil
	Behind   time.Duration    // from the tip of the shard, if Told
	Told     bool             // the reply says how far behind; else nothing is known of it, and not that this is the tip (C27)
	Now      time.Time        // the service's clock, to the second; the local one where the reply names none
	End      bool             // the shard is closed, and this is its last page
	Children []shardmap.Shard // at the end

	back func() // gives back the memory of the page; nil: nobody else has it
}

// An Oracle knows the stream. It asks the service, and may be asked by many Sources at a time.
type Oracle interface {
	// Children lists the shards that name a shard as parent, for one whose last page names none.
	Children(ctx context.Context, shard string) ([]shardmap.Shard, error)
	// Fate is what became of a shard that the service does not know, or whose position, or stream, it does not know. Of a
	// shard that is Trimmed, children are those that name it as parent.
	Fate(ctx context.Context, shard string) (f Fate, children []shardmap.Shard)
}

// A Fate is what became of a shard.
type Fate int

// The fates of a shard.
const (
	Known   Fate = iota // the stream is the one that it was, and the shard is there, or nobody can tell: reading goes on
	Trimmed             // it has left the stream, with what was not read of it
	Void                // the stream is another one: no position means anything in it
	Unknown             // nobody can tell which stream this is: nothing is read before somebody can
)

// On makes a Source of the Poller, which s polls from its first Wake on.
func (p *Poller) On(s *Scheduler) Source {
	return polling{s, p.entry(s, p.poll)}
}

// entry makes an Entry of the Poller, or of what has one.
func (p *Poller) entry(s *Scheduler, poll func(context.Context) (next time.Time, ok bool)) *Entry {
	e := NewEntry(poll)
	e.name, e.every = p.Shard, p.Interval
	p.idle = func(idle bool, spent time.Duration) time.Duration { return s.SetIdle(e, idle, spent) }
	p.long = func(silent bool) { s.Long(e, silent) }
	return e
}

// A polling is a Poller on its Scheduler.
type polling struct {
	s *Scheduler
	e *Entry
}

func (p polling) Wake()                 { p.s.Wake(p.e) }
func (p polling) Stop() <-chan struct{} { return p.s.Remove(p.e) }

// ShardOf is a shard as the service describes it.
func ShardOf(id *string, parents []string, r *types.HashKeyRange) shardmap.Shard {
	sh := shardmap.Shard{ID: aws.ToString(id), Parents: slices.Sorted(slices.Values(parents))}
	if r != nil {
		sh.HashStart, sh.HashEnd = aws.ToString(r.StartingHashKey), aws.ToString(r.EndingHashKey)
	}
	return sh
}
