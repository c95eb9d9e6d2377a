// Package sqlstore keeps the rows of a [checkpoint.Store] in a table of a SQL database: PostgreSQL, MariaDB, or SQLite.
// It is for workers that share the shards of a stream, and need no more than the database that a service has anyway.
//
// It uses database/sql only; the program opens the database, with the driver of its choice. The tests use
// github.com/jackc/pgx/v5/stdlib, github.com/go-sql-driver/mysql and modernc.org/sqlite. The dialect [MariaDB] is meant
// for MySQL too, which is untested. With another driver the store is as safe, but it may take an error for unknown whose
// meaning it would know from these, which costs its caller a read; for MariaDB, another one does not do.
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
//   - SQLite: PRAGMA synchronous = FULL, its default, keeps what was acknowledged in a power cut. NORMAL does not in WAL
//     mode, and OFF in none. The file belongs on a local disk: network file systems do not keep its locks.
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
// # Cost
//
// Each method is one statement on the primary key, and a write is one commit, for which the database writes its log to the
// disk. With pgx that is one round trip, after the first use of a statement on a connection. With go-sql-driver/mysql it
// is two, as it prepares each statement, or one with interpolateParams=true in its data source name. A Store has no
// connections of its own and does not configure the pool: SetMaxIdleConns(8) and more spares reconnecting, as the default
// of 2 is less than a worker uses at once. A row has about 400 bytes. Rows change often, so autovacuum must not be off.
//
// # Permissions
//
// [Store.Create] makes the table. Who does not want to let a service do that runs postgres.sql, mariadb.sql or sqlite.sql,
// which are beside this file. The service then needs, for the table shardlane and in MariaDB the database orders:
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
