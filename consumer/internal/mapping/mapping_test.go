package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

const mappedStream = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"

// said is what a mapping sets, in words; what it does not say is left out.
func said(s Settings) string {
	var words []string
	add := func(name string, value any, said bool) {
		if said {
			words = append(words, fmt.Sprintf("%s %v", name, value))
		}
	}
	add("stream", s.Stream, s.Stream != "")
	one(add, "batch", s.BatchSize)
	one(add, "window", s.BatchingWindow)
	one(add, "factor", s.ParallelizationFactor)
	one(add, "retries", s.RetryAttempts)
	one(add, "age", s.RecordAge)
	one(add, "bisect", s.Bisect)
	one(add, "tumbling", s.TumblingWindow)
	add("patterns", s.Patterns, s.Patterns != nil)
	add("reports", s.Reports, s.Reports)
	add("destination", s.Destination, s.Destination != "")
	add("function", s.Function, s.Function != "")
	add("uuid", s.UUID, s.UUID != "")
	add("needs", "start", s.NeedsStart != "")
	for _, r := range s.Open {
		add("open", r.Option+" "+r.Text, true)
	}
	add("from", s.Start.Position, s.Start.Position != "")
	if !s.Start.At.IsZero() {
		words = append(words, s.Start.At.UTC().Format(time.RFC3339Nano))
	}
	return strings.Join(words, ", ")
}

func one[T any](add func(string, any, bool), name string, v *T) {
	if v != nil {
		add(name, *v, true)
	}
}

func readText(text string) (Settings, error) { return Read(strings.NewReader(text)) }

func TestMappingSources(t *testing.T) {
	t.Attr("rule", "L7")
	t.Attr("rule", "C12")
	migrate, err := os.ReadFile("../../testdata/mapping/migrate.json")
	if err != nil {
		t.Fatal(err)
	}
	printed := "stream " + mappedStream + ", batch 200, window 1s, factor 4, retries 2, age -1ns, bisect true, tumbling 0s, " +
		`patterns [{"data":{"type":["order"]}}], reports true, destination arn:aws:sqs:us-east-1:123456789012:billing-dead-letters, ` +
		"function arn:aws:lambda:us-east-1:123456789012:function:billing, uuid 14e0db71-5d35-4eb5-b481-8945cf9d10c2, "
	stopped := printed + "from AT_TIMESTAMP, 2025-06-12T12:06:21.482Z" // a minute before LastModified
	created := `{"FunctionName": "billing", "EventSourceArn": "` + mappedStream + `", "Enabled": true, "BatchSize": 100, "MaximumRetryAttempts": 0,
		"StartingPosition": "TRIM_HORIZON", "DestinationConfig": {"OnSuccess": {}, "OnFailure": {}}, "Queues": [], "Topics": null, "Tags": {}}`
	quoted := `{"EventSourceArn": "` + mappedStream + `", "FunctionName": {"Ref": "Billing"}, "BatchSize": "500", "BisectBatchOnFunctionError": "true",
		"Enabled": {"Fn::If": ["On", true, false]}, "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": "1541139109",
		"TumblingWindowInSeconds": "0", "MaximumRecordAgeInSeconds": "-1"}`
	sam := `{"Stream": "` + mappedStream + `", "StartingPosition": "LATEST", "Enabled": true, "TumblingWindowInSeconds": 60, "MaximumRecordAgeInSeconds": 3600,
		"DestinationConfig": {"OnFailure": {"Type": "SNS", "Destination": "arn:aws:sns:us-east-1:123456789012:dead-letters"}},
		"FilterCriteria": {"Filters": [{"Pattern": "{\"a\":[1]}"}, {"Pattern": "{\"b\":[2]}"}]}, "FunctionResponseTypes": []}`
	short := `{"State": "Disabled", "LastModified": 1541139109.412, "StartingPosition": "LATEST"}`
	for _, tt := range []struct{ name, text, want string }{
		{"printed, disabled", string(migrate), stopped},
		{"printed, enabled", strings.Replace(string(migrate), "Disabled", "Enabled", 1), printed + "needs start"},
		{"printed and shortened", short, "from AT_TIMESTAMP, 2018-11-02T06:10:49.412Z"},
		{"a list", `{"EventSourceMappings": [{"EventSourceArn": "arn:aws:sqs:us-east-1:123456789012:q", "Queues": ["x"]}, ` + string(migrate) + `]}`, stopped},
		{"create", created, "stream " + mappedStream + ", batch 100, retries 0, from TRIM_HORIZON"},
		{"CloudFormation", quoted, "stream " + mappedStream + ", batch 500, age -1ns, bisect true, tumbling 0s, " +
			`open WithFunctionARN FunctionName: {"Ref":"Billing"}: only CloudFormation can resolve it, ` + "from AT_TIMESTAMP, 2018-11-02T06:11:49Z"},
		{
			"a resource of CloudFormation", `{"Type": "AWS::Lambda::EventSourceMapping", "DependsOn": "Role", "Properties": ` + quoted + `}`,
			"stream " + mappedStream + ", batch 500, age -1ns, bisect true, tumbling 0s, " +
				`open WithFunctionARN FunctionName: {"Ref":"Billing"}: only CloudFormation can resolve it, ` + "from AT_TIMESTAMP, 2018-11-02T06:11:49Z",
		},
		{
			"SAM", sam, "stream " + mappedStream + `, age 1h0m0s, tumbling 1m0s, patterns [{"a":[1]} {"b":[2]}], ` +
				"destination arn:aws:sns:us-east-1:123456789012:dead-letters, from LATEST",
		},
		{
			"an event of SAM", `{"Type": "Kinesis", "Properties": ` + created[:1] + `"Stream": null, ` + created[1:] + `}`,
			"stream " + mappedStream + ", batch 100, retries 0, from TRIM_HORIZON",
		},
		{"nothing", "{}", "needs start"},
	} {
		m, err := readText(tt.text)
		if got := said(m); err != nil || got != tt.want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", tt.name, err, got, tt.want)
		}
	}
}

