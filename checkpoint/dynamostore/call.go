package dynamostore

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// timeout is how long one request may take. Callers who cannot wait as long end their ctx.
const timeout = 5 * time.Second

func limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, timeout)
}

// once has a call sent one time only, whatever the client's retryer, by s's connections.
func (s *Store) once(o *dynamodb.Options) {
	o.Retryer = aws.NopRetryer{}
	var c aws.HTTPClient = o.HTTPClient
	if s.conns != nil {
		c = s.conns.like(c)
	}
	o.HTTPClient = readOnly{c}
}

// conns are the connections of one Store. A client's are made alike and not shared.
type conns struct {
	once   sync.Once
	client aws.HTTPClient
}

// like returns the HTTP client with connections of its own that is made as c is; c if that cannot be.
func (c *conns) like(old aws.HTTPClient) aws.HTTPClient {
	c.once.Do(func() {
		c.client = old
		switch h := old.(type) {
		case *awshttp.BuildableClient:
			c.client = h.WithTransportOptions()
		case *http.Client:
			t, ok := h.Transport.(*http.Transport)
			if h.Transport == nil {
				t, ok = http.DefaultTransport.(*http.Transport)
			}
			if ok {
				own := *h
				own.Transport = t.Clone()
				c.client = &own
			}
		}
	})
	return c.client
}

// A readOnly client hides from net/http that a request's body can write itself. The SDK closes the body as soon as it has
// the answer; where a fast server answers while the body is still being written in that way, the call fails although it
// was applied, and its connection is lost.
type readOnly struct{ aws.HTTPClient }

// Do sends r.
func (c readOnly) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = struct {
			io.Reader
			io.Closer
		}{r.Body, r.Body}
	}
	return c.HTTPClient.Do(r)
}
