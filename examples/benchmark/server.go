package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// latency is how long each call takes at least, as on a good day in the same region.
const latency = 5 * time.Millisecond

// A server answers the four calls of a consumer that polls. It keeps finished pages and two counters, and while it holds, it has
// only the first page of each shard.
type server struct {
	library

	held                     atomic.Bool
	calls, connections, open atomic.Int64
	born                     time.Time
}

// addresses are where a server listens, and the certificate by which its TLS is to be known.
type addresses struct {
	Plain       string `json:"plain"`
	TLS         string `json:"tls"`
	Certificate []byte `json:"certificate"`
}

// listen serves plain HTTP and TLS on the loopback interface until the test servers are closed.
func (s *server) listen() (addresses, func()) {
	s.born = time.Now()
	plain, secure := httptest.NewUnstartedServer(s), httptest.NewUnstartedServer(s)
	for _, srv := range []*httptest.Server{plain, secure} {
		srv.EnableHTTP2 = true
		srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.connections.Add(1)
				s.open.Add(1)
			case http.StateClosed, http.StateHijacked:
				s.open.Add(-1)
			}
		}
	}
	plain.Start()
	secure.StartTLS()
	end := func() { plain.Close(); secure.Close() }
	return addresses{plain.URL, secure.URL, secure.Certificate().Raw}, end
}

// serve is the process of the server: it prints its addresses and ends with its standard input.
func serve() error {
	at, end := new(server).listen()
	defer end()
	if err := json.NewEncoder(os.Stdout).Encode(at); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// What a subject's process tells the server and asks it, beside the calls of Kinesis.
const pathHold, pathRelease, pathCounts = "/hold", "/release", "/counts"

// counts is what a server has seen so far.
type counts struct {
	Calls       int64 `json:"calls"`
	Connections int64 `json:"connections"` // ever made
	Open        int64 `json:"open"`        // of these
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case pathHold:
		s.held.Store(true)
	case pathRelease:
		s.held.Store(false)
	}
	if r.URL.Path != "/" {
		_ = json.NewEncoder(w).Encode(counts{s.calls.Load(), s.connections.Load(), s.open.Load()})
		return
	}
	s.calls.Add(1)
	var in request
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	var reply [][]byte
	if err == nil {
		_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		reply, err = s.answer(op, &in)
	}
	if err == nil {
		err = wait(r.Context(), latency)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if err != nil {
		w.Header().Set("X-Amzn-ErrorType", "InvalidArgumentException")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": "InvalidArgumentException", "message": err.Error()})
		return
	}
	var length int
	for _, part := range reply {
		length += len(part)
	}
	w.Header().Set("Content-Length", fmt.Sprint(length))
	for _, part := range reply {
		_, _ = w.Write(part)
	}
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A request has the fields of any call that matter here.
type request struct {
	StreamName, StreamARN, ShardID, ShardIteratorType, ShardIterator string
	Limit                                                            int
}

func (s *server) answer(op string, in *request) ([][]byte, error) {
	if op == "GetRecords" {
		return s.records(in)
	}
	name := in.StreamName
	if _, of, ok := strings.Cut(in.StreamARN, ":stream/"); ok {
		name = of
	}
	l, err := parseLoad(name)
	if err != nil {
		return nil, err
	}
	var out any
	switch op {
	case "DescribeStreamSummary":
		out = map[string]any{"StreamDescriptionSummary": map[string]any{
			"StreamName": name, "StreamARN": "arn:aws:kinesis:us-east-1:123456789012:stream/" + name, "StreamStatus": "ACTIVE",
			"RetentionPeriodHours": 24, "StreamCreationTimestamp": s.born.Add(-time.Hour).Unix(), "OpenShardCount": l.Shards,
			"EnhancedMonitoring": []any{}, "StreamModeDetails": map[string]any{"StreamMode": "PROVISIONED"},
		}}
	case "ListShards":
		out = map[string]any{"Shards": shards(l)}
	case "GetShardIterator":
		var shard int
		if _, err := fmt.Sscanf(in.ShardID, shardFormat, &shard); err != nil {
			return nil, err
		}
		if in.ShardIteratorType != "TRIM_HORIZON" {
			return nil, fmt.Errorf("no iterator at %s here", in.ShardIteratorType)
		}
		out = map[string]any{"ShardIterator": place{load: l, shard: shard}.String()}
	default:
		return nil, fmt.Errorf("no operation %s here", op)
	}
	body, err := json.Marshal(out)
	return [][]byte{body}, err
}

const shardFormat = "shardId-%012d"

func shards(l load) (list []any) {
	for i := range l.Shards {
		from, to := hashRange(l.Shards, i)
		list = append(list, map[string]any{
			"ShardId":             fmt.Sprintf(shardFormat, i),
			"HashKeyRange":        map[string]any{"StartingHashKey": from, "EndingHashKey": to},
			"SequenceNumberRange": map[string]any{"StartingSequenceNumber": "4965" + strings.Repeat("0", 52)},
		})
	}
	return list
}

// A place is what an iterator says: the record that comes next.
type place struct {
	load
	shard, page, record int
}

func (p place) String() string {
	it := fmt.Sprintf("%s %d %d %d ", p.stream(), p.shard, p.page, p.record)
	return it + strings.Repeat("A", max(0, 220-len(it))) // iterators of the service are long
}

func parsePlace(iterator string) (p place, err error) {
	var name, rest string
	if _, err = fmt.Sscan(iterator, &name, &p.shard, &p.page, &p.record, &rest); err == nil {
		p.load, err = parseLoad(name)
	}
	return p, err
}

// records answers GetRecords, with as many records as the call wants.
func (s *server) records(in *request) ([][]byte, error) {
	at, err := parsePlace(in.ShardIterator)
	if err != nil {
		return nil, err
	}
	var records []byte
	there := at.Pages
	switch {
	case s.held.Load():
		there = 1
	case at.Busy > 0 && at.shard%at.Busy == 0:
		there = at.page + 1
	}
	if at.page < there {
		p, next := s.page(at.load, at.shard, at.page), at.Records
		if in.Limit > 0 {
			next = min(next, at.record+in.Limit)
		}
		records, at.record = p.slice(at.record, next), next
		if next == at.Records {
			at.page, at.record = at.page+1, 0
		}
	}
	behind := 0
	if at.page < there {
		behind = 1000 * (there - at.page)
	}
	head := fmt.Sprintf(`{"MillisBehindLatest":%d,"NextShardIterator":"%s","Records":[`, behind, at)
	return [][]byte{[]byte(head), records, []byte("]}")}, nil
}
