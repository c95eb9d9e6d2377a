package livetest

import (
	"database/sql"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/checkpoint/checkpointtest"
	"github.com/shardlane/shardlane/checkpoint/sqlstore"
)

// TestConformance holds each database to the rules, through two pools as two processes have them. SQLite keeps its locks
// in two ways; it does not wait for the disk here, which takes most of its time.
func TestConformance(t *testing.T) {
	all := append(servers(t), sqlite(t, "SQLite", "?_pragma=synchronous(OFF)"), sqlite(t, "SQLite WAL", "?_pragma=synchronous(OFF)&_pragma=journal_mode(WAL)"))
	for _, d := range all {
		t.Run(d.name, func(t *testing.T) {
			one, table := d.table(t)
			two := d.open(t, access{})
			checkpointtest.Run(t, func(*testing.T) (a, b checkpoint.Store) {
				return sqlstore.New(one, d.dialect, sqlstore.WithTable(table)), sqlstore.New(two, d.dialect, sqlstore.WithTable(table))
			})
		})
	}
}

// TestConformanceReserved is TestConformance with the connection of Reserved on one side, and statements that are sent in
// one piece where the driver can do that.
func TestConformanceReserved(t *testing.T) {
	for _, d := range servers(t) {
		t.Run(d.name, func(t *testing.T) {
			one, table := d.table(t)
			two := d.open(t, access{once: true})
			checkpointtest.Run(t, func(*testing.T) (a, b checkpoint.Store) {
				return sqlstore.New(one, d.dialect, sqlstore.WithTable(table)).Reserved(), sqlstore.New(two, d.dialect, sqlstore.WithTable(table))
			})
		})
	}
}

// TestKeys has keys that are no text.
func TestKeys(t *testing.T) {
	keys := []string{"", "\x00", "a", "a\x00", "a\xfe", "a\xff", "a\xff\xff", "a\xffz", "b", "\xc3(", "\xff", "\xff\xff"}
	for _, d := range databases(t) {
		t.Run(d.name, func(t *testing.T) {
			db, table := d.table(t)
			s := sqlstore.New(db, d.dialect, sqlstore.WithTable(table))
			for _, key := range keys {
				if _, err := s.Swap(t.Context(), checkpoint.Entry{Key: key, Value: []byte(key)}); err != nil {
					t.Errorf("%q: %v", key, err)
				}
			}
			for _, prefix := range keys {
				var want, got []string
				for _, key := range keys {
					if strings.HasPrefix(key, prefix) {
						want = append(want, key)
					}
				}
				entries, err := s.List(t.Context(), prefix)
				if err != nil {
					t.Error(err)
				}
				for _, e := range entries {
					got = append(got, e.Key)
					if string(e.Value) != e.Key {
						t.Errorf("%q has the value of %q", e.Key, e.Value)
					}
				}
				slices.Sort(want)
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Errorf("prefix %q: got %q, want %q", prefix, got, want)
				}
			}
		})
	}
}

// TestReopen closes the pool and opens it again.
func TestReopen(t *testing.T) {
	for _, d := range databases(t) {
		t.Run(d.name, func(t *testing.T) {
			_, table := d.table(t)
			checkpointtest.Reopen(t, func(t *testing.T) checkpoint.Store {
				db := d.open(t, access{})
				return closing{sqlstore.New(db, d.dialect, sqlstore.WithTable(table)), db}
			})
		})
	}
}

type closing struct {
	*sqlstore.Store
	db *sql.DB
}

func (c closing) Close() error { return c.db.Close() }

// TestSQLiteShared is what a program does that knows nothing of SQLite: two stores of one pool without any setting, whose
// writes meet.
func TestSQLiteShared(t *testing.T) {
	db := sqlite(t, "SQLite", "").open(t, access{})
	a, b := sqlstore.New(db, sqlstore.SQLite), sqlstore.New(db, sqlstore.SQLite)
	// A connection that was open before the table may say for a while, beside writers, that there is none: SQLite looks whether
	// its schema is out of date only when it gets the lock. So nobody else is there yet.
	if err := a.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, s := range []*sqlstore.Store{a, b} {
		wg.Go(func() {
			if err := s.Create(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, s := range []*sqlstore.Store{a, b, a, b, a, b, a, b} {
		wg.Go(func() {
			e := checkpoint.Entry{Key: string(rune('a' + i))}
			for range 50 {
				var err error
				if e, err = s.Swap(t.Context(), e); err != nil {
					t.Error(err)
				}
				if _, err = s.List(t.Context(), ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestCreateTogether lets many processes make the table at once.
func TestCreateTogether(t *testing.T) {
	for _, d := range databases(t) {
		t.Run(d.name, func(t *testing.T) {
			db, table := d.table(t)
			execute(t, db, "DROP TABLE "+table)
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					if err := sqlstore.New(db, d.dialect, sqlstore.WithTable(table)).Create(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		})
	}
}
