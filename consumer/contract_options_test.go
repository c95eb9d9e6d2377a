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

func windows(context.Context, events.KinesisTimeWindowEvent) (events.KinesisTimeWindowEventResponse, error) {
	return events.KinesisTimeWindowEventResponse{}, nil
}

func partial(context.Context, events.KinesisEvent) (events.KinesisEventResponse, error) {
	return events.KinesisEventResponse{}, nil
}

func onJSON(context.Context, []byte) ([]byte, error) { return nil, nil }

// invalidDestination is one that cannot be used, as a FIFO queue.
type invalidDestination struct{ batch.Destination }

func (invalidDestination) Validate() error { return errors.New("a FIFO queue cannot be a destination") }

// invalidStore is one that cannot be used, as a table without a name.
type invalidStore struct{ checkpoint.Store }

func (invalidStore) Validate() error { return errors.New("the table has no name") }

// Every value out of its range is refused before any call, by an error that names option, value and range.
func TestContractInvalidOptions(t *testing.T) {
	t.Parallel()
	proves(t, "L7", "L8", "L10", "L11", "L12", "L13", "B1", "B2", "B3", "B5", "C14")
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	ten := make([]string, 11)
	for i := range ten {
		ten[i] = `{"data":{"a":["b"]}}`
	}
	for _, tt := range []struct {
		opt  consumer.Option
		want []string // option, value and range
	}{
		{consumer.WithMaxRetryAttempts(-2), []string{"WithMaxRetryAttempts(-2)", "0 to 10000, or -1"}},
		{consumer.WithMaxRetryAttempts(10_001), []string{"WithMaxRetryAttempts(10001)", "0 to 10000, or -1"}},
		{consumer.WithMaxRecordAge(0), []string{"WithMaxRecordAge(0s)", "1m0s to 168h0m0s, or -1"}},
		{consumer.WithMaxRecordAge(59 * time.Second), []string{"WithMaxRecordAge(59s)", "1m0s to 168h0m0s, or -1"}},
		{consumer.WithMaxRecordAge(-time.Second), []string{"WithMaxRecordAge(-1s)", "1m0s to 168h0m0s, or -1"}},
		{consumer.WithMaxRecordAge(604_801 * time.Second), []string{"WithMaxRecordAge(168h0m1s)", "1m0s to 168h0m0s, or -1"}},
		{consumer.WithBatchSize(0), []string{"WithBatchSize(0)", "1 to 10000"}},
		{consumer.WithParallelizationFactor(0), []string{"WithParallelizationFactor(0)", "1 to 1000"}},
		{consumer.WithTumblingWindow(-time.Second), []string{"WithTumblingWindow(-1s)", "0s to 15m0s"}},
		{consumer.WithTumblingWindow(901 * time.Second), []string{"WithTumblingWindow(15m1s)", "0s to 15m0s"}},
		{consumer.WithTumblingWindow(1500 * time.Millisecond), []string{"WithTumblingWindow(1.5s)", "whole seconds"}},
		{consumer.WithTumblingWindow(time.Minute), []string{"WithTumblingWindow(1m0s)", "whole form", "events.KinesisTimeWindowEvent, or JSON"}},
		{consumer.WithWindowIdle(-1), []string{"WithWindowIdle(-1ns)", "0s or more"}},
		{consumer.WithWindowIdle(time.Minute), []string{"WithWindowIdle(1m0s)", "without WithTumblingWindow"}},
		{consumer.WithFilter(ten...), []string{"WithFilter", "11", "10"}},
		{consumer.WithFilter(`{"data":{"a":["b"]}}`, `{"data":{"a":"b"}}`), []string{"WithFilter", "Invalid filter pattern definition."}},
		{consumer.WithFilter(`{"data":{"a":["` + strings.Repeat("x", 4096) + `"]}}`), []string{"WithFilter", "4096"}},
		{consumer.WithOnFailure(nil), []string{"WithOnFailure(nil)", "batch.Destination"}},
		{consumer.Options(consumer.WithGroup("g"), consumer.WithCheckpointer(invalidStore{})), []string{"WithCheckpointer", "no name"}},
		{consumer.WithOnFailure(invalidDestination{}), []string{"WithOnFailure", "FIFO queue"}},
		{consumer.WithOnFailure(batch.All(invalidDestination{}, nil)), []string{"WithOnFailure", "FIFO queue", "nil destination"}},
		{consumer.WithReportBatchItemFailures(true), []string{"WithReportBatchItemFailures(true)", "whole form", "JSON form"}},
		{consumer.WithReportBatchItemFailures(false), []string{"WithReportBatchItemFailures(false)"}},
		{consumer.WithHandlerTimeout(0), []string{"WithHandlerTimeout(0s)", "more than 0s, or -1"}},
		{consumer.WithHandlerTimeout(-time.Second), []string{"WithHandlerTimeout(-1s)", "more than 0s, or -1"}},
		{consumer.WithMaxConcurrency(0), []string{"WithMaxConcurrency(0)", "1 or more"}},
		{consumer.WithMaxConcurrency(-1), []string{"WithMaxConcurrency(-1)", "1 or more"}},
		{consumer.WithPayloadLimit(0), []string{"WithPayloadLimit(0)", "1024 bytes or more, or -1"}},
		{consumer.WithPayloadLimit(1023), []string{"WithPayloadLimit(1023)", "1024 bytes or more, or -1"}},
		{consumer.WithBackoff(0, 2, time.Second), []string{"WithBackoff(0s, 2, 1s)", "1ms or more"}},
		{consumer.WithBackoff(time.Second, 0.5, time.Minute), []string{"WithBackoff(1s, 0.5, 1m0s)", "1 to 10"}},
		{consumer.WithBackoff(time.Second, 11, time.Minute), []string{"WithBackoff(1s, 11, 1m0s)", "1 to 10"}},
		{consumer.WithBackoff(time.Second, 2, time.Millisecond), []string{"WithBackoff(1s, 2, 1ms)", "from the base to 1h0m0s"}},
		{consumer.WithBackoff(time.Second, 2, 2*time.Hour), []string{"WithBackoff(1s, 2, 2h0m0s)", "from the base to 1h0m0s"}},
		{consumer.WithMappingUUID(""), []string{`WithMappingUUID("")`, "UUID"}},
	} {
		_, err := consumer.New(srv.Client(), "orders", nothing, tt.opt)
		for _, want := range tt.want {
			if !errors.Is(err, consumer.ErrConfig) || !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("New returned %v, want ErrConfig with %q", err, want)
			}
		}
	}
	// All of it, together.
	_, err := consumer.New(srv.Client(), "orders", nothing, consumer.WithMaxRetryAttempts(-2), consumer.WithMaxRecordAge(1), consumer.WithFilter("x"),
		consumer.WithOnFailure(nil), consumer.WithHandlerTimeout(0), consumer.WithMaxConcurrency(0), consumer.WithPayloadLimit(7), consumer.WithBackoff(0, 0, 0),
		consumer.WithTumblingWindow(-1), consumer.WithReportBatchItemFailures(true))
	for _, want := range []string{
		"WithMaxRetryAttempts(-2)", "WithMaxRecordAge(1ns)", "WithFilter", "WithOnFailure(nil)", "WithHandlerTimeout(0s)", "WithMaxConcurrency(0)",
		"WithPayloadLimit(7)", "WithBackoff(0s, 0, 0s)", "WithTumblingWindow(-1ns)", "WithReportBatchItemFailures(true)",
	} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("the error does not tell of %s:\n%v", want, err)
		}
	}
	if n := len(srv.Calls()); n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

