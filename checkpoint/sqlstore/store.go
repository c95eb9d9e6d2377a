package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/shardlane/shardlane/checkpoint"
)

// maxKey is the size in bytes up to which a Store takes a key: what an index of every database can hold.
const maxKey = 1024

// A Store is a checkpoint.Store in a table of a database. Create one with [New]. All methods may be called
// concurrently. Keys may have up to 1,024 bytes, values up to checkpoint.MaxValue.
type Store struct {
	db      *sql.DB
	dialect Dialect
	table   string
	text    statements
	wrong   error // what is wrong with the arguments of New
	line    *line // where a call gets its connection from; nil: the pool
	gate    gate  // of SQLite's writes, which come one at a time anyway, and wait in turn here

	reserved *Store // nil: the Store itself
}

var _ checkpoint.Store = (*Store)(nil)

// An Option changes a Store that New makes.
type Option func(*Store)

// WithTable sets the name of the table, overriding the default. In PostgreSQL and MariaDB a name of the form
// "schema.table" names the schema, or database, as well. A name is taken as it is, capital letters included. Stores of
// one database that have different tables share nothing. Defaults to "shardlane".
func WithTable(name string) Option { return func(s *Store) { s.table = name } }

// New returns a Store in the database that db leads to, which stays the caller's to configure and to close. It makes no
// call: the table is made by [Store.Create], or by hand. An argument that is wrong is the error of every method.
func New(db *sql.DB, d Dialect, opts ...Option) *Store {
	s := &Store{db: db, dialect: d, table: "shardlane"}
	for _, opt := range opts {
		opt(s)
	}
	switch {
	case db == nil:
		s.wrong = errors.New("the database is nil")
	case d < Postgres || d > SQLite:
		s.wrong = fmt.Errorf("there is no dialect %d", d)
	case !validTable(s.table):
		s.wrong = fmt.Errorf("%q is no name of a table", s.table)
	default:
		s.text = d.statements(s.table)
	}
	if d == SQLite {
		s.gate = make(gate, 1)
	} else {
		reserved := *s
		reserved.line = newLine(db)
		s.reserved = &reserved
	}
	return s
}

// Create makes the table if there is none, and refuses connections to MariaDB that do not commit by themselves. It may be
// called at every start, by many processes at once, and does not ask for the permission to make tables where the table
// exists.
func (s *Store) Create(ctx context.Context) error {
	_, err := s.query(ctx, s.text.probe)
	if err != nil {
		_, err = s.exec(ctx, s.text.create)
		if _, probed := s.query(ctx, s.text.probe); err == nil || probed == nil {
			err = probed // where two make it at once, PostgreSQL may fail one of them
		}
	}
	if err == nil && s.dialect == MariaDB {
		err = s.autocommits(ctx)
	}
	if err != nil {
		return s.failure("Create", s.table, err, false)
	}
	return nil
}

func (s *Store) autocommits(ctx context.Context) error {
	rows, err := s.query(ctx, "SELECT @@autocommit, '', ''")
	if err == nil && (len(rows) != 1 || rows[0].Key != "1") {
		err = errors.New("a connection does not commit by itself, and would lose what is written: set autocommit=1")
	}
	return err
}

// List returns the rows whose keys start with prefix, as they were at one instant during the call.
func (s *Store) List(ctx context.Context, prefix string) (entries []checkpoint.Entry, err error) {
	if next, ok := after(prefix); ok {
		entries, err = s.query(ctx, s.text.between, []byte(prefix), []byte(next))
	} else {
		entries, err = s.query(ctx, s.text.from, []byte(prefix))
	}
	if err != nil {
		return nil, s.failure("List", prefix, err, false)
	}
	return entries, nil
}

// Get returns the row of key, or an Entry with Revision "".
func (s *Store) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	entries, err := s.query(ctx, s.text.get, []byte(key))
	switch {
	case err != nil:
		return checkpoint.Entry{Key: key}, s.failure("Get", key, err, false)
	case len(entries) == 0:
		return checkpoint.Entry{Key: key}, nil
	}
	return entries[0], nil
}

// Swap puts e.Value if the row is at e.Revision. It is one statement, which is sent once. Its errors are ErrConflict, or
// wrap ErrNotApplied, or leave the outcome unknown, as [checkpoint.Store] says.
func (s *Store) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	revision := rand.Text()
	text, args := s.text.insert, []any{append([]byte{}, e.Value...), []byte(revision), []byte(e.Key)} // nil would be NULL
	if e.Revision != "" {
		text, args = s.text.update, append(args, []byte(e.Revision))
	}
	if err := s.write(ctx, "Swap", e, text, args...); err != nil {
		return e, err
	}
	e.Revision = revision
	return e, nil
}

