package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"sync/atomic"

	_ "github.com/shardlane/shardlane/examples/benchmark/internal/twice" // lets harlow and vmware live together
)

// A subject is one way to consume a stream.
type subject struct {
	name    string
	batches []int // sizes that it is measured with

	// consume reads the stream from its beginning and tells m of all that its handler gets, until ctx ends.
	consume func(ctx context.Context, j *job, stream string, m *meter) error
}

var subjects = []subject{
	{"shardlane", []int{100, 10_000}, consumeShardlane},
	{"sdk", []int{10_000}, consumeSDK},
	{"harlow", []int{1}, consumeHarlow},
	{"vmware", []int{10_000}, consumeVMware},
}

// A job is one measurement of one subject, done by a process of its own.
type job struct {
	Subject   string    `json:"subject"`
	Batch     int       `json:"batch"`
	Transport string    `json:"transport"` // plain or tls
	Load      load      `json:"load"`
	Idle      bool      `json:"idle"`
	FanOut    bool      `json:"fan_out"` // the library reads by enhanced fan-out
	Puts      int       `json:"puts"`    // if above 0, how long that many records take is measured
	Rate      int       `json:"rate"`    // puts per second
	Server    addresses `json:"server"`
}

func (j *job) endpoint() string {
	if j.Transport == "tls" {
		return j.Server.TLS
	}
	return j.Server.Plain
}

// trust lets a transport accept the certificate of the server.
func (j *job) trust(t *http.Transport) {
	if j.Transport != "tls" {
		return
	}
	roots := x509.NewCertPool()
	if cert, err := x509.ParseCertificate(j.Server.Certificate); err == nil {
		roots.AddCert(cert)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// A meter counts what a handler gets.
type meter struct {
	records, bytes atomic.Int64
	warm, full     mark
	look           func(data []byte) // at each record, unless nil
}

// size is the number of bytes of a record that a handler got.
func (m *meter) size(data []byte) int {
	if m.look != nil {
		m.look(data)
	}
	return len(data)
}

// A mark is a number of records, and a channel that is closed when a handler has got them.
type mark struct {
	at      int64
	reached chan struct{}
}

// newMeter is for a stream of which the first page of all shards warms up.
func newMeter(l load) *meter {
	m := &meter{}
	m.warm = mark{l.perPage(), make(chan struct{})}
	m.full = mark{l.perPage() * int64(l.Pages), make(chan struct{})}
	return m
}

// got counts what a handler got: so many records, and bytes of data in all of them.
func (m *meter) got(records, bytes int) {
	m.bytes.Add(int64(bytes))
	n := m.records.Add(int64(records))
	for _, k := range []mark{m.warm, m.full} {
		if n-int64(records) < k.at && n >= k.at {
			close(k.reached)
		}
	}
}
