package wire_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	smithyendpoints "github.com/aws/smithy-go/endpoints"

	"github.com/shardlane/shardlane/consumer/internal/wire"
)

// A host is a server of TLS that speaks both versions of HTTP, and notes what comes.
type host struct {
	*httptest.Server
	dials    atomic.Int64
	protocol atomic.Value // of the latest request
	together atomic.Int64 // how many requests wait for each other before they are answered
	waiting  sync.WaitGroup
}

func newHost(t *testing.T) *host {
	h := new(host)
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.protocol.Store(r.Proto)
		_, _ = io.Copy(io.Discard, r.Body)
		if h.together.Load() > 0 {
			h.waiting.Done()
			h.waiting.Wait()
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		fmt.Fprint(w, onePage)
	}))
	h.EnableHTTP2 = true
	h.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			h.dials.Add(1)
		}
	}
	h.StartTLS()
	t.Cleanup(h.Close)
	return h
}

// trusting is the HTTP client that an SDK's client has by itself, but for the server's certificate.
func (h *host) trusting(opts ...func(*http.Transport)) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(append(opts, func(t *http.Transport) {
		t.TLSClientConfig = &tls.Config{RootCAs: h.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	})...)
}

// call calls GetRecords, and returns the protocol by which that came.
func (h *host) call(t *testing.T, c kinesis.HTTPClient, opts ...func(*kinesis.Options)) string {
	t.Helper()
	client := kinesis.New(kinesis.Options{
		Region: "eu-west-1", HTTPClient: c, Retryer: aws.NopRetryer{}, BaseEndpoint: &h.URL,
		Credentials: aws.CredentialsProviderFunc(credentials),
	})
	out, err := client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: aws.String("i")}, opts...)
	if err != nil || len(out.Records) != 1 {
		t.Errorf("GetRecords: %v", err)
	}
	return h.protocol.Load().(string)
}

func TestLineSpeaksHTTP1(t *testing.T) {
	h := newHost(t)
	only2 := func(tr *http.Transport) {
		tr.Protocols = new(http.Protocols)
		tr.Protocols.SetHTTP2(true)
	}
	offers := func(tr *http.Transport) { tr.TLSClientConfig.NextProtos = []string{"h2", "http/1.1"} }
	both := h.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	both.NextProtos = []string{"h2", "http/1.1"}
	dials := func(tr *http.Transport) { tr.DialTLSContext = (&tls.Dialer{Config: both}).DialContext }
	dialed := func(tr *http.Transport) { tr.DialTLS = (&tls.Dialer{Config: both}).Dial } //nolint:staticcheck // deprecated, and in use
	for name, tt := range map[string]struct {
		client      kinesis.HTTPClient
		alone, line string
	}{
		"the SDK's":          {h.trusting(), "HTTP/2.0", "HTTP/1.1"},
		"that offers HTTP/2": {h.trusting().WithTransportOptions(offers), "HTTP/2.0", "HTTP/1.1"},
		"with a limit":       {h.trusting().WithTimeout(time.Minute), "HTTP/2.0", "HTTP/1.1"},
		"with HTTP/2 only":   {h.trusting(only2), "HTTP/2.0", "HTTP/2.0"},
		"that dials TLS":     {h.trusting(dials), "HTTP/2.0", "HTTP/2.0"},
		"that dialed TLS":    {h.trusting(dialed), "HTTP/2.0", "HTTP/2.0"},
		"of net/http":        {h.Client(), "HTTP/2.0", "HTTP/2.0"},
		"of somebody else":   {another{h.Client()}, "HTTP/2.0", "HTTP/2.0"},
	} {
		t.Run(name, func(t *testing.T) {
			var l wire.Line
			if got := h.call(t, tt.client); got != tt.alone {
				t.Errorf("without the line: %s, want %s", got, tt.alone)
			}
			if got := h.call(t, tt.client, l.Option, wire.Plain); got != tt.line {
				t.Errorf("with the line: %s, want %s", got, tt.line)
			}
			if got := h.call(t, tt.client); got != tt.alone {
				t.Errorf("behind it: %s, want %s", got, tt.alone)
			}
		})
	}
}

type another struct{ kinesis.HTTPClient }

// A client that keeps no idle connection has none kept for it.
func TestLineKeepsNoConnection(t *testing.T) {
	h := newHost(t)
	c := h.trusting(func(tr *http.Transport) { tr.MaxIdleConnsPerHost = -1 })
	var l wire.Line
	for range 3 {
		h.call(t, c, l.Option, wire.Plain)
	}
	if n := h.dials.Load(); n != 3 {
		t.Errorf("%d connections for 3 calls", n)
	}
}

