package consumer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// The tests called TestField_Fnn hold the library to what other consumers were found to get wrong, one bug each. Each is
// shown to fail by testdata/fieldbugs/Fnn.patch, which puts the bug in: .ci/fieldbugs applies them.

// A field is the world of one of them: the stream "orders", a store, and what the handler and the store saw. What is
// asserted comes from these logs and from the server, never from the library.
type field struct {
	t     *testing.T
	srv   *kinesistest.Server
	store *fieldStore
	work  func(context.Context, fieldBatch) error // the handler; takes 10 ms if nil

	since time.Time // records that arrived before it need not be handled
	rare  bool      // rareReads

	mu      sync.Mutex
	gone    map[string]*batch.Failure // what was given up, by sequence number
	batches []*fieldBatch             // invocations, in the order in which they began
	notices map[string]int
}

// A fieldBatch is one invocation.
type fieldBatch struct {
	batch.Invocation
	recs         []events.KinesisEventRecord
	begun, ended time.Time // ended is zero while it runs
	err          error
}

func (b *fieldBatch) key(i int) string { return b.recs[i].Kinesis.PartitionKey }

// has tells whether a record with this partition key is in the batch.
func (b *fieldBatch) has(key string) bool {
	return slices.ContainsFunc(b.recs, func(r events.KinesisEventRecord) bool { return r.Kinesis.PartitionKey == key })
}

// inField runs a test in a bubble of virtual time, and holds what it did to the contract.
func inField(t *testing.T, shards int, test func(f *field)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &field{t: t, srv: kinesistest.NewServer("orders", shards), store: new(fieldStore), notices: map[string]int{}}
		t.Cleanup(f.srv.Close)
		test(f)
		f.sound()
	})
}

// proves names the rules that a test proves.
func proves(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		t.Attr("rule", id)
	}
}

// inContract runs a test in a bubble of virtual time. It asserts nothing by itself, unlike inField, so that a test may
// give records up without a destination.
func inContract(t *testing.T, shards int, test func(f *field)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &field{t: t, srv: kinesistest.NewServer("orders", shards), store: new(fieldStore), notices: map[string]int{}}
		t.Cleanup(f.srv.Close)
		test(f)
	})
}

func (f *field) handle(ctx context.Context, ev events.KinesisEvent) error {
	b := &fieldBatch{recs: ev.Records, begun: time.Now(), err: errors.New("it did not return")}
	b.Invocation, _ = batch.InvocationFrom(ctx)
	f.mu.Lock()
	f.batches = append(f.batches, b)
	f.mu.Unlock()
	err := b.err // stays for a panic
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		b.ended, b.err = time.Now(), err
	}()
	if f.work == nil {
		time.Sleep(10 * time.Millisecond)
		err = nil
	} else {
		err = f.work(ctx, *b)
	}
	return err
}

// one handles a record, for batch.Each.
func (f *field) one(ctx context.Context, r events.KinesisEventRecord) error {
	return f.handle(ctx, events.KinesisEvent{Records: []events.KinesisEventRecord{r}})
}

// Deliver makes the field a destination that takes what is given up.
func (f *field) Deliver(_ context.Context, failure *batch.Failure) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone == nil {
		f.gone = map[string]*batch.Failure{}
	}
	for _, r := range failure.Records {
		f.gone[r.Kinesis.SequenceNumber] = failure
	}
	return nil
}

// givenUp returns what was given up, by sequence number.
func (f *field) givenUp() map[string]*batch.Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.gone)
}

// seen returns the invocations so far.
func (f *field) seen() []fieldBatch {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]fieldBatch, len(f.batches))
	for i, b := range f.batches {
		all[i] = *b
	}
	return all
}

const shard0 = "shardId-000000000000"

// shardID returns the ID of the n-th shard of the stream.
func shardID(n int) string { return fmt.Sprintf("shardId-%012d", n) }

// slowReads makes reads take d, so that a long test has fewer of them.
func (f *field) slowReads(d time.Duration) {
	f.srv.SetLatencyFunc(func(op string) time.Duration {
		if op == "GetRecords" {
			return d
		}
		return 10 * time.Millisecond
	})
}

// rareReads has a shard that is caught up read once a minute.
func (f *field) rareReads() { f.rare = true }

// keepsFor makes the stream keep records for d, so that a long test is over sooner.
func (f *field) keepsFor(d time.Duration) { f.srv.SetRetention("orders", d) }

// put puts n records of a key into a shard.
func (f *field) put(shard, key string, n int) {
	f.t.Helper()
	for _, sh := range f.srv.Shards("orders") {
		if sh.ID == shard {
			for range n {
				if to, _ := f.srv.PutHash("orders", key, sh.HashStart, []byte(key)); to != shard {
					f.t.Fatalf("a record for %s went to %s", shard, to)
				}
			}
			return
		}
	}
	f.t.Fatalf("there is no shard %s", shard)
}

