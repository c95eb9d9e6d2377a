package kinesistest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

func TestSubscriptionPositions(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		consumer := register(t, c, "c")
		var seqs []string
		var times []time.Time
		for i := range 5 {
			times = append(times, time.Now())
			_, seq := srv.Put("s", "k", fmt.Append(nil, i))
			seqs = append(seqs, seq)
			time.Sleep(time.Second)
		}
		srv.Trim("s", shardID(0), seqs[1])
		foreign := sequence{created: 1, n: 7, at: 1}.String()
		for name, tt := range map[string]struct {
			at   types.StartingPosition
			want string // data, or a code
		}{
			"trim horizon":    {horizon, "1 2 3 4"},
			"latest":          {tip, ""},
			"at":              {types.StartingPosition{Type: "AT_SEQUENCE_NUMBER", SequenceNumber: &seqs[2]}, "2 3 4"},
			"after":           {after(&seqs[2]), "3 4"},
			"after the last":  {after(&seqs[4]), ""},
			"at a trimmed":    {types.StartingPosition{Type: "AT_SEQUENCE_NUMBER", SequenceNumber: &seqs[0]}, "1 2 3 4"},
			"time exactly":    {types.StartingPosition{Type: "AT_TIMESTAMP", Timestamp: &times[3]}, "3 4"},
			"time between":    {types.StartingPosition{Type: "AT_TIMESTAMP", Timestamp: aws.Time(times[3].Add(time.Millisecond))}, "4"},
			"no number":       {types.StartingPosition{Type: "AT_SEQUENCE_NUMBER"}, "InvalidArgumentException"},
			"number too many": {types.StartingPosition{Type: "LATEST", SequenceNumber: &seqs[0]}, "InvalidArgumentException"},
			"no time":         {types.StartingPosition{Type: "AT_TIMESTAMP"}, "InvalidArgumentException"},
			"future":          {types.StartingPosition{Type: "AT_TIMESTAMP", Timestamp: aws.Time(time.Now().Add(time.Hour))}, "InvalidArgumentException"},
			"foreign number":  {after(&foreign), "InvalidArgumentException"},
			"bad number":      {after(aws.String("0x1")), "ValidationException"},
			"bad type":        {types.StartingPosition{Type: "EARLIEST"}, "ValidationException"},
		} {
			time.Sleep(5 * time.Second)
			r, err := subscribe(t.Context(), c, consumer, 0, tt.at)
			got := code(err)
			if err == nil {
				got, _ = r.records()
				r.Close()
			}
			if got != tt.want {
				t.Errorf("%s: got %q (%v), want %q", name, got, err, tt.want)
			}
		}
		for name, in := range map[string]*kinesis.SubscribeToShardInput{
			"no such shard":    {ConsumerARN: &consumer, ShardId: aws.String(shardID(7)), StartingPosition: &tip},
			"no such consumer": {ConsumerARN: aws.String(consumer + "0"), ShardId: aws.String(shardID(0)), StartingPosition: &tip},
			"no such stream":   {ConsumerARN: aws.String(strings.Replace(consumer, "/s/", "/r/", 1)), ShardId: aws.String(shardID(0)), StartingPosition: &tip},
		} {
			if _, err := c.SubscribeToShard(t.Context(), in); code(err) != "ResourceNotFoundException" {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, err := subscribe(t.Context(), c, arn("s"), 0, tip)
		wantCode(t, err, "ValidationException")
	})
}