// A field that is given is literal, and an absent one sets nothing.
func TestMappingFields(t *testing.T) {
	t.Attr("rule", "L7")
	const function = "arn:aws:lambda:us-east-1:123456789012:function:billing:7"
	for _, tt := range []struct{ field, want string }{ // want: what is set, or "!" and a part of the error for each violation
		{`"BatchSize": 0`, "batch 0"},
		{`"BatchSize": null`, ""},
		{`"BatchSize": "1\u0030"`, "batch 10"},
		{`"BatchSize": {"Ref": "AWS::NoValue"}`, ""},
		{`"BatchSize": 1.5`, "!BatchSize: 1.5: want a whole number"},
		{`"BatchSize": "many"`, `!BatchSize: "many": want a whole number`},
		{`"BatchSize": [1]`, "!BatchSize: [1]: want a whole number"},
		{`"BatchSize": 99999999999`, "!BatchSize: 99999999999: out of range"},
		{`"BatchSize": {"Ref": "Size"}`, `open WithBatchSize BatchSize: {"Ref":"Size"}: only CloudFormation can resolve it`},
		{`"MaximumBatchingWindowInSeconds": 5`, "window 5s"},
		{`"MaximumBatchingWindowInSeconds": -1`, "window -1s"},
		{`"MaximumBatchingWindowInSeconds": 36028797018963973`, "!MaximumBatchingWindowInSeconds: 36028797018963973: out of range"}, // would wrap to 5 s
		{`"ParallelizationFactor": 0`, "factor 0"},
		{`"ParallelizationFactor": 10`, "factor 10"},
		{`"MaximumRetryAttempts": 0`, "retries 0"},
		{`"MaximumRetryAttempts": -1`, "retries -1"},
		{`"MaximumRecordAgeInSeconds": 0`, "age 0s"},
		{`"MaximumRecordAgeInSeconds": -1`, "age -1ns"},
		{`"MaximumRecordAgeInSeconds": -2`, "age -2s"},
		{`"BisectBatchOnFunctionError": true`, "bisect true"},
		{`"BisectBatchOnFunctionError": "false"`, "bisect false"},
		{`"BisectBatchOnFunctionError": 1`, "!BisectBatchOnFunctionError: 1: want true or false"},
		{`"BisectBatchOnFunctionError": {"Ref": "B"}`, `open WithBisectOnError BisectBatchOnFunctionError: {"Ref":"B"}: only CloudFormation can resolve it`},
		{`"TumblingWindowInSeconds": 60`, "tumbling 1m0s"},
		{`"FunctionResponseTypes": ["ReportBatchItemFailures"]`, "reports true"},
		{`"FunctionResponseTypes": []`, ""},
		{`"FunctionResponseTypes": ["Report"]`, `!FunctionResponseTypes: "Report": want "ReportBatchItemFailures"`},
		{
			`"FunctionResponseTypes": ["ReportBatchItemFailures", "ReportBatchItemFailures"]`,
			strings.Repeat(`!FunctionResponseTypes: "ReportBatchItemFailures": want "ReportBatchItemFailures" once`, 2),
		},
		{`"FunctionResponseTypes": "ReportBatchItemFailures"`, `!FunctionResponseTypes: "ReportBatchItemFailures": want a list`},
		{`"FunctionResponseTypes": {"Fn::If": []}`, `open WithReportBatchItemFailures FunctionResponseTypes: {"Fn::If":[]}: only CloudFormation can resolve it`},
		{`"FilterCriteria": {}`, "patterns []"},
		{`"FilterCriteria": {"Filters": []}`, "patterns []"},
		{`"FilterCriteria": {"Filters": [{"Pattern": "p"}]}`, "patterns [p]"},
		{`"FilterCriteria": {"Filters": [{}, {"Pattern": {}}, null]}`, "!FilterCriteria.Filters[0]: want a Pattern" +
			"!FilterCriteria.Filters[1].Pattern: {}: want a string!FilterCriteria.Filters[2]: null: want a JSON object"},
		{`"FilterCriteria": {"Filter": [], "Filters": {}}`, "!FilterCriteria.Filters: {}: want a list!FilterCriteria.Filter: unknown ([])"},
		{`"FilterCriteria": {"Filters": [{"Pattern": "p", "pattern": "q"}]}`, `!FilterCriteria.Filters[0].pattern: unknown ("q"): want Pattern`},
		{`"FilterCriteria": {"Fn::If": []}`, `open WithFilter FilterCriteria: {"Fn::If":[]}: only CloudFormation can resolve it`},
		{
			`"FilterCriteria": {"Filters": [{"Pattern": "p"}, {"Pattern": {"Fn::Sub": "q"}}]}`,
			`open WithFilter FilterCriteria.Filters[1].Pattern: {"Fn::Sub":"q"}: only CloudFormation can resolve it`,
		},
		{`"FilterCriteriaError": {"Ref": "E"}`, `!FilterCriteriaError: {"Ref":"E"}: AWS could not read the patterns`},
		{`"FilterCriteriaError": {"ErrorCode": "KMSAccessDenied"}`, `!FilterCriteriaError: {"ErrorCode":"KMSAccessDenied"}: AWS could not read the patterns`},
		{`"FilterCriteriaError": null`, ""},
		{`"FunctionName": "` + function + `"`, "function " + function},
		{`"FunctionName": "123456789012:function:billing"`, ""},
		{`"BatchSizes": 7`, "!BatchSizes: unknown (7): correct its name, or leave it out"},
		{`"batchSize": 7`, "!batchSize: unknown (7): want BatchSize"},
		{`"BatchSize": 7, "Stream": "` + mappedStream + `"`, "!Stream: \"" + mappedStream + "\": there is EventSourceArn, too: give one of them"},
		{`"Enabled": "yes"`, `!Enabled: "yes": want true or false`},
		{`"State": null, "UUID": null, "LastModified": null`, ""},
		{`"Queues": ["q"]`, `!Queues: this is a setting of Amazon MQ (["q"]), and none of a Kinesis stream`},
		{`"Topics": ["t"]`, "!Topics: this is a setting of Kafka"},
		{`"SourceAccessConfigurations": [{"Type": "VPC_SUBNET"}]`, "!SourceAccessConfigurations: this is a setting of Kafka, Amazon MQ and DocumentDB"},
		{`"SelfManagedEventSource": {"Endpoints": {}}`, "!SelfManagedEventSource: this is a setting of Kafka"},
		{`"AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"}`, "!AmazonManagedKafkaEventSourceConfig: this is a setting of Kafka"},
		{`"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"}`, "!SelfManagedKafkaEventSourceConfig: this is a setting of Kafka"},
		{`"DocumentDBEventSourceConfig": {"DatabaseName": "d"}`, "!DocumentDBEventSourceConfig: this is a setting of DocumentDB"},
		{`"ScalingConfig": {"MaximumConcurrency": 5}`, "!ScalingConfig: this is a setting of SQS"},
		{`"ProvisionedPollerConfig": {"MinimumPollers": 1}`, "!ProvisionedPollerConfig: this is a setting of Kafka and SQS"},
		{`"LoggingConfig": {"SystemLogLevel": "DEBUG"}`, "!LoggingConfig: this is a setting of Kafka"},
	} {
		m, err := readText(`{"EventSourceArn": "` + mappedStream + `", "StartingPosition": "TRIM_HORIZON", ` + tt.field + `}`)
		want := strings.Split(tt.want, "!")
		check(t, tt.field, err, want[1:])
		m.Stream = ""
		if got := strings.TrimSuffix(strings.TrimSuffix(said(m), "from TRIM_HORIZON"), ", "); len(want) == 1 && got != tt.want {
			t.Errorf("%s: sets %q, want %q", tt.field, got, tt.want)
		}
		if len(m.Warnings) > 0 {
			t.Errorf("%s: warns of %q", tt.field, m.Warnings)
		}
	}
}

