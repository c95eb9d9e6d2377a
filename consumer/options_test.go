package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// otherStore is a store that the library does not know.
type otherStore struct{ checkpoint.Store }

func nothing(context.Context, events.KinesisEvent) error { return nil }

func TestInvalidOptions(t *testing.T) {
	t.Attr("rule", "L8")
	t.Attr("rule", "B5")
	t.Attr("rule", "L7")
	t.Attr("rule", "L12")
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	long := strings.Repeat("g", 129)
	durable := otherStore{new(checkpoint.Memory)}
	for _, tt := range []struct {
		opt  consumer.Option
		want []string // option, value and range
	}{
		{consumer.WithBatchSize(0), []string{"WithBatchSize(0)", "1 to 10000"}},
		{consumer.WithBatchSize(10_001), []string{"WithBatchSize(10001)", "1 to 10000"}},
		{consumer.WithBatchingWindow(-time.Second), []string{"WithBatchingWindow(-1s)", "0s to 5m0s"}},
		{consumer.WithBatchingWindow(301 * time.Second), []string{"WithBatchingWindow(5m1s)"}},
		{consumer.WithBatchingWindow(1500 * time.Millisecond), []string{"WithBatchingWindow(1.5s)", "whole seconds"}},
		{consumer.WithParallelizationFactor(0), []string{"WithParallelizationFactor(0)", "1 to 1000"}},
		{consumer.WithParallelizationFactor(1001), []string{"WithParallelizationFactor(1001)", "1 to 1000"}},
		{consumer.WithGroup(""), []string{`WithGroup("")`, "1 to 128"}},
		{consumer.WithGroup("a/b"), []string{`WithGroup("a/b")`, "without '/'"}},
		{consumer.WithWorker(long), []string{"WithWorker", "1 to 128"}},
		{consumer.WithCheckpointer(nil), []string{"WithCheckpointer(nil)"}},
		{consumer.WithCheckpointer(durable), []string{"WithCheckpointer(consumer_test.otherStore)", "WithGroup"}},
		{consumer.WithStartingPosition(consumer.Position{}), []string{"WithStartingPosition(none)", "TrimHorizon()"}},
		{consumer.WithStartingPosition(consumer.At(time.Now().Add(time.Hour))), []string{"WithStartingPosition(AT_TIMESTAMP", "to now"}},
		{consumer.WithEndingPosition(consumer.TrimHorizon()), []string{"WithEndingPosition(TRIM_HORIZON)", "Latest() or At(t)"}},
		{
			consumer.Options(consumer.WithStartingPosition(consumer.At(time.Unix(100, 0))), consumer.WithEndingPosition(consumer.At(time.Unix(100, 0)))),
			[]string{"WithEndingPosition(AT_TIMESTAMP", "after WithStartingPosition"},
		},
		{consumer.WithSharder(nil), []string{"WithSharder(nil)"}},
		{consumer.Options(consumer.WithUnordered(), consumer.WithSharder(func(string) uint64 { return 0 })), []string{"WithUnordered excludes WithSharder"}},
		{consumer.WithReadAhead(0, 1), []string{"WithReadAhead(0, 1)", "1 to 1000000 records"}},
		{consumer.WithReadAhead(99, 1), []string{"WithReadAhead(99, 1)", "at least as many records as WithBatchSize(100)"}},
		{consumer.WithPollInterval(0), []string{"WithPollInterval(0s)", "200ms to 1m0s"}},
		{consumer.WithPollInterval(199 * time.Millisecond), []string{"WithPollInterval(199ms)"}},
		{consumer.WithPollInterval(time.Minute + 1), []string{"WithPollInterval(1m0.000000001s)", "200ms to 1m0s"}},
		{consumer.WithDrainTimeout(-1), []string{"WithDrainTimeout(-1ns)", "0s or more"}},
		{consumer.WithMetrics(nil), []string{"WithMetrics(nil)"}},
		{consumer.WithLogger(nil), []string{"WithLogger(nil)"}},
		{consumer.WithMaxRetryAttempts(-2), []string{"WithMaxRetryAttempts(-2)", "0 to 10000"}},
		{consumer.WithMaxRetryAttempts(10_001), []string{"WithMaxRetryAttempts(10001)", "-1 for no limit"}},
		{consumer.WithMaxRecordAge(0), []string{"WithMaxRecordAge(0s)", "1m0s to 168h0m0s"}},
		{consumer.WithMaxRecordAge(59 * time.Second), []string{"WithMaxRecordAge(59s)"}},
		{consumer.WithMaxRecordAge(604_801 * time.Second), []string{"WithMaxRecordAge(168h0m1s)"}},
		{consumer.WithFilter(`{}`), []string{"WithFilter", "Invalid filter pattern definition."}},
		{consumer.WithFilter(make([]string, 11)...), []string{"at most 10"}},
		{consumer.WithOnFailure(nil), []string{"WithOnFailure(nil)"}},
		{consumer.WithOnFailure(batch.All(nil)), []string{"WithOnFailure", "nil destination"}},
		{consumer.WithReportBatchItemFailures(true), []string{"WithReportBatchItemFailures(true)", "whole form"}},
		{consumer.WithHandlerTimeout(0), []string{"WithHandlerTimeout(0s)", "-1 for none"}},
		{consumer.WithMaxConcurrency(0), []string{"WithMaxConcurrency(0)", "1 or more"}},
		{consumer.WithPayloadLimit(0), []string{"WithPayloadLimit(0)", "1024 bytes or more"}},
		{consumer.WithBackoff(0, 2, time.Minute), []string{"WithBackoff(0s, 2, 1m0s)", "1ms or more"}},
		{consumer.WithBackoff(time.Second, math.NaN(), time.Minute), []string{"WithBackoff(1s, NaN, 1m0s)"}},
		{consumer.WithMappingUUID(""), []string{"WithMappingUUID"}},
		{consumer.WithEventSourceMapping(nil), []string{"WithEventSourceMapping", "nil"}},
	} {
		_, err := consumer.New(srv.Client(), "orders", nothing, tt.opt)
		for _, want := range tt.want {
			if !errors.Is(err, consumer.ErrConfig) || !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("New returned %v, want ErrConfig with %q", err, want)
			}
		}
	}
}

