package consumer

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/metrics"
)

const (
	streamARN = `arn:aws:kinesis:us-east-1:123456789012:stream/orders`
	source    = `"EventSourceArn":"` + streamARN + `"`
)

// configured is what New makes of a mapping's JSON and further options.
func configured(text string, opts ...Option) (*Consumer, error) {
	h := func(context.Context, events.KinesisEvent) (r events.KinesisEventResponse, err error) { return r, nil }
	c := struct{ Client }{}
	return New(c, "", h, append([]Option{WithEventSourceMapping(strings.NewReader(text))}, opts...)...)
}

// Each row is a document of one of the tools, and what it sets.
func TestMapping(t *testing.T) {
	for _, rule := range []string{"L7", "L13", "C12"} {
		t.Attr("rule", rule)
	}
	full := `{` + source + `,"UUID":"14e0db71","State":"Disabled","LastModified":"2025-06-12T14:07:21.482+02:00","FunctionArn":"arn:aws:lambda:us-east-1:1:function:f",
		"StartingPosition":"LATEST","BatchSize":200,"MaximumBatchingWindowInSeconds":1,"ParallelizationFactor":4,"BisectBatchOnFunctionError":true,
		"MaximumRetryAttempts":0,"MaximumRecordAgeInSeconds":-1,"TumblingWindowInSeconds":0,"FunctionResponseTypes":["ReportBatchItemFailures"],
		"FilterCriteria":{"Filters":[{"Pattern":"{\"partitionKey\":[\"a\"]}"}]},"LastProcessingResult":"OK","StateTransitionReason":"User action","DestinationConfig":{"OnFailure":{}}}`
	cloud := `{"BatchSize":"200","BisectBatchOnFunctionError":"true","StartingPosition":"AT_TIMESTAMP","StartingPositionTimestamp":1700000000,"Enabled":true`
	for name, tt := range map[string]struct {
		text  string
		start Position
		check func(*config) bool
	}{
		"get-event-source-mapping": {full, At(time.Date(2025, 6, 12, 12, 6, 21, 482e6, time.UTC)), func(c *config) bool {
			return c.batchSize == 200 && c.window == time.Second && c.factor == 4 && c.bisect && c.retries == 0 && c.maxAge == -1 &&
				c.tumbling == 0 && len(c.patterns) == 1 && c.mapping.reports && c.functionARN == "arn:aws:lambda:us-east-1:1:function:f" && c.mappingUUID == "14e0db71"
		}},
		"one of a list":    {`{"EventSourceMappings":[` + full + `]}`, At(time.Date(2025, 6, 12, 12, 6, 21, 482e6, time.UTC)), func(c *config) bool { return c.batchSize == 200 }},
		"time as a number": {`{` + source + `,"State":"Disabled","LastModified":1700000060.5}`, At(time.UnixMilli(1700000000500)), func(c *config) bool { return c.batchSize == 100 }},
		"create input":     {`{` + source + `,"StartingPosition":"LATEST","MaximumRecordAgeInSeconds":60,"Tags":{}}`, Latest(), func(c *config) bool { return c.retries == -1 && c.maxAge == time.Minute }},
		"CloudFormation":   {`{"Type":"AWS::Lambda::EventSourceMapping","Properties":` + cloud + `,` + source + `,"FunctionName":{"Ref":"F"}}}`, At(time.Unix(1700000000, 0)), func(c *config) bool { return c.batchSize == 200 && c.bisect }},
		"properties":       {cloud + `,` + source + `}`, At(time.Unix(1700000000, 0)), func(c *config) bool { return c.functionARN == "shardlane" }},
		"SAM":              {`{"Type":"Kinesis","Properties":{"Stream":"` + streamARN + `","StartingPosition":"TRIM_HORIZON","BatchSize":null}}`, TrimHorizon(), func(c *config) bool { return c.batchSize == 100 }},
	} {
		c, err := configured(tt.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := c.cfg.start; got.kind != tt.start.kind || !got.at.Equal(tt.start.at) || c.stream != streamARN || !tt.check(c.cfg) {
			t.Errorf("%s: start %v of %s, want %v; %+v", name, got, c.stream, tt.start, c.cfg)
		}
	}
}

// Each row is a document, and what the error of New says.
func TestMappingErrors(t *testing.T) {
	for _, rule := range []string{"L7", "L11", "L12"} {
		t.Attr("rule", rule)
	}
	with := func(more string) string { return `{` + source + `,"StartingPosition":"LATEST",` + more + `}` }
	to := func(arn string) string {
		return with(`"DestinationConfig":{"OnFailure":{"Destination":"` + arn + `"}}`)
	}
	for text, want := range map[string]string{
		"": "line 1", "[]": "want a JSON object", "{\n\"a\":}": "line 2", "{} {}": "something follows", `{"a":1,"a":2}`: "a: given twice",
		with(`"Batchsize":1`): "Batchsize: unknown", with(`"BatchSize":0`): "WithBatchSize(0)", with(`"BatchSize":1.5`): "BatchSize: 1.5: want a whole number",
		with(`"BatchSize":{"Ref":"Size"}`): "only CloudFormation can resolve it", with(`"BisectBatchOnFunctionError":1`): "want true or false",
		with(`"FunctionResponseTypes":["Other"]`): "FunctionResponseTypes", with(`"FilterCriteria":{"Filters":[{"pattern":"{}"}]}`): "Filters[0]",
		with(`"FilterCriteria":{"Filters":[{"Pattern":"{}"}]}`): "Invalid filter pattern definition.", with(`"FilterCriteria":[]`): "FilterCriteria",
		with(`"FilterCriteriaError":{"ErrorCode":"x"}`): "FilterCriteriaError", with(`"Queues":["q"]`): "Queues: this is no setting",
		with(`"ScalingConfig":{"MaximumConcurrency":2}`): "ScalingConfig", with(`"DestinationConfig":{"OnSuccess":{"Destination":"arn:aws:sqs:r:1:q"}}`): "OnSuccess",
		with(`"DestinationConfig":{"OnFailure":{"Destination":"arn:aws:sqs:r:1:q","x":1}}`): "OnFailure.x: unknown", with(`"DestinationConfig":1`): "DestinationConfig",
		to("arn:aws:sqs:us-east-1:123456789012:dead"): `consumer.WithOnFailure(sqsdest.New(client, "https://sqs.us-east-1.amazonaws.com/123456789012/dead"))`,
		to("arn:aws:sns:us-east-1:123456789012:dead"): `consumer.WithOnFailure(snsdest.New(client, "arn:aws:sns:us-east-1:123456789012:dead"))`,
		to("arn:aws:s3:::dead"):                       `consumer.WithOnFailure(s3dest.New(client, "dead"))`,
		to("arn:aws:sqs:us-east-1:1:dead.fifo"):       "standard queue",
		to("arn:aws:lambda:us-east-1:1:function:f"):   "standard queue",
		`{` + source + `}`:                            "give WithStartingPosition",
		`{` + source + `,"State":"Enabled","StartingPosition":"LATEST","LastModified":1700000000}`: "give WithStartingPosition",
		`{` + source + `,"State":"Disabled"}`:                                                      "LastModified",
		`{` + source + `,"StartingPosition":"AT_TIMESTAMP"}`:                                       "StartingPositionTimestamp",
		`{` + source + `,"StartingPosition":"LATEST","StartingPositionTimestamp":1}`:               "StartingPositionTimestamp",
		`{` + source + `,"StartingPosition":"EARLIEST"}`:                                           "want TRIM_HORIZON, LATEST or AT_TIMESTAMP",
		`{"EventSourceArn":"arn:aws:sqs:us-east-1:1:q"}`:                                           "want the ARN of a Kinesis stream",
		`{"EventSourceArn":"` + streamARN + `/consumer/c:1"}`:                                      "enhanced fan-out",
		`{"EventSourceMappings":[]}`:                                                               "0 mappings",
		`{"Type":"SQS","Properties":{}}`:                                                           "properties of the type",
		`{"x":"` + strings.Repeat("y", maxMapping) + `"}`:                                          "more than 1048576 bytes",
	} {
		if _, err := configured(text); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.120s: %v, want %q", text, err, want)
		}
	}
	if _, err := configured(`{`+source+`,"State":"Enabled","LastModified":1}`, WithStartingPosition(TrimHorizon())); err != nil {
		t.Error(err)
	}
	deadLetter := batch.DestinationFunc(func(context.Context, *batch.Failure) error { return nil })
	if _, err := configured(to("arn:aws:s3:::dead"), WithOnFailure(deadLetter)); err != nil {
		t.Error(err)
	}
}