// check holds an error to one line for each violation.
func check(t *testing.T, what string, err error, want []string) {
	t.Helper()
	var lines []string
	if err != nil {
		lines = strings.Split(err.Error(), "\n")
	}
	if len(lines) != len(want) {
		t.Errorf("%s: %d violations, want %d:\n%v", what, len(lines), len(want), err)
		return
	}
	for i, w := range want {
		if !strings.HasPrefix(lines[i], w) {
			t.Errorf("%s: %q, want %q", what, lines[i], w)
		}
	}
}

func TestMappingStreams(t *testing.T) {
	for arn, want := range map[string]string{
		`"` + mappedStream + `"`:                                               "",
		`"arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a"`:                "",
		`"` + mappedStream + `/consumer/billing:1541139109"`:                   "",
		`"` + mappedStream + `/consumer/billing"`:                              "or of a stream consumer",
		`"` + mappedStream + `/consumer/billing:x"`:                            "or of a stream consumer",
		`"` + mappedStream + `/consumer/:1541139109"`:                          "or of a stream consumer",
		`"arn:aws:rds:us-east-1:123456789012:cluster:c"`:                       " is a DocumentDB cluster: want the ARN of a Kinesis stream",
		`"arn:aws:new:us-east-1:123456789012:x"`:                               " is of service new: want the ARN of a Kinesis stream",
		`"orders"`:                                                             `?"orders": this is no ARN`,
		`"arn:aws:kinesis:us-east-1:123456789012:orders"`:                      "want the ARN of a Kinesis stream",
		`"arn:aws:sqs:us-east-1:123456789012:q"`:                               " is an SQS queue: want the ARN of a Kinesis stream",
		`"arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/2025:00"`:     " is a DynamoDB stream: want the ARN of a Kinesis stream",
		`"arn:aws:kafka:us-east-1:123456789012:cluster/c/1"`:                   " is an MSK cluster, for Kafka topics: want the ARN of a Kinesis stream",
		`"arn:aws:kinesisvideo:us-east-1:123456789012:stream/kinesis:kinesis"`: " is a Kinesis video stream: want the ARN of a Kinesis stream",
		`{"Fn::GetAtt": ["Orders", "Arn"]}`:                                    `?{"Fn::GetAtt":["Orders","Arn"]}: only CloudFormation can resolve it`,
		`{"Fn::Join": ["", ["arn:aws:kinesis:", {"Ref": "AWS::Region"}]]}`:     `?{"Fn::Join":["",["arn:aws:kinesis:",{"Ref":"AWS::Region"}]]}: only CloudFormation can resolve it`,
		`7`: "want a string",
	} {
		for _, key := range []string{"EventSourceArn", "Stream"} {
			m, err := readText(`{"` + key + `": ` + arn + `}`)
			if want == "" && (err != nil || `"`+m.Stream+`"` != arn) {
				t.Errorf("%s %s: stream %q, %v", key, arn, m.Stream, err)
			}
			if open, ok := strings.CutPrefix(want, "?"); ok {
				if err != nil || len(m.Open) != 1 || m.Open[0] != (Reference{Text: key + ": " + open}) {
					t.Errorf("%s %s: %v, open %q, want %q", key, arn, err, m.Open, open)
				}
				continue
			}
			if want != "" && (err == nil || m.Stream != "" || !strings.HasPrefix(err.Error(), key+": ") || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s %s: stream %q, %v; want %q", key, arn, m.Stream, err, want)
			}
		}
	}
}

