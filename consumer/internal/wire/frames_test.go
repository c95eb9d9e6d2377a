package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// frameOf encodes a frame as the SDK does.
func frameOf(t *testing.T, payload string, headers ...string) []byte {
	t.Helper()
	msg := eventstream.Message{Payload: []byte(payload)}
	for i := 0; i < len(headers); i += 2 {
		msg.Headers.Set(headers[i], eventstream.StringValue(headers[i+1]))
	}
	var b bytes.Buffer
	if err := eventstream.NewEncoder().Encode(&b, msg); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func first(t *testing.T) []byte {
	return frameOf(t, "{}", ":message-type", "event", ":event-type", "initial-response")
}

// guarded is a reply behind a Guard.
func guarded(t *testing.T, g *Guard, body io.Reader) io.Reader {
	t.Helper()
	reply := &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(body)}}
	out, _, err := g.HandleDeserialize(t.Context(), middleware.DeserializeInput{}, middleware.DeserializeHandlerFunc(
		func(context.Context, middleware.DeserializeInput) (middleware.DeserializeOutput, middleware.Metadata, error) {
			return middleware.DeserializeOutput{RawResponse: reply}, middleware.Metadata{}, nil
		}))
	if err != nil || !g.Begun() {
		t.Fatal(err)
	}
	return out.RawResponse.(*smithyhttp.Response).Body
}

// TestGuardPasses: frames come through as they are, however they are cut into reads.
func TestGuardPasses(t *testing.T) {
	event := frameOf(t, strings.Repeat("x", 100_000), ":message-type", "event", ":event-type", "SubscribeToShardEvent")
	all := frameOf(t, "", ":message-type", "event", ":event-type", "initial-response")
	var kinds eventstream.Message
	for name, v := range map[string]eventstream.Value{
		"true": eventstream.BoolValue(true), "false": eventstream.BoolValue(false), "byte": eventstream.Int8Value(1), "short": eventstream.Int16Value(1),
		"int": eventstream.Int32Value(1), "long": eventstream.Int64Value(1), "bytes": eventstream.BytesValue{1, 2}, "time": eventstream.TimestampValue(time.Unix(1, 0)),
		"uuid": eventstream.UUIDValue{1},
	} {
		kinds.Headers.Set(name, v)
	}
	var b bytes.Buffer
	if err := eventstream.NewEncoder().Encode(&b, kinds); err != nil {
		t.Fatal(err)
	}
	all = append(append(append(all, event...), b.Bytes()...), event...)
	for name, cut := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader, "bytes": iotest.OneByteReader, "with its end": iotest.DataErrReader,
	} {
		g := &Guard{Idle: time.Hour, Cut: func() {}}
		got, err := io.ReadAll(guarded(t, g, cut(bytes.NewReader(all))))
		if err != nil || !bytes.Equal(got, all) || g.Err() != nil {
			t.Errorf("%s: %d of %d bytes, %v", name, len(got), len(all), err)
		}
	}
}

