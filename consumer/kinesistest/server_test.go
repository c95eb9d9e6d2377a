package kinesistest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
)

// bubble runs f with a server of one stream "s" in virtual time.
func bubble(t *testing.T, shards int, f func(t *testing.T, srv *Server, c *kinesis.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer("s", shards)
		defer srv.Close()
		f(t, srv, srv.Client())
	})
}

func shardID(n int) string { return fmt.Sprintf("shardId-%012d", n) }

func code(err error) string {
	var refused smithy.APIError
	if errors.As(err, &refused) {
		return refused.ErrorCode()
	}
	if err != nil {
		return "no code: " + err.Error()
	}
	return ""
}

func wantCode(t *testing.T, err error, want string) {
	t.Helper()
	if got := code(err); got != want {
		t.Errorf("got code %q (%v), want %q", got, err, want)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func iteratorOf(c *kinesis.Client, shard string, kind types.ShardIteratorType) *string {
	return must(c.GetShardIterator(context.Background(), &kinesis.GetShardIteratorInput{
		StreamName: aws.String("s"), ShardId: &shard, ShardIteratorType: kind,
	})).ShardIterator
}

func get(c *kinesis.Client, it *string, limit int32) (*kinesis.GetRecordsOutput, error) {
	in := &kinesis.GetRecordsInput{ShardIterator: it}
	if limit > 0 {
		in.Limit = &limit
	}
	return c.GetRecords(context.Background(), in)
}

// roundTrip puts and reads through a client, and resharding between.
func roundTrip(t *testing.T, c *kinesis.Client) {
	ctx := t.Context()
	put := must(c.PutRecord(ctx, &kinesis.PutRecordInput{StreamARN: aws.String(arn("s")), PartitionKey: aws.String("alice \"é\""), Data: []byte{0, 1, 0xff}}))
	shards := must(c.ListShards(ctx, &kinesis.ListShardsInput{StreamName: aws.String("s")})).Shards
	if len(shards) != 2 {
		t.Fatalf("got %d shards, want 2", len(shards))
	}
	out := must(get(c, iteratorOf(c, *put.ShardId, types.ShardIteratorTypeTrimHorizon), 0))
	if len(out.Records) != 1 {
		t.Fatalf("got %d records, want 1", len(out.Records))
	}
	r := out.Records[0]
	if *r.SequenceNumber != *put.SequenceNumber || *r.PartitionKey != "alice \"é\"" || !bytes.Equal(r.Data, []byte{0, 1, 0xff}) {
		t.Errorf("got record %v %q %v", *r.SequenceNumber, *r.PartitionKey, r.Data)
	}
	if age := time.Since(*r.ApproximateArrivalTimestamp); age < 0 || age > 10*time.Second {
		t.Errorf("record arrived %v ago", age)
	}
	sum := must(c.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("s")})).StreamDescriptionSummary
	if *sum.OpenShardCount != 2 || sum.StreamStatus != types.StreamStatusActive || *sum.StreamARN != "arn:aws:kinesis:us-east-1:123456789012:stream/s" {
		t.Errorf("got summary %v %v %v", *sum.OpenShardCount, sum.StreamStatus, *sum.StreamARN)
	}
}

func TestRoundTripInBubble(t *testing.T) {
	bubble(t, 2, func(t *testing.T, _ *Server, c *kinesis.Client) {
		start := time.Now()
		roundTrip(t, c)
		if took := time.Since(start); took != 60*time.Millisecond {
			t.Errorf("5 calls took %v of virtual time, want 60ms", took)
		}
	})
}

func TestRoundTripOutsideBubble(t *testing.T) {
	srv := NewServer("s", 2)
	defer srv.Close()
	roundTrip(t, srv.Client())
}

func TestRoundTripTCP(t *testing.T) {
	srv := NewServer("s", 2)
	defer srv.Close()
	if first := srv.URL(); srv.URL() != first {
		t.Error("URL changes")
	}
	roundTrip(t, srv.Client(func(o *kinesis.Options) {
		o.BaseEndpoint, o.HTTPClient = aws.String(srv.URL()), &http.Client{Transport: plainTransport{&http.Transport{DisableKeepAlives: true}}}
	}))
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	srv := NewServer("s", 1)
	c := srv.Client()
	var calls sync.WaitGroup
	srv.Fail("ListShards", Hang(0))
	for range 8 {
		calls.Go(func() {
			if _, err := c.ListShards(context.Background(), &kinesis.ListShardsInput{StreamName: aws.String("s")}); err == nil {
				t.Error("a call outlived Close")
			}
		})
	}
	srv.URL()
	if _, err := get(c, iteratorOf(c, shardID(0), types.ShardIteratorTypeLatest), 0); err != nil {
		t.Error(err)
	}
	srv.Close()
	srv.Close()
	calls.Wait()
	for i := 0; runtime.NumGoroutine() > before; i++ {
		if i == 1_000_000 {
			buf := make([]byte, 1<<16)
			t.Fatalf("goroutines left:\n%s", buf[:runtime.Stack(buf, true)])
		}
		runtime.Gosched() // the client's side of a connection ends on its own
	}
	if _, err := c.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("s")}); err == nil {
		t.Error("a call after Close succeeded")
	}
}

