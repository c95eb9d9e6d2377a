package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

const mappedSource = `"EventSourceArn": "arn:aws:kinesis:us-east-1:123456789012:stream/orders"`

func withMapping(text string) consumer.Option {
	return consumer.WithEventSourceMapping(strings.NewReader(text))
}

// Violations of a mapping are reported with all others: those of its text, and those of what it sets.
func TestMappingViolations(t *testing.T) {
	t.Attr("rule", "L7")
	t.Attr("rule", "L8")
	t.Attr("rule", "L11")
	t.Attr("rule", "L12")
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	const start = mappedSource + `, "StartingPosition": "TRIM_HORIZON", `
	for _, tt := range []struct {
		text string
		want []string
	}{
		{start + `"BatchSize": 0, "ParallelizationFactor": 0`, []string{"WithBatchSize(0): want 1 to", "WithParallelizationFactor(0): want 1 to"}},
		{start + `"MaximumRecordAgeInSeconds": 0`, []string{"WithMaxRecordAge(0s): want"}},
		{start + `"MaximumRecordAgeInSeconds": 59`, []string{"WithMaxRecordAge(59s): want"}},
		{start + `"MaximumBatchingWindowInSeconds": -1`, []string{"WithBatchingWindow(-1s): want"}},
		{start + `"FilterCriteria": {"Filters": [{"Pattern": "{"}]}`, []string{"WithFilter: ", "Invalid filter pattern definition."}},
		{start + `"Queues": ["q"], "BatchSize": "x", "MaximumRetryAttempts": 10001`, []string{"BatchSize", "Queues", "WithMaxRetryAttempts(10001)"}},
		{start + `"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sns:us-east-1:123456789012:t.fifo"}}`, []string{"FIFO"}},
		{start + `"DestinationConfig": {"OnSuccess": {"Destination": "arn:aws:s3:::b"}}`, []string{"OnSuccess"}},
		{start + `"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::b"}}`, []string{`give consumer.WithOnFailure(s3dest.New(client, "b"))`}},
		{start[:len(start)-2] + `, "StartingPosition": "LATEST"`, []string{"StartingPosition: given twice"}},
		{mappedSource + `, "State": "Enabled", "StartingPosition": "TRIM_HORIZON"`, []string{"give WithStartingPosition"}},
	} {
		_, err := consumer.New(srv.Client(), "", nothing, withMapping("{"+tt.text+"}"), consumer.WithDrainTimeout(-1))
		for _, want := range append(tt.want, "WithDrainTimeout(-1ns)") {
			if !errors.Is(err, consumer.ErrConfig) || !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%s: %v, want ErrConfig with %q", tt.text, err, want)
			}
		}
	}
	if _, err := consumer.New(srv.Client(), "", nothing, withMapping("{"+mappedSource+`, "State": "Enabled"}`), consumer.WithStartingPosition(consumer.Latest())); err != nil {
		t.Errorf("with a starting position: %v", err)
	}
}

