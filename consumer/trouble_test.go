package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// wantError checks an error's sentinel, and that its hint says something.
func wantError(t *testing.T, err, want error) {
	t.Helper()
	var e *consumer.Error
	if !errors.Is(err, want) || !errors.As(err, &e) || e.Hint == "" || e.Stream != "orders" {
		t.Errorf("got %v, want a *consumer.Error of stream orders with %v and a hint", err, want)
	}
}

func TestUnknownStream(t *testing.T) {
	t.Attr("rule", "L12")
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("clicks", 1)
		defer srv.Close()
		wantError(t, consumer.Run(t.Context(), srv.Client(), "orders", nothing, silent()), consumer.ErrStreamNotFound)
	})
}

func TestAccessDeniedAtStart(t *testing.T) {
	for _, op := range []string{"DescribeStreamSummary", "ListShards"} {
		synctest.Test(t, func(t *testing.T) {
			srv := kinesistest.NewServer("orders", 1)
			defer srv.Close()
			srv.Fail(op, kinesistest.Error("AccessDeniedException", 0))
			wantError(t, consumer.Run(t.Context(), srv.Client(), "orders", nothing, silent()), consumer.ErrAccessDenied)
		})
	}
}

func TestAccessDeniedLaterIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		var j journal
		r := start(t, srv, j.handle)
		time.Sleep(5 * time.Second)
		denied := srv.Fail("GetRecords", kinesistest.Error("AccessDeniedException", 0))
		srv.Put("orders", "alice", []byte("1"))
		time.Sleep(5 * time.Second)
		wantError(t, r.c.Status().Err(), consumer.ErrAccessDenied)
		for _, d := range denied {
			d.Stop()
		}
		time.Sleep(30 * time.Second)
		if err := r.c.Status().Err(); err != nil || !j.has("1") {
			t.Errorf("after it is allowed again: status %v, handled %q", err, j.entries)
		}
		if _, err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestStreamDeletedWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 2)
		defer srv.Close()
		r := start(t, srv, nothing)
		time.Sleep(5 * time.Second)
		srv.DeleteStream("orders")
		time.Sleep(time.Minute)
		wantError(t, r.c.Status().Err(), consumer.ErrStreamNotFound)
		select {
		case err := <-r.ended:
			t.Errorf("Run returned %v; a stream that is gone for a while must not end it", err)
		default:
		}
		if _, err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestStreamRecreatedWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 2)
		defer srv.Close()
		var seen notices
		store := new(checkpoint.Memory)
		r := start(t, srv, nothing, consumer.WithNotify(seen.add), consumer.WithCheckpointer(store), consumer.WithGroup("g"))
		srv.Put("orders", "alice", []byte("1"))
		time.Sleep(5 * time.Second)
		srv.DeleteStream("orders")
		time.Sleep(5 * time.Second)
		srv.CreateStream("orders", 2)
		srv.Put("orders", "alice", []byte("2"))
		wantError(t, <-r.ended, consumer.ErrStreamRecreated)
		if seen.count("StreamRecreated") != 1 {
			t.Errorf("notices %q, want StreamRecreated once", seen.names)
		}
		for shard, row := range rows(t, store) {
			if strings.Contains(row, `"ck":"9/END"`) {
				t.Errorf("%s was ended: %s", shard, row)
			}
		}
		var j journal // the new stream has rows of its own
		err := consumer.Run(t.Context(), srv.Client(), "orders", j.handle, silent(), consumer.WithCheckpointer(store),
			consumer.WithGroup("g"), consumer.WithEndingPosition(consumer.Latest()))
		if err != nil || !slices.Equal(j.entries, []string{"2"}) {
			t.Errorf("the next Run returned %v and handled %q, want record 2", err, j.entries)
		}
	})
}

