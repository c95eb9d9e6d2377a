package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/checkpoint/checkpointtest"
	"github.com/shardlane/shardlane/checkpoint/redisstore"
)

// A wrapped client is one of a type that the store does not know.
type wrapped struct{ redis.UniversalClient }

// cluster starts Redis nodes that share the slots: the first one has all.
func cluster(t *testing.T, nodes int) (servers []*server) {
	for range nodes {
		servers = append(servers, own(t, "--cluster-enabled", "yes"))
	}
	do(t, servers[0].addr, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	return servers
}

// onlyNode is for a client that must not look behind addr for the addresses of the nodes.
func onlyNode(addr string) *redis.ClusterOptions {
	return &redis.ClusterOptions{Addrs: []string{addr}, ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) {
		return []redis.ClusterSlot{{Start: 0, End: 16383, Nodes: []redis.ClusterNode{{Addr: addr}}}}, nil
	}}
}

func openCluster(t *testing.T, o *redis.ClusterOptions) *redis.ClusterClient {
	c := redis.NewClusterClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

// ready waits until the cluster knows that it is complete.
func ready(t *testing.T, addr, line string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if strings.Contains(do(t, addr, "CLUSTER", "INFO").(string), line) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s:\n%s", line, do(t, addr, "CLUSTER", "INFO"))
		}
	}
}

func TestCluster(t *testing.T) {
	addr := cluster(t, 1)[0].addr
	ready(t, addr, "cluster_state:ok")
	checkpointtest.Run(t, func(t *testing.T) (a, b checkpoint.Store) {
		s := redisstore.New(openCluster(t, &redis.ClusterOptions{Addrs: []string{addr}, RouteRandomly: true}), "rules")
		t.Cleanup(func() { s.Close() })
		return s, s.Reserved()
	})
}

// TestClusterRedirects moves the slot of the rows to another node behind the client's back. The client is the user of the
// package's documentation.
func TestClusterRedirects(t *testing.T) {
	nodes := cluster(t, 2)
	_, port, _ := net.SplitHostPort(nodes[1].addr)
	do(t, nodes[0].addr, "CLUSTER", "MEET", "127.0.0.1", port)
	for _, n := range nodes {
		ready(t, n.addr, "cluster_known_nodes:2")
		ready(t, n.addr, "cluster_state:ok")
	}
	for _, line := range permissions(t) {
		args := []any{"ACL", "SETUSER"}
		for _, w := range line {
			args = append(args, w)
		}
		do(t, nodes[0].addr, args...)
		do(t, nodes[1].addr, args...)
	}
	st := redisstore.New(openCluster(t, &redis.ClusterOptions{Addrs: []string{nodes[0].addr}, Username: "shardlane", Password: "password"}), "shardlane")
	if got, err := st.Get(t.Context(), "k"); err != nil || got.Revision != "" {
		t.Fatal(got, err)
	}
	slot := do(t, nodes[0].addr, "CLUSTER", "KEYSLOT", "{shardlane}:rows")
	heir := do(t, nodes[1].addr, "CLUSTER", "MYID")
	do(t, nodes[1].addr, "CLUSTER", "SETSLOT", slot, "NODE", heir)
	do(t, nodes[0].addr, "CLUSTER", "SETSLOT", slot, "NODE", heir)
	before := ran(t, nodes[0].addr)
	e, err := st.Swap(t.Context(), checkpoint.Entry{Key: "k"})
	if err != nil {
		t.Fatalf("MOVED: %v", err)
	}
	if ran(t, nodes[1].addr) == 0 || ran(t, nodes[0].addr) != before {
		t.Error("the write was not redirected")
	}
	// While the slot moves on, what has arrived at the other node is asked for there, and a write of what has not is refused.
	do(t, nodes[0].addr, "CLUSTER", "SETSLOT", slot, "IMPORTING", heir)
	do(t, nodes[1].addr, "CLUSTER", "SETSLOT", slot, "MIGRATING", do(t, nodes[0].addr, "CLUSTER", "MYID"))
	_, port, _ = net.SplitHostPort(nodes[0].addr)
	do(t, nodes[1].addr, "MIGRATE", "127.0.0.1", port, "{shardlane}:rows", 0, 5000)
	_, err = st.Swap(t.Context(), e)
	certain(t, "one key of two has moved", err)
	do(t, nodes[1].addr, "MIGRATE", "127.0.0.1", port, "{shardlane}:index", 0, 5000)
	before = ran(t, nodes[0].addr)
	if _, err = st.Swap(t.Context(), e); err != nil {
		t.Errorf("ASK: %v", err)
	}
	if ran(t, nodes[0].addr) == before {
		t.Error("the write was not sent on")
	}
}

