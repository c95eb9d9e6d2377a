package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/kpl"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// register registers a stream consumer and returns its ARN.
func (f *field) register(name string) string {
	f.t.Helper()
	c := f.srv.Client()
	out, err := c.DescribeStreamSummary(f.t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("orders")})
	if err != nil {
		f.t.Fatal(err)
	}
	made, err := c.RegisterStreamConsumer(f.t.Context(), &kinesis.RegisterStreamConsumerInput{StreamARN: out.StreamDescriptionSummary.StreamARN, ConsumerName: &name})
	if err != nil {
		f.t.Fatal(err)
	}
	return *made.Consumer.ConsumerARN
}

// TestFanOutOptions: what cannot be is refused before any call.
func TestFanOutOptions(t *testing.T) {
	t.Parallel()
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	const arn = "arn:aws:kinesis:us-east-1:123456789012:stream/orders/consumer/billing:1"
	plain := struct{ consumer.Client }{srv.Client()} // makes the calls of polling only
	push := consumer.WithEnhancedFanOut
	for name, tt := range map[string]struct {
		client consumer.Client
		stream string
		opts   []consumer.Option
		want   string // "": it is right
	}{
		"a name":             {srv.Client(), "orders", []consumer.Option{push("billing")}, ""},
		"a consumer":         {srv.Client(), arn, nil, ""},
		"no name":            {srv.Client(), "orders", []consumer.Option{push("")}, `WithEnhancedFanOut(""): want a name`},
		"an ARN as name":     {srv.Client(), "orders", []consumer.Option{push(arn)}, "want a name"},
		"both":               {srv.Client(), arn, []consumer.Option{push("billing")}, "give one of them"},
		"polling's client":   {plain, "orders", nil, ""},
		"no calls":           {plain, "orders", []consumer.Option{push("billing")}, "want a FanOutClient"},
		"no calls for one":   {plain, arn, nil, "want a FanOutClient"},
		"fallback":           {srv.Client(), arn, []consumer.Option{consumer.WithPollingFallback(time.Second)}, ""},
		"too early":          {srv.Client(), arn, []consumer.Option{consumer.WithPollingFallback(time.Millisecond)}, "want 1s or more"},
		"nothing to fall to": {srv.Client(), "orders", []consumer.Option{consumer.WithPollingFallback(time.Minute)}, "without enhanced fan-out"},
	} {
		_, err := consumer.New(tt.client, tt.stream, nothing, tt.opts...)
		if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, consumer.ErrConfig) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// TestFanOutConsumerARN: the ARN of a stream consumer in place of the stream's reads through it, and registers nothing. Events and
// documents have it, and aggregates are split unless the option says otherwise: all else is as with polling.
func TestFanOutConsumerARN(t *testing.T) {
	t.Parallel()
	proves(t, "L61", "L63", "L66")
	for name, whole := range map[string]bool{"split": false, "raw": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inContract(t, 1, func(f *field) {
				arn := f.register("billing")
				f.srv.PutHash("orders", "x", "0", kpl.Encode(kpl.UserRecord{PartitionKey: "a", ExplicitHashKey: "0"}, kpl.UserRecord{PartitionKey: "b", ExplicitHashKey: "0"}))
				f.put(shard0, "poison", 1)
				f.work = func(_ context.Context, b fieldBatch) error {
					if b.has("poison") {
						return errors.New("poison")
					}
					return nil
				}
				opts := []consumer.Option{consumer.WithMaxRetryAttempts(0), consumer.WithBisectOnError(true), consumer.WithOnFailure(batch.DestinationFunc(f.Deliver))}
				if whole {
					opts = append(opts, consumer.WithDeaggregation(false))
				}
				c, err := consumer.New(f.srv.Client(), arn, f.handle, f.options(opts...))
				if err != nil {
					t.Fatal(err)
				}
				one := &fieldLife{f: f, c: c}
				one.run()
				time.Sleep(10 * time.Second)
				one.stop()
				var keys []string
				for _, b := range f.seen() {
					for _, r := range b.recs {
						if b.err == nil {
							keys = append(keys, r.Kinesis.PartitionKey)
						}
						if r.EventSourceArn != arn {
							t.Errorf("an event is of %s, want %s", r.EventSourceArn, arn)
						}
					}
				}
				want := "a b"
				if whole {
					want = "x"
				}
				if got := strings.Join(keys, " "); got != want {
					t.Errorf("handled: %s, want %s", got, want)
				}
				if len(f.givenUp()) != 1 {
					t.Errorf("%d records were given up", len(f.givenUp()))
				}
				for _, failure := range f.givenUp() {
					if failure.StreamARN != arn {
						t.Errorf("a document is of %s, want %s", failure.StreamARN, arn)
					}
				}
				for _, op := range []string{"RegisterStreamConsumer", "GetRecords"} {
					if n := f.srv.Count(op, "", "") - map[string]int{"RegisterStreamConsumer": 1}[op]; n != 0 {
						t.Errorf("%d calls of %s", n, op)
					}
				}
			})
		})
	}
}

