package kinesistest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"
)

// put puts a record through a client and tells how that ended.
func put(c *kinesis.Client) error {
	_, err := c.PutRecord(context.Background(), &kinesis.PutRecordInput{StreamName: aws.String("s"), PartitionKey: aws.String("k"), Data: []byte("x")})
	return err
}

func status(err error) int {
	var r *smithyhttp.ResponseError
	if errors.As(err, &r) {
		return r.HTTPStatusCode()
	}
	return 0
}

func TestFaultsOfAnyCall(t *testing.T) {
	for name, tt := range map[string]struct {
		fault  *Fault
		code   string // "" for no code
		status int
		stored int
	}{
		"throttle":        {Throttle(1), "ProvisionedThroughputExceededException", 400, 0},
		"error 500":       {Error("InternalFailure", 1), "InternalFailure", 500, 0},
		"error 503":       {Error("ServiceUnavailable", 1), "ServiceUnavailable", 503, 0},
		"error 400":       {Error("AccessDeniedException", 1), "AccessDeniedException", 400, 0},
		"error after":     {ErrorAfter("InternalFailure", 1), "InternalFailure", 500, 1},
		"dropped":         {Drop(1), "", 0, 0},
		"dropped after":   {DropAfter(1), "", 0, 1},
		"truncated after": {Truncate(1), "", 200, 1},
	} {
		bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
			in := srv.Fail("PutRecord", tt.fault)
			err := put(c)
			if err == nil || tt.code != "" && code(err) != tt.code || tt.status > 0 && status(err) != tt.status {
				t.Errorf("%s: got %v, want code %q and status %d", name, err, tt.code, tt.status)
			}
			if n := len(srv.Records("s")); n != tt.stored {
				t.Errorf("%s: %d records stored, want %d", name, n, tt.stored)
			}
			if err := put(c); err != nil {
				t.Errorf("%s: the next call: %v", name, err)
			}
			if n := srv.Count("PutRecord", "s", ""); n != 2 || in[0].Met() != 1 {
				t.Errorf("%s: %d calls, %d met the fault; want 2 and 1", name, n, in[0].Met())
			}
		})
	}
}

func TestFaultsInTime(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		took := func() time.Duration {
			start := time.Now()
			if err := put(c); err != nil {
				t.Error(err)
			}
			return time.Since(start)
		}
		srv.Fail("PutRecord", Delay(time.Second, 2), Delay(time.Minute, 1), Drip(16*time.Second, 1).After(2))
		got := []time.Duration{took(), took(), took(), took()}
		const latency = 10 * time.Millisecond
		if d := cmp.Diff([]time.Duration{61*time.Second + latency, time.Second + latency, 16*time.Second + latency, latency}, got); d != "" {
			t.Errorf("calls took (-want +got):\n%s", d)
		}
		srv.Fail("*", Hang(1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := c.ListStreams(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a call that hangs: %v", err)
		}
		synctest.Wait()
		stacks := make([]byte, 1<<20)
		if stacks = stacks[:runtime.Stack(stacks, true)]; bytes.Contains(stacks, []byte("(*Server).answer")) {
			t.Error("a call that nobody waits for still hangs")
		}
		srv.Fail("PutRecord", Throttle(0).For(time.Second))
		wantCode(t, put(c), "ProvisionedThroughputExceededException")
		time.Sleep(time.Second)
		wantCode(t, put(c), "")
	})
}

func TestFaultScope(t *testing.T) {
	bubble(t, 2, func(t *testing.T, srv *Server, c *kinesis.Client) {
		srv.CreateStream("other", 1)
		a, b := iteratorOf(c, shardID(0), types.ShardIteratorTypeLatest), iteratorOf(c, shardID(1), types.ShardIteratorTypeLatest)
		shard := srv.Fail("GetRecords", Throttle(0).OnStream(arn("s")).OnShard(shardID(1)))[0]
		_, err := get(c, a, 0)
		wantCode(t, err, "")
		for range 3 {
			_, err = get(c, b, 0)
			wantCode(t, err, "ProvisionedThroughputExceededException")
		}
		shard.Stop()
		_, err = get(c, b, 0)
		wantCode(t, err, "")
		srv.Fail("*", Throttle(0).OnStream("other"))
		wantCode(t, put(c), "")
		_, err = c.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("other")})
		wantCode(t, err, "LimitExceededException")
		// Faults that end a call take turns.
		srv.Fail("PutRecord", Throttle(1), Error("KMSThrottlingException", 1))
		wantCode(t, put(c), "ProvisionedThroughputExceededException")
		wantCode(t, put(c), "KMSThrottlingException")
		wantCode(t, put(c), "")
	})
}

