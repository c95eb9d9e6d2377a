package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
	"github.com/shardlane/shardlane/metrics"
)

// The status of a lost shard names whoever has it, and never the worker that has lost it, even while the store does not say.
func TestStatusOfALostShardNamesItsOwner(t *testing.T) {
	inContract(t, 1, func(f *field) {
		life := f.start()
		f.put(shard0, "a", 1)
		time.Sleep(15 * time.Second)
		steal(t, &f.store.Memory, "billing", shard0)
		f.put(shard0, "a", 1)
		var lost, named bool
		for range 3000 {
			time.Sleep(10 * time.Millisecond)
			sh := life.c.Status().Shards[0]
			lost = lost || sh.State == consumer.Lost
			named = named || sh.State == consumer.Lost && sh.Owner == "thief/1"
			if sh.State == consumer.Lost && strings.HasPrefix(sh.Owner, "one/") {
				t.Fatalf("lost, and its owner is %q", sh.Owner)
			}
			if sh.State == consumer.Lost && lost {
				f.store.fail(func(op, _ string) error {
					if op == "Get" {
						return errors.New("down")
					}
					return nil
				})
			}
		}
		sh := life.c.Status().Shards[0]
		if !lost || sh.State != consumer.Lost || !named {
			t.Errorf("status %+v", sh)
		}
		if sh.HeadAge != 0 || sh.ReadAge != 0 || sh.QueueAge != 0 || sh.CheckpointAge != 0 || life.c.Status().Behind() != 0 {
			t.Errorf("ages of a shard of somebody else: %+v", sh)
		}
		f.store.fail(nil)
		life.stop()
	})
}

// After Run no shard is running, and nothing of it waits here.
func TestStatusAfterRun(t *testing.T) {
	inContract(t, 2, func(f *field) {
		var stats metrics.Snapshot
		life := f.start(consumer.WithMetrics(&stats))
		f.work = func(context.Context, fieldBatch) error { time.Sleep(20 * time.Second); return nil }
		f.put(shard0, "a", 1)
		time.Sleep(15 * time.Second)
		life.stop()
		for _, sh := range life.c.Status().Shards {
			if sh.State == consumer.Running || sh.Owner != "" || sh.HeadAge+sh.ReadAge+sh.QueueAge+sh.CheckpointAge != 0 || sh.LanesBusy != 0 || sh.ReadAhead != 0 {
				t.Errorf("status %+v", sh)
			}
		}
		for _, m := range []*metrics.Metric{metrics.HeadAge, metrics.ReadAge, metrics.QueueAge, metrics.CheckpointAge, metrics.ReadAheadBytes, metrics.LanesBusy} {
			if v := stats.Max(m); v != 0 {
				t.Errorf("gauge %s is %v", m.Name, v)
			}
		}
	})
}

// A shard that waits for memory which others hold is not read, and healthy.
func TestHealthOfAShardThatWaitsForMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 2)
		defer srv.Close()
		for range 20 {
			srv.PutHash("orders", "alice", "0", bytes.Repeat([]byte("x"), 100<<10))
		}
		limit := debug.SetMemoryLimit(4 << 20) // so the worker's is 1 MiB
		r := start(t, srv, func(ctx context.Context, ev events.KinesisEvent) error {
			select {
			case <-time.After(14 * time.Minute):
			case <-ctx.Done():
			}
			return ctx.Err()
		}, consumer.WithDrainTimeout(0))
		synctest.Wait()
		debug.SetMemoryLimit(limit)
		time.Sleep(2 * time.Second)
		srv.PutHash("orders", "bob", lastHash, []byte("1"))
		time.Sleep(2 * time.Second)
		srv.PutHash("orders", "bob", lastHash, []byte("2"))
		for range 13 {
			time.Sleep(time.Minute)
			if err := r.c.Status().Err(); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = r.stop()
	})
}

// A shard that had no room for long has not gone unread since it got some: a slow read then is no trouble yet.
func TestHealthOfAShardThatHadNoRoom(t *testing.T) {
	inContract(t, 1, func(f *field) {
		f.work = func(context.Context, fieldBatch) error { time.Sleep(5 * time.Minute); return nil }
		life := f.start(consumer.WithReadAhead(1, 1), consumer.WithBatchSize(1))
		f.put(shard0, "a", 1)
		time.Sleep(2 * time.Second)
		f.put(shard0, "a", 1)
		f.srv.SetLatencyFunc(func(op string) time.Duration {
			if op == "GetRecords" {
				return 10 * time.Second
			}
			return 0
		})
		for range 12 * 60 {
			time.Sleep(time.Second)
			if err := life.c.Status().Err(); err != nil {
				t.Fatal(err)
			}
		}
		life.stop()
	})
}

