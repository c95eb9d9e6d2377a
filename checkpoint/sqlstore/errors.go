package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/shardlane/shardlane/checkpoint"
)

// An unsentError is the reason why a statement was not sent.
type unsentError struct{ error }

func (u unsentError) Unwrap() error { return u.error }

// A failure is the error of a call.
type failure struct {
	op, key, hint string
	certain       bool // of a write: it is not applied
	err           error
}

func (f *failure) Error() string {
	text := fmt.Sprintf("sqlstore: %s of %q: ", f.op, f.key)
	if f.certain {
		text += "not applied: "
	}
	if f.hint != "" {
		text += f.hint + ": "
	}
	return text + f.err.Error()
}

func (f *failure) Unwrap() []error {
	if f.certain {
		return []error{checkpoint.ErrNotApplied, f.err}
	}
	return []error{f.err}
}

// failure returns err with what was done, and what can be done about it. Certain says that a write is not applied.
func (s *Store) failure(op, key string, err error, certain bool) error {
	return &failure{op: op, key: key, hint: s.hint(err), certain: certain, err: err}
}

func (s *Store) hint(err error) string {
	switch s.dialect.fault(err) {
	case missing:
		return fmt.Sprintf("there is no table %s: call Create, or make it by hand", s.table)
	case denied:
		return "GRANT what the package comment of sqlstore lists, on table " + s.table
	case readOnly:
		return "the connection leads to a database that takes no writes: connect to the primary"
	case locked:
		if s.dialect == SQLite {
			return "another connection holds the lock of the file"
		}
	}
	var u unsentError
	if errors.As(err, &u) && errors.Is(err, context.DeadlineExceeded) {
		if st := s.db.Stats(); st.MaxOpenConnections > 0 && st.InUse >= st.MaxOpenConnections {
			return fmt.Sprintf("all %d connections of the pool are in use: raise SetMaxOpenConns", st.MaxOpenConnections)
		}
	}
	return ""
}

// A fault is what the database says of a statement. Of all but unclear it is certain that the statement had no effect.
type fault int

const (
	unclear   fault = iota // it may have been executed, or may still be
	refused                // it was not, for a reason that speaks for itself
	duplicate              // a row has this key
	missing                // there is no such table
	denied                 // the user may not do this
	readOnly               // nobody may write here
	locked                 // others were in the way
)

// fault reads the error of a driver. Drivers are known by the shape of their errors only. Where it is in doubt it
// answers unclear, which costs the caller a look at the row.
func (d Dialect) fault(err error) fault {
	switch d {
	case Postgres:
		return postgresFault(err)
	case MariaDB:
		return mariadbFault(err)
	case SQLite:
		return sqliteFault(err)
	}
	return unclear
}

// postgresFault looks at the SQLSTATE, which the errors of pgx and lib/pq have as a method. Those of its class 57 (the
// server shuts down, a statement is cancelled) may come when the statement is committed already; those of 40003 and of
// class 08 say themselves that they do not know.
func postgresFault(err error) fault {
	var answer interface {
		error
		SQLState() string
	}
	if !errors.As(err, &answer) {
		return unclear
	}
	switch state := answer.SQLState(); state {
	case "42P01", "3F000":
		return missing
	case "42501":
		return denied
	case "25006":
		return readOnly
	case "40001", "40P01", "55P03":
		return locked
	default:
		// feature, data, constraint, state of the transaction, authorization, name of the database, syntax, resources, limits
		if len(state) == 5 && slices.Contains(strings.Fields("0A 22 23 25 28 3D 42 53 54"), state[:2]) {
			return refused
		}
	}
	return unclear
}

// mariadbFault looks at the number of an error of go-sql-driver/mysql, whose type is a struct without methods for it.
func mariadbFault(err error) fault {
	n, ok := mysqlNumber(err)
	if !ok {
		return unclear
	}
	switch n {
	case 1062: // ER_DUP_ENTRY
		return duplicate
	case 1146, 1049: // ER_NO_SUCH_TABLE, ER_BAD_DB_ERROR
		return missing
	case 1044, 1045, 1142, 1143, 1227: // access denied: to the database, at all, to the table, to a column, to do this
		return denied
	case 1290, 1792, 1836: // read_only: an option, the transaction, the server
		return readOnly
	case 1020, 1205, 1213: // ER_CHECKREAD, ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK
		return locked
	case 1048, 1054, 1064, 1114, 1364, 1366, 1406: // NULL, column, syntax, table full, default, value, too long
		return refused
	}
	return unclear
}

// mysqlNumber finds a struct MySQLError in the tree of err and returns its field Number.
func mysqlNumber(err error) (uint64, bool) {
	if v := reflect.Indirect(reflect.ValueOf(err)); v.Kind() == reflect.Struct && v.Type().Name() == "MySQLError" {
		if n := v.FieldByName("Number"); n.IsValid() && n.CanUint() {
			return n.Uint(), true
		}
	}
	switch e := err.(type) { //nolint:errorlint // it walks the tree
	case interface{ Unwrap() error }:
		return mysqlNumber(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			if n, ok := mysqlNumber(err); ok {
				return n, true
			}
		}
	}
	return 0, false
}

// sqliteFault looks at the result code, which the errors of modernc.org/sqlite have as a method. A statement outside of
// a transaction that ends with one of these is rolled back. An error of the disk (SQLITE_IOERR) or an interrupt is none.
func sqliteFault(err error) fault {
	var answer interface {
		error
		Code() int
	}
	if !errors.As(err, &answer) {
		return unclear
	}
	switch answer.Code() & 0xff { // the rest is detail
	case 1: // SQLITE_ERROR
		if strings.Contains(err.Error(), "no such table") {
			return missing
		}
		return refused
	case 5, 6: // SQLITE_BUSY, SQLITE_LOCKED
		return locked
	case 8: // SQLITE_READONLY
		return readOnly
	case 3, 13, 14, 18, 19, 23: // SQLITE_PERM, _FULL, _CANTOPEN, _TOOBIG, _CONSTRAINT, _AUTH
		return refused
	}
	return unclear
}
