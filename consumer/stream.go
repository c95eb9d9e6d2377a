package consumer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shardlane/shardlane/consumer/internal/lease"
	"github.com/shardlane/shardlane/consumer/internal/shardmap"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

// A stream is one consumer while it runs: which stream this is, which shards it has, which of them may run.
//
// Its loop is the only place that starts shards. It looks again when a shard has ended, and every minute.
type stream struct {
	*facts
	kick chan struct{}

	created  time.Time
	reached  bool      // all shards have come to the end; belongs to the loop
	begun    sync.Once // that it begins has been told
	key      string    // "account:name:creation", as rows name it
	tenure   atomic.Pointer[lease.Tenure]
	share    share      // belongs to the loop
	meta     lease.Meta // the row of the stream: where reading began, and more
	placed   placement
	enrolled enrolment
	firsts   firsts
	asking   chan struct{} // holds one element while verify asks
	verdict  verdict       // belongs to who holds it

	mu         sync.Mutex
	census     *shardmap.Census
	unreadable map[string]bool   // keys of rows that could not be read
	unsure     []string          // shards whose claim may still be applied
	refused    map[string]bool   // shards whose claim has failed
	gone       bool              // a row that was to be claimed was not there
	holed      bool              // a part of the hash space has no shard
	shards     map[string]*shard // those that run, end, or were lost and still have a handler running
	states     map[string]State  // Reached and Lost
	tips       map[string]bool   // of the Reached ones, those that found an empty page at their tip
	done       []*shard          // completed, to be finished by the loop
	identified time.Time         // when the stream was last seen to be the one that was opened
	stopped    bool
	held       atomic.Bool // a shard that was to be claimed has an owner
	retired    atomic.Bool // it will stop soon: nothing is claimed any more
	up         bool        // it has been opened, and its shards could be claimed
	fatal      error
	overdue    map[string]error // of shards whose handlers were left behind
}

func newStream(f *facts) *stream {
	return &stream{
		facts: f, kick: make(chan struct{}, 1), census: shardmap.NewCensus(), asking: make(chan struct{}, 1), enrolled: enrolment{search: make(chan struct{}, 1)},
		shards: map[string]*shard{}, states: map[string]State{}, overdue: map[string]error{}, tips: map[string]bool{}, refused: map[string]bool{},
	}
}

