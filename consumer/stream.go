package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/lease"
	"github.com/shardlane/shardlane/consumer/internal/reader"
	"github.com/shardlane/shardlane/consumer/internal/shardmap"
	"github.com/shardlane/shardlane/metrics"
)

// A stream is one consumer while it runs: which stream this is, which shards it has, which of them may run.
//
// Its loop is the only place that starts shards. It looks again when a shard has ended, and every minute.
type stream struct {
	c    *Consumer
	w    *worker
	kick chan struct{}

	// Set by open, before any shard runs.
	name    string
	src     batch.Source // but for the shard
	created time.Time
	end     ending
	from    checkpoint.Position // where reading of the stream began
	table   *lease.Table

	mu       sync.Mutex
	keep     time.Duration // retention
	rows     map[string]lease.Row
	listed   []shardmap.Shard
	unlisted map[string]bool   // rows that are younger than listed
	shards   map[string]*shard // those that run, end, or were lost and still have a handler running
	states   map[string]State  // Reached and Lost
	tips     map[string]bool   // of the Reached ones, those that found an empty page at their tip
	done     []*shard          // completed, to be finished by the loop
	stopped  bool
	fatal    error
	troubles troubles
}

const (
	auditInterval = time.Minute
	callTimeout   = 10 * time.Second
)

func newStream(w *worker, c *Consumer) *stream {
	return &stream{
		c: c, w: w, kick: make(chan struct{}, 1), rows: map[string]lease.Row{},
		unlisted: map[string]bool{}, shards: map[string]*shard{}, states: map[string]State{}, tips: map[string]bool{}, troubles: troubles{},
	}
}

// run starts shards until ctx is done, the ending position is reached by all, or the stream cannot go on.
func (s *stream) run(ctx context.Context) error {
	if err := s.opened(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	audit := s.w.rnd.backoff(200*time.Millisecond, 10*time.Second)
	claims := s.w.rnd.backoff(200*time.Millisecond, 10*time.Second)
	var next time.Time // of the audit
	for {
		if err := s.failure(); err != nil {
			return err
		}
		fresh := false
		if !time.Now().Before(next) {
			next = time.Now().Add(auditInterval)
			if err := s.audit(ctx); err != nil {
				next = time.Now().Add(audit.NextBackOff())
			} else {
				audit.Reset()
				fresh = true
			}
		}
		wait := time.Until(next)
		if soon := time.Now().Add(time.Second); s.orphans() && next.After(soon) {
			next, wait = soon, time.Second
		}
		if s.begin(ctx) {
			claims.Reset()
		} else {
			wait = min(wait, claims.NextBackOff())
		}
		s.finish(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case !s.end.at.IsZero() && s.idle():
			if fresh {
				return nil
			}
			next = time.Now() // what was created meanwhile is not missed
			continue
		}
		s.pause(ctx, wait)
	}
}

func (s *stream) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.kick:
	case <-ctx.Done():
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
	pause := s.w.rnd.backoff(200*time.Millisecond, 10*time.Second)
	for {
		err := s.open(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
			return nil
		case permanent(err):
			return err
		}
		sleep(ctx, nil, pause.NextBackOff())
	}
}

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
	s.src = batch.Source{StreamARN: arn, Region: part[3]}
	s.table = lease.NewTable(countedStore{s.c.cfg.store, s.c}, s.c.cfg.group, fmt.Sprintf("%s:%s:%d", part[4], s.name, s.created.Unix()), s.w.owner)
	s.table.Restored = func(shard string, _ lease.Row) {
		s.c.event(metrics.RowRestored, shard, nil, "the row of a shard that is being worked was gone and was put back")
	}
	meta, known, err := s.table.Meta(ctx)
	if err != nil {
		return s.failed("checkpoint store", err, "nothing is read before the store answers")
	}
	_, now, err := s.list(ctx, nil)
	if err != nil {
		return err
	}
	s.end = s.c.cfg.end.end(now)
	if !known {
		meta = lease.Meta{ARN: arn, Created: s.created.UnixMilli(), Start: s.c.cfg.start.start(now)}
		if meta, err = s.table.PutMeta(ctx, meta); err != nil {
			return s.failed("checkpoint store", err, "nothing is read before the starting position is stored")
		}
	}
	s.from = meta.Start
	if !meta.Rooted {
		if err := s.root(ctx, meta); err != nil {
			return err
		}
	}
	s.mended("checkpoint store")
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
			return s.table.Create(ctx, r.ID, row(r.Shard, meta.Start, r.Root))
		})
	}
	if err == nil {
		meta.Rooted = true
		_, err = s.table.PutMeta(ctx, meta)
	}
	if err != nil {
		return s.failed("checkpoint store", err, "nothing is read before the store has a row per shard")
	}
	return nil
}