// TestSubscriptionInTime follows one subscription for its five minutes.
func TestSubscriptionInTime(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		consumer := register(t, c, "c")
		srv.Put("s", "k", []byte("old"))
		r := must(subscribe(t.Context(), c, consumer, 0, tip))
		next := func(want string, at time.Duration) *types.SubscribeToShardEvent {
			t.Helper()
			e := r.event()
			var got []string
			for _, rec := range e.Records {
				got = append(got, string(rec.Data))
			}
			if since := time.Since(r.began).Round(time.Millisecond); strings.Join(got, " ") != want || since != at {
				t.Errorf("%q after %v, want %q after %v", got, since, want, at)
			}
			if *e.MillisBehindLatest != 0 || e.ContinuationSequenceNumber == nil || len(e.ChildShards) > 0 {
				t.Errorf("%q: %d ms behind, continuation %v, %d children", want, *e.MillisBehindLatest, e.ContinuationSequenceNumber, len(e.ChildShards))
			}
			return e
		}
		first := next("", 0)
		quiet := next("", 3*time.Second)
		if *quiet.ContinuationSequenceNumber <= *first.ContinuationSequenceNumber {
			t.Error("a quiet shard does not get on")
		}
		time.Sleep(time.Second)
		_, one := srv.Put("s", "k", []byte("1"))
		_, two := srv.Put("s", "k", []byte("2"))
		if e := next("1 2", 4010*time.Millisecond); *e.ContinuationSequenceNumber != two || *e.Records[0].SequenceNumber != one || *e.Records[0].PartitionKey != "k" || e.Records[0].ApproximateArrivalTimestamp == nil {
			t.Errorf("continuation %s, records %+v", *e.ContinuationSequenceNumber, e.Records)
		}
		srv.Put("s", "k", []byte("3"))
		next("3", 4210*time.Millisecond)
		next("", 7210*time.Millisecond)

		_, code := r.rest()
		if since := time.Since(r.began).Round(time.Millisecond); code != "" || since != 5*time.Minute-5*time.Millisecond {
			t.Errorf("ended after %v with %q", since, code)
		}
		// Both numbers go on where the events came to.
		for number, want := range map[string]string{*quiet.ContinuationSequenceNumber: "1 2 3", two: "3"} {
			r := must(subscribe(t.Context(), c, consumer, 0, after(&number)))
			if got, _ := r.records(); got != want {
				t.Errorf("after %s: %q, want %q", number, got, want)
			}
			r.Close()
			time.Sleep(5 * time.Second)
		}
		if n, calls := srv.Count("SubscribeToShardEvent", "s", shardID(0)), srv.Calls(); n < 90 || calls[len(calls)-1].Op != "SubscribeToShardEvent" {
			t.Errorf("%d events counted, the last call is %+v", n, calls[len(calls)-1])
		}
	})
}

func TestSubscriptionAtShardEnd(t *testing.T) {
	for empties := range 3 {
		bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
			srv.SetShardEnd(empties)
			consumer := register(t, c, "c")
			_, seq := srv.Put("s", "k", []byte("1"))
			r := must(subscribe(t.Context(), c, consumer, 0, horizon))
			r.event()
			lower, upper := srv.Split("s", shardID(0))
			for i := range max(empties, 1) {
				e := r.event()
				if last := i == max(empties, 1)-1; (e.ContinuationSequenceNumber == nil) != last || len(e.ChildShards) != map[bool]int{true: 2}[last] {
					t.Errorf("empty %d of %d: continuation %v, %d children", i, empties, e.ContinuationSequenceNumber, len(e.ChildShards))
				} else if last && (*e.ChildShards[0].ShardId != lower || *e.ChildShards[1].ShardId != upper || e.ChildShards[0].ParentShards[0] != shardID(0) || e.ChildShards[0].HashKeyRange == nil) {
					t.Errorf("children %+v", e.ChildShards)
				}
			}
			if n, code := r.rest(); n > 0 || code != "" {
				t.Errorf("%d events after the end, then %q", n, code)
			}
			if since := time.Since(r.began); since > 2*time.Second {
				t.Errorf("the end came after %v", since)
			}
			// Who comes again, from wherever, is told again.
			for _, at := range []types.StartingPosition{after(&seq), tip} {
				time.Sleep(5 * time.Second)
				r = must(subscribe(t.Context(), c, consumer, 0, at))
				n, code := r.rest()
				if n != max(empties, 1) || code != "" {
					t.Errorf("%s at the end: %d events, then %q", at.Type, n, code)
				}
			}
		})
	}
}