func TestMappingPositions(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`"StartingPosition": "TRIM_HORIZON"`, "from TRIM_HORIZON"},
		{`"StartingPosition": "LATEST"`, "from LATEST"},
		{`"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1541139109`, "from AT_TIMESTAMP, 2018-11-02T06:11:49Z"},
		{`"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1.541139109412E9`, "from AT_TIMESTAMP, 2018-11-02T06:11:49.412Z"},
		{`"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": "2025-06-12T14:07:21+02:00"`, "from AT_TIMESTAMP, 2025-06-12T12:07:21Z"},
		{`"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1541139109412`, "!StartingPositionTimestamp: 1541139109412: want a time"},
		{`"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": "2025-06-12T14:07:21"`, "!StartingPositionTimestamp: \"2025-06-12T14:07:21\": want a time"},
		{`"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": "NaN"`, "!StartingPositionTimestamp: \"NaN\": want a time"},
		{`"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": -1`, "!StartingPositionTimestamp: -1: want a time"},
		{`"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": {"Ref": "T"}`, `open WithStartingPosition StartingPositionTimestamp: {"Ref":"T"}: only CloudFormation can resolve it`},
		{`"StartingPosition": "AT_TIMESTAMP"`, "!StartingPosition: AT_TIMESTAMP: want StartingPositionTimestamp"},
		{`"StartingPosition": "LATEST", "StartingPositionTimestamp": 1`, "!StartingPositionTimestamp: 1 with StartingPosition LATEST"},
		{`"StartingPositionTimestamp": 1`, "!StartingPositionTimestamp: 1 without StartingPosition: want AT_TIMESTAMP"},
		{`"StartingPosition": "latest"`, `!StartingPosition: "latest": want TRIM_HORIZON, LATEST or AT_TIMESTAMP`},
		{`"StartingPosition": {"Ref": "P"}`, `open WithStartingPosition StartingPosition: {"Ref":"P"}: only CloudFormation can resolve it`},
		{`"StartingPosition": 5`, "!StartingPosition: 5: want a string"},
		{``, "needs start"},
		// What exists does not begin again.
		{`"State": "Enabled", "StartingPosition": "LATEST"`, "needs start"},
		{`"State": "Enabled", "StartingPosition": 5, "StartingPositionTimestamp": "never", "LastModified": "then"`, "needs start"},
		{`"State": "Disabling", "LastModified": 1541139109`, "needs start"},
		{`"LastModified": 1541139109, "StartingPosition": "TRIM_HORIZON"`, "needs start"},
		{`"LastProcessingResult": "OK", "StartingPosition": "TRIM_HORIZON"`, "needs start"},
		{`"State": "Disabled", "StartingPosition": "LATEST"`, "needs start"},
		{`"State": "Disabled", "LastModified": {"Ref": "T"}`, `!LastModified: {"Ref":"T"}: only CloudFormation can resolve it: write the value that it has`},
		{`"State": "Disabled", "LastModified": 1541139109`, "from AT_TIMESTAMP, 2018-11-02T06:10:49Z"},
		{`"State": "Disabled", "LastModified": "2025-06-12T14:07:21.482000+02:00"`, "from AT_TIMESTAMP, 2025-06-12T12:06:21.482Z"},
		{`"State": "Disabled", "LastModified": "2025-06-12 14:07:21.482000+02:00"`, "from AT_TIMESTAMP, 2025-06-12T12:06:21.482Z"},
		{`"State": "Disabled", "LastModified": 1541139109, "LastProcessingResult": "OK"`, "from AT_TIMESTAMP, 2018-11-02T06:10:49Z"},
		{`"State": "Disabled", "LastModified": 1541139109, "LastProcessingResult": "No records processed"`, "from AT_TIMESTAMP, 2018-11-02T06:10:49Z"},
		{`"State": "Disabled", "LastModified": 1541139109, "LastProcessingResult": ""`, "from AT_TIMESTAMP, 2018-11-02T06:10:49Z"},
		{`"State": "Disabled", "LastModified": 1541139109, "LastProcessingResult": null`, "from AT_TIMESTAMP, 2018-11-02T06:10:49Z"},
		{`"State": "Disabled", "LastModified": 1541139109, "LastProcessingResult": "PROBLEM: Function call failed"`, "needs start"},
		{`"State": "Disabled", "LastModified": 1541139109, "LastProcessingResult": "a word of next year"`, "needs start"},
		{`"State": "Disabled", "LastModified": 1541139109, "LastProcessingResult": 7`, "needs start"},
		{`"State": "Disabled", "LastModified": "yesterday"`, `!LastModified: "yesterday": want a time`},
	} {
		m, err := readText("{" + tt.text + "}")
		want := strings.Split(tt.want, "!")
		check(t, tt.text, err, want[1:])
		if got := said(m); len(want) == 1 && got != tt.want || len(want) > 1 && got != "" {
			t.Errorf("%s: %s, want %s", tt.text, got, tt.want)
		}
	}
}

