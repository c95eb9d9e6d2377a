package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/kpl"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/lease"
	"github.com/shardlane/shardlane/consumer/internal/shardmap"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
)

// open finds out which stream this is and puts the rows of the shards where reading starts. All steps may be repeated.
func (s *stream) open(ctx context.Context) error {
	d, err := s.describe(ctx)
	if err != nil {
		return err
	}
	arn := aws.ToString(d.StreamARN)
	s.name = aws.ToString(d.StreamName)
	s.created = aws.ToTime(d.StreamCreationTimestamp)
	part := strings.Split(arn, ":")
	if len(part) < 6 {
		return s.failed("DescribeStreamSummary", fmt.Errorf("the reply names no stream ARN: %q", arn), "")
	}
	s.src = batch.Source{StreamARN: arn, Region: part[3], IdentityARN: s.cfg.identityARN}
	if s.mapping = s.cfg.mappingUUID; s.mapping == "" {
		s.mapping = nameUUID(s.cfg.group + "\n" + arn)
	}
	s.table = lease.NewTable(limitedStore{s.cfg.store, s.tell, &s.hangs}, s.cfg.group, fmt.Sprintf("%s:%s:%d", part[4], s.name, s.created.Unix()), s.pool.owner)
	s.table.Restored = func(shard string, _ lease.Row) {
		s.tell.For(shard).Event(metrics.RowRestored, nil, "the row of a shard that is being worked was gone and was put back")
	}
	meta, known, err := s.table.Meta(ctx)
	if err != nil {
		return s.failed("checkpoint store", err, "nothing is read before the store answers")
	}
	_, now, err := s.list(ctx, nil)
	if err != nil {
		return err
	}
	s.end = s.cfg.end.end(now)
	if !known {
		meta = lease.Meta{ARN: arn, Created: s.created.UnixMilli(), Start: s.cfg.start.start(now), Auto: s.placed.auto.Load()}
		if meta, err = s.table.PutMeta(ctx, meta); err != nil {
			return s.failed("checkpoint store", err, "nothing is read before the starting position is stored")
		}
	}
	s.meta = meta
	if s.placed.kept = meta.Auto; meta.Auto {
		s.placed.auto.Store(true)
	}
	if !meta.Rooted {
		s.begun.Do(func() { s.cfg.resumed(meta.Start, s.tell) })
		if err := s.root(ctx, meta); err != nil {
			return err
		}
	}
	s.tell.Mend("checkpoint store")
	return nil
}

// root puts the rows of all shards that the stream had at its starting position (coordination of a first start). They
// start at that position whichever they are: a shard that was created later has nothing older.
func (s *stream) root(ctx context.Context, meta lease.Meta) error {
	var filter *types.ShardFilter
	if at, ok := meta.Start.Time(); ok {
		filter = &types.ShardFilter{Type: types.ShardFilterTypeAtTimestamp, Timestamp: &at}
	}
	asOf, _, err := s.list(ctx, filter)
	if err != nil {
		return err
	}
	rows, unreadable, err := s.table.Rows(ctx)
	if err == nil && len(unreadable) > 0 {
		err = unreadable[0]
	}
	if err == nil {
		err = each(shardmap.Roots(asOf, states(rows)), func(r shardmap.Root) error {
			return s.table.Create(ctx, r.ID, s.row(r.Shard, meta.Start, r.Root))
		})
	}
	if err == nil {
		meta.Rooted = true
		meta, err = s.table.PutMeta(ctx, meta)
	}
	if err != nil {
		return s.failed("checkpoint store", err, "nothing is read before the store has a row per shard")
	}
	s.meta = meta
	return nil
}

// row is the first row of a shard. Until it has a checkpoint, its arrival time is when it was put: what is older has been
// looked at, or is not to be read.
func (s *stream) row(sh shardmap.Shard, ck checkpoint.Position, root bool) lease.Row {
	return lease.Row{Ck: ck, Arrival: s.now().UnixMilli(), Parents: sh.Parents, HashStart: sh.HashStart, HashEnd: sh.HashEnd, Root: root}
}

// child is the first row of a shard that has parents, of which nothing that arrived until whole is missing. What arrives in it
// may leave the stream before it has a row: its arrival time is that of its parents, or when it was not there yet (C30).
func (s *stream) child(sh shardmap.Shard, whole int64) lease.Row {
	r := s.row(sh, checkpoint.TrimHorizon, false)
	if at := max(whole, s.firsts.before(sh.ID)); at > 0 {
		r.Arrival = at
	}
	return r
}