// The ends of the ranges are within them, and a given 0 is one.
func TestContractValidOptions(t *testing.T) {
	t.Parallel()
	proves(t, "L7", "L8", "L9", "L10", "L2", "B1", "B2", "B3", "B5")
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	pattern := `{"data":{"a":["b"]}}`
	for i, opt := range []consumer.Option{
		consumer.WithMaxRetryAttempts(0), consumer.WithMaxRetryAttempts(-1), consumer.WithMaxRetryAttempts(10_000), consumer.WithMaxRecordAge(-1),
		consumer.WithMaxRecordAge(60 * time.Second), consumer.WithMaxRecordAge(604_800 * time.Second), consumer.WithTumblingWindow(0),
		consumer.WithFilter(), consumer.WithFilter(pattern, pattern, pattern, pattern, pattern, pattern, pattern, pattern, pattern, pattern),
		consumer.WithHandlerTimeout(1), consumer.WithHandlerTimeout(-1), consumer.WithHandlerTimeout(1 << 62), consumer.WithMaxConcurrency(1),
		consumer.WithPayloadLimit(1024), consumer.WithPayloadLimit(-1), consumer.WithPayloadLimit(math.MaxInt), consumer.WithBackoff(time.Millisecond, 1, time.Millisecond),
		consumer.WithBackoff(time.Second, 10, time.Hour), consumer.WithParallelizationFactor(1000), consumer.WithBatchSize(10_000),
		consumer.Options(consumer.WithBatchSize(10_000), consumer.WithBatchingWindow(0)), consumer.WithBatchingWindow(300 * time.Second),
		consumer.WithMappingUUID("any"), consumer.WithOnFailure(new(trace)), consumer.WithExecutedVersion(""),
	} {
		if _, err := consumer.New(srv.Client(), "orders", nothing, opt); err != nil {
			t.Errorf("option %d: %v", i, err)
		}
	}
}

