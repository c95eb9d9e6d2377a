// Package sqlstore keeps the rows of a [checkpoint.Store] in a table of a SQL database: PostgreSQL, MariaDB, or SQLite.
// Workers that share the shards of a stream can so use the database that their service has anyway.
//
// It uses database/sql only, and the program opens the database with a driver. The tests use
// github.com/jackc/pgx/v5/stdlib, github.com/go-sql-driver/mysql and modernc.org/sqlite. The dialect [MariaDB] is meant
// for MySQL too, which is untested. Another driver for PostgreSQL or SQLite is as safe; an error that the store does not
// understand counts as an unknown outcome, which costs the caller a read. For MariaDB there is no other one: a row that
// is there already would not be seen to be a conflict.
//
// # Durability
//
// A write is one statement in a transaction of its own, and acknowledged when the database has committed it. What that
// means is the database's to say, and its defaults do: a crash of the server loses nothing that was acknowledged.
//
//   - PostgreSQL: synchronous_commit = off loses the last commits in a crash. With asynchronous standbys (the default of
//     replication) a failover loses what the new primary had not received; synchronous_standby_names with
//     synchronous_commit = on prevents it.
//   - MariaDB: innodb_flush_log_at_trx_commit other than 1 loses up to a second in a crash. A failover to an asynchronous
//     or semi-synchronous replica loses what that had not received. A Galera cluster needs wsrep_sync_wait = 1 where
//     several nodes are used, as otherwise a Get may answer with what another node has overwritten.
//   - SQLite: a crash of the process loses nothing. A power cut loses nothing in WAL mode with PRAGMA synchronous = FULL,
//     its default, and with EXTRA. In the default journal mode with FULL it may undo the last writes, and with NORMAL or
//     OFF more than these. The file belongs on a local disk: network file systems do not keep its locks.
//
// A failover that loses acknowledged writes takes rows back to an earlier state: shards are then delivered again from
// older checkpoints, and two workers may hold one until they see it.
//
// All calls, reads too, must reach the primary: no replica, and no proxy that splits reads from writes. The connections
// must commit each statement, as they do unless told otherwise: MariaDB's autocommit must be on, which Create checks.
//
// # What is sent, and when its outcome is known
//
// A write is sent once. The methods of [database/sql.DB] send a statement again when the driver calls its connection bad,
// up to two times, and rely on the driver to do so only where nothing was sent. A Store takes a connection first and uses
// [database/sql.Conn], which does not. A write that fails before it is sent, or that the database itself refuses, wraps
// [checkpoint.ErrNotApplied]: no connection, no such table, no permission, a lock that was not to be had. Any other error,
// that of a bad connection included, leaves the outcome unknown.
//
// A driver may wait for ever for a server that does not answer, so each call needs a ctx with a deadline.
//
// # Cost
//
// Each method is one statement on the primary key, and a write is one commit, for which the database writes its log to the
// disk. With pgx that is one round trip, after the first use of a statement on a connection. With go-sql-driver/mysql it
// is two, as it prepares each statement, or one with interpolateParams=true in its data source name. PgBouncer that
// shares its connections by transaction wants default_query_exec_mode=exec with pgx, which also is one round trip. A row
// has about 400 bytes. Rows change often, so autovacuum must not be off.
//
// A Store takes the connections of the pool and does not configure it. SetMaxIdleConns(8) or more saves connecting again
// and again, as a worker uses more at once than the default of 2. A limit by SetMaxOpenConns should leave room for
// one connection that each Store keeps for heartbeats, see [Store.Reserved].
//
// # Permissions
//
// [Store.Create] makes the table. Where a service may not do that, run postgres.sql, mariadb.sql or sqlite.sql, which are
// beside this file. The service then needs, for the table shardlane and in MariaDB the database orders:
//
//	PostgreSQL: GRANT USAGE ON SCHEMA public TO consumer
//	PostgreSQL: GRANT SELECT, INSERT, UPDATE, DELETE ON shardlane TO consumer
//	MariaDB:    GRANT SELECT, INSERT, UPDATE, DELETE ON orders.shardlane TO consumer
//
// and to make the table as well:
//
//	PostgreSQL: GRANT CREATE ON SCHEMA public TO consumer
//	MariaDB:    GRANT CREATE ON orders.shardlane TO consumer
//
// Who may write the table can make records be skipped.
//
// # Table
//
// It has three columns of bytes: row_key, the primary key, value and revision. In psql, SET bytea_output = escape shows
// them as text. Rows of several groups and streams share a table. Deleting rows by hand while workers run is safe: owners
// put them back.
//
// # SQLite
//
// SQLite is for processes of one machine, and for tests. One connection writes at a time, and the others wait: as
// long as busy_timeout says, or up to 5 s if it is not set. To set it, and to let reads go on during a write, open it with
//
//	sql.Open("sqlite", "file:fleet.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
//
// In memory each connection has a database of its own, so ":memory:" needs SetMaxOpenConns(1).
package sqlstore
