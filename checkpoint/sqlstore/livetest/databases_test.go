package livetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/checkpoint/sqlstore"
	_ "modernc.org/sqlite"
)

// A database is one that the tests run against.
type database struct {
	name    string
	dialect sqlstore.Dialect
	address string // of its server; "" for SQLite

	dsn func(as access) (driver, name string)
}

// An access is how a test reaches a database. The zero value is that of the administrator.
type access struct {
	user    string // "" is the administrator
	address string // "" is the database's own
	once    bool   // statements are sent in one piece, without being prepared
}

// databases are those that are there: SQLite always, the others where .ci/databases has started them. With
// SHARDLANE_REQUIRE_SERVERS=1 all must be.
func databases(t *testing.T) []database {
	t.Helper()
	return append(servers(t), sqlite(t, "SQLite", ""))
}

// sqlite is a new file, which is opened with some options.
func sqlite(t *testing.T, name, options string) database {
	file := filepath.Join(t.TempDir(), "store.db") + options
	return database{name, sqlstore.SQLite, "", func(access) (string, string) { return "sqlite", file }}
}

// servers are the databases but SQLite.
func servers(t *testing.T) (found []database) {
	t.Helper()
	for _, s := range []struct {
		env  string
		read func(value string) (database, error)
	}{
		{"SHARDLANE_POSTGRES", postgres},
		{"SHARDLANE_MARIADB", mariadb},
	} {
		value := os.Getenv(s.env)
		switch {
		case value != "":
			db, err := s.read(value)
			if err != nil {
				t.Fatalf("%s: %v", s.env, err)
			}
			found = append(found, db)
		case os.Getenv("SHARDLANE_REQUIRE_SERVERS") == "1":
			t.Fatalf("%s is not set, and SHARDLANE_REQUIRE_SERVERS is", s.env)
		default:
			t.Logf("%s is not set: .ci/databases COMMAND runs a command with the servers", s.env)
		}
	}
	return found
}

func postgres(value string) (database, error) {
	admin, err := url.Parse(value)
	if err != nil {
		return database{}, err
	}
	return database{"PostgreSQL", sqlstore.Postgres, admin.Host, func(as access) (string, string) {
		u := *admin
		if as.user != "" {
			u.User = url.User(as.user)
		}
		if as.address != "" {
			u.Host = as.address
		}
		if as.once {
			u.RawQuery += "&default_query_exec_mode=exec"
		}
		return "pgx", u.String()
	}}, nil
}

func mariadb(value string) (database, error) {
	admin, err := mysql.ParseDSN(value)
	if err := errors.Join(err, mysql.SetLogger(new(mysql.NopLogger))); err != nil { // it logs each broken connection
		return database{}, err
	}
	return database{"MariaDB", sqlstore.MariaDB, admin.Addr, func(as access) (string, string) {
		c := admin.Clone()
		c.InterpolateParams = as.once
		if as.user != "" {
			c.User = as.user
		}
		if as.address != "" {
			c.Addr = as.address
		}
		return "mysql", c.FormatDSN()
	}}, nil
}

// open returns a pool of connections.
func (d database) open(t *testing.T, as access) *sql.DB {
	t.Helper()
	driver, name := d.dsn(as)
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxIdleConns(32)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// table returns a pool of the administrator and the name of a table, which is made here and dropped after the test.
func (d database) table(t *testing.T) (*sql.DB, string) {
	t.Helper()
	db, name := d.open(t, access{}), "t_"+strings.ToLower(rand.Text())
	if err := sqlstore.New(db, d.dialect, sqlstore.WithTable(name)).Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = db.PingContext(context.Background()) // a connection from before a restart is noticed, and thrown away
		execute(t, db, "DROP TABLE IF EXISTS "+name)
	})
	return db, name
}

// execute runs statements that must succeed, also when the test is over.
func execute(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(context.WithoutCancel(t.Context()), s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

// each runs a test with every store of a database: the Store itself and the one of its Reserved.
func each(t *testing.T, s *sqlstore.Store, test func(t *testing.T, st checkpoint.Store)) {
	t.Run("store", func(t *testing.T) { test(t, s) })
	t.Run("reserved", func(t *testing.T) { test(t, s.Reserved()) })
}

// put writes a new row under a key of its own.
func put(t *testing.T, st checkpoint.Store, value string) checkpoint.Entry {
	t.Helper()
	e, err := st.Swap(t.Context(), checkpoint.Entry{Key: "row/" + rand.Text(), Value: []byte(value)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// fails checks an error of a write: whether it is certain, and never a conflict.
func fails(t *testing.T, err error, certain bool, texts ...string) {
	t.Helper()
	switch {
	case err == nil:
		t.Error("no error")
	case errors.Is(err, checkpoint.ErrConflict):
		t.Errorf("a conflict: %v", err)
	case errors.Is(err, checkpoint.ErrNotApplied) != certain:
		t.Errorf("certain is %v, want %v: %v", !certain, certain, err)
	}
	for _, text := range texts {
		if err != nil && !strings.Contains(err.Error(), text) {
			t.Errorf("no %q in %v", text, err)
		}
	}
}

// until waits for a condition, for ten seconds at most.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatal("not within 10 s: " + what)
		}
	}
}
