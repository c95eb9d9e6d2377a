package kinesistest

import (
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

const (
	region  = "us-east-1"
	account = "123456789012"
)

// A Server is an in-process Kinesis of one account, 123456789012, in one region, us-east-1. Its methods are safe for
// concurrent use. Those that act on streams take effect at once, cost no latency, meet no fault and no limit of
// throughput, and panic where the API would refuse: a test that misuses them is wrong.
type Server struct {
	memory    *memoryListener
	transport *http.Transport
	http      *http.Server
	done      chan struct{}  // closed by Close
	serving   sync.WaitGroup // Serve loops
	conns     sync.WaitGroup // server ends of connections
	ops       map[string]operation

	mu       sync.Mutex // held for computations only, never across I/O, a channel or a sleep
	closed   bool
	url      string
	streams  map[string]*streamState
	births   int    // streams created so far
	buried   uint64 // the highest second of creation in what deleted streams gave out
	requests uint64
	calls    []Call
	counts   map[callKey]int
	faults   []*Injected
	controls []*Injected
	settings settings
	lineFree time.Time  // when the line has carried what it promised
	rand     *rand.Rand // nil unless seeded
	seed     uint64
}

// settings are what the Set methods change.
type settings struct {
	latency     func(op string) time.Duration
	offset      time.Duration // of the service's clock
	transition  time.Duration
	shardEnd    int
	emptyPages  int
	readLimits  bool
	writeLimits bool
	shardLimit  int

	consumerLimit int    // of a stream
	prefix        string // of sequence numbers
	clockCheck    bool
	bandwidth     int // bytes per second; 0: no limit
}

// A TB is what [New] needs of a *testing.T, B or F.
type TB interface {
	Helper()
	Cleanup(func())
}

// New is [NewServer] for tests: the server is closed when the test ends. In a testing/synctest bubble, which virtual time
// needs, t is the one that synctest.Test gives to its function.
func New(t TB, stream string, shards int) *Server {
	t.Helper()
	s := NewServer(stream, shards)
	t.Cleanup(s.Close)
	return s
}

// NewServer returns a running server that holds one active stream with so many shards of equal ranges of hash keys,
// shardId-000000000000 and on. It opens no socket. It panics when the name or the number is one that CreateStream would
// refuse: 1 to 128 letters, digits, '_', '.' and '-'; 1 to 100,000 shards. End it with [Server.Close]. Tests use [New].
func NewServer(stream string, shards int) *Server {
	s := &Server{
		memory:  newMemoryListener(),
		done:    make(chan struct{}),
		streams: make(map[string]*streamState),
		counts:  make(map[callKey]int),
		settings: settings{
			latency:    defaultLatency,
			transition: 500 * time.Millisecond,
			shardLimit: 20_000,

			consumerLimit: 20,
		},
	}
	s.ops = operations()
	s.transport = &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return s.memory.dial(ctx) },
		MaxIdleConnsPerHost: 1 << 20,
		DisableCompression:  true,
	}
	s.http = &http.Server{
		Handler:   s,
		ErrorLog:  log.New(io.Discard, "", 0),
		ConnState: s.track,
	}
	s.CreateStream(stream, shards)
	s.serve(s.memory)
	return s
}

// Client returns an SDK client on the server's in-memory network, with credentials that nobody checks. Each call
// returns a new client of the same server. Inside a testing/synctest bubble it may be used only in the bubble that
// called NewServer. Retries of the SDK are off, so that a fault reaches the caller as it is; optFns may turn them on and
// change whatever else the client's options hold.
func (s *Server) Client(optFns ...func(*kinesis.Options)) *kinesis.Client {
	return kinesis.New(kinesis.Options{
		Region:       region,
		BaseEndpoint: aws.String("http://kinesis.test"),
		HTTPClient:   &http.Client{Transport: plainTransport{s.transport}},
		Retryer:      aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test", Source: "kinesistest"}, nil
		}),
	}, optFns...)
}

// URL returns the base URL of the server's TCP front, which the first call starts on a free port of 127.0.0.1. It is
// for other processes and other clients, which give it as their endpoint with any region and credentials. It must not
// be called inside a testing/synctest bubble: a socket stops the bubble's clock. It panics after Close, and when no port
// is to be had.
func (s *Server) URL() string {
	s.mu.Lock()
	url, closed := s.url, s.closed
	s.mu.Unlock()
	if url != "" {
		return url
	}
	if closed {
		panic("kinesistest: URL of a closed server")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(fmt.Sprintf("kinesistest: listen: %v", err))
	}
	s.mu.Lock()
	if s.url != "" || s.closed { // another call was faster
		url = s.url
		s.mu.Unlock()
		l.Close()
		return url
	}
	s.url = "http://" + l.Addr().String()
	url = s.url
	s.serve(l)
	s.mu.Unlock()
	return url
}

// Close stops the server: calls under way fail, both fronts close, and every goroutine of the server has ended when
// Close returns. What was stored can still be looked at. A second Close does nothing.
func (s *Server) Close() {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return
	}
	close(s.done)
	s.http.Close()
	s.serving.Wait()
	s.http.Close() // a connection that was accepted during the first one
	s.transport.CloseIdleConnections()
	s.conns.Wait()
}

func (s *Server) serve(l net.Listener) {
	s.serving.Go(func() {
		_ = s.http.Serve(l) // ends with Close
	})
}

// track counts connections. StateNew comes from the Serve loop, so none is added once the loops have ended.
func (s *Server) track(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.conns.Done()
	}
}
