package sqlstore_test

import (
	"context"
	"database/sql"
	"log"

	"github.com/shardlane/shardlane/checkpoint/sqlstore"
)

// A service keeps its rows in the PostgreSQL that it has anyway.
func ExampleNew() {
	// import _ "github.com/jackc/pgx/v5/stdlib"
	db, err := sql.Open("pgx", "postgres://consumer@db.internal/orders")
	if err != nil {
		log.Fatal(err)
	}
	db.SetMaxIdleConns(8) // it is closed when the consumers have ended

	store := sqlstore.New(db, sqlstore.Postgres)
	if err := store.Create(context.Background()); err != nil { // at every start; it does nothing where the table exists
		log.Fatal(err)
	}
	// consumer.New(client, "orders", handle, consumer.WithGroup("billing"), consumer.WithCheckpointer(store))
}

// Processes of one machine share a file. In MariaDB the table may stand in another database.
func ExampleWithTable() {
	// import _ "modernc.org/sqlite"
	file, err := sql.Open("sqlite", "file:fleet.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	if err != nil {
		log.Fatal(err)
	}
	// import _ "github.com/go-sql-driver/mysql"
	server, err := sql.Open("mysql", "consumer@tcp(db.internal)/orders?interpolateParams=true")
	if err != nil {
		log.Fatal(err)
	}

	_ = sqlstore.New(file, sqlstore.SQLite, sqlstore.WithTable("billing_leases"))
	_ = sqlstore.New(server, sqlstore.MariaDB, sqlstore.WithTable("infra.billing_leases"))
}
