package consumer_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/consumer/kinesistest"
)

var errCut = errors.New("scenario: the process is cut off")

// A wire is the HTTP client of one process. Once the process is cut off, no call leaves it and no reply comes in.
type wire struct {
	dead <-chan struct{}
	next kinesis.HTTPClient
}

// Do makes one call.
func (w wire) Do(req *http.Request) (*http.Response, error) {
	select {
	case <-w.dead:
		return nil, errCut
	default:
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	out := req.WithContext(req.Context()) // a copy
	out.Body = io.NopCloser(bytes.NewReader(body))
	type reply struct {
		resp *http.Response
		err  error
	}
	replies := make(chan reply, 1)
	go func() {
		resp, err := w.next.Do(out)
		replies <- reply{resp, err}
	}()
	select {
	case r := <-replies:
		if r.err == nil {
			r.resp.Body = cutBody{r.resp.Body, w.dead}
		}
		return r.resp, r.err
	case <-req.Context().Done():
		err = req.Context().Err()
	case <-w.dead:
		err = errCut
	}
	go func() { // the reply is nobody's
		if r := <-replies; r.resp != nil {
			r.resp.Body.Close()
		}
	}()
	return nil, err
}

// A cutBody is that of a reply to a process: nothing of it comes in once the process is cut off.
type cutBody struct {
	io.ReadCloser
	dead <-chan struct{}
}

func (b cutBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if isClosed(b.dead) {
		return 0, errCut
	}
	return n, err
}

// straight hands requests to a server without a network, which is several times as fast.
type straight struct{ srv *kinesistest.Server }

func (s straight) Do(req *http.Request) (resp *http.Response, err error) {
	rec := &recorder{header: http.Header{}}
	cut := false
	func() {
		defer func() {
			if p := recover(); p == http.ErrAbortHandler { //nolint:errorlint // panics are compared as they are
				cut = true
			} else if p != nil {
				panic(p)
			}
		}()
		s.srv.ServeHTTP(rec, req)
	}()
	if rec.status == 0 {
		return nil, io.EOF // the connection was dropped
	}
	var body io.Reader = &rec.body
	if cut {
		body = io.MultiReader(body, broken{})
	}
	return &http.Response{
		StatusCode: rec.status, Header: rec.header, Body: io.NopCloser(body), ContentLength: -1,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
	}, nil
}

// broken is the end of a body that was cut short.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
func (r *recorder) FlushError() error           { return nil }