// parentsWhole is until when nothing that arrived is missing of a shard's parents, as their rows say; 0: they do not.
func (s *stream) parentsWhole(ctx context.Context, sh shardmap.Shard) (at int64, _ error) {
	for _, id := range sh.Parents {
		r, _, err := s.table.Row(ctx, id)
		if unreadable := new(lease.RowError); err != nil && !errors.As(err, &unreadable) {
			return 0, err
		}
		at = max(at, r.Arrival)
	}
	return at, nil
}

// parentRanges are the hash key ranges of a shard's parents, if the shard is about to be read from its very first record:
// from its beginning, and no record can have left it since, as a record that was read of a parent is still there. They
// are none where that is not known.
func (s *stream) parentRanges(ctx context.Context, r lease.Row) (ranges []kpl.HashRange) {
	if !s.cfg.deaggregate || r.Ck != checkpoint.TrimHorizon {
		return nil
	}
	keep := s.retention()
	for _, id := range r.Parents {
		parent, ok, err := s.table.Row(ctx, id)
		if err != nil || !ok || keep == 0 || parent.Arrival == 0 || s.now().Sub(time.UnixMilli(parent.Arrival)) >= keep {
			return nil
		}
		h, err := kpl.ParseHashRange(parent.HashStart, parent.HashEnd)
		if err != nil {
			return nil
		}
		ranges = append(ranges, h)
	}
	return ranges
}

// state is what a row says of its shard.
func state(id string, r lease.Row) shardmap.State {
	_, _, _, numeric := r.Ck.Sequence() //nolint:dogsled // only whether there is one
	return shardmap.State{
		Shard: shardmap.Shard{ID: id, Parents: r.Parents, HashStart: r.HashStart, HashEnd: r.HashEnd},
		Root:  r.Root, Started: numeric, Ended: r.Ended(), Children: r.Children,
		Owner: r.Owner, Epoch: r.Epoch, Checkpoint: string(r.Ck),
	}
}

func states(rows map[string]lease.Row) map[string]shardmap.State {
	known := make(map[string]shardmap.State, len(rows))
	for id, r := range rows {
		known[id] = state(id, r)
	}
	return known
}

// audit lists the shards and the rows, and puts the rows that are missing.
func (s *stream) audit(ctx context.Context) error {
	if err := s.identify(ctx); err != nil {
		return err
	}
	rows, err := s.load(ctx)
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
		err = each(missing, func(r shardmap.Root) error {
			if r.Root { // its row was lost: it is as old as the first ones
				return s.table.Create(ctx, r.ID, s.row(r.Shard, s.meta.Start, true))
			}
			whole, err := s.parentsWhole(ctx, r.Shard)
			if err != nil {
				return err
			}
			return s.table.Create(ctx, r.ID, s.child(r.Shard, whole))
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
		r, ok, err := s.table.Row(ctx, sh.ID)
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

// load reads all rows. One that cannot be read holds only its shard up, and those that come after it.
func (s *stream) load(ctx context.Context) (map[string]shardmap.State, error) {
	list, unreadable, err := s.table.Rows(ctx)
	if err != nil {
		return nil, s.failed("checkpoint store", err, "new shards wait until the store answers")
	}
	rows := states(list)
	was := s.unreadable // by the loop of the stream only
	now := map[string]bool{}
	for _, e := range unreadable {
		op := "row " + e.Key
		now[e.Key] = true
		if e.Key == s.table.Key(e.Shard) { // else it is nobody's
			rows[e.Shard] = shardmap.Unreadable(shardmap.Shard{ID: e.Shard})
		}
		m := metrics.RowUnreadable
		if errors.Is(e, lease.ErrRowVersion) {
			m = metrics.RowVersion
		}
		_ = s.tell.For(e.Shard).Fail(m, tell.Failure{Op: op, Err: e, Hint: "see the error; the other shards go on"})
	}
	for key := range was {
		if !now[key] {
			s.tell.Mend("row " + key)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unreadable = now
	return rows, nil
}

// refresh takes the row of a shard that does not run from the store.
func (s *stream) refresh(ctx context.Context, id string) error {
	r, ok, err := s.table.Row(ctx, id)
	if err == nil && !ok {
		err = fmt.Errorf("%w: %s", lease.ErrNoRow, id)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.census.Put(state(id, r))
	s.mu.Unlock()
	s.look() // its children may start
	return nil
}

// forget drops the row of a shard that does not run: it was deleted by hand.
func (s *stream) forget(id string) {
	s.mu.Lock()
	s.census.Drop(id)
	s.mu.Unlock()
	s.look()
}
