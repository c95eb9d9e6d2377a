package kinesistest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// TestFaultsOfSubscribing are those of the call: what it gets, and whether it took effect.
func TestFaultsOfSubscribing(t *testing.T) {
	const gaveUp = "gave up"
	for name, tt := range map[string]struct {
		fault *Fault
		code  string // "": some error without one
		then  string // what the next call gets
	}{
		"throttled":           {Throttle(1), "LimitExceededException", ""},
		"in use":              {Error("ResourceInUseException", 1), "ResourceInUseException", ""},
		"error after":         {ErrorAfter("InternalFailure", 1), "InternalFailure", "ResourceInUseException"},
		"dropped":             {Drop(1), "", ""},
		"dropped after":       {DropAfter(1), "", "ResourceInUseException"},
		"no answer":           {Hang(1), gaveUp, ""},
		"nothing of a stream": {StallAfter(0, 1), gaveUp, "ResourceInUseException"},
		"half the response":   {StallAfter(20, 1), gaveUp, "ResourceInUseException"},
		"cut before it":       {CutAfter(0, 1), "", "ResourceInUseException"},
		"cut in it":           {Truncate(1), "", "ResourceInUseException"},
	} {
		bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
			consumer := register(t, c, "c")
			srv.Fail("SubscribeToShard", tt.fault)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			start := time.Now()
			_, err := subscribe(ctx, c, consumer, 0, tip)
			switch got := code(err); {
			case tt.code == gaveUp:
				if err == nil || time.Since(start) != 3*time.Second {
					t.Errorf("%s: %v after %v", name, err, time.Since(start))
				}
			case err == nil || tt.code == "" && !strings.HasPrefix(got, "no code") || tt.code != "" && got != tt.code:
				t.Errorf("%s: got %v, want code %q", name, err, tt.code)
			}
			r, err := subscribe(t.Context(), c, consumer, 0, tip)
			if code(err) != tt.then {
				t.Errorf("%s: the next call: %v, want %q", name, err, tt.then)
			}
			if err == nil {
				r.Close()
			}
		})
	}
}

func TestInitialResponse(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		consumer := register(t, c, "c")
		srv.Fail("SubscribeToShard", Drip(16*time.Second, 1), NoInitialResponse(3).After(1))
		start := time.Now()
		r := must(subscribe(t.Context(), c, consumer, 0, tip))
		if took := time.Since(start); took != 16*time.Second+10*time.Millisecond || r.event() == nil {
			t.Errorf("a late response came after %v", took)
		}
		r.Close()

		srv.Fail(pushOp, Error("KMSDisabledException", 1), Hang(1))
		for _, first := range []string{"an exception", "nothing"} {
			time.Sleep(5 * time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			_, err := subscribe(ctx, c, consumer, 0, tip)
			if late := ctx.Err() != nil; err == nil || late != (first == "nothing") {
				t.Errorf("%s as the first frame: %v, given up: %t", first, err, late)
			}
			cancel()
		}

		// An event as the first frame keeps some releases of the SDK's client waiting for ever.
		time.Sleep(5 * time.Second)
		body := `{"ConsumerARN":"` + consumer + `","ShardId":"` + shardID(0) + `","StartingPosition":{"Type":"LATEST"}}`
		q := must(http.NewRequestWithContext(t.Context(), "POST", "http://kinesis.test", strings.NewReader(body)))
		q.Header.Set("X-Amz-Target", "Kinesis_20131202.SubscribeToShard")
		resp := must(srv.transport.RoundTrip(q))
		defer resp.Body.Close()
		b := make([]byte, 64)
		if _, err := io.ReadFull(resp.Body, b); err != nil || !strings.Contains(string(b), pushOp) {
			t.Errorf("the first frame is %q, %v", b, err)
		}
	})
}