// TestSubscriptionSeesReshard waits for a reshard that was asked for by a call, without another call that makes it happen.
func TestSubscriptionSeesReshard(t *testing.T) {
	bubble(t, 2, func(t *testing.T, _ *Server, c *kinesis.Client) {
		consumer := register(t, c, "c")
		r := must(subscribe(t.Context(), c, consumer, 1, tip))
		r.event()
		must(c.MergeShards(t.Context(), &kinesis.MergeShardsInput{StreamName: aws.String("s"), ShardToMerge: aws.String(shardID(0)), AdjacentShardToMerge: aws.String(shardID(1))}))
		asked := time.Now()
		e := r.event()
		if e.ContinuationSequenceNumber != nil || len(e.ChildShards) != 1 || len(e.ChildShards[0].ParentShards) != 2 || time.Since(asked) > time.Second {
			t.Errorf("after %v: %+v", time.Since(asked), e)
		}
	})
}

func TestTakeover(t *testing.T) {
	bubble(t, 2, func(t *testing.T, srv *Server, c *kinesis.Client) {
		consumer, other := register(t, c, "c"), register(t, c, "d")
		first := must(subscribe(t.Context(), c, consumer, 0, tip))
		first.event()
		// Other shards and other consumers are not concerned.
		must(subscribe(t.Context(), c, consumer, 1, tip)).Close()
		must(subscribe(t.Context(), c, other, 0, tip)).Close()
		for _, at := range []time.Duration{0, time.Second, 4980 * time.Millisecond} {
			time.Sleep(time.Until(first.began.Add(at)))
			_, err := subscribe(t.Context(), c, consumer, 0, tip)
			wantCode(t, err, "ResourceInUseException")
		}
		time.Sleep(time.Until(first.began.Add(5 * time.Second)))
		second := must(subscribe(t.Context(), c, consumer, 0, tip))
		second.event()
		if _, code := first.rest(); code != "ResourceInUseException" {
			t.Errorf("the old one ended with %q", code)
		}
		if since := time.Since(second.began); since > 100*time.Millisecond {
			t.Errorf("the old one ended %v after the take-over", since)
		}
		srv.Put("s", "k", []byte("x"))
		// One that its reader has closed is safe as well.
		second.Close()
		_, err := subscribe(t.Context(), c, consumer, 0, tip)
		wantCode(t, err, "ResourceInUseException")
		time.Sleep(time.Until(second.began.Add(5 * time.Second)))
		must(subscribe(t.Context(), c, consumer, 0, tip)).Close()
	})
}

func TestSubscriptionLosesItsConsumer(t *testing.T) {
	for name, act := range map[string]func(srv *Server, c *kinesis.Client, consumer string){
		"deregistered": func(_ *Server, c *kinesis.Client, consumer string) {
			must(c.DeregisterStreamConsumer(context.Background(), &kinesis.DeregisterStreamConsumerInput{ConsumerARN: &consumer}))
		},
		"stream deleted": func(_ *Server, c *kinesis.Client, _ string) {
			must(c.DeleteStream(context.Background(), &kinesis.DeleteStreamInput{StreamName: aws.String("s"), EnforceConsumerDeletion: aws.Bool(true)}))
		},
		"stream deleted at once": func(srv *Server, _ *kinesis.Client, _ string) { srv.DeleteStream("s") },
		"stream created again": func(srv *Server, _ *kinesis.Client, _ string) {
			srv.DeleteStream("s")
			srv.CreateStream("s", 1)
		},
	} {
		bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
			consumer := register(t, c, "c")
			r := must(subscribe(t.Context(), c, consumer, 0, tip))
			r.event()
			act(srv, c, consumer)
			acted := time.Now()
			if _, code := r.rest(); code != "ResourceNotFoundException" || time.Since(acted) > 100*time.Millisecond {
				t.Errorf("%s: ended with %q after %v", name, code, time.Since(acted))
			}
			time.Sleep(5 * time.Second)
			_, err := subscribe(t.Context(), c, consumer, 0, tip)
			wantCode(t, err, "ResourceNotFoundException")
		})
	}
}