// A record of unknown age that gets no outcome waits here, too: its age grows from when it came.
func TestAgeOfARecordWithoutArrival(t *testing.T) {
	proves(t, "C27")
	inContract(t, 1, func(f *field) {
		f.srv.Fail("GetRecords", kinesistest.Omit("ApproximateArrivalTimestamp", 0))
		down := errors.New("down")
		f.work = func(context.Context, fieldBatch) error { return down }
		life := f.start()
		f.put(shard0, "a", 1)
		time.Sleep(10 * time.Minute)
		if s := life.c.Status(); s.Behind() < 9*time.Minute || s.Behind() > 10*time.Minute || s.Shards[0].CheckpointAge < 9*time.Minute {
			t.Errorf("after 10 minutes without an outcome: Behind %v, status %+v", s.Behind(), s.Shards[0])
		}
		f.work = nil
		time.Sleep(2 * time.Minute)
		if s := life.c.Status(); s.Behind() != 0 || s.Shards[0].CheckpointAge != 0 {
			t.Errorf("all done: Behind %v, status %+v", s.Behind(), s.Shards[0])
		}
		life.stop()
	})
}

// The checkpoint does not cover the records of an open window, though all of them have an outcome.
func TestCheckpointAgeOfAnOpenWindow(t *testing.T) {
	t.Parallel()
	inContract(t, 1, func(f *field) {
		f.rareReads()
		w := &tumbler{f: f}
		life := startField(f, w.handle, consumer.WithTumblingWindow(15*time.Minute))
		time.Sleep(time.Until(time.Now().Truncate(15 * time.Minute).Add(15*time.Minute - time.Minute)))
		f.put(shard0, "a", 1)
		time.Sleep(2 * time.Minute)
		f.put(shard0, "a", 1) // closes the window before
		for i := range 12 {
			time.Sleep(time.Minute)
			s := life.c.Status()
			if age, want := s.Shards[0].CheckpointAge, time.Duration(i+1)*time.Minute; age < want-time.Second || age > want+time.Second || s.Behind() != 0 || s.Err() != nil {
				t.Fatalf("after %v: CheckpointAge %v, Behind %v, health %v", want, age, s.Behind(), s.Err())
			}
		}
		time.Sleep(10 * time.Minute)
		if s := life.c.Status(); s.Shards[0].CheckpointAge != 0 {
			t.Errorf("the window is closed, and CheckpointAge is %v", s.Shards[0].CheckpointAge)
		}
		life.stop()
	})
}

// What came while a checkpoint was being written is not covered by it.
func TestCheckpointAgeBehindASlowWrite(t *testing.T) {
	inContract(t, 1, func(f *field) {
		life := f.start()
		var slow, dead atomic.Bool
		f.store.fail(func(op, key string) error {
			if op != "Swap" {
				return nil
			}
			if dead.Load() {
				return errors.New("down")
			}
			if slow.Load() && strings.Contains(key, "/lease/") {
				time.Sleep(1500 * time.Millisecond)
				dead.Store(true)
			}
			return nil
		})
		time.Sleep(time.Minute)
		f.put(shard0, "a", 1)
		slow.Store(true)
		for !dead.Load() {
			f.put(shard0, "a", 1)
			time.Sleep(300 * time.Millisecond)
		}
		time.Sleep(5 * time.Minute)
		if s := life.c.Status(); s.Shards[0].QueueAge != 0 || s.Shards[0].CheckpointAge < 5*time.Minute || s.Err() == nil {
			t.Errorf("the store has been down for 5 minutes: status %+v, health %v", s.Shards[0], s.Err())
		}
		f.store.fail(nil)
		time.Sleep(time.Minute)
		if s := life.c.Status(); s.Shards[0].CheckpointAge != 0 || s.Err() != nil {
			t.Errorf("the store is back: status %+v, health %v", s.Shards[0], s.Err())
		}
		life.stop()
	})
}

// Lanes that take turns under a limit are healthy, however long a turn is in coming.
func TestHealthOfLanesThatTakeTurns(t *testing.T) {
	t.Parallel()
	inContract(t, 40, func(f *field) {
		f.rareReads()
		f.work = func(context.Context, fieldBatch) error { time.Sleep(8 * time.Second); return nil }
		life := f.start(consumer.WithMaxConcurrency(1), consumer.WithHandlerTimeout(10*time.Second))
		for i := range 40 {
			f.put(shardID(i), "a", 1)
		}
		for range 8 {
			time.Sleep(40 * time.Second)
			if err := life.c.Status().Err(); err != nil {
				t.Fatal(err)
			}
		}
		life.stop()
	})
}