func row(sh shardmap.Shard, ck checkpoint.Position, root bool) lease.Row {
	return lease.Row{Ck: ck, Parents: sh.Parents, HashStart: sh.HashStart, HashEnd: sh.HashEnd, Root: root}
}

// states is what the lineage needs to know of rows.
func states(rows map[string]lease.Row) map[string]shardmap.State {
	known := make(map[string]shardmap.State, len(rows))
	for id, r := range rows {
		_, _, _, numeric := r.Ck.Sequence()
		known[id] = shardmap.State{
			Shard: shardmap.Shard{ID: id, Parents: r.Parents, HashStart: r.HashStart, HashEnd: r.HashEnd},
			Root:  r.Root, Started: numeric, Ended: r.Ended(),
		}
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
	listed, _, err := s.list(ctx, nil) // after the rows: a parent that is in neither has expired
	if err != nil {
		return err
	}
	var mu sync.Mutex // of rows
	err = each(shardmap.Missing(listed, states(rows)), func(r shardmap.Root) error {
		from := checkpoint.TrimHorizon
		if r.Root { // its row was lost: it is as old as the first ones
			from = s.from
		}
		if err := s.table.Create(ctx, r.ID, row(r.Shard, from, r.Root)); err != nil {
			return err
		}
		stored, ok, err := s.table.Row(ctx, r.ID) // a list may be too old to have it
		if unreadable := new(lease.RowError); errors.As(err, &unreadable) {
			return nil // load has told so
		}
		if err != nil || !ok {
			return errors.Join(err, errors.New("the row of shard "+r.ID+" was not stored"))
		}
		mu.Lock()
		defer mu.Unlock()
		rows[r.ID] = stored
		return nil
	})
	if err != nil {
		return s.failed("checkpoint store", err, "new shards wait until the store answers")
	}
	s.mended("checkpoint store")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed = listed
	for _, l := range listed {
		if l.Closed && s.tips[l.ID] && s.states[l.ID] == Reached {
			delete(s.states, l.ID) // it was closed before its tip was seen, perhaps: its children are to be read
		}
	}
	for id, r := range rows {
		delete(s.unlisted, id)
		if s.shards[id] == nil && r.Epoch >= s.rows[id].Epoch { // else what is known is younger than the list
			s.rows[id] = r
		}
		if s.states[id] == Lost && s.shards[id] == nil && r.Owner == "" {
			delete(s.states, id) // given up by who took it
			delete(s.troubles, "lease "+id)
		}
	}
	return nil
}

// load reads all rows. One that cannot be read holds only its shard up.
func (s *stream) load(ctx context.Context) (map[string]lease.Row, error) {
	rows, unreadable, err := s.table.Rows(ctx)
	if err != nil {
		return nil, s.failed("checkpoint store", err, "new shards wait until the store answers")
	}
	for _, e := range unreadable {
		op := "row " + e.Key
		if s.trouble(&Error{Stream: s.c.stream, Shard: e.Shard, Op: op, Err: e, Hint: "see the error; the other shards go on"}) {
			m := metrics.RowUnreadable
			if errors.Is(e, lease.ErrRowVersion) {
				m = metrics.RowVersion
			}
			s.c.event(m, e.Shard, e, "")
		}
	}
	return rows, nil
}

// begin claims and starts what may start. It returns false if a claim failed and must be tried again.
func (s *stream) begin(ctx context.Context) bool {
	s.mu.Lock()
	var ids []string
	for _, id := range s.startable() {
		if s.shards[id] == nil && s.states[id] == "" {
			ids = append(ids, id)
		}
	}
	s.mu.Unlock()
	return each(ids, func(id string) error { return s.claim(ctx, id) }) == nil
}

// startable lists the shards that may run, whether they do or not. A shard whose row is younger than the listing waits
// for the next one if a parent has no row: the parent may be younger, too, and not expired. The caller holds mu.
func (s *stream) startable() []string {
	return slices.DeleteFunc(shardmap.Startable(s.listed, states(s.rows)), func(id string) bool {
		return s.unlisted[id] && slices.ContainsFunc(s.rows[id].Parents, func(p string) bool {
			_, known := s.rows[p]
			return !known
		})
	})
}

// orphans is true if a shard waits for a listing.
func (s *stream) orphans() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.unlisted {
		for _, p := range s.rows[id].Parents {
			if _, known := s.rows[p]; !known {
				return true
			}
		}
	}
	return false
}

