package consumer_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// streamRow returns the row of the stream as it is stored.
func (f *field) streamRow() string {
	f.t.Helper()
	rows, err := f.store.Memory.List(f.t.Context(), "billing/stream/")
	if err != nil || len(rows) != 1 {
		f.t.Fatalf("%d rows of streams: %v", len(rows), err)
	}
	return string(rows[0].Value)
}

// How records are placed is read from each description, also by an SDK that does not know the field, and that the service
// has ever placed them is kept.
func TestPlacement(t *testing.T) {
	t.Attr("rule", "C25")
	inField(t, 1, func(f *field) {
		check := func(l *fieldLife, distribution string, kept bool) {
			t.Helper()
			if got := l.c.Status().Distribution; got != distribution {
				t.Errorf("the distribution is %q, want %q", got, distribution)
			}
			if row := f.streamRow(); strings.Contains(row, `"auto":true`) != kept {
				t.Errorf("the row of the stream is %s", row)
			}
		}
		life := f.start()
		time.Sleep(2 * time.Second)
		check(life, "", false) // of a provisioned stream nothing is said
		f.srv.SetDistribution("orders", kinesistest.Auto)
		time.Sleep(2 * time.Minute)
		check(life, "AUTO", true)
		f.srv.SetDistribution("orders", kinesistest.UserPartitionKey)
		time.Sleep(2 * time.Minute)
		check(life, "USER_PARTITION_KEY", true)
		life.stop()

		life = f.start()
		time.Sleep(2 * time.Second)
		check(life, "USER_PARTITION_KEY", true)
		life.stop()
		if got := life.c.Status().Distribution; got != "USER_PARTITION_KEY" {
			t.Errorf("after the end the distribution is %q", got)
		}
	})
}

// A store that does not take the write gets it again with each audit.
func TestPlacementKeptLater(t *testing.T) {
	t.Attr("rule", "C25")
	inField(t, 1, func(f *field) {
		life := f.start()
		time.Sleep(2 * time.Second)
		before := f.streamRow()
		var down atomic.Bool
		var tries atomic.Int64
		down.Store(true)
		f.store.fail(func(op, key string) error {
			if op != "Swap" || !strings.Contains(key, "/stream/") || !down.Load() {
				return nil
			}
			tries.Add(1)
			return errors.New("down")
		})
		f.srv.SetDistribution("orders", kinesistest.Auto)
		time.Sleep(5*time.Minute + 30*time.Second)
		if n := tries.Load(); n < 4 || n > 6 || f.streamRow() != before {
			t.Errorf("%d tries in five and a half minutes, row %s", n, f.streamRow())
		}
		if err := life.c.Status().Err(); err == nil || !strings.Contains(err.Error(), "row of the stream") {
			t.Errorf("health says %v", err)
		}
		down.Store(false)
		time.Sleep(2 * time.Minute)
		if row := f.streamRow(); !strings.Contains(row, `"auto":true`) || !strings.Contains(row, `"rooted":true`) {
			t.Errorf("the row of the stream is %s", row)
		}
		if err := life.c.Status().Err(); err != nil {
			t.Errorf("health says %v", err)
		}
		life.stop()
	})
}

// What the last page shows is kept by a stop, too.
func TestPlacementKeptAtStop(t *testing.T) {
	t.Attr("rule", "C25")
	inField(t, 1, func(f *field) {
		f.srv.SetDistribution("orders", kinesistest.Auto)
		f.srv.Put("orders", "", []byte("keyless"))
		f.srv.SetDistribution("orders", kinesistest.UserPartitionKey)
		var life *fieldLife
		started := make(chan struct{})
		f.work = func(context.Context, fieldBatch) error { <-started; life.cancel(); return nil }
		life = f.start()
		close(started)
		if err := life.wait(5 * time.Second); err != nil {
			t.Error(err)
		}
		if row := f.streamRow(); !strings.Contains(row, `"auto":true`) {
			t.Errorf("the row of the stream is %s", row)
		}
	})
}

// A plainClient knows no options of calls, as a client that is not the SDK's.
type plainClient struct{ consumer.Client }

func (c plainClient) DescribeStreamSummary(ctx context.Context, in *kinesis.DescribeStreamSummaryInput, _ ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error) {
	return c.Client.DescribeStreamSummary(ctx, in)
}

func TestPlacementUnknown(t *testing.T) {
	t.Attr("rule", "C25")
	inField(t, 1, func(f *field) {
		f.srv.SetDistribution("orders", kinesistest.Auto)
		c, err := consumer.New(plainClient{f.srv.Client()}, "orders", f.handle, f.options())
		if err != nil {
			t.Fatal(err)
		}
		life := &fieldLife{f: f, c: c}
		life.run()
		time.Sleep(2 * time.Second)
		if got := c.Status(); got.Distribution != "" || len(got.Shards) != 1 {
			t.Errorf("%+v", got)
		}
		life.stop()
	})
}

// A description without the time of creation says nothing of another stream.
func TestDescriptionWithoutCreation(t *testing.T) {
	t.Attr("rule", "C27")
	inField(t, 1, func(f *field) {
		life := f.start()
		time.Sleep(2 * time.Second)
		f.srv.Fail("DescribeStreamSummary", kinesistest.Omit("StreamCreationTimestamp", 1))
		time.Sleep(2 * time.Minute)
		life.alive()
		f.put(shardID(0), "alice", 1)
		time.Sleep(2 * time.Second)
		life.stop()
		f.once()
	})
}
