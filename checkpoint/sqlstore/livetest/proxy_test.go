package livetest

import (
	"net"
	"sync"
	"testing"
)

// A mode is what a proxy does with requests and replies from now on.
type mode int

const (
	pass     mode = iota
	lose          // the request arrives; when the server replies, the client's connection breaks instead
	swallow       // the request arrives, the reply does not, and nothing breaks
	hold          // the first request arrives when release is called
	blackout      // the request never arrives, and the connection breaks
)

// A proxy stands between a driver and its server.
type proxy struct {
	address string
	server  string

	mu      sync.Mutex
	mode    mode
	held    func()
	replies int // since set
	conns   []net.Conn
	closed  bool
}

// newProxy returns a proxy to the server at an address, which lets all through until it is set to do otherwise.
func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: l.Addr().String(), server: server}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		p.closed = true
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		wg.Wait()
	})
	return p
}

func (p *proxy) set(m mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode, p.replies, p.held = m, 0, nil
}

// release lets the request through that is held.
func (p *proxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil {
		p.held()
		p.held = nil
	}
}

// answers reports how many replies have come since set, delivered or not.
func (p *proxy) answers() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.replies
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	closed := p.closed
	p.mu.Unlock()
	if closed {
		server.Close()
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { // replies
		copyChunks(server, func(b []byte) bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.replies++
			switch p.mode {
			case lose:
				client.Close()
			case pass:
				client.Write(b)
			}
			return true // the server's side stays open to its end
		})
	})
	copyChunks(client, func(b []byte) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch p.mode {
		case blackout:
			return false
		case hold:
			if p.held == nil { // a driver that gives up may ask the server to cancel, over another connection
				p.held = func() { server.Write(b) }
			}
		default:
			server.Write(b)
		}
		return true
	})
	client.Close()
	p.mu.Lock()
	waits := p.held != nil
	p.mu.Unlock()
	if !waits { // else a request of this connection may still be on its way
		server.Close()
	}
	wg.Wait()
	server.Close()
}

// copyChunks gives what comes over a connection to f, piece by piece, each its own to keep, until f answers false.
func copyChunks(from net.Conn, f func([]byte) bool) {
	for {
		b := make([]byte, 64<<10)
		n, err := from.Read(b)
		if n > 0 && !f(b[:n]) || err != nil {
			return
		}
	}
}
