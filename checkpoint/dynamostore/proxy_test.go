package dynamostore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/checkpoint/dynamostore"
)

// A proxy stands between a client and a server, and does one thing to writes.
type proxy struct {
	url    string
	fault  atomic.Value       // a string
	writes atomic.Int32       // that came
	reach  func()             // called when a write has come, or has been applied where the fault is behind that
	later  chan func() string // writes that are held back, and answer what the server says when they are let go
}

func newProxy(t *testing.T, upstream string) *proxy {
	p := &proxy{reach: func() {}, later: make(chan func() string, 1)}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, upstream) }))
	t.Cleanup(srv.Close)
	p.url = srv.URL
	return p
}

func (p *proxy) serve(w http.ResponseWriter, r *http.Request, upstream string) {
	write := operation(r) == "PutItem" || operation(r) == "DeleteItem"
	body, _ := io.ReadAll(r.Body)
	forward := func() (int, []byte) {
		out, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), http.MethodPost, upstream, bytes.NewReader(body))
		if err != nil {
			panic(err)
		}
		out.Header = r.Header.Clone()
		res, err := http.DefaultClient.Do(out)
		if err != nil {
			panic(err)
		}
		defer res.Body.Close()
		answer, _ := io.ReadAll(res.Body)
		return res.StatusCode, answer
	}
	if write {
		p.writes.Add(1)
	}
	fault, _ := p.fault.Load().(string)
	if !write {
		fault = ""
	}
	switch fault {
	case "request lost":
		panic(http.ErrAbortHandler)
	case "request late":
		p.later <- func() string { status, answer := forward(); return strconv.Itoa(status) + string(answer) }
		p.reach()
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
	status, answer := forward()
	switch fault {
	case "reply lost":
		panic(http.ErrAbortHandler)
	case "reply late":
		p.reach()
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case "reply cut":
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)+10))
		w.WriteHeader(status)
		w.Write(answer)
		panic(http.ErrAbortHandler)
	case "gateway":
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(status)
	w.Write(answer)
}

// TestUnknownOutcomes loses a write, or its reply, on the way. The error says neither that the row had changed nor that the
// write is not applied; the caller reads back.
func TestUnknownOutcomes(t *testing.T) {
	servers(t, func(t *testing.T, s server) {
		table := s.table(t)
		plain := s.store(table)
		for fault, applied := range map[string]bool{
			"request lost": false, "request late": false, "reply lost": true, "reply late": true, "reply cut": true, "gateway": true,
		} {
			for _, op := range []string{"put", "swap", "delete"} {
				t.Run(fault+"/"+op, func(t *testing.T) {
					p := newProxy(t, s.url)
					st := dynamostore.New(connect(p.url, new(http.Transport)), table)
					row := checkpoint.Entry{Key: "billing/lease/" + t.Name(), Value: []byte("old")}
					if op != "put" {
						var err error
						if row, err = st.Swap(t.Context(), row); err != nil {
							t.Fatal(err)
						}
					} else if _, err := st.Get(t.Context(), row.Key); err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					p.reach = cancel
					p.fault.Store(fault)
					p.writes.Store(0)
					next := row
					next.Value = []byte("new")
					write := func(ctx context.Context, st checkpoint.Store) (err error) {
						if op == "delete" {
							return st.Delete(ctx, next)
						}
						_, err = st.Swap(ctx, next)
						return err
					}
					if err := write(ctx, st); err == nil || errors.Is(err, checkpoint.ErrConflict) || errors.Is(err, checkpoint.ErrNotApplied) {
						t.Fatalf("error %v", err)
					}
					if n := p.writes.Load(); n != 1 {
						t.Fatalf("%d writes were sent, want 1", n)
					}
					now, err := plain.Get(t.Context(), row.Key)
					if changed := now.Revision != row.Revision; err != nil || changed != applied {
						t.Fatalf("read back: %v, %v, and the row was %v", now, err, row)
					}
					if op == "delete" && applied != (now.Revision == "") || op != "delete" && applied != (string(now.Value) == "new") {
						t.Fatalf("read back: %v", now)
					}
					// The same write again is safe: one of the two is applied.
					if err := write(t.Context(), plain); (err == nil) == applied || applied && !errors.Is(err, checkpoint.ErrConflict) {
						t.Fatalf("once more: %v", err)
					}
					if fault != "request late" {
						return
					}
					now, err = plain.Get(t.Context(), row.Key)
					if err != nil {
						t.Fatal(err)
					}
					late := (<-p.later)()
					if after, err := plain.Get(t.Context(), row.Key); err != nil || after.Revision != now.Revision || late[:3] != "400" {
						t.Fatalf("the late write: %s; the row is %v, %v, and was %v", late, after, err, now)
					}
				})
			}
		}
	})
}