func (s *stream) claim(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// A claim is not cut off by a stop: its result would be unknown.
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	l, err := s.table.Claim(call, id)
	op := "claim " + id
	if errors.Is(err, lease.ErrEnded) { // the list was too old to know
		return s.refresh(call, id)
	}
	if err != nil {
		if s.trouble(&Error{Stream: s.c.stream, Shard: id, Op: op, Err: err, Hint: "the shard waits until the store takes the claim"}) {
			s.c.event(metrics.StoreFailed, id, err, "claim")
		}
		return err
	}
	s.mended(op)
	if took := l.Took(); took != "" {
		s.c.event(metrics.LeaseTakenOver, id, nil, "from "+took+", which had not released it")
	}
	r := l.Row()
	if keep, age := s.retention(), time.Since(time.UnixMilli(r.Arrival)); r.Arrival > 0 && keep > 0 && age > keep {
		s.c.event(metrics.RetentionLost, id, nil, fmt.Sprintf("the checkpoint's record is %v old, and records are kept for %v: some may be lost", age.Round(time.Second), keep))
	}
	sh := newShard(s, id, l)
	s.mu.Lock()
	if !s.stopped {
		s.shards[id] = sh
		s.rows[id] = r
	}
	stopped := s.stopped
	s.mu.Unlock()
	if stopped {
		return l.Release(call, r.Ck, r.Arrival)
	}
	s.w.sched.Wake(sh.entry)
	return nil
}

// refresh takes the row of a shard that does not run from the store.
func (s *stream) refresh(ctx context.Context, id string) error {
	r, ok, err := s.table.Row(ctx, id)
	if err != nil || !ok {
		return errors.Join(err, errors.New("the row of shard "+id+" is gone"))
	}
	s.mu.Lock()
	s.rows[id] = r
	s.mu.Unlock()
	s.look() // its children may start
	return nil
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
		s.w.spawn(func() {
			pause := s.w.rnd.backoff(100*time.Millisecond, 5*time.Second)
			for !s.conclude(sh) && sleep(ctx, sh.halted, pause.NextBackOff()) {
			}
		})
	}
}

