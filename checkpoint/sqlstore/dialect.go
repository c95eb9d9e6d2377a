package sqlstore

import (
	_ "embed"
	"fmt"
	"strings"
)

// A Dialect is the SQL of one kind of database.
type Dialect int

// The dialects. The zero Dialect is none of them.
const (
	Postgres Dialect = iota + 1 // PostgreSQL; tested with version 15
	MariaDB                     // MariaDB, tested with version 10.11, and MySQL from 5.7 on, which is untested
	SQLite                      // SQLite from 3.24 on
)

// String returns the name of the database.
func (d Dialect) String() string {
	switch d {
	case Postgres:
		return "PostgreSQL"
	case MariaDB:
		return "MariaDB"
	case SQLite:
		return "SQLite"
	}
	return fmt.Sprintf("Dialect(%d)", int(d))
}

// The table of each dialect, in a statement that can also be run by hand.
var (
	//go:embed postgres.sql
	postgresSchema string
	//go:embed mariadb.sql
	mariadbSchema string
	//go:embed sqlite.sql
	sqliteSchema string
)

// Statements are the texts of a Store's statements. Their arguments are in the order value, new revision, key, revision,
// as far as they have them.
type statements struct {
	create, probe, get, from, between, insert, update, delete string
}

// statements returns the texts for the table of that name.
func (d Dialect) statements(table string) statements {
	quoted := d.quote(table)
	text := func(t string) string { return strings.Replace(d.placeholders(t), "shardlane", quoted, 1) }
	all := statements{
		create:  text(d.schema()),
		probe:   text("SELECT row_key, value, revision FROM shardlane WHERE 1 = 0"),
		get:     text("SELECT row_key, value, revision FROM shardlane WHERE row_key = ?"),
		from:    text("SELECT row_key, value, revision FROM shardlane WHERE row_key >= ?"),
		between: text("SELECT row_key, value, revision FROM shardlane WHERE row_key >= ? AND row_key < ?"),
		insert:  text("INSERT INTO shardlane (value, revision, row_key) VALUES (?, ?, ?) ON CONFLICT (row_key) DO NOTHING"),
		update:  text("UPDATE shardlane SET value = ?, revision = ? WHERE row_key = ? AND revision = ?"),
		delete:  text("DELETE FROM shardlane WHERE row_key = ? AND revision = ?"),
	}
	if d == MariaDB { // which has no such clause, and says so with an error
		all.insert = strings.TrimSuffix(all.insert, " ON CONFLICT (row_key) DO NOTHING")
	}
	return all
}

func (d Dialect) schema() string {
	switch d {
	case Postgres:
		return postgresSchema
	case MariaDB:
		return mariadbSchema
	default:
		return sqliteSchema
	}
}

// placeholders numbers the ? of a statement where the dialect wants that.
func (d Dialect) placeholders(text string) string {
	for n := 1; d == Postgres && strings.Contains(text, "?"); n++ {
		text = strings.Replace(text, "?", fmt.Sprintf("$%d", n), 1)
	}
	return text
}

// quote returns the name of a table, of which each part is taken as it is.
func (d Dialect) quote(table string) string {
	mark := `"`
	if d == MariaDB {
		mark = "`"
	}
	parts := strings.Split(table, ".")
	for i, part := range parts {
		parts[i] = mark + strings.ReplaceAll(part, mark, mark+mark) + mark
	}
	return strings.Join(parts, ".")
}

// after returns the least key that is above all keys with the prefix; ok is false if there is none.
func after(prefix string) (next string, ok bool) {
	b := []byte(prefix)
	for len(b) > 0 {
		if last := len(b) - 1; b[last] < 0xff {
			b[last]++
			return string(b), true
		}
		b = b[:len(b)-1]
	}
	return "", false
}
