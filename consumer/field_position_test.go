package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A numbering is a service that gives its records other sequence numbers, and knows those only.
type numbering struct {
	consumer.Client
	t    *testing.T
	form string // of the n-th record

	mu          sync.Mutex
	given, real map[string]string
}

func newNumbering(f *field, form string) *numbering {
	return &numbering{Client: f.srv.Client(), t: f.t, form: form, given: map[string]string{}, real: map[string]string{}}
}

func (c *numbering) GetRecords(ctx context.Context, in *kinesis.GetRecordsInput, o ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	out, err := c.Client.GetRecords(ctx, in, o...)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range out.Records {
		seq := *out.Records[i].SequenceNumber
		if c.given[seq] == "" {
			c.given[seq] = fmt.Sprintf(c.form, len(c.given)+1)
			c.real[c.given[seq]] = seq
		}
		out.Records[i].SequenceNumber = aws.String(c.given[seq])
	}
	return out, nil
}

func (c *numbering) GetShardIterator(ctx context.Context, in *kinesis.GetShardIteratorInput, o ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error) {
	if in.StartingSequenceNumber == nil {
		return c.Client.GetShardIterator(ctx, in, o...)
	}
	own := *in
	own.StartingSequenceNumber = aws.String(c.number(*in.StartingSequenceNumber))
	return c.Client.GetShardIterator(ctx, &own, o...)
}

// number returns the server's number for one that was given.
func (c *numbering) number(seq string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real[seq] == "" {
		c.t.Errorf("the service never gave the number %q", seq)
	}
	return c.real[seq]
}

// start starts a consumer of the service.
func (c *numbering) start(f *field, opts ...consumer.Option) *fieldLife {
	f.t.Helper()
	h := func(ctx context.Context, ev events.KinesisEvent) error {
		for i := range ev.Records {
			ev.Records[i].Kinesis.SequenceNumber = c.number(ev.Records[i].Kinesis.SequenceNumber)
		}
		return f.handle(ctx, ev)
	}
	made, err := consumer.New(c, "orders", h, f.options(opts...))
	if err != nil {
		f.t.Fatal(err)
	}
	l := &fieldLife{f: f, c: made}
	l.run()
	return l
}

// TestField_F60: a sequence number with leading zeros is one, and goes back to the service as it came. One that is no
// number is told, and its records are handled all the same, again after each restart.
func TestField_F60(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "C28")
	for _, form := range []string{"%012d", "%056d", "0000%d"} {
		t.Run(form, func(t *testing.T) {
			inField(t, 1, func(f *field) {
				c := newNumbering(f, form)
				for range 3 { // the numbers grow from one digit to two
					f.put(shardID(0), "alice", 5)
					life := c.start(f)
					time.Sleep(15 * time.Second)
					f.put(shardID(0), "bob", 2)
					time.Sleep(5 * time.Second)
					f.srv.Fail("GetRecords", kinesistest.ExpireIterators(1))
					f.put(shardID(0), "carol", 1)
					time.Sleep(15 * time.Second)
					life.stop()
				}
				f.once()
				log := f.store.written()
				last := log[len(log)-1].ck
				if seq, _, whole, ok := last.Sequence(); !ok || !whole || seq != fmt.Sprintf(form, 24) {
					t.Errorf("the last checkpoint is %s, want one behind record 24", last)
				}
				for name, n := range f.notices {
					if strings.Contains(name, "Checkpoint") {
						t.Errorf("%d notices %s", n, name)
					}
				}
			})
		})
	}
	for _, form := range []string{"record-%d", "%d-0", "0x%08x", "１%d"} {
		t.Run(form, func(t *testing.T) {
			inField(t, 1, func(f *field) {
				c := newNumbering(f, form)
				f.put(shardID(0), "alice", 5)
				for range 2 {
					life := c.start(f)
					time.Sleep(30 * time.Second)
					f.complete()
					if err := life.c.Status().Err(); !errors.Is(err, checkpoint.ErrSequence) || f.noticed("SequenceUnreadable") == 0 {
						t.Errorf("it is not told: health %v, notices %v", err, f.notices)
					}
					life.cancel()
					if err := life.wait(35 * time.Second); !errors.Is(err, checkpoint.ErrSequence) {
						t.Errorf("Run: %v", err)
					}
				}
			})
		})
	}
}
