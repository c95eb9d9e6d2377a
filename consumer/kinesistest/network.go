package kinesistest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// memoryListener is a net.Listener whose connections are pairs of buffers.
type memoryListener struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemoryListener() *memoryListener {
	return &memoryListener{accept: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *memoryListener) Addr() net.Addr { return memoryAddr{} }

func (l *memoryListener) dial(ctx context.Context) (net.Conn, error) {
	// The client's writes never wait (no limit): net/http writes a request while the answer may already be coming,
	// and a pipe that makes it wait breaks large answers. The server's writes wait for a slow reader.
	up, down := newBuffer(0), newBuffer(256<<10)
	client, server := &memoryConn{read: down, write: up}, &memoryConn{read: up, write: down}
	select {
	case l.accept <- server:
		return client, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "memory", Addr: memoryAddr{}, Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return "kinesis.test:80" }

// memoryConn is one end of a connection.
type memoryConn struct{ read, write *buffer }

func (c *memoryConn) Read(p []byte) (int, error)  { return c.read.Read(p) }
func (c *memoryConn) Write(p []byte) (int, error) { return c.write.Write(p) }
func (c *memoryConn) LocalAddr() net.Addr         { return memoryAddr{} }
func (c *memoryConn) RemoteAddr() net.Addr        { return memoryAddr{} }

// Close closes this end: what was written before is still read at the other end, as over TCP.
func (c *memoryConn) Close() error {
	c.write.closeWrite()
	c.read.closeRead()
	return nil
}

func (c *memoryConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *memoryConn) SetReadDeadline(t time.Time) error {
	c.read.setDeadline(&c.read.readDeadline, t)
	return nil
}

func (c *memoryConn) SetWriteDeadline(t time.Time) error {
	c.write.setDeadline(&c.write.writeDeadline, t)
	return nil
}

// buffer is one direction of a connection: bytes that were written and not yet read.
type buffer struct {
	mu            sync.Mutex
	changed       sync.Cond
	limit         int // Write waits above so many bytes; 0: never
	data          []byte
	start         int // data[:start] is read
	writeClosed   bool
	readClosed    bool
	readDeadline  deadline
	writeDeadline deadline
}

type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func newBuffer(limit int) *buffer {
	b := &buffer{limit: limit}
	b.changed.L = &b.mu
	return b
}

func (b *buffer) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch {
		case b.readClosed:
			return 0, net.ErrClosed
		case b.readDeadline.passed():
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case b.start < len(b.data):
			n := copy(p, b.data[b.start:])
			if b.start += n; b.start == len(b.data) {
				b.data, b.start = b.data[:0], 0
			}
			b.changed.Broadcast()
			return n, nil
		case b.writeClosed:
			return 0, io.EOF
		}
		b.changed.Wait()
	}
}

func (b *buffer) Write(p []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch {
		case b.writeClosed, b.readClosed:
			return n, io.ErrClosedPipe
		case b.writeDeadline.passed():
			return n, os.ErrDeadlineExceeded
		}
		room := len(p) - n
		if b.limit > 0 {
			room = min(room, b.limit-(len(b.data)-b.start))
		}
		if room > 0 {
			if b.start > 0 && len(b.data)+room > cap(b.data) {
				b.data, b.start = b.data[:copy(b.data, b.data[b.start:])], 0
			}
			b.data = append(b.data, p[n:n+room]...)
			n += room
			b.changed.Broadcast()
		}
		if n == len(p) {
			return n, nil
		}
		b.changed.Wait()
	}
}

func (b *buffer) closeWrite() {
	b.mu.Lock()
	b.writeClosed = true
	b.stopTimers()
	b.changed.Broadcast()
	b.mu.Unlock()
}

func (b *buffer) closeRead() {
	b.mu.Lock()
	b.readClosed, b.data, b.start = true, nil, 0
	b.stopTimers()
	b.changed.Broadcast()
	b.mu.Unlock()
}

func (b *buffer) stopTimers() {
	for _, d := range []*deadline{&b.readDeadline, &b.writeDeadline} {
		if d.timer != nil {
			d.timer.Stop()
		}
	}
}

func (b *buffer) setDeadline(d *deadline, t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = t
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		d.timer = time.AfterFunc(wait, func() {
			b.mu.Lock()
			b.changed.Broadcast()
			b.mu.Unlock()
		})
	}
	b.changed.Broadcast()
}

// plainTransport hides every method of a request's body but Read and Close. The SDK closes the body as soon as it has
// the answer, and the WriteTo of its closed body makes net/http cut the connection.
//
// It also keeps apart those who use an answer's body: older releases of the SDK leave a Read behind that takes 5 s, start
// another and close the body. net/http makes them, or its own reading of the rest, wait for a mutex, and that stops a
// bubble's clock.
type plainTransport struct{ http.RoundTripper }

type plainBody struct {
	io.Reader
	io.Closer
}

func (t plainTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	r = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = plainBody{r.Body, r.Body}
	}
	out, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		cancel()
		return out, err
	}
	out.Body = turnBody{out.Body, make(chan struct{}, 1), cancel}
	return out, nil
}

// turnBody is a body that one at a time uses.
type turnBody struct {
	io.ReadCloser
	turn   chan struct{}
	cancel context.CancelFunc // ends the request, and a Read under way
}

func (b turnBody) Read(p []byte) (int, error) {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	return b.ReadCloser.Read(p)
}

func (b turnBody) Close() error {
	select {
	case b.turn <- struct{}{}:
	default:
		b.cancel()
		b.turn <- struct{}{}
	}
	defer func() { <-b.turn }()
	err := b.ReadCloser.Close()
	b.cancel()
	return err
}
