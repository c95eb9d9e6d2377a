package consumer_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// startOn starts a consumer on another client than the server's own.
func (f *field) startOn(client consumer.Client, opts ...consumer.Option) *fieldLife {
	f.t.Helper()
	c, err := consumer.New(client, "orders", f.handle, f.options(opts...))
	if err != nil {
		f.t.Fatal(err)
	}
	l := &fieldLife{f: f, c: c}
	l.run()
	return l
}

// blind is a client that does not pass options on.
type blind struct{ consumer.Client }

func (c blind) GetRecords(ctx context.Context, in *kinesis.GetRecordsInput, _ ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	return c.Client.GetRecords(ctx, in)
}

// TestField_F61: a page that takes long on a slow line arrives, and one that cannot come through is asked for in smaller
// ones, which grow again; the largest record arrives at 1 Mbit/s.
func TestField_F61(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L26")
	const mbit = 1_000_000 / 8
	for name, tt := range map[string]struct {
		bandwidth int                // bytes a second
		fault     *kinesistest.Fault // of every call
		blind     bool
		n, size   int // of records
		limit     time.Duration
	}{
		"4 Mbit/s":                             {4 * mbit, nil, false, 20, 1<<20 - 100, 2 * time.Minute},
		"4 Mbit/s that the library cannot see": {4 * mbit, nil, true, 20, 1<<20 - 100, 5 * time.Minute},
		"the largest record at 1 Mbit/s":       {1 * mbit, nil, false, 2, 10<<20 - 100, 5 * time.Minute},
		"the same, unseen":                     {1 * mbit, nil, true, 1, 10<<20 - 100, 15 * time.Minute},
		"replies that are cut off":             {0, kinesistest.CutAfter(5_000_000, 0), false, 20, 1<<20 - 100, 2 * time.Minute},
		"replies that fall silent":             {0, kinesistest.StallAfter(5_000_000, 0), false, 20, 1<<20 - 100, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inField(t, 1, func(f *field) {
				f.srv.SetMaxRecordSize("orders", 10<<20)
				f.srv.SetBandwidth(tt.bandwidth)
				if tt.fault != nil {
					f.srv.Fail("GetRecords", tt.fault)
				}
				data := make([]byte, tt.size)
				for range tt.n {
					f.srv.PutHash("orders", "large", "0", data)
				}
				var client consumer.Client = f.srv.Client()
				if tt.blind {
					client = blind{client}
				}
				life := f.startOn(client, consumer.WithPayloadLimit(-1))
				time.Sleep(tt.limit)
				f.once()
				life.stop()
			})
		})
	}
	inField(t, 1, func(f *field) {
		const shard = "shardId-000000000000"
		f.srv.Fail("GetRecords", kinesistest.Truncate(1), kinesistest.Hang(1).After(1))
		f.put(shard, "a", 20_000)
		life := f.start(consumer.WithBatchSize(1000))
		time.Sleep(time.Minute)
		f.once()
		reads := f.reads(shard)
		if sizes := []int{reads[1].Records, reads[9].Records, reads[17].Records}; !slices.Equal(sizes, []int{625, 1250, 2500}) {
			t.Errorf("pages of %d records, want 625 after two failures, and then more", sizes)
		}
		life.stop()
	})
}

// closedAtEnd reads a shard that is closed while nothing runs, so that reading goes on at its end, and children that are
// closed without a record.
func (f *field) closedAtEnd(fault *kinesistest.Fault) {
	f.t.Helper()
	f.put(shardID(0), "a", 50)
	life := f.start()
	time.Sleep(5 * time.Second)
	f.once()
	life.stop()
	lower, upper := f.srv.Split("orders", shardID(0))
	merged := f.srv.Merge("orders", lower, upper)
	f.put(merged, "a", 20)
	f.srv.Fail("GetShardIterator", fault)
	life = f.start()
	time.Sleep(30 * time.Second)
	f.once()
	life.stop()
}

// lateIterators is a client whose first answer for an iterator of each shard has none.
type lateIterators struct {
	consumer.Client
	asked *sync.Map
}

func (c lateIterators) GetShardIterator(ctx context.Context, in *kinesis.GetShardIteratorInput, o ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error) {
	if _, again := c.asked.LoadOrStore(*in.ShardId, true); !again {
		return &kinesis.GetShardIteratorOutput{}, nil
	}
	return c.Client.GetShardIterator(ctx, in, o...)
}

// TestField_F63: an answer without an iterator, where nothing can follow, is the end of the shard. Elsewhere it is none, and
// the shard is read.
func TestField_F63(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L25")
	inField(t, 1, func(f *field) { f.closedAtEnd(kinesistest.NoIterators(0)) })
	inField(t, 1, func(f *field) { // the first answer for each shard has none, but there are records
		f.put(shardID(0), "a", 50)
		life := f.start()
		time.Sleep(5 * time.Second)
		life.stop()
		f.put(shardID(0), "a", 20)
		lower, upper := f.srv.Split("orders", shardID(0))
		f.put(lower, "a", 20)
		f.put(upper, "b", 20)
		merged := f.srv.Merge("orders", lower, upper)
		f.put(merged, "a", 20)
		life = f.startOn(lateIterators{f.srv.Client(), new(sync.Map)})
		time.Sleep(30 * time.Second)
		f.once()
		life.stop()
	})
}

// TestField_F69: an iterator that is refused behind the last record of a closed shard is the end of the shard: nothing of it
// is read to the handler again.
func TestField_F69(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L26")
	inField(t, 1, func(f *field) {
		f.closedAtEnd(kinesistest.RefuseEnds(0))
		if n := f.noticed("RetentionLost"); n > 0 {
			t.Errorf("%d notices of a loss", n)
		}
	})
	inField(t, 1, func(f *field) { // refused in mid-shard: what follows is read
		f.put(shardID(0), "a", 50)
		life := f.start()
		time.Sleep(5 * time.Second)
		life.stop()
		f.put(shardID(0), "a", 50)
		f.srv.Control("GetShardIterator", func(r *kinesistest.Request) *kinesistest.Fault {
			if strings.Contains(string(r.Body), "AFTER_SEQUENCE_NUMBER") {
				return kinesistest.Error("InvalidArgumentException", 1)
			}
			return nil
		})
		life = f.start()
		time.Sleep(10 * time.Second)
		f.once()
		life.stop()
	})
}