func TestSubscriptionLimits(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		consumer := register(t, c, "c")
		const records = 20
		for range records {
			srv.Put("s", "k", make([]byte, 1<<18))
		}
		read := func() time.Duration {
			r := must(subscribe(t.Context(), c, consumer, 0, horizon))
			defer r.Close()
			for n := 0; n < records; {
				e := r.event()
				if n += len(e.Records); len(e.Records) > 8 || (*e.MillisBehindLatest == 0) != (n == records) {
					t.Errorf("%d records in an event, %d ms behind at %d", len(e.Records), *e.MillisBehindLatest, n)
				}
			}
			return time.Since(r.began)
		}
		if took := read(); took != 0 {
			t.Errorf("without limits it took %v", took)
		}
		srv.SetReadLimits(true)
		time.Sleep(5 * time.Second)
		if took := read(); took.Round(10*time.Millisecond) != 1750*time.Millisecond {
			t.Errorf("two events of 1.75 MiB and one more took %v, want 1.75 s", took)
		}
		time.Sleep(5 * time.Second)
		must(subscribe(t.Context(), c, consumer, 0, horizon)).Close()
		for _, want := range []string{"LimitExceededException", "LimitExceededException", "ResourceInUseException"} {
			_, err := subscribe(t.Context(), c, consumer, 0, horizon)
			wantCode(t, err, want)
			time.Sleep(600 * time.Millisecond)
		}
	})
}

// TestSubscriptionIsLeft closes subscriptions, gives them up, does not read them, and closes the server under them.
func TestSubscriptionIsLeft(t *testing.T) {
	bubble(t, 2, func(t *testing.T, srv *Server, c *kinesis.Client) {
		consumer := register(t, c, "c")
		r := must(subscribe(t.Context(), c, consumer, 0, tip))
		r.Close()
		ctx, cancel := context.WithCancel(t.Context())
		given := must(subscribe(ctx, c, consumer, 1, tip))
		given.event()
		cancel()
		given.rest()
		synctest.Wait()
		before := srv.Count(pushOp, "", "")
		time.Sleep(time.Minute)
		if n := srv.Count(pushOp, "", ""); n != before {
			t.Errorf("%d events for nobody", n-before)
		}
		for range 8 {
			srv.PutHash("s", "k", "0", make([]byte, 1<<20-1))
		}
		slow := must(subscribe(t.Context(), c, consumer, 0, horizon))
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		stacks := make([]byte, 1<<20)
		if stacks = stacks[:runtime.Stack(stacks, true)]; bytes.Contains(stacks, []byte("(*Server).push(")) {
			t.Error("a reader that does not read keeps its subscription for more than five minutes")
		}
		slow.rest()
		open := must(subscribe(t.Context(), c, consumer, 1, tip))
		open.event()
		srv.Close()
		open.rest()
	})
}

// TestSubscriptionOverHTTP2 reads over TLS and HTTP/2, on sockets.
func TestSubscriptionOverHTTP2(t *testing.T) {
	srv := New(t, "s", 1)
	srv.SetLatency(0)
	srv.SetTransition(0)
	front := httptest.NewUnstartedServer(srv)
	front.EnableHTTP2 = true
	front.StartTLS()
	t.Cleanup(front.Close)
	var proto string
	c := srv.Client(func(o *kinesis.Options) {
		o.BaseEndpoint = &front.URL
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
		t.Cleanup(transport.CloseIdleConnections)
		o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
			resp, err := plainTransport{transport}.RoundTrip(r)
			if err == nil {
				proto = resp.Proto
			}
			return resp, err
		})
	})
	consumer := must(c.RegisterStreamConsumer(t.Context(), &kinesis.RegisterStreamConsumerInput{StreamARN: aws.String(arn("s")), ConsumerName: aws.String("c")})).Consumer.ConsumerARN
	for range 3 { // more than one event
		srv.Put("s", "k", make([]byte, 1<<20-1))
	}
	srv.Fail(pushOp, Error("KMSThrottlingException", 1).After(1))
	r := must(subscribe(t.Context(), c, *consumer, 0, horizon))
	defer r.Close()
	records := len(r.event().Records)
	var kms *types.KMSThrottlingException
	if n, _ := r.rest(); proto != "HTTP/2.0" || records != 2 || n != 0 || !errors.As(r.Err(), &kms) {
		t.Errorf("%s, %d records, then %d events and %v", proto, records, n, r.Err())
	}
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }
