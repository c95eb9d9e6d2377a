package dynamostore_test

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/shardlane/shardlane/checkpoint/dynamostore"
)

// A server is a DynamoDB written by others.
type server struct {
	name, env, script string
	page              int32         // rows a list takes at once; 0: what the server gives
	turn              chan struct{} // holds one token, and a request waits for it; nil: requests go at once
	url               string
}

func dynalite() server {
	return server{name: "dynalite", env: "SHARDLANE_DYNALITE", script: ".ci/dynalite"}
}

// moto is slow, so that pages of 1 MB do not always come in time. It checks a condition and writes in two steps, so that two
// of 16 writers may win: its requests go one after another.
func moto() server {
	s := server{name: "moto", env: "SHARDLANE_MOTO", script: ".ci/moto", page: 500, turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	return s
}

// up returns s with its URL. Without one the test is skipped, and with SHARDLANE_REQUIRE_SERVERS=1 it fails.
func (s server) up(t *testing.T) server {
	t.Helper()
	s.url = os.Getenv(s.env)
	switch {
	case s.url != "":
	case os.Getenv("SHARDLANE_REQUIRE_SERVERS") == "1":
		t.Fatalf("%s is not set, and SHARDLANE_REQUIRE_SERVERS is", s.env)
	default:
		t.Skipf("%s is not set: %s COMMAND runs a command with a server", s.env, s.script) //nolint:forbidigo // the server is no part of Go
	}
	return s
}

// servers calls f with each server.
func servers(t *testing.T, f func(t *testing.T, s server)) {
	for _, s := range []server{dynalite(), moto()} {
		t.Run(s.name, func(t *testing.T) { f(t, s.up(t)) })
	}
}

// connect returns a client with connections of its own.
func (s server) connect() *dynamodb.Client {
	own := new(http.Transport)
	if s.turn == nil {
		return connect(s.url, own)
	}
	return connect(s.url, wire(func(r *http.Request) (*http.Response, error) {
		select {
		case <-s.turn:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		defer func() { s.turn <- struct{}{} }()
		return own.RoundTrip(r)
	}))
}

// store returns a Store with a client of its own.
func (s server) store(table string, opts ...dynamostore.Option) *dynamostore.Store {
	return dynamostore.New(paged{s.connect(), s.page}, table, opts...)
}

// A paged client asks for pages of so many rows.
type paged struct {
	*dynamodb.Client
	rows int32
}

func (c paged) Query(ctx context.Context, in *dynamodb.QueryInput, opts ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	if c.rows > 0 {
		in.Limit = &c.rows
	}
	return c.Client.Query(ctx, in, opts...)
}

// table makes a table, and returns its name.
func (s server) table(t *testing.T, opts ...dynamostore.Option) string {
	t.Helper()
	name := "test-" + rand.Text()
	if err := s.store(name, opts...).Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// t.Context has ended. The table may be gone.
		_, _ = s.connect().DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &name})
	})
	return name
}

// connect returns a client that calls url through rt, and would repeat calls if it was let.
func connect(url string, rt http.RoundTripper) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region: "eu-west-1", BaseEndpoint: &url, HTTPClient: &http.Client{Transport: rt},
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = 5 }),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
		}),
	})
}

// A wire is a function as an http.RoundTripper.
type wire func(r *http.Request) (*http.Response, error)

// RoundTrip calls w.
func (w wire) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

// answers returns a client that makes no connection, but takes what f says for the answer to each call.
func answers(f func(op, body string) (status int, answer string)) *dynamodb.Client {
	return connect("http://127.0.0.1:1", wire(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		status, text := f(operation(r), string(body))
		return answer(r, status, text), nil
	}))
}

func answer(r *http.Request, status int, text string) *http.Response {
	return &http.Response{
		StatusCode: status, Request: r, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(strings.NewReader(text)),
	}
}

// refuse answers r with an error.
func refuse(r *http.Request, code string) *http.Response { return answer(r, 400, refusal(code)) }

func operation(r *http.Request) string {
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return op
}

// readsLayout reports whether a call reads the row of the layout, and the answer to it.
func readsLayout(op, body string) (string, bool) {
	return `{"Item":{"p":{"S":"layout"},"k":{"S":"layout"},"r":{"S":"1"},"v":{"S":"{\"v\":1,\"buckets\":1}"}}}`,
		op == "GetItem" && strings.Contains(body, `"layout"`)
}

func refusal(code string) string {
	return `{"__type":"com.amazonaws.dynamodb.v20120810#` + code + `","message":"no"}`
}
