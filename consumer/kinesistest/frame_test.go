package kinesistest

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// FuzzEvent shows an event to the SDK's client: whole, cut, and with a bit changed that only the checksum can tell.
func FuzzEvent(f *testing.F) {
	f.Add("k", []byte("1"), uint16(0))
	f.Add("<é\x00\"\\\u2028>", []byte{}, uint16(99))
	f.Add("", []byte("{}"), uint16(301))
	srv := NewServer("s", 1)
	f.Cleanup(srv.Close)
	f.Fuzz(func(t *testing.T, key string, data []byte, at uint16) {
		if !utf8.ValidString(key) || len(key) > 256 {
			return
		}
		read := func(frames ...[]byte) (events []types.SubscribeToShardEvent, err error) {
			body := append(eventFrame("initial-response", []byte("{}")), bytes.Join(frames, nil)...)
			c := srv.Client(func(o *kinesis.Options) {
				o.HTTPClient = doer(func(*http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}, nil
				})
			})
			r := must(subscribe(t.Context(), c, arn("s")+"/consumer/c:1", 0, tip))
			defer r.Close()
			for e := r.event(); e != nil; e = r.event() {
				events = append(events, *e)
			}
			return events, r.Err()
		}
		e := event{continuation: "7"}
		e.records = []Record{{SequenceNumber: "6", PartitionKey: key, Data: data, Arrival: time.UnixMilli(1)}}
		e.children = []childBody{{shardID(1), []string{shardID(0)}, rangeBody{"0", "1"}}}
		e.lag = time.Duration(at) * time.Millisecond
		whole := eventFrame(pushOp, e.encode())
		refused := exceptionFrame(&apiError{"KMSDisabledException", key})

		got, err := read(whole, refused, whole)
		if len(got) != 1 || len(got[0].Records) != 1 || len(got[0].ChildShards) != 1 {
			t.Fatalf("%q came as %+v, %v", whole, got, err)
		}
		r := got[0].Records[0]
		if aws.ToString(r.PartitionKey) != key || !bytes.Equal(r.Data, data) || *got[0].ContinuationSequenceNumber != "7" || *got[0].MillisBehindLatest != int64(at) || !r.ApproximateArrivalTimestamp.Equal(time.UnixMilli(1)) {
			t.Errorf("%q came as %+v", whole, got[0])
		}
		if c := code(err); c != "KMSDisabledException" {
			t.Errorf("the exception came as %v", err)
		}

		cut := whole[:int(at)%len(whole)]
		if got, _ := read(cut); len(got) > 0 {
			t.Errorf("%d of %d bytes are an event", len(cut), len(whole))
		}
		whole[len(whole)-1-int(at)%100] ^= 1
		if got, err := read(whole); len(got) > 0 || err == nil {
			t.Errorf("with a changed bit, %d events came, and %v", len(got), err)
		}
	})
}