// What has no effect here is told of when the consumer starts.
func TestMappingWarnings(t *testing.T) {
	t.Attr("rule", "L12")
	var told []string
	c, err := configured(`{`+source+`,"StartingPosition":"LATEST","Enabled":false,"KMSKeyArn":"arn:aws:kms:k","Tags":{"a":"b"},"MetricsConfig":{"Metrics":["EventCount"]}}`,
		WithEndingPosition(Latest()), WithNotify(func(n Notice) {
			if n.Name == metrics.MappingIgnored.Name {
				told = append(told, n.Detail)
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	c.warn()
	for _, want := range []string{"Enabled", "KMSKeyArn", "Tags", "MetricsConfig", "FunctionResponseTypes"} {
		if !strings.Contains(strings.Join(told, "\n"), want) {
			t.Errorf("nothing is said of %s: %q", want, told)
		}
	}
	if len(told) != 5 {
		t.Errorf("%d warnings: %q", len(told), told)
	}
}

func FuzzMapping(f *testing.F) {
	f.Add(`{` + source + `,"StartingPosition":"LATEST","BatchSize":1}`)
	f.Add(`{"EventSourceMappings":[{"FilterCriteria":{"Filters":[{"Pattern":"{}"}]}}]}`)
	f.Add(`{"Type":"Kinesis","Properties":{"DestinationConfig":{"OnFailure":{"Destination":"arn:aws:sqs:a:b:c"}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := readMapping(strings.NewReader(text))
		if err == nil && m.stream != "" && !validStream(m.stream) {
			t.Errorf("%q has the stream %q", text, m.stream)
		}
		_, _ = configured(text)
	})
}
