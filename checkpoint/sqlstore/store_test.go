package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

// TestSentOnce has a driver that calls its connection bad after it has sent the statement, as it must not: database/sql
// itself would send it up to three times.
func TestSentOnce(t *testing.T) {
	eachWrite(t, func(t *testing.T, f *fake, _ Dialect, w write, do func() error) {
		f.exec = func(string) (int64, error) { return 0, driver.ErrBadConn }
		err := do()
		if n := f.count(w.verb); n != 1 {
			t.Errorf("sent %d times", n)
		}
		if err == nil || errors.Is(err, checkpoint.ErrNotApplied) || errors.Is(err, checkpoint.ErrConflict) {
			t.Errorf("got %v, want an unknown outcome", err)
		}
	})
}

// TestOutcomes lets a statement change one row or none.
func TestOutcomes(t *testing.T) {
	eachWrite(t, func(t *testing.T, f *fake, _ Dialect, _ write, do func() error) {
		var n int64
		f.exec = func(string) (int64, error) { return n, nil }
		if err := do(); !errors.Is(err, checkpoint.ErrConflict) {
			t.Errorf("no row: got %v, want a conflict", err)
		}
		n = 1
		if err := do(); err != nil {
			t.Errorf("one row: %v", err)
		}
		n = -1 // a driver that does not know
		if err := do(); err == nil || errors.Is(err, checkpoint.ErrNotApplied) || errors.Is(err, checkpoint.ErrConflict) {
			t.Errorf("-1 rows: got %v, want an unknown outcome", err)
		}
	})
}

// TestUnsent has nothing to send to, or no time to send.
func TestUnsent(t *testing.T) {
	eachWrite(t, func(t *testing.T, f *fake, _ Dialect, w write, do func() error) {
		refused := errors.New("connection refused")
		f.open = func() error { return refused }
		if err := do(); !errors.Is(err, checkpoint.ErrNotApplied) || !errors.Is(err, refused) {
			t.Errorf("got %v", err)
		}
		if n := f.count(w.verb); n > 0 {
			t.Errorf("sent %d times", n)
		}
	})
	f := new(fake)
	s := New(f.db(t), Postgres)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, st := range []checkpoint.Store{s, s.Reserved()} {
		if _, err := st.Get(t.Context(), "k"); err != nil { // so that there is a connection
			t.Fatal(err)
		}
		for _, w := range writes() {
			for range 10 {
				if err := w.do(ended, st); !errors.Is(err, checkpoint.ErrNotApplied) || !errors.Is(err, context.Canceled) {
					t.Errorf("%s with a ctx that has ended: got %v", w.name, err)
				}
			}
			if n := f.count(w.verb); n > 0 {
				t.Errorf("%s with a ctx that has ended: sent %d times", w.name, n)
			}
		}
	}
}

type (
	stateError string // as pgconn.PgError
	codeError  int    // as that of modernc.org/sqlite

	MySQLError struct { // as that of go-sql-driver/mysql
		Number  uint16
		Message string
	}
)

func (s stateError) Error() string    { return "state " + string(s) }
func (s stateError) SQLState() string { return string(s) }
func (c codeError) Error() string     { return fmt.Sprintf("code %d: no such table", int(c)) }
func (c codeError) Code() int         { return int(c) }
func (m *MySQLError) Error() string   { return fmt.Sprintf("Error %d", m.Number) }