// run starts shards until ctx is done, the ending position is reached by all, or the stream cannot go on.
func (s *stream) run(ctx context.Context) error {
	if err := s.opened(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	audit := s.rnd.backoff(200*time.Millisecond, 10*time.Second)
	claims := s.rnd.backoff(200*time.Millisecond, 10*time.Second)
	s.pool.spawn(func() { s.follow(ctx) })
	var next time.Time // of the audit
	for {
		s.gather(ctx)
		if err := s.failure(); err != nil {
			return err
		}
		if s.adopt() {
			continue // what was lost and has no handler running is free a moment later, all of it
		}
		now := time.Now()
		offered := s.offered(ctx)
		s.doubtful(ctx, now)
		if s.news(now) && s.reload(ctx) != nil {
			s.share.again = now.Add(lease.Beat)
		}
		s.relieve()
		if s.vanished() {
			next = now
		}
		tried, fresh := !now.Before(next), false
		if tried {
			next = now.Add(auditInterval)
			if err := s.audit(ctx); err != nil {
				next = time.Now().Add(audit.NextBackOff())
			} else {
				audit.Reset()
				fresh = true
			}
			if len(s.share.missing) > 0 {
				next = minTime(next, time.Now().Add(missingTime)) // behind the look that has found them missing
			}
		}
		s.keepPlacement(ctx, tried)
		wait := time.Until(next)
		if soon := time.Now().Add(time.Second); s.orphans() && next.After(soon) {
			next, wait = soon, time.Second
		}
		moves, planned := s.moves(now)
		if s.begin(ctx, moves.Claim) {
			claims.Reset()
		} else {
			wait = min(wait, claims.NextBackOff())
		}
		if planned {
			s.started() // whether all claims succeeded or not: a shard is not waited for before it is owned
		}
		wait = min(wait, s.handOver(now, moves.Shed), s.share.wait(now))
		if s.held.Swap(false) {
			wait = min(wait, lease.Beat)
		}
		if offered {
			wait = min(wait, offerPoll)
		}
		s.finish(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case !s.end.at.IsZero() && s.idle():
			if fresh {
				s.reached = true
				s.seat.Quit(s.key)
				return nil
			}
			if !tried {
				next, s.share.listed = time.Now(), time.Time{} // what was created meanwhile is not missed
				continue
			}
		}
		sleep(ctx, s.kick, wait)
	}
}

// gather waits a moment, so that what changes at one time is looked at together, in whatever order it comes.
func (s *stream) gather(ctx context.Context) {
	sleep(ctx, nil, gatherTime)
	select {
	case <-s.kick: // of what came in that moment
	default:
	}
}

// follow looks again at every change among the group's workers.
func (s *stream) follow(ctx context.Context) {
	for {
		changed := s.seat.Changes()
		s.look()
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (s *stream) look() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// opened opens the stream, as often as it takes. What waiting does not mend is returned.
func (s *stream) opened(ctx context.Context) error {
	pause := s.rnd.backoff(200*time.Millisecond, 10*time.Second)
	refused := 0
	for {
		err := s.open(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
			return nil
		case permanent(err):
			return err
		case signatureRefused(err) && !clockOff(err):
			if refused++; refused == signatureTries {
				return err
			}
		}
		sleep(ctx, nil, pause.NextBackOff())
	}
}

// orphans is true if a shard waits for a listing.
func (s *stream) orphans() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.census.Orphans()) > 0
}

// completed is told by a shard, once, that nothing of it is left to read or to run.
func (s *stream) completed(sh *shard) {
	s.mu.Lock()
	s.done = append(s.done, sh)
	s.mu.Unlock()
	s.look()
}

// finish stores the ends of completed shards, side by side.
func (s *stream) finish(ctx context.Context) {
	s.mu.Lock()
	done := s.done
	s.done = nil
	s.mu.Unlock()
	for _, sh := range done {
		s.pool.spawn(func() {
			pause := sh.rnd.backoff(100*time.Millisecond, 5*time.Second)
			for !s.conclude(sh) && sleep(ctx, sh.halted, pause.NextBackOff()) {
			}
		})
	}
}

// conclude makes one try to store the end of a shard, and returns true when nothing is left to do: children first, then
// END (reliability: each step may be repeated). A child that is seen to have a row is not put again, so that tries come
// to an end with a slow store, too. A shard at the ending position is released.
func (s *stream) conclude(sh *shard) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(sh.handlers), storeTimeout)
	defer cancel()
	var children []string
	for _, c := range sh.children {
		if slices.Contains(c.Parents, sh.id) {
			children = append(children, c.ID)
		}
	}
	err := sh.store("end", func() error {
		if !sh.closed {
			p, _, err := sh.position(lastDoneSize)
			if err != nil {
				_ = sh.unreadable(err)
			}
			if !sh.tip { // else what is put in the rest of the second is behind the checkpoint, and before the ending position
				p.Reached = s.end.at.UnixMilli()
			}
			return sh.lease.Release(ctx, p, "")
		}
		for _, c := range sh.children {
			if _, put := sh.put[c.ID]; put || !slices.Contains(children, c.ID) {
				continue
			}
			if err := s.table().Create(ctx, c.ID, s.child(c, sh.whole())); err != nil {
				return err
			}
			r, ok, err := s.table().Row(ctx, c.ID)
			if unreadable := new(lease.RowError); errors.As(err, &unreadable) {
				err, ok = nil, true // there is one, and the next audit tells of it
			}
			if err != nil || !ok {
				return errors.Join(err, errors.New("the row of child "+c.ID+" was not stored"))
			}
			sh.put[c.ID] = r
		}
		return sh.lease.End(ctx, children)
	})
	if err != nil {
		return sh.lost.Load()
	}
	sh.halt()
	_ = sh.drained()
	sh.cut()
	s.mu.Lock()
	its := s.shards[sh.id] == sh // else it was handed over meanwhile
	if its {
		delete(s.shards, sh.id)
		s.census.Put(state(sh.id, sh.now()))
	}
	if sh.closed {
		for id, r := range sh.put {
			if r.V > 0 { // else it cannot be read
				s.census.Add(state(id, r))
			}
		}
	} else if its {
		s.states[sh.id] = Reached
		s.tips[sh.id] = sh.tip
	}
	s.mu.Unlock()
	s.seat.Touch()
	if sh.closed {
		s.tell.For(sh.id).Event(metrics.ShardEnded, nil, "children "+strings.Join(children, ", "))
	}
	s.look()
	return true
}

