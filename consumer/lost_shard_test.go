package consumer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"runtime/debug"
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

// steal makes somebody else the owner of a shard, as a claim does. Who owned it learns that from its next write.
func steal(t *testing.T, store checkpoint.Store, group, shard string) {
	t.Helper()
	own(t, store, group, shard, "thief/1")
}

// free lets nobody own a shard, as a release does.
func free(t *testing.T, store checkpoint.Store, group, shard string) {
	t.Helper()
	own(t, store, group, shard, "")
}

func own(t *testing.T, store checkpoint.Store, group, shard, owner string) {
	t.Helper()
	entries, err := store.List(t.Context(), group+"/lease/")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Key, "/"+shard) {
			continue
		}
		var row map[string]any
		dec := json.NewDecoder(bytes.NewReader(e.Value))
		dec.UseNumber()
		if err := dec.Decode(&row); err != nil {
			t.Fatal(err)
		}
		epoch, err := row["epoch"].(json.Number).Int64()
		if err != nil {
			t.Fatal(err)
		}
		row["owner"], row["epoch"] = owner, epoch+1
		if e.Value, err = json.Marshal(row); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Swap(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no row of %s", shard)
}

// A handler that works for a shard which somebody else has taken is told by its context.
func TestLostShardEndsItsHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		store := lone{new(checkpoint.Memory)}
		began, ended, gate := make(chan bool, 1), make(chan bool, 1), make(chan struct{})
		r := start(t, srv, func(ctx context.Context, ev events.KinesisEvent) error {
			if ev.Records[0].Kinesis.PartitionKey == "gate" {
				<-gate
				return nil
			}
			began <- true
			<-ctx.Done()
			ended <- true
			return ctx.Err()
		}, consumer.WithBatchSize(1), consumer.WithParallelizationFactor(10), consumer.WithCheckpointer(store), consumer.WithGroup("g"))
		srv.Put("orders", "gate", []byte("1"))
		srv.Put("orders", "slow", []byte("2"))
		<-began
		steal(t, store, "g", shard0)
		close(gate) // so that there is something to store
		time.Sleep(20 * time.Second)
		select {
		case <-ended:
		default:
			t.Error("the shard is lost, and the context of its handler has not ended")
		}
		_, _ = r.stop()
	})
}

// A delivery ends with the shard, too: whoever has taken it will deliver, and nothing is told to be given up.
func TestLostShardEndsItsDelivery(t *testing.T) {
	t.Attr("rule", "L35")
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		store := lone{new(checkpoint.Memory)}
		var seen notices
		began, took, gate := make(chan bool, 9), make(chan time.Duration, 9), make(chan struct{})
		r := start(t, srv, func(_ context.Context, ev events.KinesisEvent) error {
			if ev.Records[0].Kinesis.PartitionKey == "gate" {
				<-gate
				return nil
			}
			return errors.New("boom")
		}, consumer.WithBatchSize(1), consumer.WithParallelizationFactor(10), consumer.WithMaxRetryAttempts(0), consumer.WithCheckpointer(store), consumer.WithGroup("g"), consumer.WithNotify(seen.add),
			consumer.WithOnFailure(batch.DestinationFunc(func(ctx context.Context, _ *batch.Failure) error {
				since := time.Now()
				began <- true
				<-ctx.Done()
				took <- time.Since(since)
				return ctx.Err()
			})))
		srv.Put("orders", "gate", []byte("1"))
		srv.Put("orders", "bad", []byte("2"))
		srv.Put("orders", "bad", []byte("3"))
		<-began
		steal(t, store, "g", shard0)
		close(gate) // so that there is something to store
		time.Sleep(time.Minute)
		if d := <-took; d > 20*time.Second || len(began) > 0 {
			t.Errorf("the delivery ended after %v, and %d came after it: want one that ends with the shard", d, len(began))
		}
		if seen.count("RecordsDiscarded") > 0 || seen.count("DestinationFailed") > 0 {
			t.Errorf("notices %q: nothing of a lost shard is given up", seen.names)
		}
		_, _ = r.stop()
	})
}

// What a lost shard held in memory is free for the others.
func TestLostShardFreesItsReadAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 2)
		defer srv.Close()
		store := lone{new(checkpoint.Memory)}
		gate := make(chan struct{})
		srv.PutHash("orders", "gate", "0", []byte("1"))
		for range 20 {
			srv.PutHash("orders", "alice", "0", bytes.Repeat([]byte("x"), 100<<10))
		}
		limit := debug.SetMemoryLimit(4 << 20) // so the worker's is 1 MiB
		r := start(t, srv, func(ctx context.Context, ev events.KinesisEvent) error {
			if ev.Records[0].Kinesis.PartitionKey == "gate" {
				<-gate
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}, consumer.WithBatchSize(1), consumer.WithDrainTimeout(0), consumer.WithCheckpointer(store), consumer.WithGroup("g"))
		synctest.Wait()
		debug.SetMemoryLimit(limit)
		held := func() int64 {
			for _, sh := range r.c.Status().Shards {
				if sh.Shard != shard0 {
					return sh.ReadAhead
				}
			}
			return 0
		}
		time.Sleep(2 * time.Second)
		srv.PutHash("orders", "bob", lastHash, []byte("1"))
		time.Sleep(2 * time.Second)
		one := held()
		srv.PutHash("orders", "bob", lastHash, []byte("2"))
		time.Sleep(2 * time.Second)
		if one == 0 || held() != one {
			t.Fatalf("the other shard holds %d bytes and then %d, want a page as long as the worker's read-ahead is full", one, held())
		}
		steal(t, store, "g", shard0)
		close(gate) // so that there is something to store
		time.Sleep(30 * time.Second)
		if now := held(); now <= one {
			t.Errorf("the other shard holds %d bytes, want both pages: the lost shard holds nothing any more", now)
		}
		_, _ = r.stop()
	})
}

// A claim that the store took while the process was stopping is given back.
func TestClaimWithinStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 3)
		defer srv.Close()
		store := &slowClaims{Store: new(checkpoint.Memory)}
		r := start(t, srv, nothing, consumer.WithCheckpointer(store), consumer.WithGroup("g"))
		time.Sleep(500 * time.Millisecond) // the claims are on their way
		if _, err := r.stop(); err != nil {
			t.Error(err)
		}
		if store.claims == 0 {
			t.Fatal("nothing was claimed")
		}
		for shard, row := range rows(t, store) {
			if !strings.Contains(row, `"owner":""`) && strings.Contains(row, `"owner"`) {
				t.Errorf("%s belongs to somebody still: %s", shard, row)
			}
		}
	})
}

// slowClaims is a store that takes a second for a claim.
type slowClaims struct {
	checkpoint.Store
	mu     sync.Mutex
	claims int
}

func (s *slowClaims) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	if strings.Contains(string(e.Value), `"owner":"`) && !strings.Contains(string(e.Value), `"owner":""`) {
		s.mu.Lock()
		s.claims++
		s.mu.Unlock()
		time.Sleep(time.Second)
	}
	return s.Store.Swap(ctx, e)
}
