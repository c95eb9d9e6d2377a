package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/internal/lease"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A closed shard may answer with empty pages, not behind, before it tells its end. They are no ending position: the
// records of its children come before it.
func TestEndingPositionBehindClosedShards(t *testing.T) {
	for name, split := range map[string]bool{"LATEST": false, "AT_TIMESTAMP": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := kinesistest.NewServer("orders", 1)
				defer srv.Close()
				srv.SetShardEnd(3)
				var j journal
				put := func(n int) { srv.Put("orders", fmt.Sprint("k", n), fmt.Append(nil, n)) }
				end := consumer.Latest()
				if split {
					end = consumer.At(time.Now().Add(10 * time.Second))
				}
				put(0)
				if !split {
					srv.Split("orders", shard0)
					put(1)
					time.Sleep(time.Second)
				}
				r := start(t, srv, j.handle, consumer.WithEndingPosition(end))
				if split { // the last listing is older, and the pages at the end are read at the ending position
					time.Sleep(9900 * time.Millisecond)
					put(2)
					srv.Split("orders", shard0)
					put(1)
				}
				select {
				case err := <-r.ended:
					if err != nil {
						t.Error(err)
					}
				case <-time.After(5 * time.Minute):
					t.Error("Run does not end")
				}
				r.cancel()
				if !j.has("0") || !j.has("1") {
					t.Errorf("handled %v, want 0 and 1", j.entries)
				}
			})
		})
	}
}

// Before Run ends it lists the shards once more. While that fails, it waits between its tries.
func TestEndingPositionWhileListingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		r := start(t, srv, nothing, consumer.WithEndingPosition(consumer.At(time.Now().Add(5*time.Second))))
		time.Sleep(time.Second)
		before := len(srv.Calls())
		down := srv.Fail("DescribeStreamSummary", kinesistest.Error("InternalFailure", 0))
		time.Sleep(time.Minute)
		if n := len(srv.Calls()) - before; n > 100 {
			t.Errorf("%d calls in a minute of trouble", n)
		}
		down[0].Stop()
		select {
		case err := <-r.ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Error("Run does not end")
		}
		r.cancel()
	})
}

// A shard whose row cannot be read has not come to its end.
func TestEndingPositionWithUnreadableRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 2)
		defer srv.Close()
		store := new(checkpoint.Memory)
		var j journal
		opts := []consumer.Option{silent(), consumer.WithGroup("g"), consumer.WithCheckpointer(store), consumer.WithEndingPosition(consumer.Latest())}
		if err := consumer.Run(t.Context(), srv.Client(), "orders", j.handle, opts...); err != nil {
			t.Fatal(err)
		}
		srv.PutHash("orders", "alice", "0", []byte("1"))
		mend := spoil(t, store, shard0, "{")
		r := start(t, srv, j.handle, opts...)
		time.Sleep(time.Minute)
		select {
		case err := <-r.ended:
			t.Fatalf("Run returned %v", err)
		default:
		}
		if err := r.c.Status().Err(); !errors.Is(err, lease.ErrRowCorrupt) {
			t.Errorf("status %v, want ErrRowCorrupt", err)
		}
		mend()
		if err := <-r.ended; err != nil || !j.has("1") {
			t.Errorf("once the row is repaired, Run returned %v and handled %q", err, j.entries)
		}
		if err := r.c.Status().Err(); err != nil {
			t.Errorf("once the row is repaired, the status is %v", err)
		}
	})
}

// spoil replaces the row of a shard. The function it returns puts it back.
func spoil(t *testing.T, s checkpoint.Store, shard, value string) (mend func()) {
	t.Helper()
	entries, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Key, "/"+shard) {
			good := e.Value
			e.Value = []byte(value)
			if e, err = s.Swap(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			return func() {
				e.Value = good
				if _, err := s.Swap(t.Context(), e); err != nil {
					t.Error(err)
				}
			}
		}
	}
	t.Fatalf("no row of %s", shard)
	return nil
}

// A run that is stopped before its ending position says so, and how far it got; the next one goes on.
func TestEndingPositionNotReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 3)
		defer srv.Close()
		put := func(shard int, data string) {
			srv.PutHash("orders", "alice", srv.Shards("orders")[shard].HashStart, []byte(data))
		}
		put(0, "0")
		put(1, "slow")
		put(2, "2")
		time.Sleep(2 * time.Second)
		store := new(checkpoint.Memory)
		var j journal
		h := func(ctx context.Context, ev events.KinesisEvent) error {
			if string(ev.Records[0].Kinesis.Data) == "slow" && !j.has("again") {
				return errors.New("not yet")
			}
			return j.handle(ctx, ev)
		}
		opts := []consumer.Option{silent(), consumer.WithGroup("g"), consumer.WithCheckpointer(store), consumer.WithEndingPosition(consumer.Latest())}
		r := start(t, srv, h, opts...)
		time.Sleep(time.Minute)
		_, err := r.stop()
		var e *consumer.Error
		if !errors.Is(err, consumer.ErrNotReached) || !errors.As(err, &e) || !strings.Contains(err.Error(), "shards done: 2 of 3") {
			t.Errorf("Run returned %v, want ErrNotReached with 2 of 3", err)
		}
		var reached []string
		for _, sh := range r.c.Status().Shards {
			if sh.State == consumer.Reached {
				reached = append(reached, sh.Shard)
			}
		}
		if len(reached) != 2 {
			t.Errorf("the status says that %v have reached it", reached)
		}
		j.add("again")
		r = start(t, srv, h, opts...)
		if err := <-r.ended; err != nil || !j.has("slow") {
			t.Errorf("the next Run returned %v and handled %q", err, j.entries)
		}
		r.cancel()
		if err := r.c.Status().Err(); err != nil {
			t.Error(err)
		}
	})
}

// The end of ctx is no error where no end was asked for, and none of its own where the stream was never opened for
// another reason.
func TestEndingPositionAndOtherErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		end := consumer.WithEndingPosition(consumer.Latest())
		run := func(stream string, opts ...consumer.Option) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			return consumer.Run(ctx, srv.Client(), stream, nothing, append(opts, silent())...)
		}
		if err := run("orders"); err != nil {
			t.Errorf("without an end: %v", err)
		}
		if err := run("orders", end); err != nil {
			t.Errorf("with one that is reached: %v", err)
		}
		if err := run("clicks", end); !errors.Is(err, consumer.ErrStreamNotFound) || errors.Is(err, consumer.ErrNotReached) {
			t.Errorf("of a stream that is not there: %v, want ErrStreamNotFound alone", err)
		}
		srv.Fail("DescribeStreamSummary", kinesistest.Error("InternalFailure", 0))
		if err := run("orders", end); !errors.Is(err, consumer.ErrNotReached) || !strings.Contains(err.Error(), "not listed") {
			t.Errorf("of a stream that was never opened: %v, want ErrNotReached", err)
		}
	})
}
