package consumer_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
)

// A slowReply is a store that applies heartbeats at once and says so more than a second later.
type slowReply struct {
	checkpoint.Store
	sent atomic.Pointer[time.Time] // of the last heartbeat that was applied
}

func (s *slowReply) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	sent := time.Now()
	stored, err := s.Store.Swap(ctx, e)
	if err == nil && strings.Contains(e.Key, "/member/") {
		s.sent.Store(&sent)
		time.Sleep(1200 * time.Millisecond)
	}
	return stored, err
}

// A worker works for 7 s from when its last heartbeat was sent, however late it heard of it: others may have seen it then.
func TestFleetWorksFromSending(t *testing.T) {
	inFleet(t, 2, func(f *fleet) {
		way := &link{Store: f.store}
		beats := &slowReply{Store: way}
		one := f.start("one", consumer.WithCheckpointer(beats))
		f.balanced(10*time.Second, 2, one)
		for range 3 { // whatever the heartbeat is at
			time.Sleep(10*time.Second + 300*time.Millisecond)
			way.cut.Store(true)
			time.Sleep(12 * time.Second)
			end := beats.sent.Load().Add(7 * time.Second)
			if at := f.first("one", end.Add(-time.Second)); at.IsZero() || at.After(end) {
				t.Errorf("nothing begins in the last second before %v", end)
			}
			if at := f.first("one", end); !at.IsZero() {
				t.Errorf("something begins %v after the last heartbeat was sent", at.Sub(end)+7*time.Second)
			}
			way.cut.Store(false)
		}
		time.Sleep(5 * time.Second)
		f.end(one)
	})
}

// When the store is back for one worker first, it does not take the other one, whom it could not look at for long, for dead.
func TestFleetOutageEndsForOneFirst(t *testing.T) {
	inFleet(t, 2, func(f *fleet) {
		var seen notices
		one, two := f.start("one", consumer.WithNotify(seen.add)), f.start("two", consumer.WithNotify(seen.add))
		f.balanced(30*time.Second, 1, one, two)
		time.Sleep(10 * time.Second)
		before := owners(t, f.store)
		two.kill()
		time.Sleep(3 * time.Second) // one sees its last heartbeat
		one.kill()
		time.Sleep(30 * time.Second)
		one.link.cut.Store(false)
		time.Sleep(5 * time.Second)
		two.link.cut.Store(false)
		time.Sleep(20 * time.Second)
		if after := owners(t, f.store); after != before || seen.count("WorkerDead")+seen.count("WorkerFenced") > 0 {
			t.Errorf("owners were\n%s and are\n%s, notices %q", before, after, seen.names)
		}
		f.end(one, two)
	})
}

// A worker whose row is gone may have lost its shards since then, so it ends its handlers. That is no failure of theirs, and
// nothing is given up.
func TestFleetRowOfAWorkerGone(t *testing.T) {
	inFleet(t, 2, func(f *fleet) {
		f.work = 2 * time.Second // there is always one that runs
		var seen notices
		tr := new(trace)
		one := f.start("one", consumer.WithBatchSize(10_000), consumer.WithMaxRetryAttempts(0), consumer.WithOnFailure(tr), consumer.WithNotify(seen.add))
		f.balanced(5*time.Second, 2, one)
		time.Sleep(10 * time.Second)
		if err := f.remove("g/member/one/"); err != nil {
			t.Fatal(err)
		}
		f.until("it has noticed", 5*time.Second, func() bool { return seen.count("WorkerFenced") == 1 })
		time.Sleep(time.Second)
		f.balanced(20*time.Second, 2, one)
		f.end(one)
		cut := map[int]bool{}
		for _, c := range f.log {
			if c.ended.IsZero() {
				cut[c.call] = true
			}
		}
		if len(cut) != 2 {
			t.Errorf("%d of 2 handlers were cut off", len(cut))
		}
		want(t, "documents", tr.documents())
	})
}

// A worker that stops and keeps a shard, since a handler ignores its context, leaves its row behind: others have to wait until
// it is dead before they take the shard over.
func TestFleetLeavesARunningHandler(t *testing.T) {
	inFleet(t, 2, func(f *fleet) {
		free := make(chan struct{})
		one := f.startAs("one", func(r *replica) wholeBatch {
			return func(ctx context.Context, ev events.KinesisEvent) error {
				if ev.Records[0].Kinesis.PartitionKey == "key0" {
					<-free // whatever the context says
					return errPoison
				}
				return r.handle(ctx, ev)
			}
		}, consumer.WithDrainTimeout(time.Second))
		f.balanced(5*time.Second, 2, one)
		time.Sleep(3 * time.Second)
		if _, err := one.running.stop(); !errors.Is(err, consumer.ErrHandlerRunning) {
			t.Errorf("one ends with %v", err)
		}
		var named []string
		for _, row := range rows(t, f.store) {
			if owner := ownerOf(row); owner != "" {
				named = append(named, "g/member/"+owner)
			}
		}
		if _, there := memberRows(t, f.store)[strings.Join(named, " ")]; !there || len(named) != 1 {
			t.Errorf("rows of shards name %q, and the rows of workers are %v", named, memberRows(t, f.store))
		}
		two := f.start("two")
		f.balanced(15*time.Second, 2, two)
		close(free)
		f.end(two)
	})
}