// conclude makes one try to store the end of a shard, and returns true when nothing is left to do: children first, then
// END (reliability: each step may be repeated). A shard at the ending position is released.
func (s *stream) conclude(sh *shard) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(sh.handlers), storeTimeout)
	defer cancel()
	var children []string
	for _, c := range sh.children {
		if slices.Contains(c.ParentShards, sh.id) {
			children = append(children, aws.ToString(c.ShardId))
		}
	}
	rows := map[string]lease.Row{}
	err := sh.store("end", func() error {
		if !sh.closed {
			pos, arrival, _ := sh.position()
			return sh.lease.Release(ctx, pos, arrival)
		}
		for _, c := range sh.children {
			id := aws.ToString(c.ShardId)
			if !slices.Contains(children, id) {
				continue
			}
			if err := s.table.Create(ctx, id, row(shardOf(c.ShardId, c.ParentShards, c.HashKeyRange), checkpoint.TrimHorizon, false)); err != nil {
				return err
			}
			r, ok, err := s.table.Row(ctx, id)
			if err != nil || !ok {
				return errors.Join(err, errors.New("the row of child "+id+" was not stored"))
			}
			rows[id] = r
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
	delete(s.shards, sh.id)
	s.rows[sh.id] = sh.lease.Row()
	if sh.closed {
		for id, r := range rows {
			if _, known := s.rows[id]; !known {
				s.rows[id], s.unlisted[id] = r, true
			}
		}
	} else {
		s.states[sh.id] = Reached
		s.tips[sh.id] = sh.tip
	}
	s.mu.Unlock()
	if sh.closed {
		s.c.event(metrics.ShardEnded, sh.id, nil, "children "+strings.Join(children, ", "))
	}
	s.look()
	return true
}

// idle is true when nothing runs and nothing may start: all that there is has come to the ending position.
func (s *stream) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.shards) > 0 || len(s.done) > 0 {
		return false
	}
	for _, id := range s.startable() {
		if s.states[id] != Reached {
			return false
		}
	}
	return true
}

// closed tells whether a shard was closed when the shards were last listed.
func (s *stream) closed(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.listed, func(l shardmap.Shard) bool { return l.ID == id && l.Closed })
}

// lost is told by a shard that somebody else owns it. It stays a trouble until that one gives it up.
func (s *stream) lost(sh *shard, e *Error) {
	s.mu.Lock()
	s.states[sh.id] = Lost
	s.troubles["lease "+sh.id] = trouble{e, time.Now()}
	s.mu.Unlock()
	s.w.spawn(func() {
		_ = sh.drained()
		s.mu.Lock()
		delete(s.shards, sh.id)
		s.mu.Unlock()
		s.look()
	})
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

// A countedStore counts the writes of a consumer.
type countedStore struct {
	checkpoint.Store
	c *Consumer
}

func (s countedStore) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	s.c.record(metrics.StoreWrites, "", 1)
	return s.Store.Swap(ctx, e)
}

// describe asks for the stream's identity and retention.
func (s *stream) describe(ctx context.Context) (*types.StreamDescriptionSummary, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	in := &kinesis.DescribeStreamSummaryInput{}
	in.StreamName, in.StreamARN = reader.StreamID(s.c.stream)
	out, err := s.c.client.DescribeStreamSummary(ctx, in, reader.NoRetries)
	if err == nil && out.StreamDescriptionSummary == nil {
		err = errors.New("the reply describes no stream")
	}
	if err != nil {
		hint, err := classified(err)
		return nil, s.failed("DescribeStreamSummary", err, hint)
	}
	s.mended("DescribeStreamSummary")
	d := out.StreamDescriptionSummary
	s.mu.Lock()
	s.keep = time.Duration(aws.ToInt32(d.RetentionPeriodHours)) * time.Hour
	s.mu.Unlock()
	return d, nil
}

// identify makes sure that the stream is still the one that was opened.
func (s *stream) identify(ctx context.Context) error {
	d, err := s.describe(ctx)
	if err != nil {
		return err
	}
	if created := aws.ToTime(d.StreamCreationTimestamp); created.Unix() != s.created.Unix() {
		e := &Error{
			Stream: s.c.stream, Op: "DescribeStreamSummary",
			Err:  fmt.Errorf("%w: it was created at %v, and this one at %v", ErrStreamRecreated, s.created.UTC(), created.UTC()),
			Hint: "start again: the new stream has rows of its own, and is read from the starting position",
		}
		s.mu.Lock()
		first := s.fatal == nil
		s.fatal = e
		s.mu.Unlock()
		if first {
			s.c.event(metrics.StreamRecreated, "", e, "")
			s.look()
		}
		return e
	}
	return nil
}