// TestFaultsOfEvents puts each on the second event of three.
func TestFaultsOfEvents(t *testing.T) {
	const quiet = "nothing comes"
	for name, tt := range map[string]struct {
		faults []*Fault
		want   string // data, and how it ends
	}{
		"none":                  {nil, "1 2 3 " + quiet},
		"cut before":            {[]*Fault{Drop(1)}, "1 end"},
		"cut after":             {[]*Fault{DropAfter(1)}, "1 2 end"},
		"cut in it":             {[]*Fault{Truncate(1)}, "1 end"},
		"cut in its lengths":    {[]*Fault{CutAfter(3, 1)}, "1 end"},
		"stalled in it":         {[]*Fault{StallAfter(100, 1)}, "1 " + quiet},
		"half-open":             {[]*Fault{Hang(1)}, "1 " + quiet},
		"internal failure":      {[]*Fault{Error("InternalFailureException", 1)}, "1 InternalFailureException"},
		"KMS":                   {[]*Fault{Error("KMSAccessDeniedException", 1)}, "1 KMSAccessDeniedException"},
		"opt-in":                {[]*Fault{Error("KMSOptInRequired", 1)}, "1 KMSOptInRequired"},
		"not found":             {[]*Fault{Error("ResourceNotFoundException", 1)}, "1 ResourceNotFoundException"},
		"unknown":               {[]*Fault{Error("Odd", 1)}, "1 Odd"},
		"exception after":       {[]*Fault{ErrorAfter("KMSNotFoundException", 1)}, "1 2 KMSNotFoundException"},
		"throttled":             {[]*Fault{Throttle(1)}, "1 LimitExceededException"},
		"corrupt":               {[]*Fault{Corrupt(1)}, "1 checksum"},
		"early":                 {[]*Fault{EndEarly(1)}, "1 2 end"},
		"early, as a shard end": {[]*Fault{EndEarly(1), Omit("ContinuationSequenceNumber", 1)}, "1 2 no continuation end"},
		"shard end, but goes on": {
			[]*Fault{Omit("ContinuationSequenceNumber", 1)}, "1 2 no continuation 3 " + quiet,
		},
		"repeated": {[]*Fault{RepeatPages(1)}, "1 2 2 3 " + quiet},
		"empty":    {[]*Fault{EmptyPages(1)}, "1 behind 2 3 " + quiet},
		"lag":      {[]*Fault{WrongLag(time.Hour, 1)}, "1 2 behind 3 " + quiet},
		"delayed":  {[]*Fault{Delay(10*time.Second, 1)}, "1 2 late 3 " + quiet},
		"dripping": {[]*Fault{Drip(16*time.Second, 1)}, "1 2 late 3 " + quiet},
	} {
		bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
			consumer := register(t, c, "c")
			for _, f := range tt.faults { // the first event is empty
				srv.Fail(pushOp, f.After(2).OnShard(shardID(0)))
			}
			r := must(subscribe(t.Context(), c, consumer, 0, tip))
			defer r.Close()
			var got []string
			put, seen := 0, time.Now()
			next := func() {
				if put++; put <= 3 {
					srv.Put("s", "k", []byte{byte('0' + put)})
				}
			}
		reading:
			for empties := 0; empties < 2; {
				select {
				case e, ok := <-r.Events():
					if !ok {
						got = append(got, endOf(r))
						break reading
					}
					told := tell(e)
					if time.Since(seen) > 5*time.Second {
						told += " late"
					}
					if seen = time.Now(); told != "" {
						got = append(got, told)
						empties = 0
					} else if put >= 3 {
						if empties++; empties == 2 {
							got = append(got, quiet)
						}
					}
					if told != "behind" {
						next()
					}
				case <-time.After(time.Hour):
					got = append(got, quiet)
					break reading
				}
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("%s: got %q, want %q", name, got, tt.want)
			}
		})
	}
}

func endOf(r *reading) string {
	switch err := r.Err(); {
	case err == nil, errors.Is(err, context.Canceled), strings.Contains(err.Error(), "unexpected EOF"):
		return "end"
	case strings.Contains(strings.ToLower(err.Error()), "checksum"):
		return "checksum"
	default:
		return code(err)
	}
}