func TestMappingDestinations(t *testing.T) {
	t.Attr("rule", "L11")
	for _, tt := range []struct{ config, want string }{ // want: the line, or "!" and a part of the error for each violation
		{`{}`, ""},
		{`{"OnFailure": {}, "OnSuccess": {}}`, ""},
		{`{"OnFailure": null, "OnSuccess": {"Destination": null}}`, ""},
		{`{"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:123456789012:q"}}`, `sqsdest.New(client, "https://sqs.us-east-1.amazonaws.com/123456789012/q")`},
		{`{"OnFailure": {"Destination": "arn:aws-cn:sqs:cn-north-1:123456789012:q"}}`, `sqsdest.New(client, "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q")`},
		{`{"OnFailure": {"Type": "SNS", "Destination": "arn:aws:sns:us-east-1:123456789012:t"}}`, `snsdest.New(client, "arn:aws:sns:us-east-1:123456789012:t")`},
		{`{"OnFailure": {"Destination": "arn:aws:s3:::dead.fifo"}}`, `s3dest.New(client, "dead.fifo")`},
		{`{"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:123456789012:q.fifo"}}`, `!DestinationConfig.OnFailure.Destination: "arn:aws:sqs:us-east-1:123456789012:q.fifo": want a standard queue or topic`},
		{`{"OnFailure": {"Destination": "arn:aws:sns:us-east-1:123456789012:t.fifo"}}`, `!DestinationConfig.OnFailure.Destination: "arn:aws:sns:us-east-1:123456789012:t.fifo": want a standard queue or topic`},
		{`{"OnFailure": {"Destination": "arn:aws:sqs:us-east-1::q"}}`, `!DestinationConfig.OnFailure.Destination: "arn:aws:sqs:us-east-1::q": want an ARN as arn:aws:sqs:`},
		{`{"OnFailure": {"Destination": "arn:aws:s3:::bucket/key"}}`, `!DestinationConfig.OnFailure.Destination: "arn:aws:s3:::bucket/key": want the ARN of a bucket`},
		{`{"OnFailure": {"Destination": "arn:aws:events:us-east-1:123456789012:event-bus/b"}}`, `!DestinationConfig.OnFailure.Destination: "arn:aws:events:us-east-1:123456789012:event-bus/b" is an event bus: want the ARN of a standard queue`},
		{`{"OnFailure": {"Destination": "kafka://dead"}}`, `!DestinationConfig.OnFailure.Destination: "kafka://dead" is a Kafka topic: want the ARN of a standard queue`},
		{`{"OnFailure": {"Destination": "dead-letters"}}`, `?DestinationConfig.OnFailure.Destination: "dead-letters": this is no ARN`},
		{`{"OnFailure": {"Destination": {"Fn::GetAtt": ["Q", "Arn"]}}}`, `?DestinationConfig.OnFailure.Destination: {"Fn::GetAtt":["Q","Arn"]}: only CloudFormation can resolve it`},
		{`{"OnFailure": {"Destination": {"Ref": "AWS::NoValue"}}}`, ""},
		{`{"Fn::If": ["On", {}, {}]}`, `?DestinationConfig: {"Fn::If":["On",{},{}]}: only CloudFormation can resolve it`},
		{`{"OnSuccess": {"Destination": {"Ref": "Q"}}}`, `!DestinationConfig.OnSuccess.Destination: {"Ref":"Q"}: only CloudFormation can resolve it: write the value`},
		{`{"OnFailure": [], "OnFail": 1}`, `!DestinationConfig.OnFailure: []: want a JSON object!DestinationConfig.OnFail: unknown (1)`},
		{`{"OnFailure": {"destination": "arn:aws:s3:::b"}}`, `!DestinationConfig.OnFailure.destination: unknown ("arn:aws:s3:::b"): want Destination`},
		{`{"OnSuccess": {"Destination": "arn:aws:s3:::b"}}`, `!DestinationConfig.OnSuccess.Destination: "arn:aws:s3:::b": a stream has no destination for successes`},
		{`"arn:aws:s3:::b"`, `!DestinationConfig: "arn:aws:s3:::b": want a JSON object`},
	} {
		m, err := readText(`{"DestinationConfig": ` + tt.config + `}`)
		want := strings.Split(tt.want, "!")
		check(t, tt.config, err, want[1:])
		switch open, ok := strings.CutPrefix(tt.want, "?"); {
		case ok:
			if len(m.Open) != 1 || m.Open[0] != (Reference{"WithOnFailure", open}) {
				t.Errorf("%s: open %q, want %q", tt.config, m.Open, open)
			}
		case len(want) > 1 || tt.want == "":
			if m.Destination != "" {
				t.Errorf("%s: destination %q, want none", tt.config, m.Destination)
			}
		case DestinationLine(m.Destination) != "consumer.WithOnFailure("+tt.want+")":
			t.Errorf("%s: %s, want %s", tt.config, DestinationLine(m.Destination), tt.want)
		}
	}
}