// The function of a disabled mapping goes on here: with its filter, its retries, its names, and from where it stopped.
func TestMappingTakesOver(t *testing.T) {
	t.Attr("rule", "C12")
	migrate, err := os.ReadFile("testdata/mapping/migrate.json")
	if err != nil {
		t.Fatal(err)
	}
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	srv.SetClock(-time.Hour)
	srv.Put("orders", "a", []byte(`{"type":"order","id":0}`)) // Lambda had that one
	srv.SetClock(0)
	srv.Put("orders", "a", []byte(`{"type":"order","id":1}`))
	srv.Put("orders", "b", []byte(`{"type":"order","id":2}`))
	srv.Put("orders", "c", []byte(`{"type":"click"}`))
	// The others came before the mapping was disabled, too, but within the margin.
	disabled := time.Now().Add(30 * time.Second).Format("2006-01-02T15:04:05.000000-07:00")
	text := bytes.Replace(migrate, []byte("2025-06-12T14:07:21.482000+02:00"), []byte(disabled), 1)

	var mu sync.Mutex
	handled, warned := map[string]int{}, []string{}
	var failures []*batch.Failure
	handle := func(_ context.Context, r events.KinesisEventRecord) error {
		mu.Lock()
		defer mu.Unlock()
		handled[string(r.Kinesis.Data)]++
		if strings.Contains(string(r.Kinesis.Data), "2") {
			return errors.New("declined")
		}
		return nil
	}
	err = consumer.Run(t.Context(), srv.Client(), "", batch.Each(handle), consumer.WithEventSourceMapping(bytes.NewReader(text)),
		consumer.WithOnFailure(batch.DestinationFunc(func(_ context.Context, f *batch.Failure) error {
			mu.Lock()
			defer mu.Unlock()
			failures = append(failures, f)
			return nil
		})),
		consumer.WithNotify(func(n consumer.Notice) {
			mu.Lock()
			defer mu.Unlock()
			if strings.HasPrefix(n.Name, "Mapping") {
				warned = append(warned, n.Name+": "+n.Detail)
			}
		}),
		consumer.WithBackoff(time.Millisecond, 1, time.Millisecond), consumer.WithEndingPosition(consumer.Latest()))
	if err != nil || len(handled) != 2 || handled[`{"type":"order","id":1}`] != 1 {
		t.Errorf("Run returned %v, handled %v times, want orders 1, once, and 2", err, handled)
	}
	if len(failures) != 1 || failures[0].InvokeCount != 3 || failures[0].FunctionARN != "arn:aws:lambda:us-east-1:123456789012:function:billing" ||
		failures[0].MappingID != "14e0db71-5d35-4eb5-b481-8945cf9d10c2" {
		t.Errorf("given up: %+v", failures)
	}
	if len(warned) != 1 || !strings.HasPrefix(warned[0], "MappingResumed: reading begins at ") {
		t.Errorf("warned of %q, want the starting position", warned)
	}
}

// A mapping says where a group begins, not where it goes on. A starting position behind it says so in its place.
func TestMappingPositionIsTheFirst(t *testing.T) {
	t.Attr("rule", "L13")
	const text = "{" + mappedSource + `, "StartingPosition": "TRIM_HORIZON"}`
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	var handled []string
	handle := func(_ context.Context, ev events.KinesisEvent) error {
		for _, r := range ev.Records {
			handled = append(handled, string(r.Kinesis.Data))
		}
		return nil
	}
	store := new(checkpoint.Memory)
	run := func(group string, more ...consumer.Option) {
		opts := append([]consumer.Option{
			withMapping(text), consumer.WithGroup(group), consumer.WithCheckpointer(store),
			consumer.WithEndingPosition(consumer.Latest()),
		}, more...)
		if err := consumer.Run(t.Context(), srv.Client(), "", handle, opts...); err != nil {
			t.Error(err)
		}
	}
	srv.Put("orders", "a", []byte("1"))
	run("first")
	srv.Put("orders", "a", []byte("2"))
	run("first")
	run("second", consumer.WithStartingPosition(consumer.At(time.Now())))
	if !slices.Equal(handled, []string{"1", "2"}) {
		t.Errorf("handled %q, want each record once", handled)
	}
}

// A start where Lambda stopped is told of aloud, once, while no checkpoint decides, also if the store took the start and did
// not answer; where something else says where reading begins it is not.
func TestMappingResumed(t *testing.T) {
	t.Attr("rule", "C30")
	const text = "{" + mappedSource + `, "State": "Disabled", "LastModified": "2000-01-01T00:30:00Z", "LastProcessingResult": "OK"}`
	position := consumer.WithStartingPosition
	for _, tt := range []struct {
		name string
		opts []consumer.Option
		want []int // by start
	}{
		{"a new group", []consumer.Option{withMapping(text)}, []int{1, 0}},
		{"another position", []consumer.Option{withMapping(text), position(consumer.TrimHorizon())}, []int{0, 0}},
		{"another position in front of it", []consumer.Option{position(consumer.TrimHorizon()), withMapping(text)}, []int{0, 0}},
		{"no such mapping", []consumer.Option{withMapping("{" + mappedSource + `, "StartingPosition": "TRIM_HORIZON"}`)}, []int{0, 0}},
	} {
		for _, faulty := range []bool{false, true} {
			inField(t, 1, func(f *field) {
				f.put(shardID(0), "old", 1)
				time.Sleep(time.Hour)
				store := &forgetful{fieldStore: f.store, on: faulty}
				var out bytes.Buffer
				for i, want := range tt.want {
					out.Reset()
					opts := append([]consumer.Option{f.options()}, tt.opts...)
					opts = append(opts, consumer.WithCheckpointer(store), consumer.WithEndingPosition(consumer.Latest()),
						consumer.WithLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))))
					err := consumer.Run(context.Background(), f.srv.Client(), "orders", f.handle, opts...)
					if got := strings.Count(out.String(), "what Lambda had not handled by then is skipped"); err != nil || got != want {
						t.Errorf("%s, start %d: %v, %d warnings, want %d:\n%s", tt.name, i+1, err, got, want, &out)
					}
				}
				f.since = time.Now()
				if skipped := len(f.seen()) == 0; skipped != (tt.want[0] == 1) {
					t.Errorf("%s: the old record was skipped: %t", tt.name, skipped)
				}
			})
		}
	}
}

