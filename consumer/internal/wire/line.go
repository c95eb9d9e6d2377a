package wire

import (
	"io"
	"net/http"
	"slices"
	"sync"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// connections is how many idle connections a line keeps for a host: as many as calls run at once, with 16 that take long, unless
// shards hang. The SDK keeps ten, and opens and closes the others again and again.
const connections = 80

// A Line carries calls of GetRecords over connections of HTTP/1.1, where the client's own would be of HTTP/2: to move a
// gigabyte over that costs more than to decode it. The zero value is ready. It may be used by many calls at a time.
//
// A Line is made of the HTTP client that the SDK builds: its proxy, certificates, timeouts and dialer are kept, as is where
// it connects to. Any other HTTP client is left as it is, and so is one that has HTTP/1.1 switched off, or whose connections
// of TLS are made by a function of its own, since that decides what they speak.
type Line struct {
	made sync.Map // by the client's own HTTP client
}

// Option is an option of a call: it puts the Line in the place of the client's connections.
func (l *Line) Option(o *kinesis.Options) {
	c, ok := o.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		return
	}
	made, ok := l.made.Load(c)
	if !ok {
		made, _ = l.made.LoadOrStore(c, line(c))
	}
	o.HTTPClient = made.(*awshttp.BuildableClient) //nolint:forcetypeassert // as it was stored
}

// line is a copy of c that speaks HTTP/1.1 only, or c where that is to be left as it is.
func line(c *awshttp.BuildableClient) *awshttp.BuildableClient {
	own := c.GetTransport()
	dials := own.DialTLSContext != nil || own.DialTLS != nil //nolint:staticcheck // deprecated, and in use
	if dials || own.Protocols != nil && !own.Protocols.HTTP1() {
		return c
	}
	return c.WithTransportOptions(func(t *http.Transport) {
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP1(true)
		// What net/http has set up for HTTP/2 is in every copy.
		t.ForceAttemptHTTP2, t.HTTP2, t.TLSNextProto = false, nil, nil
		if tls := t.TLSClientConfig; tls != nil {
			tls.NextProtos = slices.DeleteFunc(slices.Clone(tls.NextProtos), func(p string) bool { return p == "h2" })
		}
		if t.MaxIdleConnsPerHost >= 0 { // else none is kept
			t.MaxIdleConnsPerHost = max(t.MaxIdleConnsPerHost, connections)
		}
		if t.MaxIdleConns > 0 {
			t.MaxIdleConns = max(t.MaxIdleConns, connections)
		}
	})
}

// Plain is an option of a call: of the body of its request, net/http gets to see Read and Close alone. The SDK closes that
// body as soon as the call returns, and what WriteTo says of a closed one net/http takes for a broken connection: it closes
// that, and cuts off a reply that came fast. Only clients of net/http are affected, and changed.
func Plain(o *kinesis.Options) {
	switch o.HTTPClient.(type) {
	case *awshttp.BuildableClient, *http.Client:
		o.HTTPClient = plain{o.HTTPClient}
	}
}

type plain struct{ kinesis.HTTPClient }

// Do implements kinesis.HTTPClient.
func (p plain) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.HTTPClient.Do(r)
}
