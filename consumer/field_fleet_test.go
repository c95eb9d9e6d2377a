package consumer_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
)

// A tap is a way to the store, of a whole fleet or of one worker. It logs the rows of shards that are written through it, and
// does to calls what the test says. A call that has left arrives, whatever its context says by then.
type tap struct {
	checkpoint.Store

	mu    sync.Mutex
	meet  func(op string, e checkpoint.Entry) error // an error keeps the call from having an effect
	log   []tapped
	calls map[string]int // by operation
}

// A tapped is a row of a shard that was stored.
type tapped struct {
	at    time.Time
	shard string
	fleetRow
}

// A fleetRow is what a row says.
type fleetRow struct {
	V     int                 `json:"v"`
	By    string              `json:"by"`
	Owner string              `json:"owner,omitempty"`
	Epoch int64               `json:"epoch"`
	To    string              `json:"to,omitempty"`
	Ck    checkpoint.Position `json:"ck"`
}

// tapped puts a tap between the workers that start after it and the store.
func (f *fleet) tapped() *tap {
	s := &tap{Store: f.store, calls: map[string]int{}}
	f.store = s
	return s
}

// startVia starts a worker that has a tap of its own.
func (f *fleet) startVia(s *tap, name string, opts ...consumer.Option) *replica {
	all := f.store
	f.store = s
	defer func() { f.store = all }()
	return f.start(name, opts...)
}

// way is a tap for one worker.
func (f *fleet) way() *tap { return &tap{Store: f.store, calls: map[string]int{}} }

// startAs starts a worker with a handler of the test's, which may call that of the fleet.
func (f *fleet) startAs(name string, h func(r *replica) wholeBatch, opts ...consumer.Option) *replica {
	r := &replica{f: f, name: name, link: &link{Store: f.store}}
	r.running = start(f.t, f.srv, h(r), append([]consumer.Option{
		consumer.WithGroup("g"), consumer.WithCheckpointer(r.link), consumer.WithWorker(name), consumer.WithDrainTimeout(20 * time.Second),
	}, opts...)...)
	return r
}

// do sets what happens to calls.
func (s *tap) do(f func(op string, e checkpoint.Entry) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meet = f
}

func (s *tap) call(op string, e checkpoint.Entry) error {
	s.mu.Lock()
	s.calls[op]++
	meet := s.meet
	s.mu.Unlock()
	if meet == nil {
		return nil
	}
	return meet(op, e)
}

// count returns how many calls of some operations there were.
func (s *tap) count(ops ...string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, op := range ops {
		n += s.calls[op]
	}
	return n
}

func (s *tap) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	if err := s.call("List", checkpoint.Entry{Key: prefix}); err != nil {
		return nil, err
	}
	return s.Store.List(ctx, prefix)
}

func (s *tap) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	if err := s.call("Get", checkpoint.Entry{Key: key}); err != nil {
		return checkpoint.Entry{}, err
	}
	return s.Store.Get(ctx, key)
}

func (s *tap) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	if err := s.call("Swap", e); err != nil {
		return checkpoint.Entry{}, err
	}
	s.mu.Lock() // the log is in the order of the writes
	defer s.mu.Unlock()
	stored, err := s.Store.Swap(context.WithoutCancel(ctx), e)
	if shard, row, ok := shardRow(e); ok && err == nil {
		s.log = append(s.log, tapped{time.Now(), shard, row})
	}
	return stored, err
}

func (s *tap) Delete(ctx context.Context, e checkpoint.Entry) error {
	if err := s.call("Delete", e); err != nil {
		return err
	}
	return s.Store.Delete(context.WithoutCancel(ctx), e)
}

// shardRow returns what an entry says of a shard.
func shardRow(e checkpoint.Entry) (shard string, row fleetRow, ok bool) {
	if !strings.Contains(e.Key, "/lease/") || json.Unmarshal(e.Value, &row) != nil {
		return "", row, false
	}
	return e.Key[strings.LastIndex(e.Key, "/")+1:], row, true
}

// rows returns what was stored of a shard from a time on; of "", of all.
func (s *tap) rows(shard string, from time.Time) (log []tapped) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.log {
		if (shard == "" || w.shard == shard) && !w.at.Before(from) {
			log = append(log, w)
		}
	}
	return log
}

// claims counts the times that a shard got an owner from a time on.
func (s *tap) claims(from time.Time) (n int) {
	was := map[string]string{}
	for _, w := range s.rows("", time.Time{}) {
		if w.Owner != "" && w.Owner != was[w.shard] && !w.at.Before(from) {
			n++
		}
		was[w.shard] = w.Owner
	}
	return n
}

// by writes a shard's row with a hand of its own: as another worker would, or nobody.
func (s *tap) by(t *testing.T, shard string, change func(row map[string]any)) {
	t.Helper()
	entries, err := s.List(context.Background(), "g/lease/")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Key, "/"+shard) {
			continue
		}
		row := map[string]any{}
		if err := json.Unmarshal(e.Value, &row); err != nil {
			t.Fatal(err)
		}
		change(row)
		row["by"] = "hand.1"
		if e.Value, err = json.Marshal(row); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Swap(context.Background(), e); err != nil {
			t.Error(err)
		}
		return
	}
	t.Fatalf("no row of %s", shard)
}

// epoch returns the epoch of a row, and so many more.
func epoch(row map[string]any, more int64) int64 { return int64(row["epoch"].(float64)) + more }

// forward fails the test if a row of a shard has gone back, or has got another owner without a new epoch.
func (s *tap) forward(t *testing.T) {
	t.Helper()
	last := map[string]tapped{}
	for _, w := range s.rows("", time.Time{}) {
		switch was := last[w.shard]; {
		case was.shard == "":
		case w.Epoch < was.Epoch, w.Ck.Less(was.Ck):
			t.Errorf("%s goes back from epoch %d, %s to epoch %d, %s, by %q after %q", w.shard, was.Epoch, was.Ck, w.Epoch, w.Ck, w.By, was.By)
		case w.Owner != was.Owner && w.Epoch == was.Epoch:
			t.Errorf("%s: owner %q becomes %q within epoch %d", w.shard, was.Owner, w.Owner, w.Epoch)
		}
		last[w.shard] = w
	}
}

// unrepeated fails the test if a record was handled twice.
func (f *fleet) unrepeated() {
	f.t.Helper()
	if n := f.twice(); n > 0 {
		f.t.Errorf("%d records were handled twice", n)
	}
}

// balanced waits until each worker has so many shards.
func (f *fleet) balanced(limit time.Duration, shards int, rs ...*replica) {
	f.t.Helper()
	f.until("each has its shards", limit, func() bool {
		for _, r := range rs {
			if r.owned() != shards {
				return false
			}
		}
		return true
	})
}

// runs tells whether a worker says that it runs a shard.
func (r *replica) runs(shard string) bool {
	return slices.ContainsFunc(r.c.Status().Shards, func(sh consumer.ShardStatus) bool {
		return sh.Shard == shard && sh.State == consumer.Running
	})
}

// pause returns for how long a worker has begun nothing, at most, from a time on.
func (f *fleet) pause(worker string, from time.Time) (most time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.log {
		if c.worker == worker && c.began.After(from) {
			most, from = max(most, c.began.Sub(from)), c.began
		}
	}
	return max(most, time.Since(from))
}