// A forgetful store takes the first write and answers with an error.
type forgetful struct {
	*fieldStore
	on bool
}

func (s *forgetful) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	stored, err := s.fieldStore.Swap(ctx, e)
	if s.on && err == nil {
		s.on = false
		return checkpoint.Entry{}, errors.New("timed out")
	}
	return stored, err
}

// FunctionResponseTypes counts for a handler of the JSON form; one whose type says otherwise is told of.
func TestMappingResponseTypes(t *testing.T) {
	t.Attr("rule", "L2")
	const reports = `, "FunctionResponseTypes": ["ReportBatchItemFailures"]`
	whole := func(context.Context, events.KinesisEvent) error { return nil }
	partial := func(context.Context, events.KinesisEvent) (events.KinesisEventResponse, error) {
		return events.KinesisEventResponse{}, nil
	}
	for _, tt := range []struct {
		name, types string
		run         func(context.Context, consumer.Client, ...consumer.Option) error
		warns       bool
	}{
		{"whole", "", runner(whole), false},
		{"whole", reports, runner(whole), true},
		{"partial", "", runner(partial), true},
		{"partial", reports, runner(partial), false},
	} {
		srv := kinesistest.NewServer("orders", 1)
		var warned []string
		err := tt.run(t.Context(), srv.Client(), withMapping("{"+mappedSource+`, "StartingPosition": "TRIM_HORIZON"`+tt.types+"}"),
			consumer.WithEndingPosition(consumer.Latest()), consumer.WithNotify(func(n consumer.Notice) {
				if n.Name == "MappingIgnored" {
					warned = append(warned, n.Detail)
				}
			}))
		srv.Close()
		if err != nil || (len(warned) == 1) != tt.warns || tt.warns && !strings.HasPrefix(warned[0], "FunctionResponseTypes: ") {
			t.Errorf("%s %s: %v, warned of %q", tt.name, tt.types, err, warned)
		}
	}
	for types, want := range map[string]int{"": 1, reports: 2} { // calls
		srv := kinesistest.NewServer("orders", 1)
		srv.Put("orders", "a", []byte("1"))
		calls := 0
		handle := func(_ context.Context, in []byte) ([]byte, error) {
			if calls++; calls > 1 {
				return nil, nil
			}
			_, rest, _ := strings.Cut(string(in), `"sequenceNumber":"`)
			number, _, _ := strings.Cut(rest, `"`)
			return []byte(`{"batchItemFailures":[{"itemIdentifier":"` + number + `"}]}`), nil
		}
		err := consumer.Run(t.Context(), srv.Client(), "", handle, withMapping("{"+mappedSource+`, "StartingPosition": "TRIM_HORIZON"`+types+"}"),
			consumer.WithBackoff(time.Millisecond, 1, time.Millisecond), consumer.WithEndingPosition(consumer.Latest()))
		srv.Close()
		if err != nil || calls != want {
			t.Errorf("a JSON handler %s: %v after %d calls, want %d", types, err, calls, want)
		}
	}
}

func runner[H batch.Func](h H) func(context.Context, consumer.Client, ...consumer.Option) error {
	return func(ctx context.Context, c consumer.Client, opts ...consumer.Option) error {
		return consumer.Run(ctx, c, "", h, opts...)
	}
}
