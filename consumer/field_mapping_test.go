package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer"
)

// TestField_F65: what a template has by reference only, and New has besides, is not needed from the template; what New has
// not is an error that says what to give. The result metadata in a program's dump is none of its settings.
func TestField_F65(t *testing.T) {
	t.Parallel()
	const (
		start  = `"StartingPosition": "TRIM_HORIZON"`
		stream = `{"Fn::GetAtt": ["Orders", "Arn"]}`
		joined = `{"Fn::Join": ["", ["arn:aws:kinesis:", {"Ref": "AWS::Region"}, ":", {"Ref": "AWS::AccountId"}, ":stream/", {"Ref": "Orders"}]]}`
		queue  = `"DestinationConfig": {"OnFailure": {"Destination": {"Fn::GetAtt": ["Dlq", "Arn"]}}}`
		dump   = `{"EventSourceArn": "arn:aws:kinesis:us-east-1:123456789012:stream/orders", "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:billing",
			"UUID": "14e0db71", "State": "Disabled", "LastModified": "1999-12-31 23:00:00.482000+00:00", "StartingPosition": "", "Topics": null`

		needStream = "give New the stream's name or ARN"
		needQueue  = "give WithOnFailure, or write the value that it has"
		needSize   = "give WithBatchSize, or write the value that it has"
	)
	for _, tt := range []struct {
		name, text string
		told       int
		needs      []string
	}{
		{
			"CloudFormation", `{"Type": "AWS::Lambda::EventSourceMapping", "Properties": {"EventSourceArn": ` + joined + `,
				"FunctionName": {"Fn::GetAtt": ["F", "Arn"]}, ` + start + `}}`, 2, []string{needStream},
		},
		{
			"CDK", `{"Type": "AWS::Lambda::EventSourceMapping", "Properties": {"BatchSize": 100, ` + queue + `, "EventSourceArn": ` + stream + `,
				"FunctionName": {"Ref": "F"}, ` + start + `}, "DependsOn": ["P"]}`, 3, []string{needStream, needQueue},
		},
		{"SAM", `{"Type": "Kinesis", "Properties": {"Stream": ` + stream + `, ` + start + `, "BatchSize": {"Ref": "Size"}}}`, 2, []string{needStream, needSize}},
		{
			"short", `{"Type": "Kinesis", "Properties": {"Stream": {"Fn::Sub": "arn:aws:kinesis:${AWS::Region}:1:stream/orders"}, ` + start + `, ` + queue + `}}`,
			2,
			[]string{needStream, needQueue},
		},
		{
			"template", `{"Resources": {"F": {"Type": "AWS::Serverless::Function", "Properties": {"Events": {"S": {"Type": "Kinesis", "Properties":
				{"Stream": ` + stream + `, ` + start + `}}}}}}}`, 1, []string{needStream},
		},
		{"Go", dump + `, "ResultMetadata": {}}`, 0, nil},
		{"JavaScript", dump + `, "$metadata": {"httpStatusCode": 200, "attempts": 1}}`, 0, nil},
		{"Python", dump + `, "ResponseMetadata": {"RequestId": "r", "HTTPStatusCode": 200, "HTTPHeaders": {}}}`, 0, nil},
	} {
		inField(t, 1, func(f *field) {
			mapped := func() consumer.Option { return consumer.WithEventSourceMapping(strings.NewReader(tt.text)) }
			if _, err := consumer.New(f.srv.Client(), "", f.handle, f.options(mapped())); err != nil || len(tt.needs) > 0 {
				missing := func(need string) bool { return !strings.Contains(fmt.Sprint(err), need) }
				if !errors.Is(err, consumer.ErrConfig) || slices.ContainsFunc(tt.needs, missing) || strings.Count(err.Error(), "\n") != len(tt.needs)-1 {
					t.Errorf("%s without what it refers to: %v, want %q", tt.name, err, tt.needs)
				}
			}
			f.put(shardID(0), "a", 3)
			time.Sleep(time.Minute)
			c, err := consumer.New(f.srv.Client(), "orders", f.handle, f.options(mapped(), consumer.WithOnFailure(f),
				consumer.WithBatchSize(2), consumer.WithEndingPosition(consumer.Latest())))
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				return
			}
			if err := c.Run(context.Background()); err != nil || f.noticed("MappingIgnored") != tt.told {
				t.Errorf("%s: %v, told %d times of what is not in the document, want %d", tt.name, err, f.noticed("MappingIgnored"), tt.told)
			}
			f.once()
		})
	}
}