func TestOldContinuation(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		consumer := register(t, c, "c")
		srv.Put("s", "k", []byte("1"))
		srv.Fail(pushOp, OldContinuation(2))
		r := must(subscribe(t.Context(), c, consumer, 0, horizon))
		first := r.event()
		srv.Put("s", "k", []byte("2"))
		second := r.event()
		r.Close()
		for _, tt := range []struct {
			number *string
			want   string
		}{{first.ContinuationSequenceNumber, "1 2"}, {second.ContinuationSequenceNumber, "2"}} {
			time.Sleep(5 * time.Second)
			r := must(subscribe(t.Context(), c, consumer, 0, after(tt.number)))
			if got, _ := r.records(); got != tt.want {
				t.Errorf("after %s: %q, want %q", *tt.number, got, tt.want)
			}
			r.Close()
		}
	})
}

// TestRepeatedBacklog has more to push than one event holds, which comes at once, but not when it repeats.
func TestRepeatedBacklog(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		consumer := register(t, c, "c")
		for range 3 {
			srv.Put("s", "k", make([]byte, 1<<20-1))
		}
		srv.Fail(pushOp, RepeatPages(1))
		r := must(subscribe(t.Context(), c, consumer, 0, horizon))
		defer r.Close()
		first := *r.event().Records[0].SequenceNumber
		again := r.event()
		if took := time.Since(r.began).Round(10 * time.Millisecond); *again.Records[0].SequenceNumber != first || took != 200*time.Millisecond {
			t.Errorf("after %v the records from %s come again from %s", took, first, *again.Records[0].SequenceNumber)
		}
		if e := r.event(); len(e.Records) != 1 || time.Since(r.began) > 300*time.Millisecond {
			t.Errorf("the rest: %d records after %v", len(e.Records), time.Since(r.began))
		}
	})
}

func TestFaultsOfSubscriptionEnds(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		consumer := register(t, c, "c")
		_, seq := srv.Put("s", "k", []byte("1"))
		srv.Split("s", shardID(0))
		srv.Fail(pushOp, HideChildren(1))
		r := must(subscribe(t.Context(), c, consumer, 0, horizon))
		if e := r.event(); e.ContinuationSequenceNumber != nil || len(e.ChildShards) > 0 || len(e.Records) != 1 {
			t.Errorf("%+v", e)
		}
		r.rest()
		time.Sleep(5 * time.Second)
		srv.Fail("SubscribeToShard", RefuseEnds(1))
		_, err := subscribe(t.Context(), c, consumer, 0, after(&seq))
		wantCode(t, err, "InvalidArgumentException")
		must(subscribe(t.Context(), c, consumer, 0, after(&seq))).Close()
	})
}

// TestOutageOfEverything shows that faults of all operations end subscriptions, too.
func TestOutageOfEverything(t *testing.T) {
	bubble(t, 1, func(t *testing.T, srv *Server, c *kinesis.Client) {
		consumer := register(t, c, "c")
		r := must(subscribe(t.Context(), c, consumer, 0, tip))
		r.event()
		calls := 0
		srv.Control("*", func(q *Request) *Fault {
			if q.Op == pushOp && q.Shard == shardID(0) && q.Stream == "s" {
				calls++
			}
			return nil
		})
		srv.Fail("*", Error("ServiceUnavailable", 0).For(time.Minute).OnStream(consumer))
		if n, code := r.rest(); n != 0 || code != "ServiceUnavailable" || calls != 1 {
			t.Errorf("%d events, %d seen by a control function, ended with %q", n, calls, code)
		}
		_, err := c.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("s")})
		wantCode(t, err, "ServiceUnavailable")
		time.Sleep(time.Minute)
		must(subscribe(t.Context(), c, consumer, 0, tip)).Close()
	})
}