func TestFaultRate(t *testing.T) {
	met := func(seed uint64) (n []int) {
		bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
			srv.SetSeed(seed)
			srv.Fail("PutRecord", Throttle(0).Rate(0.3))
			for i := range 100 {
				if put(c) != nil {
					n = append(n, i)
				}
			}
		})
		return n
	}
	first := met(1)
	if len(first) < 15 || len(first) > 45 || !cmp.Equal(first, met(1)) || cmp.Equal(first, met(2)) {
		t.Errorf("with rate 0.3 and seed 1, calls %v of 100 fail, then %v, with seed 2 %v", first, met(1), met(2))
	}
}

func TestControl(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		calls := 0
		in := srv.Control("GetRecords", func(r *Request) *Fault {
			if calls++; calls == 2 {
				srv.Split(r.Stream, r.Shard) // a control function may use the server
				return Error("ServiceUnavailable", 1)
			}
			return nil
		})
		it := iteratorOf(c, shardID(0), types.ShardIteratorTypeLatest)
		must(get(c, it, 0))
		_, err := get(c, it, 0)
		wantCode(t, err, "ServiceUnavailable")
		in.Stop()
		if out := must(get(c, it, 0)); len(out.ChildShards) != 2 {
			t.Errorf("%d children, want 2", len(out.ChildShards))
		}
		if calls != 2 || in.Met() != 1 {
			t.Errorf("%d calls, %d faults", calls, in.Met())
		}
	})
}

func TestFaultsOfReads(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		srv.Put("s", "k", []byte("1"))
		srv.Put("s", "k", []byte("2"))
		it := iteratorOf(c, shardID(0), types.ShardIteratorTypeTrimHorizon)
		srv.Fail("GetRecords", EmptyPages(2), ExpireIterators(1).After(2))
		out := must(get(c, it, 1))
		out = must(get(c, out.NextShardIterator, 1))
		if data(out) != "" || *out.MillisBehindLatest == 0 {
			t.Errorf("empty page: %q, %d ms behind", data(out), *out.MillisBehindLatest)
		}
		_, err := get(c, out.NextShardIterator, 1)
		wantCode(t, err, "ExpiredIteratorException")
		srv.Fail("GetRecords", RepeatPages(1), WrongLag(time.Hour, 1))
		out = must(get(c, out.NextShardIterator, 1))
		if data(out) != "1" || *out.MillisBehindLatest != 3_600_000 {
			t.Errorf("repeated page: %q, %d ms behind", data(out), *out.MillisBehindLatest)
		}
		if out = must(get(c, out.NextShardIterator, 1)); data(out) != "1" {
			t.Errorf("the repeated page came as %q", data(out))
		}
		srv.Split("s", shardID(0))
		srv.Fail("GetRecords", HideChildren(1))
		if out = must(get(c, out.NextShardIterator, 1)); data(out) != "2" || out.NextShardIterator != nil || len(out.ChildShards) > 0 {
			t.Errorf("end without children: %q, %d children", data(out), len(out.ChildShards))
		}
	})
}

func TestFaultsOfLists(t *testing.T) {
	bubble(t, 3, func(t *testing.T, srv *Server, c *kinesis.Client) {
		list := func(in *kinesis.ListShardsInput) (ids string, next *string) {
			out := must(c.ListShards(context.Background(), in))
			for _, sh := range out.Shards {
				ids += (*sh.ShardId)[len(*sh.ShardId)-1:]
				if sh.ParentShardId != nil {
					ids += "<" + (*sh.ParentShardId)[len(*sh.ParentShardId)-1:]
				}
			}
			return ids, out.NextToken
		}
		s := &kinesis.ListShardsInput{StreamName: aws.String("s")}
		time.Sleep(time.Minute)
		srv.Split("s", shardID(1))
		srv.Fail("ListShards", ShortPages(2, 1), ListLate(time.Second, 2), HideParents(1).After(2))
		first, next := list(s)
		rest, end := list(&kinesis.ListShardsInput{NextToken: next})
		orphans, _ := list(s)
		all, _ := list(s)
		if got := fmt.Sprint(first, " ", rest, " ", orphans, " ", all); got != "01 2 01234 0123<14<1" || end != nil {
			t.Errorf("listed %q", got)
		}
	})
}

