package mapping

import (
	"bytes"
	"encoding/binary"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"
)

// Each row is a document with more in it than a mapping, and the batch size of the mapping that is taken from it, or "!" and
// the error.
func TestTemplates(t *testing.T) {
	esm := func(size, source string) string {
		return `{"Type": "AWS::Lambda::EventSourceMapping", "DependsOn": ["Policy"], "Properties": {"BatchSize": ` + size + `, "FunctionName": {"Ref": "F"},
			"StartingPosition": "LATEST", "EventSourceArn": ` + source + `}}`
	}
	event := func(kind, size string) string {
		return `{"Type": "` + kind + `", "Properties": {"Stream": {"Fn::GetAtt": ["Orders", "Arn"]}, "StartingPosition": "LATEST", "BatchSize": ` + size + `}}`
	}
	sam := func(events string) string {
		return `{"Type": "AWS::Serverless::Function", "Connectors": {}, "Metadata": {}, "Properties": {"Handler": "bootstrap", "Events": ` + events + `}}`
	}
	const (
		head   = `"AWSTemplateFormatVersion": "2010-09-09", "Transform": "AWS::Serverless-2016-10-31", "Globals": {}, "Parameters": {}, "Outputs": {}, `
		orders = `"Orders": {"Type": "AWS::Kinesis::Stream", "Properties": {}}, "Mail": {"Type": "AWS::SQS::Queue"}, "Odd": 7, "Policy": {"Type": "AWS::IAM::Policy", "Properties": {}}`
		stream = `{"Fn::GetAtt": ["Orders", "Arn"]}`
		dotted = `{"Fn::GetAtt": "Orders.Arn"}`
		queue  = `{"Fn::GetAtt": ["Mail", "Arn"]}`
		other  = `{"Fn::ImportValue": "OrdersArn"}`
	)
	template := func(resources string) string { return `{` + head + `"Resources": {` + orders + resources + `}}` }
	for _, tt := range []struct{ name, text, want string }{
		{"the only one", template(`, "Billing": ` + esm("7", stream)), "7"},
		{"beside that of a queue", template(`, "Billing": ` + esm("7", dotted) + `, "Mailing": ` + esm("8", queue)), "7"},
		{"of a stream from elsewhere", template(`, "Billing": ` + esm("7", other)), "7"},
		{"an event of a function", template(`, "Billing": ` + sam(`{"Api": {"Type": "Api"}, "S": `+event("Kinesis", "7")+`, "Q": `+event("SQS", "8")+`}`)), "7"},
		{"a function", sam(`{"S": ` + event("Kinesis", "7") + `}`), "7"},
		{"a resource by its name", `{"Billing": ` + esm("7", other) + `}`, "7"},
		{"an event by its name", `{"Stream": ` + event("Kinesis", "7") + `}`, "7"},
		{
			"two", template(`, "Billing": ` + esm("7", stream) + `, "Audit": ` + sam(`{"S": `+event("Kinesis", "7")+`}`)),
			"!Resources: 2 mappings of Kinesis streams: give one of Resources.Audit.Events.S, Resources.Billing",
		},
		{"two that may be", template(`, "A": ` + esm("7", stream) + `, "B": ` + esm("7", other)), "!Resources: 2 mappings of Kinesis streams: give one of Resources.A, Resources.B"},
		{"two events", sam(`{"S": ` + event("Kinesis", "7") + `, "R": ` + event("Kinesis", "7") + `}`), "!Events: 2 mappings of Kinesis streams: give one of Events.R, Events.S"},
		{"two by name", `{"B": ` + esm("7", other) + `, "A": ` + esm("7", other) + `}`, "!the document: 2 mappings of Kinesis streams: give one of A, B"},
		{"of a queue", template(`, "Mailing": ` + esm("8", queue)), "!Resources: no mapping of a Kinesis stream, but Resources.Mailing (AWS::SQS::Queue)"},
		{
			"of Kafka", template(`, "F": ` + sam(`{"M": `+event("MSK", "8")+`}`) + `, "G": ` + esm("8", `"arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/1"`)),
			"!Resources: no mapping of a Kinesis stream, but Resources.F.Events.M (an event of MSK), Resources.G (a DynamoDB stream)",
		},
		{
			"one, and a loop of CloudFormation", template(`, "Billing": ` + esm("7", stream) + `, "Fn::ForEach::All": ["N", ["a", "b"], {"M${N}": ` + esm("8", stream) + `}]`),
			"!Resources: 2 mappings of Kinesis streams: give one of Resources.Billing, Resources.Fn::ForEach::All",
		},
		{"a loop of CloudFormation", template(`, "Fn::ForEach::All": ["N", ["a", "b"], {"M${N}": ` + esm("8", stream) + `}]`), "!Resources.Fn::ForEach::All: only CloudFormation can resolve it: give one mapping"},
		{"a loop of something else", template(`, "Billing": ` + esm("7", stream) + `, "Fn::ForEach::All": ["N", ["a", "b"], {"Q${N}": {"Type": "AWS::SQS::Queue"}}]`), "7"},
		{"Terraform's names", `{"batch_size": 7, "StartingPosition": "LATEST"}`, "!batch_size: unknown (7): want BatchSize"},
		{"none", template(""), "!Resources: there is no event source mapping: want one of a Kinesis stream"},
		{"no event", `{"Type": "AWS::Serverless::Function", "Properties": {}}`, "!Events: there is no event source mapping"},
		{"no template", `{"Resources": {}, "Resource": 1}`, "!Resource: unknown (1): correct its name"},
	} {
		s, err := readText(tt.text)
		got := "none"
		switch {
		case err != nil:
			got = "!" + err.Error()
		case s.BatchSize != nil:
			got = strings.TrimPrefix(said(Settings{BatchSize: s.BatchSize}), "batch ")
		}
		if want, failed := strings.CutPrefix(tt.want, "!"); got != tt.want && !(failed && strings.HasPrefix(got, "!"+want)) {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// What shells write into files is read as what it means.
func TestEncodings(t *testing.T) {
	text, err := os.ReadFile("../../testdata/mapping/migrate.json")
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("order\\"), []byte("Straße 😀\\"), 1)
	want, err := Read(bytes.NewReader(text))
	if err != nil || !strings.Contains(want.Patterns[0], "Straße 😀") {
		t.Fatalf("%v, %q", err, want.Patterns)
	}
	wide := func(order binary.AppendByteOrder) (b []byte) {
		for _, u := range utf16.Encode([]rune("\ufeff" + string(text))) {
			b = order.AppendUint16(b, u)
		}
		return b
	}
	for name, text := range map[string][]byte{
		"UTF-8 with a mark": append([]byte("\ufeff"), text...), "UTF-16LE": wide(binary.LittleEndian), "UTF-16BE": wide(binary.BigEndian),
	} {
		if got, err := Read(bytes.NewReader(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\n%s", name, err, said(got))
		}
	}
}
