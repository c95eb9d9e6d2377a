package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/shardlane/shardlane/checkpoint"
)

// A fake is a database that says what a test wants, and remembers what it was sent.
type fake struct {
	open  func() error                     // nil: connections can be opened
	exec  func(text string) (int64, error) // nil: one row is changed
	query func(text string) error          // nil: no rows are found

	mu     sync.Mutex
	sent   []string // statements
	opened int      // connections, ever
	live   int      // connections, now
}

func (f *fake) db(t *testing.T) *sql.DB {
	db := sql.OpenDB(f)
	t.Cleanup(func() { db.Close() })
	return db
}

// count returns how many statements with that verb were sent.
func (f *fake) count(verb string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, text := range f.sent {
		if strings.HasPrefix(text, verb) {
			n++
		}
	}
	return n
}

func (f *fake) conns() (opened, live int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opened, f.live
}

func (f *fake) Driver() driver.Driver { return nil }

func (f *fake) Connect(context.Context) (driver.Conn, error) {
	if f.open != nil {
		if err := f.open(); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened++
	f.live++
	return &fakeConn{f: f}, nil
}

type fakeConn struct{ f *fake }

func (c *fakeConn) Prepare(string) (driver.Stmt, error) { panic("not used") }
func (c *fakeConn) Begin() (driver.Tx, error)           { panic("a transaction") }

func (c *fakeConn) Close() error {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	c.f.live--
	return nil
}

func (c *fakeConn) note(text string) {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	c.f.sent = append(c.f.sent, text)
}

func (c *fakeConn) ExecContext(_ context.Context, text string, _ []driver.NamedValue) (driver.Result, error) {
	c.note(text)
	if c.f.exec == nil {
		return driver.RowsAffected(1), nil
	}
	n, err := c.f.exec(text)
	return driver.RowsAffected(n), err
}

func (c *fakeConn) QueryContext(_ context.Context, text string, _ []driver.NamedValue) (driver.Rows, error) {
	c.note(text)
	if c.f.query != nil {
		if err := c.f.query(text); err != nil {
			return nil, err
		}
	}
	return noRows{}, nil
}

type noRows struct{}

func (noRows) Columns() []string         { return []string{"row_key", "value", "revision"} }
func (noRows) Close() error              { return nil }
func (noRows) Next([]driver.Value) error { return io.EOF }

// A write is one of the three kinds, and the verb of its statement.
type write struct {
	name, verb string
	do         func(ctx context.Context, st checkpoint.Store) error
}

func writes() []write {
	swap := func(ctx context.Context, st checkpoint.Store, revision string) error {
		_, err := st.Swap(ctx, checkpoint.Entry{Key: "k", Value: []byte("v"), Revision: revision})
		return err
	}
	return []write{
		{"put", "INSERT", func(ctx context.Context, st checkpoint.Store) error { return swap(ctx, st, "") }},
		{"update", "UPDATE", func(ctx context.Context, st checkpoint.Store) error { return swap(ctx, st, "r") }},
		{"delete", "DELETE", func(ctx context.Context, st checkpoint.Store) error {
			return st.Delete(ctx, checkpoint.Entry{Key: "k", Revision: "r"})
		}},
	}
}

// eachWrite runs a test with each write, in each dialect, through a Store and through Reserved. A test that sets its own
// functions of the fake does so before it writes.
func eachWrite(t *testing.T, test func(t *testing.T, f *fake, d Dialect, w write, do func() error)) {
	for _, d := range []Dialect{Postgres, MariaDB, SQLite} {
		for _, reserved := range []bool{false, true} {
			for _, w := range writes() {
				t.Run(fmt.Sprintf("%v/%s/reserved=%v", d, w.name, reserved), func(t *testing.T) {
					f := new(fake)
					var st checkpoint.Store = New(f.db(t), d)
					if reserved {
						st = st.(*Store).Reserved()
					}
					test(t, f, d, w, func() error { return w.do(t.Context(), st) })
				})
			}
		}
	}
}