func TestMappingIgnored(t *testing.T) {
	for _, tt := range []struct{ fields, want string }{
		{`"Enabled": true, "Tags": {}, "MetricsConfig": null, "KMSKeyArn": null`, ""},
		{`"Enabled": {"Ref": "On"}`, ""},
		{`"Enabled": "false"`, "Enabled: false has no meaning here"},
		{`"KMSKeyArn": "arn:aws:kms:us-east-1:123456789012:key/k"`, "KMSKeyArn has no meaning here"},
		{`"KmsKeyArn": {"Fn::GetAtt": ["Key", "Arn"]}`, "KmsKeyArn has no meaning here"},
		{`"MetricsConfig": {"Metrics": ["EventCount"]}`, "MetricsConfig has no meaning here"},
		{`"Tags": {"n": 1e999}`, "Tags has no meaning here"},
		{`"Tags": [{"Key": "a", "Value": "b"}]`, "Tags has no meaning here"},
		{`"State": "Disabled", "LastModified": 1541139109, "StartingPosition": "LATEST"`, ""},
		{`"ResultMetadata": {}, "$metadata": {"httpStatusCode": 200}, "ResponseMetadata": {"RetryAttempts": 0}, "HttpStatusCode": 200, "ContentLength": 1`, ""},
		{`"State": "Enabled", "StateTransitionReason": "User action", "LastProcessingResult": "OK", "EventSourceMappingArn": "arn"`, ""},
	} {
		m, err := readText("{" + tt.fields + "}")
		if got := strings.Join(m.Warnings, "; "); err != nil || !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: %v, warns of %q, want %q", tt.fields, err, got, tt.want)
		}
	}
}