// A fieldLife is one run of a consumer of the field.
type fieldLife struct {
	f      *field
	c      *consumer.Consumer
	cancel context.CancelFunc
	done   chan error
	err    error
	over   bool
}

// options are those of every consumer of the field, and then opts.
func (f *field) options(opts ...consumer.Option) consumer.Option {
	if f.rare {
		opts = append([]consumer.Option{consumer.WithPollInterval(time.Minute)}, opts...)
	}
	return consumer.Options(append([]consumer.Option{
		consumer.WithGroup("billing"), consumer.WithCheckpointer(f.store), consumer.WithWorker("one"),
		consumer.WithLogger(slog.New(slog.DiscardHandler)),
		consumer.WithNotify(func(n consumer.Notice) {
			if e := new(consumer.Error); n.Err != nil && (!errors.As(n.Err, &e) || e.Hint == "") {
				f.t.Errorf("%s tells of %v, without a hint", n.Name, n.Err)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			f.notices[n.Name]++
		}),
	}, opts...)...)
}

// start starts a consumer.
func (f *field) start(opts ...consumer.Option) *fieldLife {
	f.t.Helper()
	return startField(f, f.handle, opts...)
}

func startField[H batch.Func](f *field, h H, opts ...consumer.Option) *fieldLife {
	f.t.Helper()
	c, err := consumer.New(f.srv.Client(), "orders", h, f.options(opts...))
	if err != nil {
		f.t.Fatal(err)
	}
	l := &fieldLife{f: f, c: c}
	l.run()
	return l
}

func (l *fieldLife) run() {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel, l.done, l.over = cancel, make(chan error, 1), false
	go func() { l.done <- l.c.Run(ctx) }()
	l.f.t.Cleanup(func() {
		cancel()
		if !l.over {
			<-l.done
		}
	})
}

// wait returns what Run returned, which it must within the limit.
func (l *fieldLife) wait(limit time.Duration) error {
	l.f.t.Helper()
	select {
	case l.err = <-l.done:
		l.over = true
	case <-time.After(limit):
		l.f.t.Fatalf("Run has not returned after %v", limit)
	}
	return l.err
}

// stop ends the life by its context, and fails the test unless Run returns nil in time.
func (l *fieldLife) stop() {
	l.f.t.Helper()
	l.cancel()
	if err := l.wait(35 * time.Second); err != nil {
		l.f.t.Errorf("Run: %v", err)
	}
}

// alive fails the test if Run has returned.
func (l *fieldLife) alive() {
	l.f.t.Helper()
	select {
	case err := <-l.done:
		l.over = true
		l.f.t.Fatalf("Run returned %v", err)
	default:
	}
}

// kill ends the life as if its process had died: nothing more reaches the store. The handler must return with its ctx,
// and the life have no time to drain.
func (l *fieldLife) kill() {
	l.f.t.Helper()
	l.f.store.fail(func(string, string) error { return errors.New("the process is dead") })
	l.cancel()
	l.wait(10 * time.Second)
	l.f.store.fail(nil)
}

// handled returns how often each record was handled with success, and when first, by sequence number. What was given up
// counts as handled.
func (f *field) handled() (times map[string]int, first map[string]time.Time) {
	times, first = map[string]int{}, map[string]time.Time{}
	for _, b := range f.seen() {
		if b.ended.IsZero() || b.err != nil {
			continue
		}
		for _, r := range b.recs {
			seq := r.Kinesis.SequenceNumber
			if times[seq]++; times[seq] == 1 || b.ended.Before(first[seq]) {
				first[seq] = b.ended
			}
		}
	}
	for seq, failure := range f.givenUp() {
		if times[seq]++; times[seq] == 1 {
			first[seq] = failure.Time
		}
	}
	return times, first
}

// complete fails the test unless every record was handled.
func (f *field) complete() {
	f.t.Helper()
	times, _ := f.handled()
	lost := map[string]int{}
	for _, sh := range f.srv.Shards("orders") {
		for _, r := range sh.Records {
			if times[r.SequenceNumber] == 0 && !r.Arrival.Before(f.since) {
				lost[sh.ID]++
			}
		}
	}
	if len(lost) > 0 {
		f.t.Errorf("records that were not handled, by shard: %v", lost)
	}
}

// once fails the test unless every record was handled once.
func (f *field) once() {
	f.t.Helper()
	f.complete()
	times, _ := f.handled()
	for seq, n := range times {
		if n != 1 {
			f.t.Errorf("record %s was handled %d times", seq, n)
		}
	}
}

// sound holds the logs to the contract: order and mutual exclusion per key, checkpoints behind outcomes, parents first.
func (f *field) sound() {
	f.t.Helper()
	_, first := f.handled()
	type place struct {
		n     int       // among the records of its key
		ready time.Time // when all before it were handled
		never bool      // they never were
	}
	places, last := map[string]place{}, map[string]place{} // by record; by key, the next one
	for _, r := range f.srv.Records("orders") {
		if r.Arrival.Before(f.since) {
			continue
		}
		p := last[r.PartitionKey]
		places[r.SequenceNumber] = p
		done, ok := first[r.SequenceNumber]
		p.n, p.never = p.n+1, p.never || !ok
		if done.After(p.ready) {
			p.ready = done
		}
		last[r.PartitionKey] = p
	}
	running := map[string]*fieldBatch{} // by key, the last one
	all := f.seen()
	for i := range all {
		b := &all[i]
		next := map[string]int{} // by key, the place that may follow in the batch
		for j, r := range b.recs {
			key, p := b.key(j), places[r.Kinesis.SequenceNumber]
			if key == "" { // there is no order to keep (C26)
				continue
			}
			if o := running[key]; o != nil && o != b && (o.ended.IsZero() || b.begun.Before(o.ended)) {
				f.t.Errorf("key %s: two invocations at once, at %v", key, b.begun)
			}
			running[key] = b
			n, begun := next[key]
			if begun && p.n != n || !begun && (p.never || b.begun.Before(p.ready)) {
				f.t.Errorf("key %s: record %d of it started before one in front of it was handled", key, p.n)
			}
			next[key] = p.n + 1
		}
	}
	f.soundStore(first)
}

// soundStore holds every write that the store took to the contract.
func (f *field) soundStore(first map[string]time.Time) {
	f.t.Helper()
	shards := map[string]kinesistest.ShardInfo{}
	for _, sh := range f.srv.Shards("orders") {
		shards[sh.ID] = sh
	}
	ended := map[string]time.Time{}
	for _, w := range f.store.written() {
		seq, _, _, numeric := w.ck.Sequence()
		if w.ck.IsEnd() && ended[w.shard].IsZero() {
			ended[w.shard] = w.at
		}
		if w.ck.IsEnd() || numeric {
			for _, r := range shards[w.shard].Records {
				if numeric && r.SequenceNumber > seq {
					break
				}
				if done, ok := first[r.SequenceNumber]; !r.Arrival.Before(f.since) && (!ok || done.After(w.at)) {
					f.t.Errorf("%s: checkpoint %s was stored before %s was handled", w.shard, w.ck, r.SequenceNumber)
					break
				}
			}
		}
	}
	for _, b := range f.seen() {
		for _, p := range shards[b.Shard].Parents {
			if at := ended[p]; at.IsZero() || b.begun.Before(at) {
				f.t.Errorf("%s began before the end of its parent %s was stored", b.Shard, p)
			}
		}
	}
}

// A fieldStore is a store that takes 5 ms for each call, logs the rows of shards that it takes, and fails on demand.
type fieldStore struct {
	checkpoint.Memory

	mu     sync.Mutex
	faulty func(op, key string) error
	log    []fieldWrite
	calls  []time.Time
}

// Exclusive says that each life is the only worker there is; fleets have tests of their own.
func (s *fieldStore) Exclusive() bool { return true }

// A lone store is taken for one that no other process can have open.
type lone struct{ checkpoint.Store }

// Exclusive says so.
func (lone) Exclusive() bool { return true }

// A fieldWrite is a row of a shard that was stored.
type fieldWrite struct {
	at         time.Time
	key, shard string
	ck         checkpoint.Position
	owner      string
	done       []byte // what it says is done above ck
	size       int    // of all of it
}

// fail makes calls fail before they have an effect. A nil function ends that.
func (s *fieldStore) fail(f func(op, key string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faulty = f
}

func (s *fieldStore) written() []fieldWrite {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// count returns how many calls were made.
func (s *fieldStore) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

func (s *fieldStore) call(op, key string) error {
	time.Sleep(5 * time.Millisecond)
	s.mu.Lock()
	s.calls = append(s.calls, time.Now())
	faulty := s.faulty
	s.mu.Unlock()
	if faulty == nil {
		return nil
	}
	return faulty(op, key)
}

func (s *fieldStore) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	if err := s.call("List", prefix); err != nil {
		return nil, err
	}
	return s.Memory.List(ctx, prefix)
}

func (s *fieldStore) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	if err := s.call("Get", key); err != nil {
		return checkpoint.Entry{}, err
	}
	return s.Memory.Get(ctx, key)
}

func (s *fieldStore) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	if err := s.call("Swap", e.Key); err != nil {
		return checkpoint.Entry{}, err
	}
	s.mu.Lock() // the log is in the order of the writes
	defer s.mu.Unlock()
	stored, err := s.Memory.Swap(ctx, e)
	if err == nil && strings.Contains(e.Key, "/lease/") {
		var row struct {
			Ck    checkpoint.Position `json:"ck"`
			Owner string              `json:"owner"`
			Done  []byte              `json:"done"`
		}
		if err := json.Unmarshal(e.Value, &row); err != nil {
			return stored, err
		}
		shard := e.Key[strings.LastIndex(e.Key, "/")+1:]
		s.log = append(s.log, fieldWrite{time.Now(), e.Key, shard, row.Ck, row.Owner, row.Done, len(e.Value)})
	}
	return stored, err
}