// TestGuardStops: what the SDK's decoder cannot stand does not reach it, and says what it was.
func TestGuardStops(t *testing.T) {
	event := frameOf(t, "{}", ":message-type", "event", ":event-type", "SubscribeToShardEvent")
	odd := bytes.Clone(event)
	at := bytes.Index(odd, []byte(":event-type")) + len(":event-type")
	odd[at] = 10
	long := bytes.Clone(event)
	binary.BigEndian.PutUint32(long, 1<<30)
	binary.BigEndian.PutUint32(long[8:], crc32.ChecksumIEEE(long[:8]))
	headers := bytes.Clone(event)
	binary.BigEndian.PutUint32(headers[4:], binary.BigEndian.Uint32(headers))
	binary.BigEndian.PutUint32(headers[8:], crc32.ChecksumIEEE(headers[:8]))
	name := bytes.Clone(event)
	name[12] = 255
	ir := first(t)
	after := func(b []byte) []byte { return append(bytes.Clone(ir), b...) }
	for what, tt := range map[string]struct {
		reply  []byte
		passed int
		want   string
	}{
		"nothing":             {nil, 0, "ended before its first event"},
		"a page of HTML":      {[]byte("<html><body>not found</body></html>"), 0, "no event stream"},
		"an event first":      {event, 0, "begins with \"SubscribeToShardEvent\""},
		"an exception first":  {frameOf(t, `{"message":"no"}`, ":message-type", "exception", ":exception-type", "KMSDisabledException"), 0, "KMSDisabledException: no"},
		"an error first":      {frameOf(t, "", ":message-type", "error", ":error-code", "Odd", ":error-message", "why"), 0, "Odd: why"},
		"half of the first":   {ir[:20], 0, "unexpected EOF"},
		"half of the lengths": {after(event[:7]), len(ir), "unexpected EOF"},
		"half of the headers": {after(event[:30]), len(ir), "unexpected EOF"},
		"half of the payload": {after(event[:len(event)-3]), len(ir) + len(event) - 3, "unexpected EOF"},
		"an unknown type":     {after(odd), len(ir), "unknown type 10"},
		"too long":            {after(long), len(ir), "no event stream"},
		"headers too long":    {after(headers), len(ir), "no event stream"},
		"a name too long":     {after(name), len(ir), "no event stream"},
		"wrong lengths":       {after(append([]byte{1}, event[1:]...)), len(ir), "no event stream"},
	} {
		g := &Guard{Idle: time.Hour, Cut: func() {}}
		r := guarded(t, g, bytes.NewReader(tt.reply))
		got, err := io.ReadAll(r)
		if err == nil || !strings.Contains(err.Error(), tt.want) || len(got) != tt.passed {
			t.Errorf("%s: %d bytes passed and %v, want %d and %q", what, len(got), err, tt.passed, tt.want)
		}
		if _, again := r.Read(make([]byte, 9)); !errors.Is(again, g.Err()) {
			t.Errorf("%s: then %v", what, again)
		}
	}
	g := &Guard{Idle: time.Hour, Cut: func() {}}
	_, err := io.ReadAll(guarded(t, g, bytes.NewReader(frameOf(t, `{"message":"no"}`, ":message-type", "exception", ":exception-type", "KMSDisabledException"))))
	var refused smithy.APIError
	if !errors.As(err, &refused) || refused.ErrorCode() != "KMSDisabledException" || refused.ErrorMessage() != "no" {
		t.Errorf("an exception is %v", err)
	}
}

// TestGuardSilence: only the time counts in which bytes are waited for.
func TestGuardSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cut := make(chan time.Time, 1)
		g := &Guard{Idle: 15 * time.Second, Cut: func() { cut <- time.Now() }}
		line, far := io.Pipe()
		r := guarded(t, g, line)
		go func() {
			for _, b := range first(t) {
				time.Sleep(14 * time.Second)
				far.Write([]byte{b})
			}
		}()
		if _, err := io.ReadFull(r, make([]byte, len(first(t)))); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour) // nobody reads
		if len(cut) > 0 {
			t.Fatal("it was silent")
		}
		from := time.Now()
		go r.Read(make([]byte, 9))
		if after := (<-cut).Sub(from); after != 15*time.Second {
			t.Errorf("cut after %v", after)
		}
		far.Close()
	})
}

// FuzzGuard: what a Guard lets pass, the SDK's decoder can stand.
func FuzzGuard(f *testing.F) {
	event := func(t string) []byte {
		var b bytes.Buffer
		msg := eventstream.Message{Payload: []byte("{}")}
		msg.Headers.Set(":message-type", eventstream.StringValue("event"))
		msg.Headers.Set(":event-type", eventstream.StringValue(t))
		_ = eventstream.NewEncoder().Encode(&b, msg)
		return b.Bytes()
	}
	ir, ev := event("initial-response"), event("SubscribeToShardEvent")
	f.Add(bytes.Clone(ir[12 : len(ir)-4]))
	f.Add(bytes.Clone(ev[12 : len(ev)-4]))
	f.Fuzz(func(t *testing.T, rest []byte) {
		// The lengths are right, and the headers are as long as it takes: else nothing gets to the headers.
		for headers := 0; headers <= len(rest); headers += 1 + len(rest)/8 {
			frame := binary.BigEndian.AppendUint32(nil, uint32(16+len(rest)))
			frame = binary.BigEndian.AppendUint32(frame, uint32(headers))
			frame = binary.BigEndian.AppendUint32(frame, crc32.ChecksumIEEE(frame))
			frame = append(frame, rest...)
			frame = binary.BigEndian.AppendUint32(frame, crc32.ChecksumIEEE(frame))
			r := guarded(t, &Guard{Idle: time.Hour, Cut: func() {}}, bytes.NewReader(append(bytes.Clone(ir), frame...)))
			d := eventstream.NewDecoder()
			for {
				if _, err := d.Decode(r, nil); err != nil {
					break
				}
			}
		}
	})
}
