package consumer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/shardlane/shardlane/consumer"
)

// A spy notes what deserializes the replies to GetRecords, behind all options of the call.
type spy struct {
	consumer.Client
	mu   sync.Mutex
	seen map[string]int
}

func (s *spy) GetRecords(ctx context.Context, in *kinesis.GetRecordsInput, opts ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	look := func(stack *middleware.Stack) error {
		m, _ := stack.Deserialize.Get("OperationDeserializer")
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seen[fmt.Sprintf("%T", m)]++
		return nil
	}
	return s.Client.GetRecords(ctx, in, append(slices.Clone(opts), func(o *kinesis.Options) { o.APIOptions = append(o.APIOptions, look) })...)
}

// TestDecoderReadsTheRecords holds that a consumer reads by package wire, which tests elsewhere hold to be as good as the SDK.
func TestDecoderReadsTheRecords(t *testing.T) {
	inField(t, 2, func(f *field) {
		s := &spy{Client: f.srv.Client(), seen: map[string]int{}}
		c, err := consumer.New(s, "orders", f.handle, f.options())
		if err != nil {
			t.Fatal(err)
		}
		life := &fieldLife{f: f, c: c}
		life.run()
		f.put(shardID(0), "a", 100)
		f.put(shardID(1), "b \"é\"", 100)
		time.Sleep(10 * time.Second)
		f.once()
		life.stop()
		if len(s.seen) != 1 || s.seen["*wire.step"] < 20 {
			t.Errorf("calls by what deserializes the reply: %v, want *wire.step only", s.seen)
		}
	})
}

// A keeper keeps what it returns.
type keeper struct {
	consumer.Client
	mu   sync.Mutex
	recs []types.Record
}

func (k *keeper) GetRecords(ctx context.Context, in *kinesis.GetRecordsInput, opts ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
	out, err := k.Client.GetRecords(ctx, in, opts...)
	if err == nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.recs = append(k.recs, out.Records...)
	}
	return out, err
}

// TestMemoryOfReplies holds that the memory of replies is used again where the client is the SDK's, and never where another one
// has seen them, which may keep them.
func TestMemoryOfReplies(t *testing.T) {
	for _, bare := range []bool{true, false} {
		inField(t, 1, func(f *field) {
			var given atomic.Int64
			spoil := func(b []byte) {
				given.Add(int64(len(b)))
				clear(b)
			}
			k := &keeper{Client: f.srv.Client()}
			client := consumer.Client(k)
			if bare {
				client = f.srv.Client()
			}
			c, err := consumer.New(client, "orders", f.handle, f.options(), consumer.WithSpoil(spoil))
			if err != nil {
				t.Fatal(err)
			}
			life := &fieldLife{f: f, c: c}
			life.run()
			f.put(shardID(0), strings.Repeat("a", 100), 500)
			time.Sleep(10 * time.Second)
			f.once()
			life.stop()
			if bare != (given.Load() > 0) {
				t.Errorf("%d bytes are used again, of the SDK's client: %t", given.Load(), bare)
			}
			for _, r := range k.recs {
				if len(r.Data) > 0 && r.Data[0] == 0 {
					t.Fatal("what a client keeps is overwritten")
				}
			}
		})
	}
}