// TestLostReply loses the answers to writes, on the clients that would repeat them.
func TestLostReply(t *testing.T) {
	single, many := own(t).addr, cluster(t, 1)[0].addr
	ready(t, many, "cluster_state:ok")
	for name, mk := range map[string]struct {
		server string
		client func(addr string) redis.UniversalClient
	}{
		"client":  {single, func(addr string) redis.UniversalClient { return redis.NewClient(&redis.Options{Addr: addr}) }},
		"wrapped": {single, func(addr string) redis.UniversalClient { return wrapped{redis.NewClient(&redis.Options{Addr: addr})} }},
		"cluster": {many, func(addr string) redis.UniversalClient { return redis.NewClusterClient(onlyNode(addr)) }},
	} {
		t.Run(name, func(t *testing.T) {
			p := through(t, mk.server)
			c := mk.client(p.addr)
			t.Cleanup(func() { c.Close() })
			st := redisstore.New(c, name)
			lost := func(what string, write func() error) {
				t.Helper()
				before := ran(t, mk.server)
				p.set(1, false)
				err := write()
				unknown(t, what, err)
				if name != "wrapped" && !errors.Is(err, io.EOF) {
					t.Errorf("%s: the cause is missing in %v", what, err)
				}
				if n, lost := ran(t, mk.server)-before, p.set(0, false); n != 1 || lost != 1 {
					t.Errorf("%s: ran %d times, %d answers lost", what, n, lost)
				}
			}
			e := checkpoint.Entry{Key: "k", Value: []byte("first")}
			e, err := st.Swap(t.Context(), e)
			if err == nil {
				err = st.Delete(t.Context(), e)
			}
			if err != nil {
				t.Fatal(err) // and now the server has the scripts
			}
			e.Revision = ""
			lost("put", func() error { _, err := st.Swap(t.Context(), e); return err })
			row, err := st.Get(t.Context(), "k")
			if err != nil || string(row.Value) != "first" {
				t.Fatalf("after a put whose answer was lost: %v, %v", row, err)
			}
			row.Value = []byte("second")
			lost("swap", func() error { _, err := st.Swap(t.Context(), row); return err })
			if row, err = st.Get(t.Context(), "k"); err != nil || string(row.Value) != "second" {
				t.Fatalf("after a swap whose answer was lost: %v, %v", row, err)
			}
			lost("delete", func() error { return st.Delete(t.Context(), row) })
			if row, err = st.Get(t.Context(), "k"); err != nil || row.Revision != "" {
				t.Fatalf("after a delete whose answer was lost: %v, %v", row, err)
			}
		})
	}
}

