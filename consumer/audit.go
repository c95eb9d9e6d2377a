package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/shardlane/shardlane/consumer/internal/lease"
	"github.com/shardlane/shardlane/consumer/internal/shardmap"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

const (
	auditInterval = time.Minute      // between listings of the stream's shards
	listInterval  = 10 * time.Minute // between lists of the rows, if nobody tells of a change
	missingTime   = 10 * time.Second // a row is missing for as long before anybody but its owner puts it back
)

// audit lists the shards and the rows, and puts the rows that are missing.
func (s *stream) audit(ctx context.Context) error {
	if err := s.identify(ctx); err != nil {
		return err
	}
	rows, err := s.present(ctx)
	if err != nil {
		return err
	}
	asked := map[string]bool{}
	if _, err := s.relatives(ctx, nil, rows, asked); err != nil {
		return s.failed("checkpoint store", err, "new shards wait until the store answers")
	}
	listed, _, err := s.list(ctx, nil) // after the rows: a parent that is in neither has expired
	if err != nil {
		return err
	}
	// The list may be too old to have a row. What looks like a hole then is none, and ancestors of its shards, which are
	// older than the start, are not to be read.
	missing, err := s.relatives(ctx, listed, rows, asked)
	if err == nil {
		missing, err = s.restorable(ctx, missing)
	}
	if err == nil {
		err = each(missing, func(r shardmap.Root) error {
			if r.Root { // its row was lost: it is as old as the first ones
				return s.table().Create(ctx, r.ID, s.again(s.row(r.Shard, s.meta.Start, true), r.ID))
			}
			whole, err := s.parentsWhole(ctx, r.Shard)
			if err != nil {
				return err
			}
			return s.table().Create(ctx, r.ID, s.again(s.child(r.Shard, whole), r.ID))
		})
	}
	if err == nil {
		err = s.reread(ctx, missing, rows)
	}
	if err != nil {
		return s.failed("checkpoint store", err, "new shards wait until the store answers")
	}
	s.tell.Mend("checkpoint store")
	s.holes(shardmap.Holes(rows))
	s.take(rows, listed)
	return nil
}

// take keeps what an audit has found, where what is known is not younger.
func (s *stream) take(rows map[string]shardmap.State, listed []shardmap.Shard) {
	var free []string // given up by who took them
	s.mu.Lock()
	for id, sh := range s.shards { // its lease knows best
		s.census.Put(state(id, sh.now()))
	}
	s.census.Merge(listed, rows, func(id string) bool { return s.shards[id] != nil })
	for _, l := range listed {
		if l.Closed && s.tips[l.ID] && s.states[l.ID] == Reached {
			delete(s.states, l.ID) // it was closed before its tip was seen, perhaps: its children are to be read
		}
	}
	for id, st := range s.states {
		if st == Lost && s.shards[id] == nil && s.census.Row(id).Owner == "" {
			delete(s.states, id)
			free = append(free, "lease "+id)
		}
	}
	s.mu.Unlock()
	s.tell.Mend(free...)
}

// holes tells, once, that nobody will read a part of the hash space as things stand.
func (s *stream) holes(found []shardmap.Range) {
	if len(found) > 0 && !s.holed {
		s.tell.Event(metrics.HashRangeHole, s.out.Wrap("", tell.Failure{
			Op: "ListShards", Err: fmt.Errorf("no shard that is known covers the hash keys %s to %s", found[0].Start, found[0].End),
			Hint: "nothing reads these keys as things stand: compare the store's rows with what ListShards says",
		}), "it is looked for at every listing")
	}
	s.holed = len(found) > 0
}

// reread puts the rows of shards, as they are now, to those that were listed.
func (s *stream) reread(ctx context.Context, shards []shardmap.Root, rows map[string]shardmap.State) error {
	var mu sync.Mutex
	return each(shards, func(sh shardmap.Root) error {
		r, ok, err := s.table().Row(ctx, sh.ID)
		st := state(sh.ID, r)
		if unreadable := new(lease.RowError); errors.As(err, &unreadable) {
			st, ok, err = shardmap.Unreadable(sh.Shard), true, nil
		}
		if ok {
			mu.Lock()
			defer mu.Unlock()
			rows[sh.ID] = st
		}
		return err
	})
}

// relatives adds the rows that the list of them does not have, and that those it has, or the shards that are listed, speak
// of. Each is asked for once. It returns what is missing then.
func (s *stream) relatives(ctx context.Context, listed []shardmap.Shard, rows map[string]shardmap.State, asked map[string]bool) ([]shardmap.Root, error) {
	for {
		for _, l := range listed {
			if rows[l.ID].Unreadable {
				rows[l.ID] = shardmap.Unreadable(l) // its part of the hash space is no hole
			}
		}
		missing := shardmap.Missing(listed, rows)
		var absent []shardmap.Root
		for _, id := range shardmap.Absent(rows, missing) {
			if !asked[id] {
				asked[id] = true
				absent = append(absent, shardmap.Root{Shard: shardmap.Shard{ID: id}})
			}
		}
		if len(absent) == 0 {
			return missing, nil
		}
		if err := s.reread(ctx, absent, rows); err != nil {
			return nil, err
		}
	}
}

// present are the rows that are known; they are listed where nobody would tell of a change, and now and then.
func (s *stream) present(ctx context.Context) (map[string]shardmap.State, error) {
	if s.seat.Exclusive() || time.Since(s.share.listed) >= listInterval || len(s.share.missing) > 0 {
		return s.load(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Collect(s.census.Rows()), nil
}

// restorable are the missing rows that this worker may put. That of a shard which it works is put back by its lease; another
// one may be so by its owner, and is left to that for a while.
func (s *stream) restorable(ctx context.Context, missing []shardmap.Root) (put []shardmap.Root, err error) {
	now, first := time.Now(), map[string]time.Time{}
	for _, r := range missing {
		here, failed := s.restore(ctx, r.ID)
		if err = errors.Join(err, failed); here {
			continue
		}
		since, ok := s.share.missing[r.ID]
		if !ok {
			since = now
		}
		first[r.ID] = since
		if s.seat.Exclusive() || now.Sub(since) >= s.patience(r.ID) {
			put = append(put, r)
		}
	}
	s.share.missing = first
	return put, err
}

// patience is for how long a row is missing before this worker puts it: longer where it has never seen it, and others may have.
func (s *stream) patience(id string) time.Duration {
	s.mu.Lock()
	_, known := s.census.Last(id)
	s.mu.Unlock()
	if !known && len(s.seat.View().Serving(s.key)) > 1 {
		return 2 * missingTime
	}
	return missingTime
}

// vanished tells, once, that a row which was to be claimed was gone.
func (s *stream) vanished() (was bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, s.gone = s.gone, false
	return was
}
