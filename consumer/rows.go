package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	if other := s.pool.reads(s.cfg.group, arn, s.given()); other != "" {
		return s.out.Wrap("", tell.Failure{
			Op: "group", Err: fmt.Errorf("%w: %s and %s are one stream, and both its consumers are in group %q", ErrConfig, other, s.given(), s.cfg.group),
			Hint: "give one of the consumers another group, if the stream is to be handled twice",
		})
	}
	s.src = batch.Source{StreamARN: arn, Region: part[3], IdentityARN: s.cfg.identityARN}
	if s.mapping = s.cfg.mappingUUID; s.mapping == "" {
		s.mapping = nameUUID(s.cfg.group + "\n" + arn)
	}
	s.key = fmt.Sprintf("%s:%s:%d", part[4], s.name, s.created.Unix())
	if err := s.enlist(ctx, arn); err != nil {
		return err
	}
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
	if err := s.unread(ctx, &meta); err != nil {
		return s.failed("checkpoint store", err, "nothing is read before the store knows the stream consumer")
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
	s.seat.Serve(s.key, s.cfg.fingerprint()) // not before: others would give it shards
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

// again is the row that a missing one comes back as: what was last seen of it, in a new epoch. It keeps its owner, who may live
// and work the shard, and whom others replace only once it is dead.
func (s *stream) again(r lease.Row, id string) lease.Row {
	s.mu.Lock()
	last, known := s.census.Last(id)
	s.mu.Unlock()
	if !known {
		return r
	}
	r.Owner, r.To, r.Epoch, r.Root, r.Children, r.Reached = last.Owner, last.To, last.Epoch+1, last.Root, last.Children, last.Reached
	if last.Started || last.Ended {
		r.Ck, r.Arrival = checkpoint.Position(last.Checkpoint), 0 // when its record arrived was not kept
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

// missed reads the rows that are known and that a list does not have: it may be older than they are. Where one is gone, the
// lease that works its shard puts it back; of another one the next audit knows.
func (s *stream) missed(ctx context.Context, listed map[string]shardmap.State) error {
	var ids []string
	s.mu.Lock()
	for id := range s.census.Rows() {
		if _, ok := listed[id]; !ok {
			ids = append(ids, id)
		}
	}
	s.mu.Unlock()
	slices.Sort(ids)
	return each(ids, func(id string) error {
		if put, err := s.restore(ctx, id); put || err != nil {
			return err
		}
		err := s.fetch(ctx, id)
		if errors.Is(err, lease.ErrNoRow) {
			s.forget(id)
			return nil
		}
		return err
	})
}

// restore puts the row of a shard back, if it is gone and the shard is worked here.
func (s *stream) restore(ctx context.Context, id string) (here bool, _ error) {
	s.mu.Lock()
	sh := s.shards[id]
	s.mu.Unlock()
	if sh == nil {
		return false, nil
	}
	return true, sh.store("checkpoint", func() error { return sh.lease.Restore(ctx) })
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
