package consumer_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
	"github.com/shardlane/shardlane/metrics"
)

const mappedStream = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"

// configured is what New makes of a mapping's JSON and further options.
func configured(text string, opts ...consumer.Option) (*consumer.Consumer, error) {
	h := func(context.Context, events.KinesisEvent) (r events.KinesisEventResponse, err error) { return r, nil }
	c := struct{ consumer.Client }{}
	return consumer.New(c, "", h, append([]consumer.Option{withMapping(text)}, opts...)...)
}

// Each row is a document of one of the tools, and the batches that the three records of the stream make with it, an hour
// after they came. The handler takes single records only.
func TestMapping(t *testing.T) {
	for _, rule := range []string{"L7", "L13", "C12"} {
		t.Attr("rule", rule)
	}
	synctest.Test(t, testMapping)
}

func testMapping(t *testing.T) {
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	for _, key := range []string{"good", "bad", "bad"} {
		srv.Put("orders", key, []byte(key))
	}
	time.Sleep(time.Hour)
	printed := func(modified string) string {
		return `{` + mappedSource + `,"UUID":"14e0db71","State":"Disabled","LastModified":"` + modified + `","StartingPosition":"LATEST","BatchSize":2,
			"MaximumRetryAttempts":0,"MaximumRecordAgeInSeconds":-1,"TumblingWindowInSeconds":0,"LastProcessingResult":"OK"}`
	}
	cloud := `{"BatchSize":"2","MaximumRetryAttempts":0,"StartingPosition":"TRIM_HORIZON","Enabled":true,"FunctionName":{"Ref":"F"},` + mappedSource + `}`
	for name, tt := range map[string]struct {
		text string
		want []int
	}{
		"printed":            {printed("2000-01-01T01:00:59.5+01:00"), []int{2, 1}},
		"printed too late":   {printed("2000-01-01T00:02:00Z"), nil},
		"one of a list":      {`{"EventSourceMappings":[` + printed("2000-01-01T00:00:30Z") + `]}`, []int{2, 1}},
		"from the start":     {`{` + mappedSource + `,"StartingPosition":"TRIM_HORIZON","MaximumRetryAttempts":0}`, []int{3}},
		"from the tip":       {`{` + mappedSource + `,"StartingPosition":"LATEST","MaximumRetryAttempts":0}`, nil},
		"from a time":        {`{` + mappedSource + `,"StartingPosition":"AT_TIMESTAMP","StartingPositionTimestamp":946684800,"MaximumRetryAttempts":1}`, []int{3, 3}},
		"too old":            {`{` + mappedSource + `,"StartingPosition":"TRIM_HORIZON","MaximumRecordAgeInSeconds":60}`, nil},
		"bisected":           {`{` + mappedSource + `,"StartingPosition":"TRIM_HORIZON","MaximumRetryAttempts":0,"BisectBatchOnFunctionError":true}`, []int{3, 1, 2, 1, 1}},
		"properties":         {cloud, []int{2, 1}},
		"CloudFormation":     {`{"Type":"AWS::Lambda::EventSourceMapping","Properties":` + cloud + `}`, []int{2, 1}},
		"SAM":                {`{"Type":"Kinesis","Properties":{"Stream":"` + mappedStream + `","StartingPosition":"TRIM_HORIZON","BatchSize":null,"MaximumRetryAttempts":0}}`, []int{3}},
		"filtered":           {`{` + mappedSource + `,"StartingPosition":"TRIM_HORIZON","MaximumRetryAttempts":0,"FilterCriteria":{"Filters":[{"Pattern":"{\"partitionKey\":[\"good\"]}"}]}}`, []int{1}},
		"filtered by nobody": {`{` + mappedSource + `,"StartingPosition":"TRIM_HORIZON","MaximumRetryAttempts":0,"FilterCriteria":{"Filters":[]}}`, []int{3}},
	} {
		var sizes []int
		handle := func(_ context.Context, ev events.KinesisEvent) error {
			sizes = append(sizes, len(ev.Records))
			if len(ev.Records) > 1 {
				return errors.New("too many")
			}
			return nil
		}
		err := consumer.Run(t.Context(), srv.Client(), "", handle, withMapping(tt.text), consumer.WithEndingPosition(consumer.Latest()),
			consumer.WithBackoff(time.Millisecond, 1, time.Millisecond), consumer.WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil || !slices.Equal(sizes, tt.want) {
			t.Errorf("%s: %v, batches of %v, want %v", name, err, sizes, tt.want)
		}
	}
}

// Each row is a document, and what the error of New says.
func TestMappingErrors(t *testing.T) {
	for _, rule := range []string{"L7", "L11", "L12"} {
		t.Attr("rule", rule)
	}
	with := func(more string) string { return `{` + mappedSource + `,"StartingPosition":"LATEST",` + more + `}` }
	to := func(arn string) string {
		return with(`"DestinationConfig":{"OnFailure":{"Destination":"` + arn + `"}}`)
	}
	for text, want := range map[string]string{
		"": "line 1", "[]": "want a JSON object", "{\n\"a\":}": "line 2", "{} {}": "something follows", `{"a":1,"a":2}`: "a: given twice",
		with(`"Batchsize":1`): "Batchsize: unknown", with(`"BatchSize":0`): "WithBatchSize(0)", with(`"BatchSize":1.5`): "BatchSize: 1.5: want a whole number",
		with(`"BatchSize":{"Ref":"Size"}`): "only CloudFormation can resolve it", with(`"BisectBatchOnFunctionError":1`): "want true or false",
		with(`"FunctionResponseTypes":["Other"]`): "FunctionResponseTypes", with(`"FilterCriteria":{"Filters":[{"pattern":"{}"}]}`): "Filters[0]",
		with(`"FilterCriteria":{"Filters":[{"Pattern":"{}"}]}`): "Invalid filter pattern definition.", with(`"FilterCriteria":[]`): "FilterCriteria",
		with(`"FilterCriteriaError":{"ErrorCode":"x"}`): "FilterCriteriaError", with(`"Queues":["q"]`): "Queues: this is a setting of Amazon MQ",
		with(`"ScalingConfig":{"MaximumConcurrency":2}`): "ScalingConfig", with(`"DestinationConfig":{"OnSuccess":{"Destination":"arn:aws:sqs:r:1:q"}}`): "OnSuccess",
		with(`"DestinationConfig":{"OnFailure":{"Destination":"arn:aws:sqs:r:1:q","x":1}}`): "OnFailure.x: unknown", with(`"DestinationConfig":1`): "DestinationConfig",
		to("arn:aws:sqs:us-east-1:123456789012:dead"): `consumer.WithOnFailure(sqsdest.New(client, "https://sqs.us-east-1.amazonaws.com/123456789012/dead"))`,
		to("arn:aws:sns:us-east-1:123456789012:dead"): `consumer.WithOnFailure(snsdest.New(client, "arn:aws:sns:us-east-1:123456789012:dead"))`,
		to("arn:aws:s3:::dead"):                       `consumer.WithOnFailure(s3dest.New(client, "dead"))`,
		to("arn:aws:sqs:us-east-1:1:dead.fifo"):       "standard queue",
		to("arn:aws:lambda:us-east-1:1:function:f"):   "standard queue",
		`{` + mappedSource + `}`:                      "give WithStartingPosition",
		`{` + mappedSource + `,"State":"Enabled","StartingPosition":"LATEST","LastModified":1700000000}`:                             "give WithStartingPosition",
		`{` + mappedSource + `,"State":"Disabled"}`:                                                                                  "LastModified",
		`{` + mappedSource + `,"StartingPosition":"AT_TIMESTAMP"}`:                                                                   "StartingPositionTimestamp",
		`{` + mappedSource + `,"StartingPosition":"LATEST","StartingPositionTimestamp":1}`:                                           "StartingPositionTimestamp",
		`{` + mappedSource + `,"StartingPosition":"EARLIEST"}`:                                                                       "want TRIM_HORIZON, LATEST or AT_TIMESTAMP",
		`{"EventSourceArn":"arn:aws:sqs:us-east-1:1:q"}`:                                                                             "want the ARN of a Kinesis stream",
		`{"EventSourceArn":"` + mappedStream + `/consumer/c"}`:                                                                       "or of a stream consumer",
		`{` + mappedSource + `,"State":"Disabled","LastModified":1700000000,"LastProcessingResult":"PROBLEM: Function call failed"}`: "PROBLEM: Function call failed",
		`{"EventSourceArn":{"Ref":"OrdersArn"},"StartingPosition":"LATEST"}`:                                                         "give New the stream's name or ARN",
		`{"EventSourceMappings":[]}`:                                                                                                 "there is no event source mapping",
		`{"Type":"SQS","Properties":{}}`:                                                                                             "properties of the type",
		`{"x":"` + strings.Repeat("y", 1<<20) + `"}`:                                                                                 "more than 1048576 bytes",
	} {
		if _, err := configured(text); !errors.Is(err, consumer.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.120s: %v, want %q", text, err, want)
		}
	}
	if _, err := configured(`{`+mappedSource+`,"State":"Enabled","LastModified":1}`, consumer.WithStartingPosition(consumer.TrimHorizon())); err != nil {
		t.Error(err)
	}
	if _, err := configured(`{`+mappedSource+`,"State":"Disabled","LastModified":1,"LastProcessingResult":"PROBLEM: Function call failed"}`,
		consumer.WithStartingPosition(consumer.TrimHorizon())); err != nil {
		t.Error(err)
	}
	// What is wrong is said once, and without the name of the package in the middle.
	for _, text := range []string{"EventSourceArn: x", `{"EventSourceArn":{"Ref":"OrdersArn"},"StartingPosition":"LATEST"}`, `{}`} {
		if _, err := configured(text, consumer.WithStartingPosition(consumer.TrimHorizon())); err == nil || strings.Count(err.Error(), "consumer: ") != 1 {
			t.Errorf("%s: %v, want one error", text, err)
		}
	}
	deadLetter := batch.DestinationFunc(func(context.Context, *batch.Failure) error { return nil })
	if _, err := configured(to("arn:aws:s3:::dead"), consumer.WithOnFailure(deadLetter)); err != nil {
		t.Error(err)
	}
}

// What has no effect here is told of when the consumer starts.
func TestMappingWarnings(t *testing.T) {
	t.Attr("rule", "L12")
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	partial := func(context.Context, events.KinesisEvent) (r events.KinesisEventResponse, err error) { return r, nil }
	var told []string
	err := consumer.Run(t.Context(), srv.Client(), "", partial, consumer.WithEndingPosition(consumer.Latest()),
		withMapping(`{`+mappedSource+`,"StartingPosition":"LATEST","Enabled":false,"KMSKeyArn":"arn:aws:kms:k","Tags":{"a":"b"},"MetricsConfig":{"Metrics":["EventCount"]}}`),
		consumer.WithNotify(func(n consumer.Notice) {
			if n.Name == metrics.MappingIgnored.Name {
				told = append(told, n.Detail)
			}
		}))
	if err != nil {
		t.Error(err)
	}
	for _, want := range []string{"Enabled", "KMSKeyArn", "Tags", "MetricsConfig", "FunctionResponseTypes"} {
		if !strings.Contains(strings.Join(told, "\n"), want) {
			t.Errorf("nothing is said of %s: %q", want, told)
		}
	}
	if len(told) != 5 {
		t.Errorf("%d warnings: %q", len(told), told)
	}
}

// What New was given besides counts, and that is told.
func TestMappingGivenBesides(t *testing.T) {
	t.Attr("rule", "L12")
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	types := `{` + mappedSource + `,"StartingPosition":"LATEST","FunctionResponseTypes":{"Fn::If":["Partial",["ReportBatchItemFailures"],[]]}}`
	partial := func(context.Context, events.KinesisEvent) (r events.KinesisEventResponse, err error) { return r, nil }
	for text, want := range map[string]string{
		`{"Stream":"arn:aws:kinesis:us-east-1:123456789012:stream/audit","StartingPosition":"LATEST","FunctionResponseTypes":["ReportBatchItemFailures"]}`: "the mapping reads " +
			"arn:aws:kinesis:us-east-1:123456789012:stream/audit: orders, which New was given, counts",
		types: `FunctionResponseTypes: {"Fn::If":["Partial",["ReportBatchItemFailures"],[]]}: only CloudFormation can resolve it: the handler's type counts`,
	} {
		var told []string
		err := consumer.Run(t.Context(), srv.Client(), "orders", partial, withMapping(text), consumer.WithEndingPosition(consumer.Latest()),
			consumer.WithLogger(slog.New(slog.DiscardHandler)), consumer.WithNotify(func(n consumer.Notice) {
				if n.Name == metrics.MappingIgnored.Name {
					told = append(told, n.Detail)
				}
			}))
		if err != nil || !slices.Equal(told, []string{want}) {
			t.Errorf("%s: %v, told of %q, want %q", text, err, told, want)
		}
	}
	plain := func(_ context.Context, in []byte) ([]byte, error) { return in, nil }
	for _, opts := range [][]consumer.Option{nil, {consumer.WithReportBatchItemFailures(true)}} {
		_, err := consumer.New(srv.Client(), "orders", plain, append(opts, withMapping(types))...)
		if open := err != nil && strings.Contains(err.Error(), "give WithReportBatchItemFailures, or"); open != (opts == nil) || !open && err != nil {
			t.Errorf("a handler of the JSON form with %d options: %v", len(opts), err)
		}
	}
}

func FuzzMapping(f *testing.F) {
	f.Add(`{` + mappedSource + `,"StartingPosition":"LATEST","BatchSize":1}`)
	f.Add(`{"EventSourceMappings":[{"FilterCriteria":{"Filters":[{"Pattern":"{}"}]}}]}`)
	f.Add(`{"Type":"Kinesis","Properties":{"DestinationConfig":{"OnFailure":{"Destination":"arn:aws:sqs:a:b:c"}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := configured(text); (c == nil) == (err == nil) || err != nil && !errors.Is(err, consumer.ErrConfig) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