// TestCloseEndsCalls closes a server while a call sleeps, which ends it at once, and while a control function runs, for
// which Close waits.
func TestCloseEndsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, srv, release := time.Now(), NewServer("s", 1), make(chan bool)
		srv.Fail("PutRecord", Delay(time.Hour, 0))
		srv.Control("ListShards", func(*Request) *Fault { <-release; return nil })
		c, ended := srv.Client(), make(chan bool)
		go func() { put(c) }()
		go c.ListShards(context.Background(), &kinesis.ListShardsInput{StreamName: aws.String("s")})
		synctest.Wait()
		go func() { srv.Close(); close(ended) }()
		synctest.Wait()
		select {
		case <-ended:
			t.Error("Close did not wait for the control function")
		default:
		}
		release <- true
		<-ended
		if took := time.Since(start); took > 0 {
			t.Errorf("Close took %v", took)
		}
	})
}

// TestNewClosesItself makes a server in a bubble and leaves it to its test.
func TestNewClosesItself(t *testing.T) {
	var srv *Server
	t.Run("test", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv = New(t, "s", 1)
			wantCode(t, put(srv.Client()), "")
		})
	})
	if !srv.closed || len(srv.Records("s")) != 1 {
		t.Errorf("closed %v, %d records; want true and 1", srv.closed, len(srv.Records("s")))
	}
}

func TestManyCallersInBubble(t *testing.T) {
	bubble(t, 16, func(t *testing.T, srv *Server, c *kinesis.Client) {
		var all sync.WaitGroup
		for g := range 64 {
			all.Go(func() {
				for i := range 10 {
					must(c.PutRecord(context.Background(), &kinesis.PutRecordInput{
						StreamName: aws.String("s"), PartitionKey: aws.String(fmt.Sprint(g)), Data: fmt.Append(nil, i),
					}))
				}
				must(get(c, iteratorOf(c, shardID(g%16), types.ShardIteratorTypeTrimHorizon), 0))
			})
		}
		all.Wait()
		if n := len(srv.Records("s")); n != 640 {
			t.Errorf("%d records stored, want 640", n)
		}
		next := map[string]int{}
		for _, r := range srv.Records("s") {
			if string(r.Data) != fmt.Sprint(next[r.PartitionKey]) {
				t.Fatalf("key %s: got %s, want %d", r.PartitionKey, r.Data, next[r.PartitionKey])
			}
			next[r.PartitionKey]++
		}
		if n := srv.Count("PutRecord", "s", ""); n != 640 {
			t.Errorf("%d calls counted, want 640", n)
		}
	})
}

func TestLargePages(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		data := bytes.Repeat([]byte{0xa5}, 1<<20-1)
		for range 12 {
			srv.Put("s", "k", data)
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if out := must(get(c, iteratorOf(c, shardID(0), types.ShardIteratorTypeTrimHorizon), 1)); len(out.Records) != 1 || !bytes.Equal(out.Records[0].Data, data) {
					t.Errorf("got %d records, want 1", len(out.Records))
				}
			})
		}
		all.Go(func() {
			out := must(get(c, iteratorOf(c, shardID(0), types.ShardIteratorTypeTrimHorizon), 0))
			if len(out.Records) != 10 || *out.MillisBehindLatest == 0 {
				t.Errorf("got %d records, lag %d; want 10 records of 1 MiB, and a lag", len(out.Records), *out.MillisBehindLatest)
			}
			out = must(get(c, out.NextShardIterator, 0))
			if len(out.Records) != 2 || *out.MillisBehindLatest != 0 || !bytes.Equal(out.Records[1].Data, data) {
				t.Errorf("got %d records, lag %d; want 2 and none", len(out.Records), *out.MillisBehindLatest)
			}
		})
		all.Wait()
	})
}

func TestSequenceNumbers(t *testing.T) {
	last := ""
	for i := range uint64(5) {
		q := sequence{created: 1_700_000_000 + i, shard: uint32(i) << 20, n: i << 60, at: 1_800_000_000}
		s := q.String()
		if back, ok := parseSequence(s); !ok || back != q || len(s) != 56 || s <= last {
			t.Errorf("%+v: %s, back %+v %v", q, s, back, ok)
		}
		last = s
	}
	for _, bad := range []string{"", "0", "1", "-1", "01", "x", strings.Repeat("9", 56), strings.Repeat("1", 200), last + "0"} {
		if q, ok := parseSequence(bad); ok {
			t.Errorf("%q is taken for %+v", bad, q)
		}
	}
}
