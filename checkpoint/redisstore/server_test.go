package redisstore_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

// shared returns the address of the Redis of the tests, which SHARDLANE_REDIS holds. Without one the test is skipped, and
// with SHARDLANE_REQUIRE_SERVERS=1 it fails.
func shared(t *testing.T) string {
	addr := os.Getenv("SHARDLANE_REDIS")
	switch {
	case addr != "":
	case os.Getenv("SHARDLANE_REQUIRE_SERVERS") == "1":
		t.Fatal("SHARDLANE_REDIS is not set, and SHARDLANE_REQUIRE_SERVERS is")
	default:
		t.Skip("SHARDLANE_REDIS is not set: .ci/redis COMMAND runs a command with a server") //nolint:forbidigo // the server is no part of Go
	}
	return addr
}

// open returns a client that is closed when the test ends.
func open(t *testing.T, o *redis.Options) *redis.Client {
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

// A server is a Redis of one test, which the test may stop, fill and spoil.
type server struct {
	t         *testing.T
	dir, addr string
	args      []string
	process   *exec.Cmd
}

// own starts a server. Its files are in a folder of its own.
func own(t *testing.T, args ...string) *server {
	shared(t)
	s := &server{t: t, dir: t.TempDir(), addr: freePort(t), args: args}
	s.start()
	t.Cleanup(s.kill)
	return s
}

// start returns when the server says that it accepts connections.
func (s *server) start() {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.addr)
	args := append([]string{"--bind", "127.0.0.1", "--port", port, "--dir", s.dir, "--save", ""}, s.args...)
	s.process = exec.Command("redis-server", args...)
	out, err := s.process.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			go io.Copy(io.Discard, out)
			return
		}
	}
	s.t.Fatalf("the server did not come up:\n%s", &said)
}

// kill ends the server as a crash does.
func (s *server) kill() {
	s.process.Process.Kill()
	s.process.Wait()
}

// do sends a command as an administrator, and fails the test if it fails.
func do(t *testing.T, addr string, args ...any) any {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr})
	defer c.Close()
	reply, err := c.Do(context.WithoutCancel(t.Context()), args...).Result()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return reply
}

// ran returns how many scripts the server has been asked to run.
func ran(t *testing.T, addr string) int {
	t.Helper()
	n := 0
	for line := range strings.Lines(do(t, addr, "INFO", "commandstats").(string)) {
		if name, stats, ok := strings.Cut(strings.TrimSpace(line), ":calls="); ok && (name == "cmdstat_evalsha" || name == "cmdstat_eval") {
			calls, _, _ := strings.Cut(stats, ",")
			i, err := strconv.Atoi(calls)
			if err != nil {
				t.Fatal(err)
			}
			n += i
		}
	}
	return n
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A proxy stands between clients and a server, and loses answers.
type proxy struct {
	addr string

	mu    sync.Mutex
	lose  int  // answers that are still to be lost, each with its connection
	stuck bool // answers are kept back, and their connections stay open
	lost  int
}

func through(t *testing.T, server string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String()}
	var wg sync.WaitGroup
	var conns sync.Map
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", server)
			if err != nil {
				in.Close()
				continue
			}
			conns.Store(in, out)
			wg.Go(func() { io.Copy(out, in); in.Close(); out.Close() })
			wg.Go(func() { p.answers(in, out); in.Close(); out.Close() })
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Range(func(in, out any) bool { in.(net.Conn).Close(); out.(net.Conn).Close(); return true })
		wg.Wait()
	})
	return p
}

// answers passes on what the server says, until an answer is to be lost.
func (p *proxy) answers(in, out net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := out.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		lose, stuck := p.lose > 0, p.stuck
		if lose {
			p.lose--
		}
		if lose || stuck {
			p.lost++
		}
		p.mu.Unlock()
		if lose {
			return
		}
		if !stuck {
			in.Write(buf[:n])
		}
	}
}

// set says what happens to answers from now on, and returns how many were lost until now.
func (p *proxy) set(lose int, stuck bool) (lost int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lost = p.lost
	p.lose, p.stuck, p.lost = lose, stuck, 0
	return lost
}
