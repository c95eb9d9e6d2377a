package consumer

import (
	"context"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/lease"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

// A seat is a worker's place among the workers of one group in one store. The consumers of a worker that name the same group
// and store share it.
type seat struct {
	*lease.Group
	store checkpoint.Store
	name  string

	calls, beats strays // of the store, and of its connections for heartbeats
	tellers      []*tell.Teller
	kept         atomic.Bool // a lease could not be given up; set at the end of Run
}

// seat returns the worker's seat for the group of a consumer, which tells of its trouble, too.
func (p *pool) seat(cfg *config, t *tell.Teller) *seat {
	for _, s := range p.seats {
		if s.name == cfg.group && same(s.store, cfg.store) {
			s.tellers = append(s.tellers, t)
			return s
		}
	}
	s := &seat{store: cfg.store, name: cfg.group, tellers: []*tell.Teller{t}}
	reserved := cfg.store
	if r, ok := cfg.store.(interface{ Reserved() checkpoint.Store }); ok {
		if own, err := contained("the store", func() (checkpoint.Store, error) { return r.Reserved(), nil }); err == nil && own != nil {
			reserved = own
		}
	}
	s.Group = lease.NewGroup(limitedStore{cfg.store, t, &s.calls}, limitedStore{reserved, t, &s.beats}, cfg.group, cfg.worker, p.rnd.part(fmt.Sprint("seat ", len(p.seats))).incarnation)
	s.Trouble, s.Fenced, s.Over, s.Twin = s.trouble, s.fenced, s.over, s.twin
	p.seats = append(p.seats, s)
	return s
}

// same tells whether two stores are one value.
func same(a, b checkpoint.Store) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.TypeOf(a).Comparable() && reflect.ValueOf(a).Comparable() && a == b
}

// until waits for something that comes with a change of the group. It returns false if ctx ends first.
func (s *seat) until(ctx context.Context, ok func() bool) bool {
	for {
		changed := s.Changes()
		if ok() {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// joined waits for the worker's place in the group. It returns false if ctx ends first.
func (s *seat) joined(ctx context.Context) bool {
	return s.until(ctx, func() bool { return s.Tenure() != nil })
}

// others waits until it is known who the other workers are, and returns one that serves a stream, if there is any. It returns
// false if ctx ends first.
func (s *seat) others(ctx context.Context, stream string) (id string, ok bool) {
	var view lease.View
	ok = s.until(ctx, func() bool { view = s.View(); return view.Self != "" })
	for _, p := range view.Serving(stream) {
		if p.ID != view.Self {
			id = p.ID
		}
	}
	return id, ok
}

// leave frees the place when no lease is held any more.
func (s *seat) leave(ctx context.Context) {
	if s.kept.Load() {
		return
	}
	if err := s.Leave(ctx); err != nil {
		s.trouble("leave", err)
	}
}

// trouble tells of a step that failed; of a nil err, that it works again.
func (s *seat) trouble(op string, err error) {
	for _, t := range s.tellers {
		if err == nil {
			t.Mend(op)
			continue
		}
		_ = t.Fail(metrics.StoreFailed, tell.Failure{
			Op: op, Err: err,
			Hint: fmt.Sprintf("without heartbeats in the store this worker starts no handler, and after %v others take its shards over", lease.Term),
		})
	}
}

func (s *seat) fenced(id string) {
	for _, t := range s.tellers {
		t.Event(metrics.WorkerDead, nil, fmt.Sprintf("%s has shown no life for %v: its shards are free", id, lease.Term))
	}
}

func (s *seat) over(id string, err error) {
	for _, t := range s.tellers {
		t.Event(metrics.WorkerFenced, err, id+" was declared dead, and comes back under another name: its shards may belong to others")
	}
}

func (s *seat) twin(id string) {
	for _, t := range s.tellers {
		t.Event(metrics.WorkerTwin, nil, id+" has the same worker name: both work, and nothing is handled twice, but no one can tell them apart; WithWorker names them")
	}
}

// announceTime is how long a worker that gives shards up goes on with them, until all others have read to whom.
const announceTime = lease.Beat * 6 / 5

// announced tells whether a stop is worth telling the others before it: there are some, and the drain timeout leaves time.
func (s *seat) announced(drain time.Duration) bool {
	return !s.Exclusive() && drain >= 2*announceTime && len(s.View().Peers) > 1
}