func TestInvalidStreamsHandlersAndClients(t *testing.T) {
	t.Attr("rule", "L12")
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	const arn = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"
	for stream, valid := range map[string]bool{
		"orders": true, arn: true, "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a.b-c_d": true,
		"": false, "a/b": false, strings.Repeat("x", 129): false, "arn:aws:sqs:us-east-1:123456789012:orders": false,
		arn + "/consumer/billing:1": true, arn + "/consumer/billing": false, arn + "/consumer/:1": false, arn + "/consumer/billing:x": false,
		"orders/consumer/billing:1": false, "arn:aws:kinesis:us-east-1:123456789012:stream/": false,
	} {
		if _, err := consumer.New(srv.Client(), stream, nothing); valid != (err == nil) || err != nil && !errors.Is(err, consumer.ErrConfig) {
			t.Errorf("stream %q: %v", stream, err)
		}
	}
	window := func(context.Context, events.KinesisTimeWindowEvent) (events.KinesisTimeWindowEventResponse, error) {
		return events.KinesisTimeWindowEventResponse{}, nil
	}
	if _, err := consumer.New(srv.Client(), "orders", window); !errors.Is(err, consumer.ErrConfig) {
		t.Errorf("a window handler without a window: %v, want ErrConfig (L10)", err)
	}
	var none func(context.Context, events.KinesisEvent) error
	if _, err := consumer.New(srv.Client(), "orders", none); !errors.Is(err, consumer.ErrConfig) {
		t.Errorf("a nil handler: %v, want ErrConfig", err)
	}
}

func TestAllThatIsWrongIsReportedTogether(t *testing.T) {
	t.Attr("rule", "L12")
	_, err := consumer.New(nil, "a/b", nothing, consumer.WithBatchSize(0), consumer.WithDrainTimeout(-1), consumer.WithGroup(""))
	for _, want := range []string{"client is nil", `"a/b"`, "WithBatchSize(0)", "WithDrainTimeout(-1ns)", `WithGroup("")`} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("error does not tell of %s:\n%v", want, err)
		}
	}
}

func TestOptionsAreLiteralAndTheLastOneWins(t *testing.T) {
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	preset := consumer.Options(consumer.WithBatchSize(0), nil, consumer.WithGroup(""))
	if _, err := consumer.New(srv.Client(), "orders", nothing, preset, consumer.WithBatchSize(1), nil, consumer.WithGroup("g")); err != nil {
		t.Error(err)
	}
}

func TestRunAllNeedsOneWorker(t *testing.T) {
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	a, err := consumer.New(srv.Client(), "orders", nothing, consumer.WithWorker("a"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := consumer.New(srv.Client(), "orders", nothing, consumer.WithWorker("b"), consumer.WithDrainTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	err = consumer.RunAll(t.Context(), a, b)
	for _, want := range []string{`WithWorker("b")`, "WithDrainTimeout(1s)", "WithGroup must differ"} {
		if !errors.Is(err, consumer.ErrConfig) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("RunAll returned %v, want ErrConfig with %s", err, want)
		}
	}
	if err := consumer.RunAll(t.Context()); !errors.Is(err, consumer.ErrConfig) {
		t.Errorf("RunAll of nothing returned %v", err)
	}
	if err := consumer.RunAll(t.Context(), a, a); !errors.Is(err, consumer.ErrRunning) {
		t.Errorf("RunAll of one consumer twice returned %v, want ErrRunning", err)
	}
}
