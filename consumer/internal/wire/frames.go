package wire

import (
	"context"
	"encoding/binary"
	jsontext "encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A Guard stands between the line and the SDK's decoder of event streams, for one call of SubscribeToShard. It lets pass what
// that decoder can take, and keeps the error of what it cannot:
//
//   - a first frame that is no initial-response: service/kinesis v1.27.0 waits for ever then, whatever becomes of its context,
//     and newer ones lose what an exception says
//   - a header of a type that does not exist: the decoder panics, on a goroutine of its own, where nobody can recover
//   - half a frame, which the decoder of some versions takes for the end
//
// It also limits silence: while the decoder waits for bytes, and only then, Idle may pass without any. A decoder that does not
// read, since nobody takes its events, is not silent.
type Guard struct {
	Idle time.Duration
	Cut  func() // ends the call

	begun atomic.Bool
	mu    sync.Mutex
	err   error
}

// Option is an option of a call of SubscribeToShard: it puts the Guard into the call.
func (g *Guard) Option(o *kinesis.Options) {
	o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error { return s.Deserialize.Add(g, middleware.After) })
}

// Begun tells whether the Guard sees the reply: a client that does not pass options on shows it nothing.
func (g *Guard) Begun() bool { return g.begun.Load() }

// Err is what was wrong with the reply, nil if nothing was.
func (g *Guard) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

func (g *Guard) fail(err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
	return g.err
}

// ID implements middleware.DeserializeMiddleware.
func (g *Guard) ID() string { return "ShardlaneFrames" }

// HandleDeserialize implements middleware.DeserializeMiddleware. It is the last one before the HTTP client.
func (g *Guard) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, meta, err := next.HandleDeserialize(ctx, in)
	if r, ok := out.RawResponse.(*smithyhttp.Response); ok && r.Response != nil && r.Body != nil && r.StatusCode == http.StatusOK {
		g.begun.Store(true)
		r.Body = &frames{ReadCloser: r.Body, g: g}
	}
	return out, meta, err
}

// frames is the body of a reply, frame by frame. A frame is its length and that of its headers, a checksum of both, headers,
// a payload and a checksum of all, which the decoder checks.
type frames struct {
	io.ReadCloser
	g     *Guard
	idle  *time.Timer
	begun bool   // the initial-response has passed
	head  []byte // what the decoder has not read yet of lengths and headers
	left  int    // bytes of the frame behind them
}

const (
	preludeSize = 12
	tailSize    = 4
	maxHeaders  = 128 << 10 // as the decoder has it
	maxFrame    = 24 << 20
	maxRefusal  = 64 << 10
)

var (
	errNoFrames = errors.New("the reply is no event stream")
	errNoEvent  = errors.New("the reply ended before its first event")
)

// Read implements io.Reader.
func (f *frames) Read(p []byte) (int, error) {
	if err := f.g.Err(); err != nil {
		return 0, err
	}
	if len(f.head) == 0 && f.left == 0 {
		if err := f.next(); err != nil {
			if errors.Is(err, io.EOF) {
				return 0, err
			}
			return 0, f.g.fail(err)
		}
	}
	if len(f.head) > 0 {
		n := copy(p, f.head)
		f.head = f.head[n:]
		return n, nil
	}
	n, err := f.read(p[:min(len(p), f.left)])
	f.left -= n
	switch {
	case errors.Is(err, io.EOF) && f.left == 0:
		err = nil // the next Read says it
	case errors.Is(err, io.EOF):
		err = f.g.fail(io.ErrUnexpectedEOF)
	case err != nil:
		err = f.g.fail(err)
	}
	return n, err
}

// read reads from the line, for as long as it is not silent.
func (f *frames) read(p []byte) (int, error) {
	if f.idle == nil {
		f.idle = time.AfterFunc(f.g.Idle, f.g.Cut)
	} else {
		f.idle.Reset(f.g.Idle)
	}
	defer f.idle.Stop()
	return f.ReadCloser.Read(p)
}

// next reads the lengths and headers of the next frame. At the end of the stream it returns io.EOF.
func (f *frames) next() error {
	line := readerFunc(f.read)
	var lengths [preludeSize]byte
	if _, err := io.ReadFull(line, lengths[:]); err != nil {
		if errors.Is(err, io.EOF) && !f.begun {
			return errNoEvent
		}
		return err
	}
	size, headers := int64(binary.BigEndian.Uint32(lengths[:])), int64(binary.BigEndian.Uint32(lengths[4:]))
	if binary.BigEndian.Uint32(lengths[8:]) != crc32.ChecksumIEEE(lengths[:8]) || size > maxFrame || headers > maxHeaders ||
		size < preludeSize+headers+tailSize {
		return errNoFrames
	}
	head := make([]byte, preludeSize+headers)
	copy(head, lengths[:])
	if _, err := io.ReadFull(line, head[preludeSize:]); err != nil {
		return cutOff(err)
	}
	said, err := parseHeaders(head[preludeSize:])
	if err != nil {
		return err
	}
	f.head, f.left = head, int(size-preludeSize-headers)
	if f.begun {
		return nil
	}
	if said[":message-type"] == "event" && said[":event-type"] == "initial-response" {
		f.begun = true
		return nil
	}
	return f.refusal(said)
}

// refusal is the error of a stream that begins with something else than the initial-response.
func (f *frames) refusal(said map[string]string) error {
	switch said[":message-type"] {
	case "exception":
		body := make([]byte, min(f.left-tailSize, maxRefusal))
		_, _ = io.ReadFull(readerFunc(f.read), body)
		var refused struct{ Message string }
		_ = jsontext.Unmarshal(body, &refused)
		return &smithy.GenericAPIError{Code: said[":exception-type"], Message: refused.Message}
	case "error":
		return &smithy.GenericAPIError{Code: said[":error-code"], Message: said[":error-message"]}
	}
	return fmt.Errorf("the event stream begins with %q and not with initial-response", said[":event-type"])
}

// parseHeaders returns the headers that are text. All must be of types that the decoder knows.
func parseHeaders(b []byte) (map[string]string, error) {
	said := map[string]string{}
	for len(b) > 0 {
		n := 1 + int(b[0])
		if n == 1 || len(b) < n+1 {
			return nil, errNoFrames
		}
		name, kind := string(b[1:n]), b[n]
		b = b[n+1:]
		size := 0
		switch kind {
		case 0, 1: // true and false
		case 2:
			size = 1
		case 3:
			size = 2
		case 4:
			size = 4
		case 5, 8: // a long, a time
			size = 8
		case 9: // a UUID
			size = 16
		case 6, 7: // bytes, text
			if len(b) < 2 {
				return nil, errNoFrames
			}
			size = int(binary.BigEndian.Uint16(b))
			b = b[2:]
		default:
			return nil, fmt.Errorf("a frame of the event stream has a header of the unknown type %d", kind)
		}
		if len(b) < size {
			return nil, errNoFrames
		}
		if kind == 7 {
			said[name] = string(b[:size])
		}
		b = b[size:]
	}
	return said, nil
}

// cutOff is the error of a frame that has begun.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