func TestMappingDocuments(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", "not JSON at line 1, offset 0"},
		{"{\n\"BatchSize\": 1,\n}", "not JSON at line 3, offset 18"},
		{`{"BatchSize": 1`, "not JSON at line 1, offset"},
		{`{} {}`, "not JSON at line 1, offset 2: something follows"},
		{"{}\v", "not JSON at line 1, offset 2: something follows"}, // which is no white space of JSON
		{"{}\u00a0\n", "not JSON at line 1, offset 2: something follows"},
		{"Type: AWS::Lambda::EventSourceMapping", "this is YAML, want JSON: "},
		{"\n# mine\nBatchSize: 100\n", "this is YAML, want JSON: "},
		{"---\n{}", "this is YAML"},
		{"EventSourceMappings:\n- BatchSize: 100\n", "this is YAML"},
		{"- 'BatchSize': 100\n", "this is YAML"},
		{"An error occurred: no", "not JSON at line 1, offset 0"},
		{"https://example.com", "not JSON at line 1, offset 0"},
		{"{\"BatchSize\": \"\xe9\"}", "the byte at offset 15 is not UTF-8"},
		{"\xff\xfe{", "a part of a character is missing in UTF-16"},
		{"\xff\xfe\x00\xd8", "a part of a character is missing in UTF-16"},
		{"[]", "[]: want a JSON object"},
		{"null", "null: want a JSON object"},
		{strings.Repeat("[", 20_000), "not JSON"},
		{"{" + strings.Repeat(" ", maxSize) + "}", "more than 1048576 bytes"},
		{"{\"BatchSize\": 1,\n\"BatchSize\": 1e999}", "BatchSize: given twice in one object, again at line 2"},
		{`{"Tags": [{"Key": 1, "\u004bey": 1}]}`, "Key: given twice"},
		{`{"EventSourceMappings": []}`, "EventSourceMappings: there is no event source mapping"},
		{
			`{"EventSourceMappings": [{"EventSourceArn": "` + mappedStream + `", "UUID": "1-2"}, {"EventSourceArn": "` + mappedStream + `"}]}`,
			"EventSourceMappings: 2 mappings of Kinesis streams: give one of EventSourceMappings[0] 1-2, EventSourceMappings[1]",
		},
		{
			`{"EventSourceMappings": [{"EventSourceArn": "arn:aws:sqs:us-east-1:123456789012:q", "UUID": "1-2"}, {"Topics": ["t"]}]}`,
			"EventSourceMappings: no mapping of a Kinesis stream, but EventSourceMappings[0] 1-2 (an SQS queue), EventSourceMappings[1] (Kafka topics)",
		},
		{`{"EventSourceMappings": {}}`, "EventSourceMappings: {}: want a list"},
		{`{"EventSourceMappings": [7, {"EventSourceArn": "` + mappedStream + `"}]}`, "EventSourceMappings[0]: 7: want a JSON object"},
		{`{"EventSourceMappings": [{"EventSourceArn": "` + mappedStream + `"}], "NextMarker": "m"}`, "NextMarker: the list goes on"},
		{`{"EventSourceMappings": [{"EventSourceArn": "` + mappedStream + `"}], "BatchSize": 1}`, "BatchSize: unknown (1)"},
		{`{"Type": "AWS::Lambda::Function", "Properties": {}}`, `properties of the type "AWS::Lambda::Function": want "AWS::Lambda::EventSourceMapping"`},
		{`{"Properties": {}}`, "properties of the type nothing: want"},
		{`{"Type": "Kinesis", "Properties": []}`, "Properties: []: want a JSON object"},
		{`{"Type": "Kinesis", "Properties": {}, "BatchSize": 1}`, "BatchSize: unknown (1)"},
		{`{"Resources": {"` + strings.Repeat("é", 100) + `": {}}}`, "Resources: there is no event source mapping"},
		{`{"Resource": {"` + strings.Repeat("é", 100) + `": {}}}`, `Resource: unknown ({"é`},
	} {
		_, err := readText(tt.text)
		check(t, fmt.Sprintf("%.60s", tt.text), err, []string{tt.want})
	}
	broken := errors.New("broken pipe")
	if _, err := Read(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v, want its error", err)
	}
}