// idle is true when nothing runs and nothing may start: all that there is has come to the ending position. A shard whose
// row cannot be read has not.
func (s *stream) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.shards) > 0 || len(s.done) > 0 || len(s.unreadable) > 0 {
		return false
	}
	for _, id := range s.census.Startable() {
		if s.states[id] != Reached && !s.reachedBy(s.census.Row(id).Reached) {
			return false
		}
	}
	return true
}

// lost is told by a shard that its tenure is over: another worker owns it, or may. Where that should not be, since the store
// has lost a write or was thought to be this process's alone, it stays a trouble until nobody owns the shard, or another worker
// of a fleet does.
func (s *stream) lost(sh *shard, f tell.Failure) {
	s.mu.Lock()
	s.states[sh.id] = Lost
	s.mu.Unlock()
	if errors.Is(f.Err, lease.ErrRollback) || s.seat.Exclusive() {
		_ = s.tell.For(sh.id).Hold(tell.Failure{Op: "lease " + sh.id, Err: f.Err, Hint: f.Hint})
	}
	s.pool.spawn(func() {
		leave := time.AfterFunc(unwindTime, sh.abandon)
		defer leave.Stop()
		s.drop(sh, sh.drained())
	})
}

// drop forgets a shard whose tenure here is over. The error is that of its drain.
func (s *stream) drop(sh *shard, err error) {
	s.mu.Lock()
	if errors.Is(err, ErrHandlerRunning) {
		s.overdue[sh.id] = err
	}
	if s.shards[sh.id] == sh { // else it was dropped before, and may have been claimed again
		delete(s.shards, sh.id)
		s.census.Put(state(sh.id, sh.now()))
	}
	s.mu.Unlock()
	s.look()
}

// overstayed joins the errors of shards that are no longer run and whose handlers still run.
func (s *stream) overstayed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(s.overdue)) {
		if s.left.running(id) {
			errs = append(errs, s.overdue[id])
		}
	}
	return join(errs...)
}

// halt lets nothing more begin and returns the shards that are owned.
func (s *stream) halt() []*shard {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	shards := s.owned()
	for _, sh := range shards {
		sh.halt()
	}
	return shards
}

// owned returns the running shards, sorted.
func (s *stream) owned() []*shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	shards := make([]*shard, 0, len(s.shards))
	for _, sh := range s.shards {
		shards = append(shards, sh)
	}
	slices.SortFunc(shards, func(a, b *shard) int { return strings.Compare(a.id, b.id) })
	return shards
}

func (s *stream) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fatal
}

// failed tells of a step of the stream that failed, and returns its error. What a stop cuts off is no failure.
func (s *stream) failed(op string, err error, hint string) error {
	f := tell.Failure{Op: op, Err: err, Hint: hint}
	if s.pool.work.Err() != nil {
		return s.out.Wrap("", f)
	}
	m := metrics.ReadFailed
	if op == "checkpoint store" {
		m = metrics.StoreFailed
	}
	return s.tell.Fail(m, f)
}