// TestFanOutShared: two consumers of one worker do not read through one stream consumer; in different workers, each tells that
// somebody else does, and all is handled in both groups nevertheless.
func TestFanOutShared(t *testing.T) {
	t.Parallel()
	inContract(t, 1, func(f *field) {
		arn := f.register("billing")
		stream := strings.Split(arn, "/consumer/")[0]
		var cs []*consumer.Consumer
		for group, at := range map[string]string{"one": arn, "two": stream} {
			opts := []consumer.Option{consumer.WithGroup(group)}
			if at == stream {
				opts = append(opts, consumer.WithEnhancedFanOut("billing"))
			}
			c, err := consumer.New(f.srv.Client(), at, f.handle, f.options(opts...))
			if err != nil {
				t.Fatal(err)
			}
			cs = append(cs, c)
		}
		if err := consumer.RunAll(f.t.Context(), cs...); !errors.Is(err, consumer.ErrConfig) || !strings.Contains(err.Error(), `"billing"`) {
			t.Errorf("RunAll: %v", err)
		}
		one, two := &fieldLife{f: f, c: cs[0]}, &fieldLife{f: f, c: cs[1]}
		one.run()
		two.run()
		for range 60 {
			f.put(shard0, "a", 1)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		one.stop()
		two.stop()
		times, _ := f.handled()
		for seq, n := range times {
			if n != 2 {
				t.Errorf("%s was handled %d times", seq, n)
			}
		}
		if len(times) != 60 || f.notices["ReadFailed"] == 0 {
			t.Errorf("%d records; told: %v", len(times), f.notices)
		}
	})
}

// TestFanOutMapping: an event source mapping that names a stream consumer selects it, unless New is given another stream.
func TestFanOutMapping(t *testing.T) {
	t.Parallel()
	inContract(t, 1, func(f *field) {
		arn := f.register("billing")
		f.put(shard0, "a", 1)
		mapping := func() consumer.Option {
			return consumer.WithEventSourceMapping(strings.NewReader(`{"EventSourceArn":"` + arn + `","StartingPosition":"TRIM_HORIZON"}`))
		}
		for _, tt := range []struct {
			stream, group, want string
			ignored             int
		}{{"", "one", arn, 0}, {"orders", "two", strings.Split(arn, "/consumer/")[0], 1}} {
			f.notices["MappingIgnored"] = 0
			c, err := consumer.New(f.srv.Client(), tt.stream, f.handle, f.options(mapping(), consumer.WithGroup(tt.group)))
			if err != nil {
				t.Fatal(err)
			}
			one := &fieldLife{f: f, c: c}
			one.run()
			time.Sleep(10 * time.Second)
			one.stop()
			seen := f.seen()
			if got := seen[len(seen)-1].recs[0].EventSourceArn; got != tt.want || f.notices["MappingIgnored"] != tt.ignored {
				t.Errorf("stream %q is read as %s, want %s; told: %v", tt.stream, got, tt.want, f.notices)
			}
		}
	})
}

// TestFanOutConsumerARNUnknown: a stream consumer that is not there is an error of the start.
func TestFanOutConsumerARNUnknown(t *testing.T) {
	t.Parallel()
	inContract(t, 1, func(f *field) {
		arn := f.register("billing")
		c, err := consumer.New(f.srv.Client(), arn[:len(arn)-1], f.handle, f.options())
		if err != nil {
			t.Fatal(err)
		}
		one := &fieldLife{f: f, c: c}
		one.run()
		if err := one.wait(10 * time.Second); !errors.Is(err, consumer.ErrStreamNotFound) || !strings.Contains(err.Error(), "no such stream consumer") {
			t.Errorf("Run: %v", err)
		}
	})
}

// TestDeregisterFanOut: the registration is removed, by the stream's name or ARN, and one that is not there is no error.
func TestDeregisterFanOut(t *testing.T) {
	t.Parallel()
	inContract(t, 1, func(f *field) {
		ctx := f.t.Context()
		for _, stream := range []string{"orders", strings.Split(f.register("other"), "/consumer/")[0]} {
			f.register("billing")
			for range 2 {
				if err := consumer.DeregisterFanOut(ctx, f.srv.Client(), stream, "billing"); err != nil {
					t.Error(err)
				}
				time.Sleep(5 * time.Second)
			}
		}
		if n := f.srv.Count("DeregisterStreamConsumer", "", ""); n != 2 {
			t.Errorf("%d calls, want 2", n)
		}
		var failed *consumer.Error
		if err := consumer.DeregisterFanOut(ctx, f.srv.Client(), "none", "billing"); !errors.Is(err, consumer.ErrStreamNotFound) {
			t.Errorf("of no stream: %v", err)
		}
		f.srv.Fail("DeregisterStreamConsumer", kinesistest.Error("AccessDeniedException", 1))
		if err := consumer.DeregisterFanOut(ctx, f.srv.Client(), "orders", "other"); !errors.Is(err, consumer.ErrAccessDenied) || !errors.As(err, &failed) || failed.Op != "DeregisterStreamConsumer" {
			t.Errorf("denied: %v", err)
		}
	})
}

// TestFanOutGone: somebody removes the registration while a worker reads. It is registered again, and nothing is lost.
func TestFanOutGone(t *testing.T) {
	t.Parallel()
	inField(t, 2, func(f *field) {
		one := f.start(consumer.WithEnhancedFanOut("billing"))
		time.Sleep(20 * time.Second)
		if err := consumer.DeregisterFanOut(f.t.Context(), f.srv.Client(), "orders", "billing"); err != nil {
			t.Fatal(err)
		}
		f.put(shard0, "a", 10)
		f.put(shardID(1), "b", 10)
		time.Sleep(time.Minute)
		f.once()
		if err := one.c.Status().Err(); err != nil || f.notices["FanOutRegistration"] != 2 {
			t.Errorf("%v, told: %v", err, f.notices)
		}
		one.stop()
	})
}

// TestFanOutStreamRecreated: a stream that is deleted and created again ends Run, and nothing of the new one is handled.
func TestFanOutStreamRecreated(t *testing.T) {
	t.Parallel()
	inContract(t, 1, func(f *field) {
		one := f.start(consumer.WithEnhancedFanOut("billing"))
		f.put(shard0, "a", 10)
		time.Sleep(20 * time.Second)
		f.srv.DeleteStream("orders")
		time.Sleep(time.Second)
		f.srv.CreateStream("orders", 1)
		f.put(shard0, "new", 10)
		if err := one.wait(3 * time.Minute); !errors.Is(err, consumer.ErrStreamRecreated) {
			t.Errorf("Run: %v", err)
		}
		for _, b := range f.seen() {
			if b.has("new") {
				t.Error("a record of the new stream was handled")
			}
		}
	})
}

// TestFanOutTrimmed: a place that has left the stream is told of, and reading goes on at the oldest record.
func TestFanOutTrimmed(t *testing.T) {
	t.Parallel()
	inContract(t, 1, func(f *field) {
		f.put(shard0, "a", 10)
		one := f.start(consumer.WithEnhancedFanOut("billing"))
		time.Sleep(20 * time.Second)
		one.stop()
		f.put(shard0, "b", 10)
		recs := f.srv.Records("orders")
		f.srv.Trim("orders", shard0, recs[15].SequenceNumber)
		one = f.start(consumer.WithEnhancedFanOut("billing"))
		time.Sleep(20 * time.Second)
		one.stop()
		if times, _ := f.handled(); len(times) != 15 {
			t.Errorf("%d records were handled, want the 15 that could be read; told: %v", len(times), f.notices)
		}
	})
}

// TestFanOutIdle: a group that has read through a stream consumer and does not any more is told of it at each start, until the
// registration is removed.
func TestFanOutIdle(t *testing.T) {
	t.Parallel()
	inField(t, 1, func(f *field) {
		live := func(want int, opts ...consumer.Option) {
			t.Helper()
			f.notices["FanOutIdle"] = 0
			one := f.start(opts...)
			f.put(shard0, "a", 10)
			time.Sleep(10 * time.Second)
			one.stop()
			f.once()
			if n := f.notices["FanOutIdle"]; n != want {
				t.Errorf("told %d times, want %d: %v", n, want, f.notices)
			}
		}
		live(0)
		live(0, consumer.WithEnhancedFanOut("one"), consumer.WithDeaggregation(false))
		live(0, consumer.WithEnhancedFanOut("one"), consumer.WithDeaggregation(false))
		live(1)
		live(1, consumer.WithEnhancedFanOut("two"), consumer.WithDeaggregation(false))
		live(1)
		for _, name := range []string{"one", "two"} {
			if err := consumer.DeregisterFanOut(f.t.Context(), f.srv.Client(), "orders", name); err != nil {
				t.Error(err)
			}
			time.Sleep(5 * time.Second)
		}
		live(0)
	})
}