// What is read is what is written, whatever it is: it never panics, says all or nothing of the position, and gives lines
// that are Go.
func FuzzReadMapping(f *testing.F) {
	migrate, err := os.ReadFile("../../testdata/mapping/migrate.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(migrate)
	for _, seed := range []string{
		`{"EventSourceMappings": [{"EventSourceArn": "` + mappedStream + `"}]}`,
		`{"Type": "Kinesis", "Properties": {"Stream": "` + mappedStream + `", "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": "1e9"}}`,
		`{"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::b\"\u0000"}}, "BatchSize": {"Ref": "A"}, "Tags": {"a": {"a": 1, "a": 2}}}`,
		`{"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}, "MaximumRecordAgeInSeconds": "-1", "FunctionResponseTypes": ["ReportBatchItemFailures"]}`,
		"\ufeff" + `{"Resources": {"A": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {"EventSourceArn": {"Ref": "S"}, "FunctionName": {"Ref": "F"}}}}}`,
		`{"Type": "AWS::Serverless::Function", "Properties": {"Events": {"S": {"Type": "Kinesis", "Properties": {"BatchSize": {"Ref": "AWS::NoValue"}}}}}}`,
		"\xff\xfe{\x00}\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		if given := m.Start.Position != ""; given == (m.NeedsStart != "" || m.Refers("WithStartingPosition")) {
			t.Errorf("a position is given: %t, and needed: %q, %q", given, m.NeedsStart, m.Open)
		}
		for _, r := range m.Open {
			if option, ok := optionOf(r.Text); !ok || option != r.Option {
				t.Errorf("open: %q", r)
			}
		}
		if m.Stream != "" && (!ValidStream(m.Stream) || !strings.HasPrefix(m.Stream, "arn:")) {
			t.Errorf("stream %q", m.Stream)
		}
		if _, err := parser.ParseExpr(DestinationLine(m.Destination)); m.Destination != "" && err != nil {
			t.Errorf("the line for %q is no Go: %v", m.Destination, err)
		}
		var spread bytes.Buffer
		plain, err := read(bytes.NewReader(text))
		if err == nil {
			err = json.Indent(&spread, plain, "\t", " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		if spread.Len() > maxSize {
			return
		}
		again, err := Read(&spread)
		if err != nil || said(again) != said(m) || !slices.Equal(again.Warnings, m.Warnings) {
			t.Errorf("with more spaces: %v\n%s\n%s", err, said(m), said(again))
		}
	})
}

// A time that a mapping names is not rounded on its way.
func TestMappingTimes(t *testing.T) {
	want := time.Date(2025, 6, 12, 12, 7, 21, 482_000_000, time.UTC)
	for _, text := range []string{`"2025-06-12T14:07:21.482000+02:00"`, `"2025-06-12T12:07:21.482Z"`, `1749730041.482`, `"1749730041.482"`} {
		if got, err := timeOf(json.RawMessage(text)); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
}
