package livetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/checkpoint/sqlstore"
)

// refuses checks that every call fails with certainty and says what to do.
func refuses(t *testing.T, st checkpoint.Store, hint string) {
	t.Helper()
	_, err := st.Swap(t.Context(), checkpoint.Entry{Key: "k", Value: []byte("v")})
	fails(t, err, true, hint)
	_, err = st.Swap(t.Context(), checkpoint.Entry{Key: "k", Value: []byte("v"), Revision: "r"})
	fails(t, err, true, hint)
	fails(t, st.Delete(t.Context(), checkpoint.Entry{Key: "k", Revision: "r"}), true, hint)
}

// TestTableDropped drops the table while it is used, and makes it again.
func TestTableDropped(t *testing.T) {
	for _, d := range databases(t) {
		t.Run(d.name, func(t *testing.T) {
			db, table := d.table(t)
			s := sqlstore.New(d.open(t, access{}), d.dialect, sqlstore.WithTable(table))
			each(t, s, func(t *testing.T, st checkpoint.Store) {
				e := put(t, st, "before")
				if e, err := st.Swap(t.Context(), e); err != nil || st.Delete(t.Context(), e) != nil {
					t.Fatal(err)
				}
				execute(t, db, "DROP TABLE "+table)
				refuses(t, st, "there is no table "+table+": call Create")
				if _, err := st.Get(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "call Create") {
					t.Errorf("Get: %v", err)
				}
				if _, err := st.List(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "call Create") {
					t.Errorf("List: %v", err)
				}
				if err := s.Create(t.Context()); err != nil {
					t.Fatal(err)
				}
				put(t, st, "after")
			})
		})
	}
}

// user makes a user without permissions and returns it.
func user(t *testing.T, d database, admin *sql.DB) string {
	t.Helper()
	name := "u_" + strings.ToLower(rand.Text())[:12]
	switch d.dialect {
	case sqlstore.Postgres:
		execute(t, admin, "CREATE ROLE "+name+" LOGIN")
		t.Cleanup(func() { execute(t, admin, "DROP OWNED BY "+name, "DROP ROLE "+name) })
	default:
		execute(t, admin, "CREATE USER "+name)
		t.Cleanup(func() { execute(t, admin, "DROP USER "+name) })
	}
	return name
}

// TestDenied is a user who may read, and no more.
func TestDenied(t *testing.T) {
	for _, d := range servers(t) {
		t.Run(d.name, func(t *testing.T) {
			admin, table := d.table(t)
			who := user(t, d, admin)
			execute(t, admin, "GRANT SELECT ON "+table+" TO "+who)
			s := sqlstore.New(d.open(t, access{user: who}), d.dialect, sqlstore.WithTable(table))
			each(t, s, func(t *testing.T, st checkpoint.Store) {
				refuses(t, st, "GRANT what the package comment of sqlstore lists")
				if _, err := st.Get(t.Context(), "k"); err != nil {
					t.Error(err)
				}
			})
			if err := s.Create(t.Context()); err != nil {
				t.Errorf("Create where the table exists: %v", err)
			}
			none := sqlstore.New(d.open(t, access{user: who}), d.dialect, sqlstore.WithTable(table+"x"))
			if err := none.Create(t.Context()); err == nil || !strings.Contains(err.Error(), "GRANT") {
				t.Errorf("Create without a permission: %v", err)
			}
		})
	}
}

// TestGrants runs the statements of the package comment, and then all that a Store does, as a user who has nothing else.
func TestGrants(t *testing.T) {
	comment, err := os.ReadFile(filepath.Join("..", "doc.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range servers(t) {
		t.Run(d.name, func(t *testing.T) {
			admin, table := d.table(t)
			who := user(t, d, admin)
			if d.dialect == sqlstore.Postgres {
				execute(t, admin, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
				t.Cleanup(func() { execute(t, admin, "GRANT USAGE ON SCHEMA public TO PUBLIC") })
			}
			grant := func(create bool) (n int) {
				for _, found := range regexp.MustCompile(`(?m)^//\t`+d.name+`: +(GRANT .*)$`).FindAllStringSubmatch(string(comment), -1) {
					text := strings.NewReplacer("orders.shardlane", table, "shardlane", table, "consumer", who).Replace(found[1])
					if strings.Contains(text, "CREATE") == create {
						execute(t, admin, text)
						n++
					}
				}
				return n
			}
			s := sqlstore.New(d.open(t, access{user: who}), d.dialect, sqlstore.WithTable(table))
			each(t, s, func(t *testing.T, st checkpoint.Store) { refuses(t, st, "") })
			if grant(false) == 0 {
				t.Fatal("the package comment has no statement for it")
			}
			all := func(t *testing.T, st checkpoint.Store) {
				if err := s.Create(t.Context()); err != nil {
					t.Error(err)
				}
				e := put(t, st, "value")
				e, err := st.Swap(t.Context(), e)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := st.Get(t.Context(), e.Key); err != nil || got.Revision != e.Revision {
					t.Errorf("Get: %v, %v", got, err)
				}
				if got, err := st.List(t.Context(), e.Key); err != nil || len(got) != 1 {
					t.Errorf("List: %v, %v", got, err)
				}
				if err := st.Delete(t.Context(), e); err != nil {
					t.Error(err)
				}
			}
			each(t, s, all)
			execute(t, admin, "DROP TABLE "+table)
			if err := s.Create(t.Context()); err == nil {
				t.Error("Create made the table without a permission for it")
			}
			if grant(true) == 0 {
				t.Fatal("the package comment has no statement for Create")
			}
			if d.dialect == sqlstore.Postgres { // who made the table owns it
				each(t, s, all)
			} else if err := s.Create(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestReadOnly leads to a database that takes no writes.
func TestReadOnly(t *testing.T) {
	for _, d := range databases(t) {
		t.Run(d.name, func(t *testing.T) {
			_, table := d.table(t)
			driver, name := d.dsn(access{})
			name += map[string]string{
				"pgx":    "&default_transaction_read_only=on",
				"mysql":  "?tx_read_only=1",
				"sqlite": "?_pragma=query_only(1)",
			}[driver]
			db, err := sql.Open(driver, name)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			refuses(t, sqlstore.New(db, d.dialect, sqlstore.WithTable(table)), "connect to the primary")
		})
	}
}

// TestAutocommit has connections that commit nothing.
func TestAutocommit(t *testing.T) {
	for _, d := range servers(t) {
		if d.dialect != sqlstore.MariaDB {
			continue
		}
		_, table := d.table(t)
		driver, name := d.dsn(access{})
		db, err := sql.Open(driver, name+"?autocommit=0")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := sqlstore.New(db, d.dialect, sqlstore.WithTable(table)).Create(t.Context()); err == nil || !strings.Contains(err.Error(), "set autocommit=1") {
			t.Errorf("Create: %v", err)
		}
	}
}

// TestPoolExhausted holds all connections of a pool: Reserved goes on, and the Store says what it waits for.
func TestPoolExhausted(t *testing.T) {
	for _, d := range servers(t) {
		t.Run(d.name, func(t *testing.T) {
			_, table := d.table(t)
			db := d.open(t, access{})
			db.SetMaxOpenConns(4)
			s := sqlstore.New(db, d.dialect, sqlstore.WithTable(table))
			put(t, s.Reserved(), "before")
			for range 3 {
				c, err := db.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
			}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err := s.Swap(ctx, checkpoint.Entry{Key: "k"})
			fails(t, err, true, "all 4 connections of the pool are in use")
			put(t, s.Reserved(), "meanwhile")
		})
	}
}