// Delete removes the row of e.Key if it is at e.Revision. Its errors are those of Swap.
func (s *Store) Delete(ctx context.Context, e checkpoint.Entry) error {
	if e.Revision != "" {
		return s.write(ctx, "Delete", checkpoint.Entry{Key: e.Key}, s.text.delete, []byte(e.Key), []byte(e.Revision))
	}
	entries, err := s.query(ctx, s.text.get, []byte(e.Key))
	switch {
	case err != nil:
		return s.failure("Delete", e.Key, err, true)
	case len(entries) > 0:
		return checkpoint.ErrConflict
	}
	return nil
}

// write sends one statement that changes one row or none.
func (s *Store) write(ctx context.Context, op string, e checkpoint.Entry, text string, args ...any) error {
	if len(e.Key) > maxKey {
		return s.failure(op, e.Key, fmt.Errorf("the key has %d bytes, the limit is %d", len(e.Key), maxKey), true)
	}
	if len(e.Value) > checkpoint.MaxValue {
		return s.failure(op, e.Key, fmt.Errorf("the value has %d bytes, the limit is %d", len(e.Value), checkpoint.MaxValue), true)
	}
	n, err := s.exec(ctx, text, args...)
	var u unsentError
	switch fault := s.dialect.fault(err); {
	case err == nil && n == 1:
		return nil
	case err == nil && n == 0, fault == duplicate: // only put-if-absent can meet the latter
		return checkpoint.ErrConflict
	case err == nil:
		return s.failure(op, e.Key, fmt.Errorf("the driver says that %d rows were changed", n), false)
	default:
		return s.failure(op, e.Key, err, errors.As(err, &u) || fault != unclear)
	}
}

// exec sends a statement and returns how many rows it has changed. The methods of sql.DB would send it again when a driver
// calls its connection bad, those of sql.Conn do not. What went wrong before it was sent is an unsentError.
func (s *Store) exec(ctx context.Context, text string, args ...any) (n int64, err error) {
	if err := s.gate.enter(ctx); err != nil {
		return 0, unsentError{err}
	}
	defer s.gate.leave()
	err = s.whileLocked(ctx, func() error {
		c, done, err := s.take(ctx)
		if err != nil {
			return unsentError{err}
		}
		defer func() { done(err) }()
		if err = ctx.Err(); err != nil { // drivers do not tell whether they looked before they sent
			return unsentError{err}
		}
		var result sql.Result
		if result, err = c.ExecContext(ctx, text, args...); err == nil {
			n, err = result.RowsAffected()
		}
		return err
	})
	return n, err
}

// query returns the rows that a statement finds: all of them or an error.
func (s *Store) query(ctx context.Context, text string, args ...any) (entries []checkpoint.Entry, err error) {
	err = s.whileLocked(ctx, func() error {
		c, done, err := s.take(ctx)
		if err != nil {
			return err
		}
		entries, err = scan(c.QueryContext(ctx, text, args...))
		done(err)
		return err
	})
	return entries, err
}

// scan reads the rows of a result to its end.
func scan(rows *sql.Rows, err error) ([]checkpoint.Entry, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var entries []checkpoint.Entry
	for rows.Next() {
		var key, value, revision []byte
		if err := rows.Scan(&key, &value, &revision); err != nil {
			return nil, err
		}
		entries = append(entries, checkpoint.Entry{Key: string(key), Value: value, Revision: string(revision)})
	}
	return entries, rows.Err()
}

// take returns a connection for one call, which ends with done and the call's error.
func (s *Store) take(ctx context.Context) (c *sql.Conn, done func(error), err error) {
	switch {
	case s.wrong != nil:
		return nil, nil, s.wrong
	case s.line != nil:
		return s.line.take(ctx)
	}
	return pooled(ctx, s.db)
}

// Reserved returns a Store of the same rows with a connection of its own, for calls that must not wait until others give
// theirs back: the heartbeats of a worker. It is the same one at each call. The connection is one of the pool, is taken at
// the first call, and goes back after an error, after a call whose ctx has ended, and after 30 s without a call. A pool that
// is limited to less than 4 connections keeps them all, and Reserved then takes one for each call as its Store does. So it
// is with SQLite, which does not talk to a server and lets one connection write at a time.
func (s *Store) Reserved() checkpoint.Store {
	if s.reserved == nil {
		return s
	}
	return s.reserved
}

// validTable reports whether each part of a name has at least one character.
func validTable(name string) bool {
	parts := strings.Split(name, ".")
	return len(parts) <= 2 && !slices.Contains(parts, "")
}