// TestCopy copies a group into Redis and loses the answer to each write in turn: it is read back, and counted once.
func TestCopy(t *testing.T) {
	addr := own(t).addr
	p := through(t, addr)
	st := redisstore.New(open(t, &redis.Options{Addr: p.addr, PoolSize: 1}), "")
	src := new(checkpoint.Memory)
	for _, key := range []string{"g/stream/s", "g/lease/s/0", "g/lease/s/1"} {
		if _, err := src.Swap(t.Context(), checkpoint.Entry{Key: key, Value: []byte(key)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		do(t, addr, "DEL", "{shardlane}:rows", "{shardlane}:index")
		e, err := st.Swap(t.Context(), checkpoint.Entry{Key: "k"}) // connects, and brings the script
		if err == nil {
			err = st.Delete(t.Context(), e)
		}
		if err != nil {
			t.Fatal(err)
		}
		dst := &losing{Store: st, p: p, in: i}
		if n, err := checkpoint.Copy(t.Context(), dst, src, "g"); n != 3 || err != nil {
			t.Fatal(i, n, err)
		}
		if lost := p.set(0, false); lost != 1 {
			t.Errorf("%d answers were lost", lost)
		}
		if n, err := checkpoint.Copy(t.Context(), st, src, "g"); n != 0 || err != nil {
			t.Error(i, n, err)
		}
	}
}

// A losing store loses the answer to one write.
type losing struct {
	checkpoint.Store
	p  *proxy
	in int // writes until then
}

func (s *losing) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	if s.in--; s.in == -1 {
		s.p.set(1, false)
	}
	return s.Store.Swap(ctx, e)
}

// TestDeadline keeps answers back: a call ends with the deadline of its context, and says nothing about the write.
func TestDeadline(t *testing.T) {
	addr := cluster(t, 1)[0].addr
	ready(t, addr, "cluster_state:ok")
	p := through(t, addr)
	st := redisstore.New(open(t, &redis.Options{Addr: p.addr}), "")
	many := redisstore.New(openCluster(t, onlyNode(p.addr)), "")
	t.Cleanup(func() { st.Close(); many.Close() })
	for _, s := range []checkpoint.Store{st, st.Reserved(), many.Reserved()} {
		p.set(0, false)
		e, err := s.Swap(t.Context(), checkpoint.Entry{Key: fmt.Sprintf("%p", s)})
		if err != nil {
			t.Fatal(err)
		}
		p.set(0, true)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		began := time.Now()
		_, err = s.Swap(ctx, e)
		cancel()
		unknown(t, "Swap", err)
		if d := time.Since(began); d > time.Second {
			t.Errorf("Swap took %v", d)
		}
	}
}

// TestNotSent makes writes that never reach a server.
func TestNotSent(t *testing.T) {
	addr := shared(t)
	write := func(what string, st checkpoint.Store, ctx context.Context) {
		t.Helper()
		_, err := st.Swap(ctx, checkpoint.Entry{Key: "not sent"})
		certain(t, what+": Swap", err)
		certain(t, what+": Delete", st.Delete(ctx, checkpoint.Entry{Key: "not sent"}))
		if _, err := st.Get(ctx, "not sent"); err == nil {
			t.Errorf("%s: Get: no error", what)
		}
		if _, err := st.List(ctx, "not sent"); err == nil {
			t.Errorf("%s: List: no error", what)
		}
	}
	write("nobody listens", redisstore.New(open(t, &redis.Options{Addr: freePort(t), DialerRetries: 1}), ""), t.Context())
	closed := open(t, &redis.Options{Addr: addr})
	st := redisstore.New(closed, "")
	closed.Close()
	write("closed", st, t.Context())

	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": addr}})
	t.Cleanup(func() { ring.Close() })
	write("ring", redisstore.New(ring, ""), t.Context())

	small := open(t, &redis.Options{Addr: addr, PoolSize: 1, PoolTimeout: 20 * time.Millisecond})
	st = redisstore.New(small, "")
	t.Cleanup(func() { st.Close() })
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	write("ended ctx", st, ended)
	sub := small.Conn() // takes the only connection
	defer sub.Close()
	if err := sub.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	write("no connection is free", st, t.Context())
	if _, err := st.Reserved().Get(t.Context(), "not sent"); err != nil {
		t.Errorf("Reserved waits for the connections of others: %v", err)
	}
	if st.Reserved() != st.Reserved() {
		t.Error("Reserved returns another Store each time")
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	write("closed, reserved", st.Reserved(), t.Context())

	odd := redisstore.New(wrapped{open(t, &redis.Options{Addr: addr})}, "")
	if odd.Reserved() != checkpoint.Store(odd) {
		t.Error("a client of an unknown type was copied")
	}
}

// A logger is a hook that looks at every argument of a command.
type logger struct{ lines []string }

func (l *logger) DialHook(next redis.DialHook) redis.DialHook { return next }
func (l *logger) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		l.lines = append(l.lines, cmd.String())
		return next(ctx, cmd)
	}
}

func (l *logger) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// TestHooks checks that the hooks of a client see the calls, with their keys, and do not disturb them.
func TestHooks(t *testing.T) {
	c := open(t, &redis.Options{Addr: shared(t)})
	l := &logger{}
	c.AddHook(l)
	st := redisstore.New(wrapped{c}, "hooks")
	e, err := st.Swap(t.Context(), checkpoint.Entry{Key: "billing/" + time.Now().String()})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Delete(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(l.lines, "\n"); strings.Count(text, e.Key) < 2 {
		t.Errorf("the hook saw\n%s", text)
	}
	redisstore.New(c, "hooks")
	if o := c.Options(); o.MaxRetries != 3 || o.ContextTimeoutEnabled {
		t.Error("the options of the caller's client have changed")
	}
}