func TestFailRecords(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		srv.Fail("PutRecords", FailRecords("InternalFailure", 2, 1))
		in := &kinesis.PutRecordsInput{StreamName: aws.String("s")}
		for i := range 5 {
			in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: aws.String("k"), Data: fmt.Append(nil, i)})
		}
		out := must(c.PutRecords(t.Context(), in))
		if *out.FailedRecordCount != 2 || *out.Records[1].ErrorCode != "InternalFailure" || out.Records[1].SequenceNumber != nil || out.Records[0].ErrorCode != nil {
			t.Errorf("%d failed, second %v, first %v", *out.FailedRecordCount, out.Records[1], out.Records[0])
		}
		if n := len(srv.Records("s")); n != 3 {
			t.Errorf("%d records stored, want 3", n)
		}
	})
}

func TestMisuse(t *testing.T) {
	srv := NewServer("s", 1)
	defer srv.Close()
	srv.Put("s", "k", nil)
	odd := []string{"k", "1", "l"}
	for name, f := range map[string]func(){
		"no such operation": func() { srv.Fail("GetRecord", Throttle(1)) },
		"control":           func() { srv.Control("", func(*Request) *Fault { return nil }) },
		"wrong operation":   func() { srv.Fail("PutRecord", EmptyPages(1)) },
		"nil fault":         func() { srv.Fail("PutRecord", nil) },
		"rate, no seed":     func() { srv.Fail("PutRecord", Drop(1).Rate(0.5)) },
		"no such stream":    func() { srv.Put("t", "k", nil) },
		"no key":            func() { srv.Put("s", "", nil) },
		"key not Unicode":   func() { srv.Put("s", "\xff", nil) },
		"too large":         func() { srv.Put("s", "k", make([]byte, 1<<20)) },
		"hash too large":    func() { srv.PutHash("s", "k", "340282366920938463463374607431768211456", nil) },
		"no such shard":     func() { srv.Split("s", shardID(1)) },
		"merge with itself": func() { srv.Merge("s", shardID(0), shardID(0)) },
		"stream exists":     func() { srv.CreateStream("s", 1) },
		"no shards":         func() { srv.CreateStream("t", 0) },
		"name":              func() { srv.CreateStream("a/b", 1) },
		"event":             func() { Event(odd...) },
		"no such strategy":  func() { srv.SetDistribution("s", "EVEN") },
		"of no such stream": func() { srv.SetDistribution("t", Auto) },
		"strategy at birth": func() { srv.CreateOnDemand("t", 1, "") },
		"on demand again":   func() { srv.CreateOnDemand("s", 1, Auto) },
		"prefix":            func() { srv.SetSequencePrefix("a b") },
		"delete of none":    func() { srv.DeleteStream("t") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
	if err := put(srv.Client()); err != nil { // a panic leaves the server usable
		t.Error(err)
	}
}

func TestUnknownRequests(t *testing.T) {
	srv := NewServer("s", 1)
	defer srv.Close()
	for target, body := range map[string]string{"Kinesis_20131202.Nope": "{}", "": "{}", "Other.GetRecords": "{}", "Kinesis_20131202.GetRecords": "{"} {
		r, _ := http.NewRequestWithContext(t.Context(), "POST", "http://kinesis.test", strings.NewReader(body))
		r.Header.Set("X-Amz-Target", target)
		resp, err := srv.transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		want := "UnknownOperationException"
		if body == "{" {
			want = "SerializationException"
		}
		if got := resp.Header.Get("X-Amzn-ErrorType"); got != want || resp.StatusCode != 400 {
			t.Errorf("%q: got %d %s, want 400 %s", target, resp.StatusCode, got, want)
		}
	}
}
