package consumer_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/shardlane/shardlane/consumer"
)

const streamARN = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// The documents of a real run, byte for byte.
func TestContractDocument(t *testing.T) {
	t.Parallel()
	proves(t, "L43", "L44", "L45", "L46", "L59", "L60", "L61", "C12", "L8")
	for _, set := range []bool{false, true} {
		t.Run(fmt.Sprintf("options set: %v", set), func(t *testing.T) {
			inContract(t, 1, func(f *field) {
				tr := new(trace)
				time.Sleep(1234 * time.Millisecond)
				f.letters(shard0, "a")
				time.Sleep(56 * time.Millisecond)
				f.letters(shard0, "b")
				opt, arn, version, identity := consumer.Options(), "billing", "$LATEST", ""
				if set {
					arn, version, identity = `arn:<"function">`, "7", "arn:aws:iam::123456789012:role/billing"
					opt = consumer.Options(consumer.WithFunctionARN(arn), consumer.WithExecutedVersion(version), consumer.WithIdentityARN(identity),
						consumer.WithMappingUUID("0f8b3c1e-5a44-4a0e-9a53-0d6d2f3f9b11"))
				}
				life := f.startTrace(tr, func(ctx context.Context, ev events.KinesisEvent) error {
					lc, ok := lambdacontext.FromContext(ctx)
					a := tr.add(ctx, ev.Records)
					if !ok || lc.InvokedFunctionArn != arn || a.FunctionARN != arn || lc.AwsRequestID != a.RequestID || ev.Records[0].InvokeIdentityArn != identity {
						t.Errorf("the handler got %+v, %+v and identity %q", lc, a.Invocation, ev.Records[0].InvokeIdentityArn)
					}
					return errPoison
				}, consumer.WithMaxRetryAttempts(2), opt)
				time.Sleep(time.Minute)
				if len(tr.partings()) != 1 {
					t.Fatalf("documents %q", tr.documents())
				}
				p, recs := tr.partings()[0], f.srv.Records("orders")
				quoted := strings.ReplaceAll(arn, `"`, `\"`)
				at := p.Time.UTC().Format("2006-01-02T15:04:05.000Z")
				head := `{"requestContext":{"requestId":"` + tr.attempts()[0].RequestID + `","functionArn":"` + quoted + `","condition":"RetryAttemptsExhausted",` +
					`"approximateInvokeCount":3},"responseContext":{"statusCode":200,"executedVersion":"` + version + `","functionError":"Unhandled"},"version":"1.0",`
				tail := `"timestamp":"` + at + `","KinesisBatchInfo":{"shardId":"shardId-000000000000","startSequenceNumber":"` + recs[0].SequenceNumber +
					`","endSequenceNumber":"` + recs[1].SequenceNumber + `","approximateArrivalOfFirstRecord":"2000-01-01T00:00:01.234Z",` +
					`"approximateArrivalOfLastRecord":"2000-01-01T00:00:01.290Z","batchSize":2,"streamArn":"` + streamARN + `"}}`
				if got := string(p.Document()); got != head+tail {
					t.Errorf("document\n%s, want\n%s", got, head+tail)
				}
				record := func(i int, arrival string) string {
					return `{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"` + recs[i].PartitionKey + `","sequenceNumber":"` + recs[i].SequenceNumber +
						`","data":"` + base64.StdEncoding.EncodeToString(recs[i].Data) + `","approximateArrivalTimestamp":` + arrival +
						`},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000000:` + recs[i].SequenceNumber +
						`","eventName":"aws:kinesis:record","invokeIdentityArn":"` + identity + `","awsRegion":"us-east-1","eventSourceARN":"` + streamARN + `"}`
				}
				event := `{"Records":[` + record(0, "946684801.234") + "," + record(1, "946684801.29") + `]}`
				payload := head + `"payload":"` + strings.ReplaceAll(event, `"`, `\"`) + `",` + tail
				if got := string(p.PayloadDocument()); got != payload {
					t.Errorf("document with payload\n%s, want\n%s", got, payload)
				}
				mapping, _, _ := strings.Cut(strings.TrimPrefix(p.ObjectKey(), "aws/lambda/"), "/")
				prefix := "aws/lambda/" + mapping + "/shardId-000000000000/" + p.Time.UTC().Format("2006/01/02/2006-01-02T15.04.05-")
				if random, ok := strings.CutPrefix(p.ObjectKey(), prefix); !ok || !uuidForm.MatchString(random) || !uuidForm.MatchString(mapping) ||
					random == p.RequestID || set != (mapping == "0f8b3c1e-5a44-4a0e-9a53-0d6d2f3f9b11") {
					t.Errorf("object key %s, want %s and a random UUID", p.ObjectKey(), prefix)
				}
				if d := p.at.Sub(p.Time); d != 0 {
					t.Errorf("the document's time is %v before its delivery", d)
				}
				life.stop()
			})
		})
	}
}

// The mapping's UUID is the same after every restart, and another one for another group or stream.
func TestContractMappingUUID(t *testing.T) {
	t.Parallel()
	proves(t, "C12", "L14", "L46")
	inContract(t, 1, func(f *field) {
		f.srv.CreateStream("clicks", 1)
		seen := map[string]string{} // by UUID
		for _, tt := range []struct{ name, stream, group string }{
			{"first", "orders", "billing"},
			{"first", "orders", "billing"},
			{"first", streamARN, "billing"},
			{"group", "orders", "shipping"},
			{"stream", "clicks", "billing"},
		} {
			tr := new(trace)
			f.letters(shard0, "a")
			f.srv.Put("clicks", "a", []byte("a"))
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			err := consumer.Run(ctx, f.srv.Client(), tt.stream, tr.fails("a"),
				f.options(consumer.WithGroup(tt.group), consumer.WithMaxRetryAttempts(0), consumer.WithOnFailure(tr)))
			cancel()
			if err != nil || len(tr.partings()) != 1 {
				t.Fatalf("Run: %v, documents %q", err, tr.documents())
			}
			id := tr.partings()[0].MappingID
			if was, known := seen[id]; known && was != tt.name {
				t.Errorf("%s and %s share the UUID %s", was, tt.name, id)
			}
			if seen[id] = tt.name; tr.partings()[0].FunctionARN != tt.group {
				t.Errorf("function ARN %q, want the group", tr.partings()[0].FunctionARN)
			}
		}
		if len(seen) != 3 {
			t.Errorf("UUIDs %v, want 3", seen)
		}
	})
}
