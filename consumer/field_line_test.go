package consumer_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

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

// A fieldLine is a line between the consumer and the service: so many bits a second for each reply, which breaks off after
// so many bytes, if that is not 0.
type fieldLine struct {
	kinesis.HTTPClient
	bits  int
	bytes int
}

func (l fieldLine) Do(r *http.Request) (*http.Response, error) {
	out, err := l.HTTPClient.Do(r)
	if err == nil {
		out.Body = &fieldBody{out.Body, r.Context(), l, 0}
	}
	return out, err
}

type fieldBody struct {
	io.ReadCloser
	ctx  context.Context
	line fieldLine
	n    int
}

func (b *fieldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), 16384)])
	if b.n += n; b.line.bytes > 0 && b.n > b.line.bytes {
		return 0, io.ErrUnexpectedEOF
	}
	select {
	case <-time.After(time.Duration(8*n) * time.Second / time.Duration(b.line.bits)):
		return n, err
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}

// blind is a client that does not pass options on.
type blind struct{ consumer.Client }

func (c blind) GetRecords(ctx context.Context, in *kinesis.GetRecordsInput, _ ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	return c.Client.GetRecords(ctx, in)
}

// TestField_F61: a page that takes long on a slow line arrives, and one that cannot come through is asked for in smaller
// ones, which grow again; the largest record arrives at 1 Mbit/s.
func TestField_F61(t *testing.T) {
	t.Attr("rule", "L26")
	for name, tt := range map[string]struct {
		line  fieldLine
		blind bool
		n     int // records
		size  int // of each
		limit time.Duration
	}{
		"4 Mbit/s":                             {fieldLine{bits: 4_000_000}, false, 20, 1<<20 - 100, 2 * time.Minute},
		"4 Mbit/s that the library cannot see": {fieldLine{bits: 4_000_000}, true, 20, 1<<20 - 100, 5 * time.Minute},
		"the largest record at 1 Mbit/s":       {fieldLine{bits: 1_000_000}, false, 2, 10<<20 - 100, 5 * time.Minute},
		"the same, unseen":                     {fieldLine{bits: 1_000_000}, true, 1, 10<<20 - 100, 15 * time.Minute},
		"replies of 5 MB at most":              {fieldLine{bits: 1_000_000_000, bytes: 5_000_000}, false, 20, 1<<20 - 100, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inField(t, 1, func(f *field) {
				f.srv.SetMaxRecordSize("orders", 10<<20)
				data := make([]byte, tt.size)
				for range tt.n {
					f.srv.PutHash("orders", "large", "0", data)
				}
				var client consumer.Client = f.srv.Client(func(o *kinesis.Options) {
					tt.line.HTTPClient = o.HTTPClient
					o.HTTPClient = tt.line
				})
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

// iterators is a client whose answers to GetShardIterator are changed.
type iterators struct {
	consumer.Client
	change func(*kinesis.GetShardIteratorInput, *kinesis.GetShardIteratorOutput) (*kinesis.GetShardIteratorOutput, error)
}

func (c iterators) GetShardIterator(ctx context.Context, in *kinesis.GetShardIteratorInput, o ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error) {
	out, err := c.Client.GetShardIterator(ctx, in, o...)
	if err != nil {
		return nil, err
	}
	return c.change(in, out)
}

// atEnd tells whether nothing can follow what an iterator is asked for.
func (f *field) atEnd(in *kinesis.GetShardIteratorInput) bool {
	for _, sh := range f.srv.Shards("orders") {
		if sh.ID != aws.ToString(in.ShardId) || !sh.Closed {
			continue
		}
		if len(sh.Records) == 0 {
			return true
		}
		return in.ShardIteratorType == types.ShardIteratorTypeAfterSequenceNumber &&
			aws.ToString(in.StartingSequenceNumber) >= sh.Records[len(sh.Records)-1].SequenceNumber
	}
	return false
}

// A shard is read, and closed while nothing runs: reading goes on at its end. One that has nothing is closed, too.
func (f *field) closedAtEnd(client consumer.Client) {
	f.t.Helper()
	f.put(shardID(0), "a", 50)
	life := f.start()
	time.Sleep(5 * time.Second)
	f.once()
	life.stop()
	lower, upper := f.srv.Split("orders", shardID(0))
	merged := f.srv.Merge("orders", lower, upper)
	f.put(merged, "a", 20)
	life = f.startOn(client)
	time.Sleep(30 * time.Second)
	f.once()
	life.stop()
}

// TestField_F63: an answer without an iterator, where nothing can follow, is the end of the shard. Elsewhere it is none, and
// the shard is read.
func TestField_F63(t *testing.T) {
	t.Attr("rule", "L25")
	inField(t, 1, func(f *field) {
		f.closedAtEnd(iterators{f.srv.Client(), func(in *kinesis.GetShardIteratorInput, out *kinesis.GetShardIteratorOutput) (*kinesis.GetShardIteratorOutput, error) {
			if f.atEnd(in) {
				return &kinesis.GetShardIteratorOutput{}, nil
			}
			return out, nil
		}})
	})
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
		var asked sync.Map
		life = f.startOn(iterators{f.srv.Client(), func(in *kinesis.GetShardIteratorInput, out *kinesis.GetShardIteratorOutput) (*kinesis.GetShardIteratorOutput, error) {
			if _, again := asked.LoadOrStore(*in.ShardId, true); !again {
				return &kinesis.GetShardIteratorOutput{}, nil
			}
			return out, nil
		}})
		time.Sleep(30 * time.Second)
		f.once()
		life.stop()
	})
}

// TestField_F69: an iterator that is refused behind the last record of a closed shard is the end of the shard: nothing of it
// is read to the handler again.
func TestField_F69(t *testing.T) {
	t.Attr("rule", "L26")
	inField(t, 1, func(f *field) {
		f.closedAtEnd(iterators{f.srv.Client(), func(in *kinesis.GetShardIteratorInput, out *kinesis.GetShardIteratorOutput) (*kinesis.GetShardIteratorOutput, error) {
			if f.atEnd(in) && in.StartingSequenceNumber != nil {
				return nil, &types.InvalidArgumentException{Message: aws.String("the sequence number is the max possible value")}
			}
			return out, nil
		}})
		f.mu.Lock()
		defer f.mu.Unlock()
		if n := f.notices["RetentionLost"]; n > 0 {
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
