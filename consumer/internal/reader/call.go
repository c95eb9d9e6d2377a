package reader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	callTimeout = 15 * time.Second // without a byte
	callTotal   = 30 * time.Minute // for all of a reply: 14 MB, the largest record as JSON, at 62 kbit/s
)

// A call is one request. Its limit is on silence: it ends 15 s after its beginning, or after the last byte of its reply.
// The SDK's client reads the reply within the call, so a middleware at the deserialize step watches the bytes. A Client
// that is not the SDK's, or does not pass the options of a call on, shows none: then the limit is on the whole call.
type call struct {
	silence *time.Timer // of the poll
	began   time.Time
	spent   time.Duration // of what a clock can see of the CPU time: all but the wait for the reply; 0 where that is not seen

	mu      sync.Mutex // a client may return before its SDK does
	cut     *time.Timer
	over    bool
	watched bool      // the bytes of the reply are seen
	sent    time.Time // when the request was handed to the HTTP client
	replied time.Time // when the reply began, or the call ended
	good    bool      // a reply that is no error
	left    int64     // bytes of the reply that are to come; negative: not known
	broken  bool      // it failed, and a smaller reply could have come through
}

// call makes a request. Patience is how long it may take while nothing is seen of the reply. Of a call that failed, broken
// tells whether a smaller reply could have come through.
func (p *Poller) call(ctx context.Context, patience time.Duration, do func(context.Context, func(*kinesis.Options)) error) (*call, error) {
	request, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := func(text string, d time.Duration) *time.Timer {
		return time.AfterFunc(d, func() { cancel(fmt.Errorf(text+": %w", d, context.DeadlineExceeded)) })
	}
	p.silence.Reset(hangTime)
	defer p.silence.Stop()
	c := &call{silence: p.silence, began: time.Now(), left: -1}
	c.cut = limit("nothing of the reply came for %v", patience)
	total := limit("the reply was not complete after %v", callTotal)
	err := do(request, c.watch)
	total.Stop()
	begun := c.end()
	if err == nil {
		return c, nil
	}
	if request.Err() != nil && ctx.Err() == nil {
		begun, err = true, context.Cause(request)
	}
	c.broken = begun || errors.Is(err, io.ErrUnexpectedEOF)
	return c, err
}

// watch is an option of the request.
func (c *call) watch(o *kinesis.Options) {
	NoRetries(o)
	o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
		c.heard(0)
		_, _ = s.Deserialize.Remove("ReadResponseTimeout") // older SDKs have one: 5 s, with a goroutine for each Read
		return s.Deserialize.Add(c, middleware.After)
	})
}

// ID implements middleware.DeserializeMiddleware.
func (c *call) ID() string { return "ShardlaneSilence" }

// HandleDeserialize implements middleware.DeserializeMiddleware. It is the last one before the HTTP client.
func (c *call) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	c.mu.Lock()
	c.sent = time.Now()
	c.mu.Unlock()
	out, meta, err := next.HandleDeserialize(ctx, in)
	if r, ok := out.RawResponse.(*smithyhttp.Response); ok && r.Response != nil && r.Body != nil {
		c.begin(r.StatusCode == http.StatusOK, r.ContentLength)
		r.Body = body{r.Body, c}
	}
	return out, meta, err
}

// begin notes the headers of a reply.
func (c *call) begin(good bool, length int64) {
	c.heard(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.replied, c.good, c.left = time.Now(), good, length
	}
}

// heard notes that the service, or the SDK, gives a sign of life.
func (c *call) heard(bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	c.watched = true
	c.cut.Reset(callTimeout)
	c.silence.Reset(hangTime)
	if c.left -= int64(bytes); c.left == 0 {
		c.silence.Stop() // what takes long now is no wait
	}
}

// end ends the watch and tells whether a good reply had begun.
func (c *call) end() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.cut.Stop()
	switch now := time.Now(); {
	case c.replied.IsZero():
		c.replied = now
	case !c.sent.IsZero():
		c.spent = c.sent.Sub(c.began) + now.Sub(c.replied)
	}
	return c.good
}

// A body is one of a reply, and watched.
type body struct {
	io.ReadCloser
	c *call
}

func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.c.heard(n)
	}
	return n, err
}