// What the client connects through stays, here its dialer and its time limit. One connection carries all calls: none is cut
// off because its request was closed early.
func TestLineKeepsTheClient(t *testing.T) {
	h := newHost(t)
	var dialed atomic.Int64
	c := h.trusting(func(tr *http.Transport) {
		dial := tr.DialContext
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			dialed.Add(1)
			return dial(ctx, network, addr)
		}
	})
	var l wire.Line
	for range 300 {
		h.call(t, c, l.Option, wire.Plain)
	}
	if n := dialed.Load(); n != 1 {
		t.Errorf("the client's dialer was used %d times for calls one after another, want once", n)
	}
	slow := h.trusting().WithTimeout(time.Nanosecond)
	client := kinesis.New(kinesis.Options{
		Region: "eu-west-1", HTTPClient: slow, Retryer: aws.NopRetryer{}, BaseEndpoint: &h.URL,
		Credentials: aws.CredentialsProviderFunc(credentials),
	})
	if _, err := client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: aws.String("i")}, l.Option); err == nil {
		t.Error("the client's time limit is gone")
	}
}

// Calls that run side by side find their connections again: the second time nothing is dialed. The SDK's ten idle
// connections are not enough for that.
func TestLineKeepsConnections(t *testing.T) {
	h := newHost(t)
	const calls = 48
	c := h.trusting()
	var l wire.Line
	h.together.Store(calls)
	dials := func() int64 {
		before := h.dials.Load()
		h.waiting.Add(calls)
		var all sync.WaitGroup
		for range calls {
			all.Go(func() { h.call(t, c, l.Option, wire.Plain) })
		}
		all.Wait()
		return h.dials.Load() - before
	}
	if n := dials(); n != calls {
		t.Errorf("%d connections for %d calls at once", n, calls)
	}
	for range 5 {
		if n := dials(); n != 0 {
			t.Errorf("%d connections were opened again", n)
		}
	}
}

// A server that answers before it has the whole request breaks no call: 10,000 pages come without an error, over few
// connections.
func TestLineCarriesPages(t *testing.T) {
	const readers, pages = 8, 10_000
	var dials atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		fmt.Fprint(w, onePage)
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			dials.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	client := kinesis.New(kinesis.Options{
		Region: "eu-west-1", HTTPClient: awshttp.NewBuildableClient(), Retryer: aws.NopRetryer{}, BaseEndpoint: &srv.URL,
		Credentials: aws.CredentialsProviderFunc(credentials),
	})
	var l wire.Line
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			for range pages / readers {
				out, err := client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: aws.String("i")}, l.Option, wire.Plain)
				if err != nil || len(out.Records) != 1 {
					t.Errorf("GetRecords: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
	if n := dials.Load(); n > 2*readers { // a connection may be free a moment later than its reader
		t.Errorf("%d connections for %d readers", n, readers)
	}
}

// Nothing but the SDK's reader sees that a body can do more than be read: then it is read to its end, or not at all.
func TestPlainBodies(t *testing.T) {
	seen := make(chan io.Reader, 1)
	c := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		seen <- r.Body
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
	})}
	for name, tt := range map[string]struct {
		opts   []func(*kinesis.Options)
		writes bool
	}{"as the SDK sends it": {nil, true}, "plain": {[]func(*kinesis.Options){wire.Plain}, false}} {
		_, _ = get(t, c, tt.opts...)
		body := <-seen
		if _, writes := body.(io.WriterTo); writes != tt.writes {
			t.Errorf("%s: WriteTo is there: %v, in %T", name, writes, body)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Where a call goes is the client's matter.
func TestLineGoesWhereTheClientGoes(t *testing.T) {
	arn := aws.String("arn:aws:kinesis:eu-west-1:123456789012:stream/orders")
	for name, set := range map[string]func(*kinesis.Options){
		"by region": func(*kinesis.Options) {},
		"dual-stack": func(o *kinesis.Options) {
			o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
		},
		"FIPS":         func(o *kinesis.Options) { o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled },
		"a base":       func(o *kinesis.Options) { o.BaseEndpoint = aws.String("https://base.example:4567/below") },
		"its resolver": func(o *kinesis.Options) { o.EndpointResolverV2 = elsewhere{} },
	} {
		t.Run(name, func(t *testing.T) {
			var went []string
			c := awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
				tr.Proxy = func(r *http.Request) (*url.URL, error) {
					went = append(went, r.URL.String()+" "+r.Host)
					return nil, errors.New("no further")
				}
			})
			client := kinesis.New(kinesis.Options{
				Region: "eu-west-1", HTTPClient: c, Retryer: aws.NopRetryer{}, Credentials: aws.CredentialsProviderFunc(credentials),
			}, set)
			in := &kinesis.GetRecordsInput{ShardIterator: aws.String("i"), StreamARN: arn}
			var l wire.Line
			var d wire.Decoder
			_, _ = client.GetRecords(t.Context(), in)
			_, _ = client.GetRecords(t.Context(), in, l.Option, d.Option, wire.Plain)
			if len(went) != 2 || went[0] != went[1] {
				t.Errorf("calls went to %q, want both to the same place", went)
			}
		})
	}
}

type elsewhere struct{}

func (elsewhere) ResolveEndpoint(context.Context, kinesis.EndpointParameters) (smithyendpoints.Endpoint, error) {
	u, err := url.Parse("https://elsewhere.example/")
	return smithyendpoints.Endpoint{URI: *u}, err
}