// TestRecreatedStreamIsNotReadByOldRows: as long as nobody can say whether a stream is still the one that was opened, nothing
// is read of it, neither from a starting position, which is good in both, nor from the oldest record, for want of a position
// that is known.
func TestRecreatedStreamIsNotReadByOldRows(t *testing.T) {
	for name, tt := range map[string]struct {
		read bool          // there is a checkpoint
		gap  time.Duration // until it is created again
		mute bool          // it cannot be described for a while then
	}{
		"nothing read, later":             {false, 5 * time.Second, false},
		"nothing read, later, and mute":   {false, 5 * time.Second, true},
		"nothing read, at once, and mute": {false, 0, true},
		"something read, and mute":        {true, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := kinesistest.NewServer("orders", 1)
				defer srv.Close()
				var seen notices
				var j journal
				store := new(checkpoint.Memory)
				opts := []consumer.Option{silent(), consumer.WithNotify(seen.add), consumer.WithCheckpointer(store), consumer.WithGroup("g")}
				r := start(t, srv, j.handle, opts...)
				if tt.read {
					srv.Put("orders", "alice", []byte("old"))
				}
				time.Sleep(5 * time.Second)
				srv.DeleteStream("orders")
				time.Sleep(tt.gap)
				srv.CreateStream("orders", 1)
				srv.Put("orders", "alice", []byte("new"))
				if tt.mute {
					mute := srv.Fail("DescribeStreamSummary", kinesistest.Error("InternalFailure", 0))
					time.Sleep(30 * time.Second)
					for _, f := range mute {
						f.Stop()
					}
				}
				began := time.Now()
				wantError(t, <-r.ended, consumer.ErrStreamRecreated)
				if d := time.Since(began); d > 15*time.Second {
					t.Errorf("Run returned after %v", d)
				}
				if j.has("new") || seen.count("RetentionLost") > 0 {
					t.Errorf("the process of the old stream has handled %q; notices %q", j.entries, seen.names)
				}
				j.entries = nil
				err := consumer.Run(t.Context(), srv.Client(), "orders", j.handle, append(opts, consumer.WithEndingPosition(consumer.Latest()))...)
				if err != nil || !slices.Equal(j.entries, []string{"new"}) {
					t.Errorf("the next Run returned %v and handled %q", err, j.entries)
				}
			})
		})
	}
}

// fullDisk is a store whose writes fail while it is full.
type fullDisk struct {
	checkpoint.Store
	mu   sync.Mutex
	full bool
}

// Exclusive says that it is a file's, which nobody else has open.
func (*fullDisk) Exclusive() bool { return true }

func (d *fullDisk) set(full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = full
}

func (d *fullDisk) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	d.mu.Lock()
	full := d.full
	d.mu.Unlock()
	if full {
		return e, fmt.Errorf("checkpoint: write: %w", syscall.ENOSPC)
	}
	return d.Store.Swap(ctx, e)
}

func TestFullDiskLosesNothingAndSaysSo(t *testing.T) {
	t.Attr("rule", "L26")
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		var j journal
		var seen notices
		disk := &fullDisk{Store: new(checkpoint.Memory)}
		opts := []consumer.Option{silent(), consumer.WithCheckpointer(disk), consumer.WithGroup("g"), consumer.WithNotify(seen.add)}
		r := start(t, srv, j.handle, opts...)
		srv.Put("orders", "alice", []byte("1"))
		time.Sleep(15 * time.Second)
		disk.set(true)
		srv.Put("orders", "alice", []byte("2"))
		time.Sleep(30 * time.Second)
		if err := r.c.Status().Err(); !errors.Is(err, syscall.ENOSPC) || seen.count("CheckpointFailed") == 0 {
			t.Errorf("status %v, notices %q: want ENOSPC and CheckpointFailed", err, seen.names)
		}
		if age := r.c.Status().Shards[0].CheckpointAge; age < 20*time.Second {
			t.Errorf("checkpoint age %v, want more than 20s", age)
		}
		_, err := r.stop()
		wantError(t, err, syscall.ENOSPC)
		disk.set(false)

		var again journal
		err = consumer.Run(t.Context(), srv.Client(), "orders", again.handle, append(opts, consumer.WithEndingPosition(consumer.Latest()))...)
		if err != nil || !slices.Equal(again.entries, []string{"2"}) {
			t.Errorf("the next Run returned %v and handled %q, want record 2 again", err, again.entries)
		}
	})
}

func TestStoreThatFailsAtStartIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		var j journal
		disk := &fullDisk{Store: new(checkpoint.Memory), full: true}
		r := start(t, srv, j.handle, consumer.WithCheckpointer(disk), consumer.WithGroup("g"))
		srv.Put("orders", "alice", []byte("1"))
		time.Sleep(20 * time.Second)
		if err := r.c.Status().Err(); !errors.Is(err, syscall.ENOSPC) || j.has("1") {
			t.Errorf("status %v, handled %q: want ENOSPC and nothing handled", err, j.entries)
		}
		disk.set(false)
		time.Sleep(20 * time.Second)
		if err := r.c.Status().Err(); err != nil || !j.has("1") {
			t.Errorf("once it works: status %v, handled %q", err, j.entries)
		}
		if _, err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A second process takes the shards over. The first one learns it from its next write, and leaves them alone until they
// are given up.
func TestTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		store := lone{new(checkpoint.Memory)} // both take it for their own
		var first, second journal
		var lost, took notices
		shared := consumer.Options(consumer.WithCheckpointer(store), consumer.WithGroup("g"))
		r1 := start(t, srv, first.handle, shared, consumer.WithNotify(lost.add))
		srv.Put("orders", "alice", []byte("1"))
		time.Sleep(12 * time.Second)
		r2 := start(t, srv, second.handle, shared, consumer.WithNotify(took.add))
		time.Sleep(time.Second)
		srv.Put("orders", "alice", []byte("2"))
		time.Sleep(30 * time.Second)
		if took.count("LeaseTakenOver") != 1 || lost.count("LeaseLost") != 1 {
			t.Errorf("notices %q and %q, want LeaseLost and LeaseTakenOver", lost.names, took.names)
		}
		wantError(t, r1.c.Status().Err(), consumer.ErrLeaseLost)
		if st := r1.c.Status().Shards[0]; st.State != consumer.Lost {
			t.Errorf("the first worker's shard: %+v, want lost", st)
		}
		if st := r2.c.Status().Shards[0]; st.Epoch != 2 || st.State != consumer.Running {
			t.Errorf("the second worker's shard: %+v, want running in epoch 2", st)
		}
		srv.Put("orders", "alice", []byte("3"))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if !slices.Equal(second.entries, []string{"2", "3"}) || first.has("3") {
			t.Errorf("the first handled %q, the second %q: want 3 by the second alone", first.entries, second.entries)
		}
		if _, err := r2.stop(); err != nil {
			t.Error(err)
		}
		srv.Put("orders", "alice", []byte("4"))
		time.Sleep(2 * time.Minute)
		if !first.has("4") {
			t.Errorf("the first handled %q: want it to go on once the second has released the shard", first.entries)
		}
		if _, err := r1.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestObserversThatPanicAreContained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		var j journal
		fail := true
		r := start(t, srv, func(ctx context.Context, ev events.KinesisEvent) error {
			if fail {
				fail = false
				return errors.New("once")
			}
			return j.handle(ctx, ev)
		}, consumer.WithNotify(func(consumer.Notice) { panic("notify") }))
		srv.Put("orders", "alice", []byte("1"))
		time.Sleep(5 * time.Second)
		if _, err := r.stop(); err != nil || !j.has("1") {
			t.Errorf("Run returned %v and handled %q", err, j.entries)
		}
	})
}

// A call of the store that hangs is given up, and repeated.
func TestStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		var j journal
		store := &hangingStore{Store: new(checkpoint.Memory)}
		r := start(t, srv, j.handle, consumer.WithCheckpointer(store), consumer.WithGroup("g"))
		time.Sleep(50 * time.Second)
		store.list.Store(true) // the shards are looked at every minute
		time.Sleep(15 * time.Second)
		store.list.Store(false)
		srv.Split("orders", shard0)
		srv.Put("orders", "alice", []byte("1"))
		time.Sleep(30 * time.Second)
		if !j.has("1") {
			t.Error("the record of a child is not handled")
		}
		if _, err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A child whose row is of a newer version holds up neither the end of its parent nor the other child.
func TestEndWithRowOfNewerVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		var j journal
		store := new(checkpoint.Memory)
		r := start(t, srv, j.handle, consumer.WithCheckpointer(store), consumer.WithGroup("g"))
		time.Sleep(5 * time.Second)
		entries, err := store.List(t.Context(), "g/lease/")
		if err != nil || len(entries) != 1 {
			t.Fatalf("%d rows: %v", len(entries), err)
		}
		row := checkpoint.Entry{Key: strings.TrimSuffix(entries[0].Key, shard0) + "shardId-000000000001", Value: []byte(`{"v":2}`)}
		if _, err := store.Swap(t.Context(), row); err != nil {
			t.Fatal(err)
		}
		srv.Split("orders", shard0)
		srv.PutHash("orders", "alice", lastHash, []byte("1"))
		time.Sleep(20 * time.Second)
		if !j.has("1") {
			t.Errorf("the record of the other child is not handled: %v", rows(t, store))
		}
		if _, err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A store that takes more than half a second for a call is slow, and no reason for the end of a shard never to be stored.
func TestEndWithSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		var j journal
		r := start(t, srv, j.handle, consumer.WithCheckpointer(slowStore{new(checkpoint.Memory)}), consumer.WithGroup("g"))
		time.Sleep(20 * time.Second)
		srv.Split("orders", shard0)
		srv.Put("orders", "alice", []byte("1"))
		time.Sleep(30 * time.Second)
		if !j.has("1") {
			t.Error("the record of a child is not handled")
		}
		if _, err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A slowStore takes 0.6 s for each call.
type slowStore struct{ checkpoint.Store }

func (s slowStore) wait(ctx context.Context) error {
	select {
	case <-time.After(600 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s slowStore) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	if err := s.wait(ctx); err != nil {
		return checkpoint.Entry{}, err
	}
	return s.Store.Get(ctx, key)
}

func (s slowStore) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	if err := s.wait(ctx); err != nil {
		return e, err
	}
	return s.Store.Swap(ctx, e)
}

// A laggingClient lists no shard from hidden on, and finds none of them, until it is through.
type laggingClient struct {
	consumer.Client
	hidden string
	until  time.Time
}

func (c laggingClient) ListShards(ctx context.Context, in *kinesis.ListShardsInput, opts ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error) {
	out, err := c.Client.ListShards(ctx, in, opts...)
	if err == nil && time.Now().Before(c.until) {
		out.Shards = slices.DeleteFunc(out.Shards, func(s types.Shard) bool { return *s.ShardId >= c.hidden })
	}
	return out, err
}

func (c laggingClient) GetShardIterator(ctx context.Context, in *kinesis.GetShardIteratorInput, opts ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error) {
	if *in.ShardId >= c.hidden && time.Now().Before(c.until) {
		return nil, &types.ResourceNotFoundException{}
	}
	return c.Client.GetShardIterator(ctx, in, opts...)
}

// A child that the service does not list yet, and does not find, is not a shard that retention has taken.
func TestChildThatIsNotListedYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		var j journal
		var seen notices
		client := laggingClient{srv.Client(), "shardId-000000000001", time.Now().Add(15 * time.Second)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		time.AfterFunc(5*time.Second, func() {
			srv.Split("orders", shard0)
			srv.Put("orders", "alice", []byte("1"))
		})
		if err := consumer.Run(ctx, client, "orders", j.handle, silent(), consumer.WithNotify(seen.add)); err != nil {
			t.Error(err)
		}
		if !j.has("1") || seen.count("RetentionLost") > 0 {
			t.Errorf("handled %q, notices %q: want the record of the child and no loss", j.entries, seen.names)
		}
	})
}

