package consumer_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/consumer"
)

// A meddler stands between the client and the service, and changes every other reply that has records, eight in all.
type meddler struct {
	client kinesis.HTTPClient
	change func(body []byte, r *http.Response) []byte

	mu     sync.Mutex
	seen   int
	opened int // bodies of replies
	closed int
}

func (m *meddler) Do(r *http.Request) (*http.Response, error) {
	resp, err := m.client.Do(r)
	if err != nil || !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetRecords") {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if bytes.Contains(body, []byte("SequenceNumber")) {
		if m.seen++; m.seen%2 == 1 && m.seen < 16 {
			resp.ContentLength = -1
			body = m.change(body, resp)
		}
	}
	m.opened++
	resp.Body = &countedBody{bytes.NewReader(body), m}
	return resp, nil
}

type countedBody struct {
	io.Reader
	m *meddler
}

func (b *countedBody) Close() error {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	b.m.closed++
	return nil
}

// records changes the list of records of a reply.
func records(body []byte, change func([]json.RawMessage) []json.RawMessage) []byte {
	reply := map[string]json.RawMessage{}
	var list []json.RawMessage
	_ = json.Unmarshal(body, &reply)
	_ = json.Unmarshal(reply["Records"], &list)
	reply["Records"], _ = json.Marshal(change(list))
	body, _ = json.Marshal(reply)
	return body
}

// Whatever becomes of replies on their way: what cannot be read is told of and asked for again, what can is, all records are
// handled once, in order, and nothing is left open.
func TestBadReplies(t *testing.T) {
	t.Parallel()
	t.Attr("rule", "L16")
	for name, tt := range map[string]struct {
		told   bool
		change func([]byte, *http.Response) []byte
	}{
		"cut off":                {true, func(b []byte, r *http.Response) []byte { r.ContentLength = int64(len(b)); return b[:len(b)/2] }},
		"cut off without a sign": {true, func(b []byte, r *http.Response) []byte { return b[:len(b)/2] }},
		"no body":                {true, func([]byte, *http.Response) []byte { return nil }},
		"a byte is wrong":        {true, func(b []byte, _ *http.Response) []byte { b[bytes.Index(b, []byte(`"Data"`))+8] = '!'; return b }},
		"no JSON":                {true, func([]byte, *http.Response) []byte { return []byte("<html>log in first</html>") }},
		"an HTML page": {true, func(_ []byte, r *http.Response) []byte {
			r.Header.Set("Content-Type", "text/html")
			return []byte("<html>log in first</html>")
		}},
		"another content type": {true, func(_ []byte, r *http.Response) []byte {
			r.Header.Set("Content-Type", "application/x-amz-cbor-1.1")
			return []byte{0xbf, 0xff}
		}},
		"gzip that nobody asked for": {true, func(b []byte, r *http.Response) []byte {
			r.Header.Set("Content-Encoding", "gzip")
			var out bytes.Buffer
			w := gzip.NewWriter(&out)
			_, _ = w.Write(b)
			_ = w.Close()
			return out.Bytes()
		}},
		"another page behind it, which the SDK does not see either": {false, func(b []byte, _ *http.Response) []byte { return append(b, b...) }},
		"each twice": {true, func(b []byte, _ *http.Response) []byte {
			return records(b, func(list []json.RawMessage) (twice []json.RawMessage) {
				for _, r := range list {
					twice = append(twice, r, r)
				}
				return twice
			})
		}},
		"backwards": {true, func(b []byte, _ *http.Response) []byte {
			return records(b, func(list []json.RawMessage) []json.RawMessage { slices.Reverse(list); return list })
		}},
		"much of nothing": {false, func(b []byte, _ *http.Response) []byte { return append(bytes.Repeat([]byte(" "), 8<<20), b...) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inField(t, 2, func(f *field) {
				m := &meddler{change: tt.change}
				client := f.srv.Client(func(o *kinesis.Options) { m.client, o.HTTPClient = o.HTTPClient, m })
				c, err := consumer.New(client, "orders", f.handle, f.options())
				if err != nil {
					t.Fatal(err)
				}
				life := &fieldLife{f: f, c: c}
				life.run()
				for i := range 20 {
					f.put(shardID(i%2), fmt.Sprint("key-", i%4), 3)
					time.Sleep(3 * time.Second)
				}
				time.Sleep(2 * time.Minute)
				life.stop()
				f.once()
				if n := f.noticed("ReadFailed"); n > 0 != tt.told {
					t.Errorf("ReadFailed was told %d times", n)
				}
				if m.seen < 16 {
					t.Errorf("%d replies had records", m.seen)
				}
				if m.opened != m.closed {
					t.Errorf("%d of %d replies were closed", m.closed, m.opened)
				}
			})
		})
	}
}