// TestFaults has the answers of servers, wrapped as drivers do, and what is made of them.
func TestFaults(t *testing.T) {
	number := func(n uint16) error { return &MySQLError{Number: n} }
	for _, test := range []struct {
		d    Dialect
		err  error
		want fault
	}{
		{Postgres, stateError("42P01"), missing},
		{Postgres, stateError("3F000"), missing},
		{Postgres, stateError("42501"), denied},
		{Postgres, stateError("25006"), readOnly},
		{Postgres, stateError("40001"), locked},
		{Postgres, stateError("40P01"), locked},
		{Postgres, stateError("42601"), refused},
		{Postgres, stateError("53100"), refused},
		{Postgres, stateError("23505"), refused},
		{Postgres, stateError("57014"), unclear}, // cancelled, perhaps when it was committed already
		{Postgres, stateError("57P01"), unclear}, // shutdown
		{Postgres, stateError("57P02"), unclear}, // crash
		{Postgres, stateError("40003"), unclear}, // statement completion unknown
		{Postgres, stateError("08006"), unclear},
		{Postgres, stateError("58030"), unclear},
		{Postgres, stateError("XX000"), unclear},
		{Postgres, stateError(""), unclear},
		{Postgres, driver.ErrBadConn, unclear},
		{Postgres, codeError(5), unclear},
		{MariaDB, number(1062), duplicate},
		{MariaDB, number(1146), missing},
		{MariaDB, number(1142), denied},
		{MariaDB, number(1290), readOnly},
		{MariaDB, number(1213), locked},
		{MariaDB, number(1205), locked},
		{MariaDB, number(1406), refused},
		{MariaDB, number(1317), unclear}, // interrupted
		{MariaDB, number(1053), unclear}, // shutdown
		{MariaDB, number(1180), unclear}, // error during commit
		{MariaDB, errors.New("Error 1062: Duplicate entry"), unclear},
		{MariaDB, stateError("23000"), unclear},
		{SQLite, codeError(1), missing},
		{SQLite, codeError(5), locked},
		{SQLite, codeError(5 | 1<<8), locked},
		{SQLite, codeError(6), locked},
		{SQLite, codeError(8 | 3<<8), readOnly},
		{SQLite, codeError(13), refused},
		{SQLite, codeError(9), unclear},         // interrupted
		{SQLite, codeError(10 | 4<<8), unclear}, // fsync
		{SQLite, context.DeadlineExceeded, unclear},
		{Dialect(0), codeError(5), unclear},
	} {
		for _, err := range []error{test.err, fmt.Errorf("driver: %w", test.err), errors.Join(errors.New("other"), test.err)} {
			if got := test.d.fault(err); got != test.want {
				t.Errorf("%v, %v: got %d, want %d", test.d, err, got, test.want)
			}
		}
		synctest.Test(t, func(t *testing.T) { // where SQLite's locks are waited for
			f := &fake{exec: func(string) (int64, error) { return 0, test.err }}
			_, err := New(f.db(t), test.d).Swap(t.Context(), checkpoint.Entry{Key: "k"})
			switch {
			case test.d == 0:
				return
			case errors.Is(err, checkpoint.ErrConflict) != (test.want == duplicate):
				t.Errorf("%v: got %v", test.err, err)
			case errors.Is(err, checkpoint.ErrNotApplied) != (test.want != unclear && test.want != duplicate):
				t.Errorf("%v: got %v", test.err, err)
			case f.count("INSERT") > 1 && (test.d != SQLite || test.want != locked):
				t.Errorf("%v: sent %d times", test.err, f.count("INSERT"))
			case test.want != duplicate && !errors.Is(err, test.err):
				t.Errorf("%v is not in %v", test.err, err)
			}
		})
	}
}

// TestLocked finds SQLite's file locked for a while, which is waited for, and for ever, which is not.
func TestLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := time.Now().Add(time.Second)
		busy := func() error {
			if time.Now().Before(free) {
				return codeError(5)
			}
			return nil
		}
		f := &fake{exec: func(string) (int64, error) { return 1, busy() }, query: func(string) error { return busy() }}
		s := New(f.db(t), SQLite)
		for _, w := range writes() {
			free = time.Now().Add(time.Second)
			if err := w.do(t.Context(), s); err != nil || time.Now().Before(free) {
				t.Errorf("%s: %v", w.name, err)
			}
		}
		free = time.Now().Add(time.Second)
		if _, err := s.Get(t.Context(), "k"); err != nil {
			t.Error(err)
		}

		start := time.Now()
		free = start.Add(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		for _, limit := range []struct {
			ctx   context.Context
			least time.Duration
		}{{ctx, 300 * time.Millisecond}, {t.Context(), lockWait}} {
			start := time.Now()
			_, err := s.Swap(limit.ctx, checkpoint.Entry{Key: "k"})
			if d := time.Since(start); d < limit.least || d > limit.least+10*time.Millisecond {
				t.Errorf("gave up after %v", d)
			}
			if !errors.Is(err, checkpoint.ErrNotApplied) || !errors.Is(err, codeError(5)) {
				t.Errorf("got %v", err)
			}
		}
	})
}

// TestReserved follows the connection that is kept.
func TestReserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		db := f.db(t)
		db.SetMaxIdleConns(-1) // what comes back is closed
		s := New(db, Postgres)
		st := s.Reserved()
		if st == checkpoint.Store(s) || st != s.Reserved() {
			t.Error("it is not the one store beside this one")
		}
		expect := func(when string, opened, live int) {
			t.Helper()
			if o, l := f.conns(); o != opened || l != live {
				t.Errorf("%s: %d connections were opened and %d are, want %d and %d", when, o, l, opened, live)
			}
		}
		call := func() {
			t.Helper()
			if _, err := st.Get(t.Context(), "k"); err != nil {
				t.Error(err)
			}
		}
		expect("before the first call", 0, 0)
		call()
		expect("after the first call", 1, 1)
		time.Sleep(lineIdle + time.Second)
		expect("after a rest", 1, 0)
		for range 5 {
			call()
			time.Sleep(lineIdle - time.Second)
		}
		expect("while it is used", 2, 1)
		f.exec = func(string) (int64, error) { return 0, nil }
		if err := st.Delete(t.Context(), checkpoint.Entry{Key: "k", Revision: "r"}); !errors.Is(err, checkpoint.ErrConflict) {
			t.Error(err)
		}
		expect("after a conflict", 2, 1)
		ctx, cancel := context.WithCancel(t.Context())
		f.exec = func(string) (int64, error) { cancel(); return 1, nil } // a driver may close the connection for that
		if err := st.Delete(ctx, checkpoint.Entry{Key: "k", Revision: "r"}); err != nil {
			t.Error(err)
		}
		expect("after a call whose context ended within it", 2, 0)
		call()
		expect("after another call", 3, 1)
		f.exec = func(string) (int64, error) { return 0, errors.New("broken") }
		if err := st.Delete(t.Context(), checkpoint.Entry{Key: "k", Revision: "r"}); err == nil {
			t.Error("no error")
		}
		expect("after an error", 3, 0)
		f.open = func() error { return errors.New("refused") }
		if _, err := st.Get(t.Context(), "k"); err == nil {
			t.Error("no error")
		}
		f.open = nil
		call()
		expect("with a new one", 4, 1)
		time.Sleep(lineIdle + time.Second)

		db.SetMaxOpenConns(1)
		call()
		expect("of a pool of one", 5, 0)
	})
}

