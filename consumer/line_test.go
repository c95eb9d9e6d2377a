package consumer_test

import (
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// Of a client whose HTTP client the SDK builds, GetRecords goes over HTTP/1.1, and every other call as it would anyway, that of
// enhanced fan-out, too. A client of net/http carries all of them. Neither sees that the body of a request can write itself.
func TestLineOfAConsumer(t *testing.T) {
	t.Parallel()
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	srv.Put("orders", "k", []byte("1"))
	var mu sync.Mutex
	came := map[string]string{} // by operation
	host := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		mu.Lock()
		came[op] = r.Proto
		mu.Unlock()
		srv.ServeHTTP(w, r)
	}))
	host.EnableHTTP2 = true
	host.StartTLS()
	defer host.Close()
	trusts := host.Client().Transport.(*http.Transport)
	built := awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
		tr.TLSClientConfig = &tls.Config{RootCAs: trusts.TLSClientConfig.RootCAs}
	})
	watched := &http.Client{Transport: bodies(func(r *http.Request) (*http.Response, error) {
		if _, writes := r.Body.(io.WriterTo); writes {
			t.Errorf("%s has a body that writes itself", r.Header.Get("X-Amz-Target"))
		}
		return trusts.RoundTrip(r)
	})}
	for name, tt := range map[string]struct {
		client kinesis.HTTPClient
		want   string
	}{"the SDK's": {built, "HTTP/1.1"}, "of net/http": {watched, "HTTP/2.0"}} {
		mu.Lock()
		clear(came)
		mu.Unlock()
		client := kinesis.New(kinesis.Options{
			Region: "us-east-1", BaseEndpoint: aws.String(host.URL), HTTPClient: tt.client,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "s"}, nil
			}),
		})
		ctx, cancel := context.WithCancel(t.Context())
		handle := func(context.Context, events.KinesisEvent) error { cancel(); return nil }
		if err := consumer.Run(ctx, client, "orders", handle, silent(), consumer.WithStartingPosition(consumer.TrimHorizon())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		if err := consumer.Run(ctx, client, "orders", handle, silent(), consumer.WithEnhancedFanOut(strings.Fields(name)[0][:2])); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		mu.Lock()
		want := map[string]string{"SubscribeToShard": "HTTP/2.0", "DescribeStreamSummary": "HTTP/2.0", "ListShards": "HTTP/2.0", "GetShardIterator": "HTTP/2.0", "GetRecords": tt.want}
		for _, op := range slices.Sorted(maps.Keys(want)) {
			if came[op] != want[op] {
				t.Errorf("%s: %s came by %q, want %s", name, op, came[op], want[op])
			}
		}
		mu.Unlock()
	}
}

type bodies func(*http.Request) (*http.Response, error)

func (f bodies) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