// verify is asked by a shard that the service does not know, or whose position it does not know. It returns false if
// reading it has no sense any more. A shard that is not listed any more has lost its records to retention; its end is
// stored, so that its children may start.
func (s *stream) verify(ctx context.Context, sh *shard) bool {
	if err := s.identify(ctx); err != nil {
		return !errors.Is(err, ErrStreamRecreated)
	}
	listed, _, err := s.list(ctx, nil)
	if err != nil || len(listed) == 0 {
		return true
	}
	var children []types.ChildShard
	for _, l := range listed {
		if l.ID == sh.id {
			return true
		}
		if slices.Contains(l.Parents, sh.id) {
			children = append(children, childOf(l))
		}
	}
	sh.event(metrics.RetentionLost, nil, "the shard is not listed any more; what was not read of it is lost")
	sh.Page(reader.Page{End: true, Children: children, Now: time.Now()})
	return false
}

// children lists the shards that name id as a parent.
func (s *stream) children(ctx context.Context, id string) ([]types.ChildShard, error) {
	listed, _, err := s.list(ctx, nil)
	var children []types.ChildShard
	for _, l := range listed {
		if slices.Contains(l.Parents, id) {
			children = append(children, childOf(l))
		}
	}
	return children, err
}

// list returns all shards, page by page, and the service's time.
func (s *stream) list(ctx context.Context, filter *types.ShardFilter) (shards []shardmap.Shard, now time.Time, err error) {
	now = time.Now()
	in := &kinesis.ListShardsInput{ShardFilter: filter}
	in.StreamName, in.StreamARN = reader.StreamID(s.c.stream)
	for first := true; ; first = false {
		out, err := s.listPage(ctx, in)
		if err != nil {
			hint, err := classified(err)
			return nil, now, s.failed("ListShards", err, hint)
		}
		if t, ok := awsmiddleware.GetServerTime(out.ResultMetadata); ok && first {
			now = t
		}
		for _, sh := range out.Shards {
			parents := []string{aws.ToString(sh.ParentShardId), aws.ToString(sh.AdjacentParentShardId)}
			parents = slices.DeleteFunc(parents, func(p string) bool { return p == "" })
			l := shardOf(sh.ShardId, parents, sh.HashKeyRange)
			l.Closed = sh.SequenceNumberRange != nil && sh.SequenceNumberRange.EndingSequenceNumber != nil
			shards = append(shards, l)
		}
		if aws.ToString(out.NextToken) == "" {
			s.mended("ListShards")
			return shards, now, nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken} // a token excludes the name
	}
}

func (s *stream) listPage(ctx context.Context, in *kinesis.ListShardsInput) (*kinesis.ListShardsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return s.c.client.ListShards(ctx, in, reader.NoRetries)
}

func shardOf(id *string, parents []string, r *types.HashKeyRange) shardmap.Shard {
	sh := shardmap.Shard{ID: aws.ToString(id), Parents: slices.Sorted(slices.Values(parents))}
	if r != nil {
		sh.HashStart, sh.HashEnd = aws.ToString(r.StartingHashKey), aws.ToString(r.EndingHashKey)
	}
	return sh
}

func childOf(l shardmap.Shard) types.ChildShard {
	return types.ChildShard{
		ShardId: &l.ID, ParentShards: l.Parents,
		HashKeyRange: &types.HashKeyRange{StartingHashKey: &l.HashStart, EndingHashKey: &l.HashEnd},
	}
}

// source is what all records of a shard have in common.
func (s *stream) source(shard string) batch.Source {
	src := s.src
	src.Shard = shard
	return src
}

func (s *stream) retention() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keep
}

func (s *stream) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fatal
}

// failed notes a trouble of the stream, tells of it once, and returns it.
func (s *stream) failed(op string, err error, hint string) error {
	e := &Error{Stream: s.c.stream, Op: op, Err: err, Hint: hint}
	if s.trouble(e) {
		m := metrics.ReadFailed
		if op == "checkpoint store" {
			m = metrics.StoreFailed
		}
		s.c.event(m, "", e, "")
	}
	return e
}

func (s *stream) trouble(e *Error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.troubles.fail(e, time.Now())
}

func (s *stream) mended(op string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.troubles, op)
}
