package consumer_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// An oldList is a store that lists rows as they were when it was frozen.
type oldList struct {
	checkpoint.Store
	frozen atomic.Pointer[[]checkpoint.Entry]
}

// Exclusive says that the rows belong to one process, as lists of a store that is shared are hints anyway.
func (*oldList) Exclusive() bool { return true }

func (s *oldList) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	if old := s.frozen.Load(); old != nil && strings.Contains(prefix, "/lease/") {
		return *old, nil
	}
	return s.Store.List(ctx, prefix)
}

// A list of rows may be older than the end of a shard and the rows of its children. What was put to the children is read
// all the same, and at once.
func TestStaleList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		store := &oldList{Store: new(checkpoint.Memory)}
		handled := make(chan string, 10)
		start := func() (stop func() error) {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			handle := func(_ context.Context, ev events.KinesisEvent) error {
				for _, r := range ev.Records {
					handled <- string(r.Kinesis.Data)
				}
				return nil
			}
			go func() {
				done <- consumer.Run(ctx, srv.Client(), "orders", handle, silent(),
					consumer.WithGroup("billing"), consumer.WithCheckpointer(store))
			}()
			return func() error { cancel(); return <-done }
		}
		wait := func(want string) {
			t.Helper()
			select {
			case got := <-handled:
				if got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			case <-time.After(5 * time.Second):
				t.Errorf("%q was not handled within 5 s", want)
			}
		}

		stop := start()
		srv.Put("orders", "alice", []byte("1"))
		wait("1")
		old, err := store.Store.List(t.Context(), "billing/lease/")
		if err != nil || len(old) != 1 {
			t.Fatalf("%d rows: %v", len(old), err)
		}
		srv.Split("orders", srv.Shards("orders")[0].ID)
		srv.Put("orders", "alice", []byte("2"))
		wait("2")
		if err := stop(); err != nil {
			t.Error(err)
		}

		store.frozen.Store(&old)
		srv.Put("orders", "alice", []byte("3"))
		stop = start()
		wait("3")
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A list that is too old to have any row makes no shard come back that is older than the start.
func TestStaleListOldShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		put := func(data string) { srv.Put("orders", "alice", []byte(data)) }
		put("old")
		a, b := srv.Split("orders", srv.Shards("orders")[0].ID)
		put("old")
		c := srv.Merge("orders", a, b)
		put("old")
		srv.Split("orders", c)
		time.Sleep(5 * time.Second)

		store := &oldList{Store: new(checkpoint.Memory)}
		var handled []string
		run := func(data string) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(5*time.Second, func() { put(data) })
			time.AfterFunc(10*time.Second, cancel)
			handle := func(_ context.Context, ev events.KinesisEvent) error {
				for _, r := range ev.Records {
					handled = append(handled, string(r.Kinesis.Data))
				}
				return nil
			}
			if err := consumer.Run(ctx, srv.Client(), "orders", handle, silent(), consumer.WithGroup("billing"),
				consumer.WithCheckpointer(store), consumer.WithStartingPosition(consumer.Latest())); err != nil {
				t.Error(err)
			}
		}
		run("1")
		store.frozen.Store(&[]checkpoint.Entry{})
		run("2")
		if want := []string{"1", "2"}; !slices.Equal(handled, want) {
			t.Errorf("handled %q, want %q", handled, want)
		}
	})
}

// A list that shows a shard as given up, as it was before this worker had it and lost it, is no reason to take it back.
func TestStaleListOfLostShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		mem := new(checkpoint.Memory)
		old := &oldList{Store: mem}
		var j journal
		with := func(s checkpoint.Store) consumer.Option {
			return consumer.Options(consumer.WithGroup("g"), consumer.WithCheckpointer(s))
		}
		r := start(t, srv, j.handle, with(lone{mem}))
		time.Sleep(time.Second)
		if _, err := r.stop(); err != nil {
			t.Error(err)
		}
		entries, err := mem.List(t.Context(), "g/lease/")
		if err != nil || len(entries) != 1 {
			t.Fatalf("%d rows: %v", len(entries), err)
		}
		old.frozen.Store(&entries)
		r1 := start(t, srv, j.handle, with(old))
		time.Sleep(time.Second)
		r2 := start(t, srv, j.handle, with(lone{mem}))
		time.Sleep(time.Second)
		srv.Put("orders", "alice", []byte("1"))
		time.Sleep(5 * time.Minute)
		if st := r2.c.Status().Shards[0]; st.State != consumer.Running || st.Epoch != 4 {
			t.Errorf("the second worker's shard: %+v, want running in epoch 4", st)
		}
		if st := r1.c.Status().Shards[0]; st.State != consumer.Lost {
			t.Errorf("the first worker's shard: %+v, want lost", st)
		}
		_, _ = r1.stop()
		_, _ = r2.stop()
	})
}

// A lister leaves rows out of its lists.
type lister struct {
	checkpoint.Store
	without atomic.Pointer[string]
}

func (s *lister) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	rows, err := s.Store.List(ctx, prefix)
	if shard := s.without.Load(); shard != nil {
		rows = slices.DeleteFunc(rows, func(e checkpoint.Entry) bool { return strings.HasSuffix(e.Key, *shard) })
	}
	return rows, err
}

// A list of rows may have a shard and not its parent, and the list of shards may be from before both. The parent has not
// expired, then: its child waits for it.
func TestStaleListsOfRowsAndShards(t *testing.T) {
	t.Attr("rule", "L25")
	inField(t, 1, func(f *field) {
		store := &lister{Store: f.store}
		failing := true
		f.work = func(_ context.Context, b fieldBatch) error {
			if failing && b.has("parent") {
				return errPoison
			}
			return nil
		}
		opts := []consumer.Option{consumer.WithCheckpointer(store), consumer.WithDrainTimeout(0)}
		life := f.start(opts...)
		time.Sleep(5 * time.Minute) // the first shard is older than what is left out below
		f.srv.Split("orders", shardID(0))
		f.put(shardID(1), "parent", 1)
		time.Sleep(5 * time.Second)
		f.srv.Split("orders", shardID(1))
		f.put(shardID(3), "child", 1)
		time.Sleep(3 * time.Minute) // the children have rows
		life.stop()

		parent := shardID(1)
		store.without.Store(&parent)
		late := f.srv.Fail("ListShards", kinesistest.ListLate(5*time.Minute, 0))
		life = f.start(opts...)
		time.Sleep(20 * time.Second)
		for _, b := range f.seen() {
			if b.has("child") {
				t.Fatal("a child started before the end of its parent")
			}
		}
		failing = false
		late[0].Stop()
		store.without.Store(nil)
		time.Sleep(3 * time.Minute)
		life.stop()
		f.once()
	})
}

// A shard that its service does not know yet, in any call, and that is newer than the list of shards, is waited for: it is
// not taken for one that has expired, and nothing of it is lost.
func TestShardNewerThanTheService(t *testing.T) {
	inField(t, 1, func(f *field) {
		life := f.start()
		f.put(shard0, "before", 3)
		time.Sleep(2 * time.Minute)
		f.srv.Fail("ListShards", kinesistest.ListLate(time.Minute, -1))
		f.srv.Split("orders", shard0)
		for n := 1; n <= 2; n++ {
			f.srv.Fail("GetShardIterator", kinesistest.Error("ResourceNotFoundException", 3).OnShard(shardID(n)))
			f.put(shardID(n), "key of "+shardID(n), 5)
		}
		time.Sleep(30 * time.Second)
		life.stop()
		f.once()
		if n := f.noticed("RetentionLost"); n > 0 {
			t.Errorf("%d notices of a loss", n)
		}
	})
}
