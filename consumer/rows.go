package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	s.mu.Lock()
	s.identified = time.Now()
	s.mu.Unlock()
	part := strings.Split(arn, ":")
	if len(part) < 6 {
		return s.failed("DescribeStreamSummary", fmt.Errorf("the reply names no stream ARN: %q", arn), "")
	}
	s.src = batch.Source{StreamARN: arn, Region: part[3], IdentityARN: s.cfg.identityARN}
	if s.mapping = s.cfg.mappingUUID; s.mapping == "" {
		s.mapping = nameUUID(s.cfg.group + "\n" + arn)
	}
	s.key = fmt.Sprintf("%s:%s:%d", part[4], s.name, s.created.Unix())
	if !s.seat.joined(ctx) {
		return ctx.Err()
	}
	s.adopt()
	meta, known, err := s.table().Meta(ctx)
	if err != nil {
		return s.failed("checkpoint store", err, "nothing is read before the store answers")
	}
	_, now, err := s.list(ctx, nil)
	if err != nil {
		return err
	}
	s.end = s.cfg.end.end(now)
	if err := s.agree(ctx, &meta, known); err != nil {
		return err
	}
	if !known {
		meta = lease.Meta{Settings: s.settings(), ARN: arn, Created: s.created.UnixMilli(), Start: s.cfg.start.start(now), Auto: s.placed.auto.Load()}
		if meta, err = s.table().PutMeta(ctx, meta); err != nil {
			return s.failed("checkpoint store", err, "nothing is read before the starting position is stored")
		}
		if meta.Settings != s.settings() { // another worker was first
			return s.failed("checkpoint store", errors.New("a worker with other settings starts at this moment"), "it is looked for again")
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
	s.seat.Serve(s.key) // not before: others would give it shards
	s.tell.Mend("checkpoint store")
	return nil
}

// settings are what decides on the meaning of progress.
func (s *stream) settings() string {
	if s.cfg.deaggregate {
		return "split"
	}
	return "raw"
}

// agree holds this worker to the settings of the others: where some work, it must have the same; where it is alone, its own
// count from now on.
func (s *stream) agree(ctx context.Context, meta *lease.Meta, known bool) error {
	mine := s.settings()
	if !known || meta.Settings == mine {
		return nil
	}
	others, ok := s.seat.others(ctx, s.key)
	switch {
	case !ok:
		return ctx.Err()
	case others != "" && meta.Settings != "":
		return s.out.Wrap("", tell.Failure{
			Op:   "group",
			Err:  fmt.Errorf("%w: WithDeaggregation(%t) is not what %s of group %q works with", ErrConfig, s.cfg.deaggregate, others, s.cfg.group),
			Hint: "give a service of its own another group; to change the setting of a group, stop all its workers first",
		})
	}
	meta.Settings = mine
	put, err := s.table().PutMeta(ctx, *meta)
	if err != nil {
		return s.failed("checkpoint store", err, "nothing is read before the settings are stored")
	}
	*meta = put
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
	rows, unreadable, err := s.table().Rows(ctx)
	if err == nil && len(unreadable) > 0 {
		err = unreadable[0]
	}
	if err == nil {
		err = each(shardmap.Roots(asOf, states(rows)), func(r shardmap.Root) error {
			return s.table().Create(ctx, r.ID, s.row(r.Shard, meta.Start, r.Root))
		})
	}
	if err == nil {
		meta.Rooted = true
		meta, err = s.table().PutMeta(ctx, meta)
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
		r, _, err := s.table().Row(ctx, id)
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
		parent, ok, err := s.table().Row(ctx, id)
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
		Owner: r.Owner, To: r.To, Reached: r.Reached, Epoch: r.Epoch, Checkpoint: string(r.Ck),
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
				return s.table().Create(ctx, r.ID, s.row(r.Shard, s.meta.Start, true))
			}
			whole, err := s.parentsWhole(ctx, r.Shard)
			if err != nil {
				return err
			}
			return s.table().Create(ctx, r.ID, s.child(r.Shard, whole))
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
		s.mu.Lock()
		sh := s.shards[r.ID]
		s.mu.Unlock()
		if sh != nil {
			err = errors.Join(err, sh.store("checkpoint", func() error { return sh.lease.Restore(ctx) }))
			continue
		}
		since, ok := s.share.missing[r.ID]
		if !ok {
			since = now
		}
		first[r.ID] = since
		if s.seat.Exclusive() || now.Sub(since) >= missingTime {
			put = append(put, r)
		}
	}
	s.share.missing = first
	return put, err
}

// vanished tells, once, that a row which was to be claimed was gone.
func (s *stream) vanished() (was bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, s.gone = s.gone, false
	return was
}

// load reads all rows. One that cannot be read holds only its shard up, and those that come after it.
func (s *stream) load(ctx context.Context) (map[string]shardmap.State, error) {
	s.share.listed = time.Now()
	list, unreadable, err := s.table().Rows(ctx)
	if err != nil {
		return nil, s.failed("checkpoint store", err, "new shards wait until the store answers")
	}
	rows := states(list)
	was := s.unreadable // by the loop of the stream only
	now := map[string]bool{}
	for _, e := range unreadable {
		op := "row " + e.Key
		now[e.Key] = true
		if e.Key == s.table().Key(e.Shard) { // else it is nobody's
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

// refresh takes the row of a shard that does not run from the store, and looks what follows from it.
func (s *stream) refresh(ctx context.Context, id string) error {
	err := s.fetch(ctx, id)
	if err == nil {
		s.look()
	}
	return err
}

// fetch takes the row of a shard that does not run from the store.
func (s *stream) fetch(ctx context.Context, id string) error {
	r, ok, err := s.table().Row(ctx, id)
	if err == nil && !ok {
		err = fmt.Errorf("%w: %s", lease.ErrNoRow, id)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.shards[id] == nil && r.Epoch >= s.census.Row(id).Epoch { // else what is known is younger
		s.census.Put(state(id, r))
	}
	s.mu.Unlock()
	return nil
}

// forget drops the row of a shard that does not run: it was deleted by hand.
func (s *stream) forget(id string) {
	s.mu.Lock()
	s.census.Drop(id)
	s.gone = true
	s.mu.Unlock()
	s.look()
}
