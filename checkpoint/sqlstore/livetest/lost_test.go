package livetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/checkpoint/sqlstore"
)

// A lossy test has a store behind a proxy, and another one that is not.
type lossy struct {
	*proxy
	checkpoint.Store
	direct *sqlstore.Store
}

// writes are the three kinds of a write: each makes a row ready and returns the write, and whether a look at the row shows
// that it was applied.
func (l lossy) writes() map[string]func(t *testing.T) (write func(ctx context.Context) error, applied func(t *testing.T) bool) {
	get := func(t *testing.T, key string) checkpoint.Entry {
		t.Helper()
		e, err := l.direct.Get(context.Background(), key)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	swap := func(t *testing.T, e checkpoint.Entry) (func(ctx context.Context) error, func(t *testing.T) bool) {
		before := e.Revision
		e.Value = []byte("written")
		return func(ctx context.Context) error { _, err := l.Swap(ctx, e); return err },
			func(t *testing.T) bool {
				now := get(t, e.Key)
				if (now.Revision != before) != (string(now.Value) == "written") {
					t.Errorf("revision and value disagree: %v", now)
				}
				return now.Revision != before
			}
	}
	return map[string]func(t *testing.T) (func(ctx context.Context) error, func(t *testing.T) bool){
		"put": func(t *testing.T) (func(ctx context.Context) error, func(t *testing.T) bool) {
			e := put(t, l.Store, "gone") // so that the statements of all three are prepared
			if err := l.Delete(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			return swap(t, checkpoint.Entry{Key: e.Key})
		},
		"update": func(t *testing.T) (func(ctx context.Context) error, func(t *testing.T) bool) {
			e, err := l.Swap(t.Context(), put(t, l.Store, "first"))
			if err != nil {
				t.Fatal(err)
			}
			return swap(t, e)
		},
		"delete": func(t *testing.T) (func(ctx context.Context) error, func(t *testing.T) bool) {
			if err := l.Delete(t.Context(), put(t, l.Store, "gone")); err != nil {
				t.Fatal(err)
			}
			e := put(t, l.Store, "here")
			return func(ctx context.Context) error { return l.Delete(ctx, e) },
				func(t *testing.T) bool { return get(t, e.Key).Revision == "" }
		},
	}
}

// eachWrite runs a test with every kind of a write through a proxy to every server.
func eachWrite(t *testing.T, test func(t *testing.T, p *proxy, write func(ctx context.Context) error, applied func(t *testing.T) bool)) {
	for _, d := range servers(t) {
		t.Run(d.name, func(t *testing.T) {
			admin, table := d.table(t)
			p := newProxy(t, d.address)
			far := d.open(t, access{address: p.address, once: true})
			far.SetMaxIdleConns(1) // one connection, on which the statements are prepared
			store := func(db *sql.DB) *sqlstore.Store { return sqlstore.New(db, d.dialect, sqlstore.WithTable(table)) }
			each(t, store(far), func(t *testing.T, st checkpoint.Store) {
				for name, ready := range (lossy{p, st, store(admin)}).writes() {
					t.Run(name, func(t *testing.T) {
						write, applied := ready(t)
						defer p.set(pass)
						test(t, p, write, applied)
						p.set(pass)
						until(t, "the store works again", func() bool { _, err := st.Get(t.Context(), "any"); return err == nil })
					})
				}
			})
		})
	}
}

// TestLostReply breaks the connection when the server has done its work: the outcome is unknown, and a look shows it.
func TestLostReply(t *testing.T) {
	eachWrite(t, func(t *testing.T, p *proxy, write func(ctx context.Context) error, applied func(t *testing.T) bool) {
		p.set(lose)
		fails(t, write(t.Context()), false)
		if n := p.answers(); n != 1 {
			t.Errorf("%d replies came, want that of the one write", n)
		}
		if !applied(t) {
			t.Error("it was not applied")
		}
	})
}

// TestNoReply gives the server's reply to nobody: the ctx ends the call, with an outcome that is unknown.
func TestNoReply(t *testing.T) {
	eachWrite(t, func(t *testing.T, p *proxy, write func(ctx context.Context) error, applied func(t *testing.T) bool) {
		p.set(swallow)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		err := write(ctx)
		fails(t, err, false)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("not the end of the ctx: %v", err)
		}
		if !applied(t) {
			t.Error("it was not applied")
		}
	})
}

// TestLateWrite lets a write arrive after its caller has given up, and has looked at the row.
func TestLateWrite(t *testing.T) {
	eachWrite(t, func(t *testing.T, p *proxy, write func(ctx context.Context) error, applied func(t *testing.T) bool) {
		p.set(hold)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		fails(t, write(ctx), false)
		if applied(t) {
			t.Error("it was applied before it arrived")
		}
		p.release()
		until(t, "it is applied", func() bool { return applied(t) })
	})
}

// TestLostRequest breaks the connection before the server has heard anything, which the client cannot tell apart.
func TestLostRequest(t *testing.T) {
	eachWrite(t, func(t *testing.T, p *proxy, write func(ctx context.Context) error, applied func(t *testing.T) bool) {
		p.set(blackout)
		fails(t, write(t.Context()), false)
		if applied(t) {
			t.Error("it was applied")
		}
	})
}

// TestRoundTrips counts the replies of a server, of which the package comment says how many there are.
func TestRoundTrips(t *testing.T) {
	for _, d := range servers(t) {
		t.Run(d.name, func(t *testing.T) {
			_, table := d.table(t)
			for _, once := range []bool{false, true} {
				want := 1
				if d.dialect == sqlstore.MariaDB && !once {
					want = 2
				}
				p := newProxy(t, d.address)
				db := d.open(t, access{address: p.address, once: once})
				each(t, sqlstore.New(db, d.dialect, sqlstore.WithTable(table)), func(t *testing.T, st checkpoint.Store) {
					for round := range 2 { // in the second all is prepared
						e := checkpoint.Entry{Key: rand.Text()}
						for i, call := range []func() error{
							func() (err error) { e, err = st.Swap(t.Context(), e); return err },
							func() (err error) { e, err = st.Swap(t.Context(), e); return err },
							func() error { _, err := st.Get(t.Context(), e.Key); return err },
							func() error { _, err := st.List(t.Context(), e.Key); return err },
							func() error { return st.Delete(t.Context(), e) },
						} {
							p.set(pass)
							if err := call(); err != nil {
								t.Fatal(err)
							}
							if n := p.answers(); round == 1 && n != want {
								t.Errorf("call %d: %d replies, want %d (sent in one piece: %v)", i, n, want, once)
							}
						}
					}
				})
			}
		})
	}
}

// TestNoConnection has no server to talk to: nothing is applied, and the error says so.
func TestNoConnection(t *testing.T) {
	for _, d := range servers(t) {
		t.Run(d.name, func(t *testing.T) {
			_, table := d.table(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
			each(t, sqlstore.New(d.open(t, access{address: l.Addr().String()}), d.dialect, sqlstore.WithTable(table)), func(t *testing.T, st checkpoint.Store) {
				_, err := st.Swap(t.Context(), checkpoint.Entry{Key: "k"})
				fails(t, err, true)
				fails(t, st.Delete(t.Context(), checkpoint.Entry{Key: "k", Revision: "r"}), true)
			})
		})
	}
}