// A lost shard comes back: its end as a trouble is told.
func TestLostShardThatComesBackIsTold(t *testing.T) {
	inContract(t, 1, func(f *field) {
		life := f.start()
		f.put(shard0, "a", 1)
		time.Sleep(15 * time.Second)
		steal(t, &f.store.Memory, "billing", shard0)
		f.put(shard0, "a", 1)
		time.Sleep(5 * time.Minute)
		if err := life.c.Status().Err(); !errors.Is(err, consumer.ErrLeaseLost) {
			t.Errorf("health %v", err)
		}
		free(t, &f.store.Memory, "billing", shard0)
		time.Sleep(3 * time.Minute)
		if s := life.c.Status(); s.Err() != nil || s.Shards[0].State != consumer.Running || f.noticed("Recovered") != 1 {
			t.Errorf("given up by the thief: health %v, status %+v, notices %v", s.Err(), s.Shards[0], f.notices)
		}
		life.stop()
	})
}

// Records come while the stream cannot be described, or its shards not be claimed: Behind grows from then on, too.
func TestBehindBeforeAShardRuns(t *testing.T) {
	t.Run("describe", func(t *testing.T) {
		inContract(t, 1, func(f *field) {
			down := f.srv.Fail("DescribeStreamSummary", kinesistest.Error("InternalFailure", 0))
			beforeAShardRuns(t, f, false, func() { down[0].Stop() })
		})
	})
	t.Run("claim", func(t *testing.T) {
		inContract(t, 1, func(f *field) {
			f.store.fail(func(op, key string) error {
				if op == "Swap" && strings.Contains(key, "/lease/") && f.store.count() > 6 {
					return errors.New("down")
				}
				return nil
			})
			beforeAShardRuns(t, f, true, func() { f.store.fail(nil) })
		})
	})
}

func beforeAShardRuns(t *testing.T, f *field, opened bool, mend func()) {
	life := f.start()
	time.Sleep(10 * time.Minute)
	if s := life.c.Status(); s.Behind() < 9*time.Minute || s.Behind() > 10*time.Minute || s.Err() == nil || (s.Ready() == nil) != opened {
		t.Errorf("after 10 minutes: Behind %v, health %v, ready %v", s.Behind(), s.Err(), s.Ready())
	}
	mend()
	time.Sleep(time.Minute)
	if s := life.c.Status(); s.Behind() != 0 || s.Err() != nil || s.Ready() != nil {
		t.Errorf("mended: Behind %v, health %v, ready %v", s.Behind(), s.Err(), s.Ready())
	}
	life.stop()
}

// What keeps a consumer from being ready is told at once, before it counts against its health.
func TestReadyTellsWhatFails(t *testing.T) {
	for _, op := range []string{"DescribeStreamSummary", "GetRecords"} {
		inContract(t, 1, func(f *field) {
			f.srv.Fail(op, kinesistest.Error("InternalFailure", 0))
			life := f.start()
			time.Sleep(2 * time.Second)
			s := life.c.Status()
			if err := s.Ready(); s.Err() != nil || err == nil || !strings.Contains(err.Error(), op+": operation error") || !strings.Contains(err.Error(), "AWS Health") {
				t.Errorf("ready: %v, health %v", err, s.Err())
			}
			life.stop()
		})
	}
}

// A shard that is read to its end, or to the ending position, has nothing left to read, however long its handler takes.
func TestAgesOfAShardThatIsRead(t *testing.T) {
	inContract(t, 1, func(f *field) {
		f.work = func(context.Context, fieldBatch) error { time.Sleep(10 * time.Minute); return nil }
		life := f.start()
		f.put(shard0, "a", 1)
		f.srv.Split("orders", shard0)
		time.Sleep(5 * time.Minute)
		s := life.c.Status()
		if sh := s.Shards[0]; sh.HeadAge != 0 || sh.ReadAge != 0 || sh.QueueAge < 4*time.Minute || s.Err() != nil || s.Behind() != sh.QueueAge {
			t.Errorf("status %+v, health %v, Behind %v", sh, s.Err(), s.Behind())
		}
		time.Sleep(6 * time.Minute)
		life.stop()
	})
}