// A row that cannot be read is no hole: shards that are older than the start are not read for it.
func TestUnreadableRowIsNoHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		store := new(checkpoint.Memory)
		var j journal
		var seen notices
		opts := consumer.Options(consumer.WithCheckpointer(store), consumer.WithGroup("g"),
			consumer.WithStartingPosition(consumer.Latest()), consumer.WithNotify(seen.add))
		srv.Put("orders", "alice", []byte("old"))
		lower, _ := srv.Split("orders", shard0)
		time.Sleep(time.Minute)
		r := start(t, srv, j.handle, opts)
		time.Sleep(time.Second)
		if _, err := r.stop(); err != nil {
			t.Error(err)
		}
		change(t, store, lower, func(string) string { return `{"v":99}` })
		r = start(t, srv, j.handle, opts)
		time.Sleep(5 * time.Minute)
		if _, err := r.stop(); err != nil {
			t.Error(err)
		}
		if all := rows(t, store); all[shard0] != "" || j.has("old") || seen.count("RowVersion") < 1 || seen.count("RowVersion") > 6 || seen.count("HashRangeHole") != 0 {
			t.Errorf("rows %v, handled %q, notices %q: want no row of the shard that was split before", all, j.entries, seen.names)
		}
	})
}

// A part of the hash space that no row covers, and that no listing tells how to cover, is told of.
func TestHashRangeHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		store := new(checkpoint.Memory)
		var j journal
		var seen notices
		opts := consumer.Options(consumer.WithCheckpointer(store), consumer.WithGroup("g"), consumer.WithNotify(seen.add))
		r := start(t, srv, j.handle, opts)
		time.Sleep(time.Second)
		lower, upper := srv.Split("orders", shard0)
		time.Sleep(5 * time.Second)
		if _, err := r.stop(); err != nil {
			t.Error(err)
		}
		change(t, store, lower, func(string) string { return "" })
		late := srv.Fail("ListShards", kinesistest.ListLate(time.Hour, 0))
		r = start(t, srv, j.handle, opts)
		srv.PutHash("orders", "alice", "0", []byte("in the hole"))
		srv.PutHash("orders", "bob", lastHash, []byte("beside it"))
		time.Sleep(3 * time.Minute)
		if seen.count("HashRangeHole") != 1 || !j.has("beside it") {
			t.Errorf("notices %q, handled %q: want HashRangeHole once, and %s read", seen.names, j.entries, upper)
		}
		for _, l := range late {
			l.Stop()
		}
		time.Sleep(2 * time.Minute)
		if _, err := r.stop(); err != nil || !j.has("in the hole") {
			t.Errorf("Run returned %v, handled %q: want the hole filled once the shard is listed", err, j.entries)
		}
	})
}

// change puts another value into the row of a shard; "" deletes the row.
func change(t *testing.T, s checkpoint.Store, shard string, f func(string) string) {
	t.Helper()
	entries, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.Contains(e.Key, "/lease/") || !strings.HasSuffix(e.Key, "/"+shard) {
			continue
		}
		if e.Value = []byte(f(string(e.Value))); len(e.Value) == 0 {
			err = s.Delete(t.Context(), e)
		} else {
			_, err = s.Swap(t.Context(), e)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no row of %s", shard)
}

// TestChildOfRecreatedStreamIsNotRead: a shard that was read to its end before the stream was created again is handled much
// later, and its children are not looked for in the new stream, which has shards of these names.
func TestChildOfRecreatedStreamIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		var j journal
		free := make(chan struct{})
		r := start(t, srv, func(ctx context.Context, ev events.KinesisEvent) error {
			if !j.has("old") {
				defer func() { <-free }()
			}
			return j.handle(ctx, ev)
		}, silent())
		srv.Put("orders", "alice", []byte("old"))
		srv.Split("orders", srv.Shards("orders")[0].ID)
		time.Sleep(5 * time.Second)
		srv.DeleteStream("orders")
		srv.CreateStream("orders", 3)
		for _, sh := range srv.Shards("orders") {
			srv.PutHash("orders", "bob", sh.HashStart, []byte("new"))
		}
		time.Sleep(5 * time.Second)
		close(free)
		wantError(t, <-r.ended, consumer.ErrStreamRecreated)
		if !slices.Equal(j.entries, []string{"old"}) {
			t.Errorf("handled %q, want the old record only", j.entries)
		}
	})
}
