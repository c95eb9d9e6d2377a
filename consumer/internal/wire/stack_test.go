package wire_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/shardlane/shardlane/consumer/internal/wire"
)

const onePage = `{"Records":[{"Data":"AQID"}]}`

// TestMiddlewareStays holds that other middleware sees what it would see without the Decoder, wherever it stands.
func TestMiddlewareStays(t *testing.T) {
	calls := func(opts ...func(*kinesis.Options)) (seen []string) {
		note := func(name string) middleware.DeserializeMiddleware {
			return middleware.DeserializeMiddlewareFunc(name, func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
				out, meta, err := next.HandleDeserialize(ctx, in)
				page, ok := out.Result.(*kinesis.GetRecordsOutput)
				r, _ := out.RawResponse.(*smithyhttp.Response)
				seen = append(seen, fmt.Sprint(name, ": ", ok && len(page.Records) == 1, r.StatusCode, err))
				return out, meta, err
			})
		}
		add := func(place string, put func(*middleware.Stack, middleware.DeserializeMiddleware) error) func(*kinesis.Options) {
			return func(o *kinesis.Options) {
				o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error { return put(s, note(place)) })
			}
		}
		around := []func(*kinesis.Options){
			add("first", func(s *middleware.Stack, m middleware.DeserializeMiddleware) error {
				return s.Deserialize.Add(m, middleware.Before)
			}),
			add("outside", func(s *middleware.Stack, m middleware.DeserializeMiddleware) error {
				return s.Deserialize.Insert(m, "OperationDeserializer", middleware.Before)
			}),
		}
		opts = append(slices.Clone(around), opts...)
		opts = append(opts, add("inside", func(s *middleware.Stack, m middleware.DeserializeMiddleware) error {
			return s.Deserialize.Insert(m, "OperationDeserializer", middleware.After)
		}), add("last", func(s *middleware.Stack, m middleware.DeserializeMiddleware) error {
			return s.Deserialize.Add(m, middleware.After)
		}))
		out, err := get(t, text(onePage), opts...)
		if err != nil {
			t.Fatal(err)
		}
		id, _ := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
		raw := awsmiddleware.GetRawResponse(out.ResultMetadata)
		return append(seen, fmt.Sprintf("request %s, %T", id, raw))
	}
	var d wire.Decoder
	got, want := calls(d.Option), calls()
	if !slices.Equal(got, want) || len(want) != 5 || want[0] != "last: false 200 <nil>" || want[3] != "first: true 200 <nil>" {
		t.Errorf("%q, without the Decoder %q", got, want)
	}
	if fast, _ := d.Counts(); fast != 1 {
		t.Error("the reply was left to the SDK")
	}
}

// TestOtherStacks holds that the Decoder stays out of calls that are not the SDK's, or not GetRecords.
func TestOtherStacks(t *testing.T) {
	var d wire.Decoder
	mine := middleware.DeserializeMiddlewareFunc("OperationDeserializer", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, meta, err := next.HandleDeserialize(ctx, in)
		out.Result = &kinesis.GetRecordsOutput{NextShardIterator: aws.String("mine")}
		return out, meta, err
	})
	out, err := get(t, text(onePage), func(o *kinesis.Options) {
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			_, err := s.Deserialize.Swap("OperationDeserializer", mine)
			return err
		})
	}, d.Option)
	if err != nil || aws.ToString(out.NextShardIterator) != "mine" {
		t.Errorf("%s, %v: want what the user's deserializer makes", dump(out), err)
	}
	out, err = get(t, text(onePage), func(o *kinesis.Options) {
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			return s.Finalize.Add(middleware.FinalizeMiddlewareFunc("kind", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
				in.Request.(*smithyhttp.Request).Header.Set("Content-Type", "application/x-amz-cbor-1.1")
				return next.HandleFinalize(ctx, in)
			}), middleware.Before)
		})
	}, d.Option)
	if err != nil || len(out.Records) != 1 {
		t.Errorf("%s, %v: want what the SDK makes of an answer to another kind of request", dump(out), err)
	}
	client := kinesis.New(kinesis.Options{
		Region: "eu-west-1", HTTPClient: text(`{"StreamDescriptionSummary":{"StreamName":"orders"}}`), Retryer: aws.NopRetryer{},
		BaseEndpoint: aws.String("http://stub"), Credentials: aws.CredentialsProviderFunc(credentials),
	})
	sum, err := client.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("orders")}, d.Option)
	if err != nil || aws.ToString(sum.StreamDescriptionSummary.StreamName) != "orders" {
		t.Errorf("%s, %v", dump(sum), err)
	}
	if fast, slow := d.Counts(); fast != 0 || slow != 0 {
		t.Errorf("%d replies decoded, %d left to the SDK", fast, slow)
	}
}

// TestBodyIsClosed holds that every body is read to its end, where it has one, and closed: else a connection is lost.
func TestBodyIsClosed(t *testing.T) {
	for name, a := range map[string]answer{
		"decoded":       text(onePage),
		"left":          text(`{"Records":[null]}`),
		"refused":       text(`{"Records":1}`),
		"cut off":       {body: []byte(onePage[:10]), kind: jsonKind, err: errors.New("reset")},
		"another kind":  {body: []byte(onePage), kind: "text/plain"},
		"an error":      {body: []byte(`{}`), kind: jsonKind, status: http.StatusBadRequest},
		"longer by far": {body: append([]byte(onePage), make([]byte, 34<<20)...), kind: jsonKind, length: 30},
	} {
		t.Run(name, func(t *testing.T) {
			var d wire.Decoder
			w := &watched{answer: a}
			_, _ = get(t, w, d.Option)
			if b := w.body; !b.closed || len(b.a.body) > 0 {
				t.Errorf("closed %v, %d bytes are not read", b.closed, len(b.a.body))
			}
		})
	}
}

// watched is an answer whose body is looked at later.
type watched struct {
	answer
	body *stream
}

func (w *watched) Do(r *http.Request) (*http.Response, error) {
	resp, err := w.answer.Do(r)
	w.body, _ = resp.Body.(*stream)
	return resp, err
}
