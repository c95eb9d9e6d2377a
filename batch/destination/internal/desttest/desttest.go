// Package desttest holds what the tests of the destinations share: a failure, clients' configurations, and the faults of a
// service that a destination has to come through.
package desttest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/shardlane/shardlane/batch"
)

// Failure returns the failure of section 7 of the rules (L43), with three records whose text a document has to carry
// through JSON, an HTTP body and, on its way to topics, a form.
func Failure() *batch.Failure {
	src := batch.Source{
		StreamARN: "arn:aws:kinesis:eu-west-1:123456789012:stream/orders", Region: "eu-west-1", Shard: "shardId-000000000007",
	}
	keys := []string{"customer-17", "<&> \" \\ é \u2028", "100%+=&;"}
	ev := src.Event(len(keys), func(i int) batch.Record {
		return batch.Record{
			PartitionKey: keys[i], SequenceNumber: "4967100000000000000000000000000000000000000000000000001" + string(rune('2'+i)),
			Data: []byte(`{"k":"v"}`), Arrival: time.UnixMilli(1772719618250).Add(time.Duration(i) * time.Millisecond),
		}
	})
	return &batch.Failure{
		Records: ev.Records, Condition: batch.RetryAttemptsExhausted, InvokeCount: 6, Responded: true, Unhandled: true,
		Time: time.Date(2026, 3, 5, 14, 7, 21, 482_000_000, time.UTC), RequestID: "0f8b3c1e-5a44-4a0e-9a53-0d6d2f3f9b11",
		Shard: src.Shard, StreamARN: src.StreamARN, FunctionARN: "group <a&b=c> + \"d\" 50% é", ExecutedVersion: "$LATEST",
		MappingID: "5f0c2f6e-3f1b-4f43-9d53-6a4d3a1f7e10", ID: "b2c6a1de-8e0f-4f0c-a3a7-1d2f7d3b9a55",
	}
}

// Config returns the configuration of a client that calls url through rt.
func Config(url string, rt http.RoundTripper) aws.Config {
	return aws.Config{
		Region: "eu-west-1", BaseEndpoint: &url, HTTPClient: &http.Client{Transport: rt},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
		}),
	}
}

// Moto returns the URL of the moto server, which SHARDLANE_MOTO holds. Without one the test is skipped, and with
// SHARDLANE_REQUIRE_SERVERS=1 it fails.
func Moto(t *testing.T) string {
	url := os.Getenv("SHARDLANE_MOTO")
	switch {
	case url != "":
	case os.Getenv("SHARDLANE_REQUIRE_SERVERS") == "1":
		t.Fatal("SHARDLANE_MOTO is not set, and SHARDLANE_REQUIRE_SERVERS is")
	default:
		t.Skip("SHARDLANE_MOTO is not set: .ci/moto COMMAND runs a command with a server") //nolint:forbidigo // the server is no part of Go
	}
	return url
}

// A Wire is a function as an http.RoundTripper.
type Wire func(r *http.Request) (*http.Response, error)

// RoundTrip calls w.
func (w Wire) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

// A Plain is the default transport for servers that are fast: it hides from net/http that a request's body writes itself.
// With that, a client of the SDK may close a body before it has been read to its end.
type Plain struct{}

// RoundTrip sends r.
func (Plain) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r = r.Clone(r.Context())
		r.Body = struct {
			io.Reader
			io.Closer
		}{r.Body, r.Body}
	}
	return http.DefaultTransport.RoundTrip(r)
}

// A Service is an http.RoundTripper that calls handlers without a network, and keeps what it was sent: one of Faults for each
// of the first calls, then Handler.
type Service struct {
	Handler http.Handler
	Faults  []http.HandlerFunc
	Lost    int // the first calls that Handler answers, and whose answers are lost

	Bodies []string // of all calls
}

// RoundTrip calls the service.
func (s *Service) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		if err = r.Body.Close(); err != nil {
			return nil, err
		}
	}
	s.Bodies = append(s.Bodies, string(body))
	in := r.Clone(r.Context())
	in.Body, in.RequestURI = io.NopCloser(bytes.NewReader(body)), r.URL.RequestURI()
	in.Header.Set("Content-Length", strconv.Itoa(len(body))) // as a server that reads it from the network has it
	w := httptest.NewRecorder()
	if len(s.Faults) > 0 {
		s.Faults[0](w, in)
		s.Faults = s.Faults[1:]
	} else {
		s.Handler.ServeHTTP(w, in)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if s.Lost > 0 {
		s.Lost--
		return nil, io.ErrUnexpectedEOF
	}
	out := w.Result()
	out.Request = r
	return out, nil
}

// Flaky returns a transport to a server that refuses the first calls with the status 503, before the server has them, and
// loses the replies to the first calls after those.
func Flaky(refused, lost int) http.RoundTripper {
	return Wire(func(r *http.Request) (*http.Response, error) {
		if refused > 0 {
			refused--
			if r.Body != nil {
				_ = r.Body.Close()
			}
			return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		}
		out, err := Plain{}.RoundTrip(r)
		if err == nil && lost > 0 {
			lost--
			_ = out.Body.Close()
			return nil, io.ErrUnexpectedEOF
		}
		return out, err
	})
}