// TestReservedWaits lets a call wait for the connection no longer than its ctx.
func TestReservedWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		f := &fake{query: func(string) error { <-block; return nil }}
		s := New(f.db(t), MariaDB)
		done := make(chan error)
		go func() { _, err := s.Reserved().Get(t.Context(), "k"); done <- err }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Reserved().Swap(ctx, checkpoint.Entry{Key: "k"})
		if !errors.Is(err, checkpoint.ErrNotApplied) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(block)
		if err := <-done; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute) // until the connection is back
	})
}

// TestWrongArguments gives New what it cannot use.
func TestWrongArguments(t *testing.T) {
	db := new(fake).db(t)
	for text, s := range map[string]*Store{
		"the database is nil":       New(nil, Postgres),
		"there is no dialect 0":     New(db, 0),
		"there is no dialect 4":     New(db, SQLite+1),
		`"" is no name of a table`:  New(db, Postgres, WithTable("")),
		`"a." is no name`:           New(db, Postgres, WithTable("a.")),
		`"a.b.c" is no name`:        New(db, Postgres, WithTable("a.b.c")),
		"the key has 1025 bytes":    nil,
		"the value has 65537 bytes": nil,
	} {
		var errs []error
		switch {
		case strings.HasPrefix(text, "the key"):
			_, err := New(db, MariaDB).Swap(t.Context(), checkpoint.Entry{Key: strings.Repeat("k", 1025)})
			errs = []error{err}
		case strings.HasPrefix(text, "the value"):
			_, err := New(db, MariaDB).Swap(t.Context(), checkpoint.Entry{Value: make([]byte, 64<<10+1)})
			errs = []error{err}
		default:
			for _, st := range []checkpoint.Store{s, s.Reserved()} {
				_, getErr := st.Get(t.Context(), "k")
				_, listErr := st.List(t.Context(), "k")
				_, swapErr := st.Swap(t.Context(), checkpoint.Entry{Key: "k"})
				errs = append(errs, s.Create(t.Context()), getErr, listErr, swapErr)
			}
			if !errors.Is(errs[3], checkpoint.ErrNotApplied) {
				t.Errorf("not certain: %v", errs[3])
			}
		}
		for _, err := range errs {
			if err == nil || !strings.HasPrefix(err.Error(), "sqlstore: ") || !strings.Contains(err.Error(), text) {
				t.Errorf("got %v, want %s", err, text)
			}
		}
	}
}

func TestStatements(t *testing.T) {
	for _, test := range []struct {
		d           Dialect
		table       string
		insert, get string
	}{
		{
			Postgres, "shardlane",
			`INSERT INTO "shardlane" (value, revision, row_key) VALUES ($1, $2, $3) ON CONFLICT (row_key) DO NOTHING`,
			`SELECT row_key, value, revision FROM "shardlane" WHERE row_key = $1`,
		},
		{
			MariaDB, "orders.Leases`?",
			"INSERT INTO `orders`.`Leases``?` (value, revision, row_key) VALUES (?, ?, ?)",
			"SELECT row_key, value, revision FROM `orders`.`Leases``?` WHERE row_key = ?",
		},
		{
			SQLite, `a"shardlane`,
			`INSERT INTO "a""shardlane" (value, revision, row_key) VALUES (?, ?, ?) ON CONFLICT (row_key) DO NOTHING`,
			`SELECT row_key, value, revision FROM "a""shardlane" WHERE row_key = ?`,
		},
	} {
		text := test.d.statements(test.table)
		if text.insert != test.insert || text.get != test.get {
			t.Errorf("%v: got\n%s\n%s", test.d, text.insert, text.get)
		}
		if want := "CREATE TABLE IF NOT EXISTS " + test.d.quote(test.table) + " (\n"; !strings.HasPrefix(text.create, want) {
			t.Errorf("%v: got\n%s", test.d, text.create)
		}
	}
}

// FuzzAfter holds the range of List against the meaning of a prefix.
func FuzzAfter(f *testing.F) {
	for _, prefix := range []string{"", "a", "a/", "a\xff", "\xff", "\xff\xff", "\x00", "é"} {
		f.Add(prefix, prefix+"b")
		f.Add(prefix, "b")
	}
	f.Fuzz(func(t *testing.T, prefix, key string) {
		next, ok := after(prefix)
		if got := key >= prefix && (!ok || key < next); got != strings.HasPrefix(key, prefix) {
			t.Errorf("prefix %q, key %q: in the range is %v", prefix, key, got)
		}
	})
}