// Windows go with the handlers that know them, with one lane and without filters.
func TestContractWindowOptions(t *testing.T) {
	t.Parallel()
	proves(t, "L10", "B3", "L2", "B5")
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	window := consumer.WithTumblingWindow(time.Minute)
	check := func(what string, err error, want string) {
		t.Helper()
		if want == "" && err != nil || want != "" && (!errors.Is(err, consumer.ErrConfig) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	opts := consumer.Options
	for _, tt := range []struct {
		what, want string
		opt        consumer.Option
	}{
		{"a window", "", window},
		{"900 s", "", consumer.WithTumblingWindow(900 * time.Second)},
		{"an empty filter list", "", opts(window, consumer.WithFilter())},
		{"an empty filter list that is there", "", opts(window, consumer.WithFilter([]string{}...))},
		{"a filter that was taken back", "", opts(window, consumer.WithFilter(`{"data":{"a":["b"]}}`), consumer.WithFilter())},
		{"no idle time", "", opts(window, consumer.WithWindowIdle(0))},
		{"no window", "want WithTumblingWindow", opts()},
		{"two lanes", "WithParallelizationFactor(2)", opts(window, consumer.WithParallelizationFactor(2))},
		{"a filter", "no filter", opts(window, consumer.WithFilter(`{"data":{"a":["b"]}}`))},
		{"reports", "WithReportBatchItemFailures", opts(window, consumer.WithReportBatchItemFailures(true))},
	} {
		_, err := consumer.New(srv.Client(), "orders", windows, tt.opt)
		check("a window handler with "+tt.what, err, tt.want)
	}
	_, err := consumer.New(srv.Client(), "orders", onJSON, window, consumer.WithReportBatchItemFailures(true))
	check("JSON with a window and reports", err, "")
	_, err = consumer.New(srv.Client(), "orders", batch.Concurrent(onJSON), consumer.WithReportBatchItemFailures(true))
	check("JSON with reports", err, "")
	_, err = consumer.New(srv.Client(), "orders", onJSON, window, consumer.WithParallelizationFactor(2))
	check("JSON with a window and two lanes", err, "WithParallelizationFactor(2)")
	_, err = consumer.New(srv.Client(), "orders", partial, window)
	check("a partial handler with a window", err, "partial form")
	_, err = consumer.New(srv.Client(), "orders", partial, consumer.WithReportBatchItemFailures(true))
	check("a partial handler with the option", err, "partial form")
}

// Consumers that run as one worker share one cap: theirs must be the same.
func TestContractRunAllSharesTheCap(t *testing.T) {
	t.Parallel()
	proves(t, "C13", "L12")
	inContract(t, 1, func(f *field) {
		f.srv.CreateStream("clicks", 1)
		var g gauge
		handle := func(context.Context, events.KinesisEvent) error {
			g.during("one", func() { time.Sleep(time.Second) })
			return nil
		}
		consumerOf := func(stream string, limit int) *consumer.Consumer {
			c, err := consumer.New(f.srv.Client(), stream, handle, f.options(consumer.WithMaxConcurrency(limit), consumer.WithParallelizationFactor(10)))
			if err != nil {
				f.t.Fatal(err)
			}
			return c
		}
		err := consumer.RunAll(context.Background(), consumerOf("orders", 3), consumerOf("clicks", 4))
		if !errors.Is(err, consumer.ErrConfig) || !strings.Contains(err.Error(), "WithMaxConcurrency(4) of clicks: that of orders is 3") {
			t.Errorf("RunAll of consumers with different caps: %v", err)
		}
		for i := range 40 {
			f.put(shard0, fmt.Sprint(i), 1)
			f.srv.Put("clicks", fmt.Sprint(i), nil)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := consumer.RunAll(ctx, consumerOf("orders", 3), consumerOf("clicks", 3)); err != nil || g.peak("") != 3 {
			t.Errorf("RunAll: %v; at most %d handlers ran at once, want 3", err, g.peak(""))
		}
	})
}
