package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log"

	"github.com/shardlane/shardlane/checkpoint"
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

// down is a database that cannot be reached.
type down struct{}

func (down) Connect(context.Context) (driver.Conn, error) { return nil, errors.New("no route to host") }
func (down) Driver() driver.Driver                        { return nil }

// A write that was not sent is known not to be applied. One whose answer was lost is unknown until the row is read.
func ExampleStore_Swap() {
	db := sql.OpenDB(down{}) // programs call sql.Open
	defer db.Close()
	store := sqlstore.New(db, sqlstore.Postgres)

	_, err := store.Swap(context.Background(), checkpoint.Entry{Key: "billing/lease/orders/0", Value: []byte("{}")})
	fmt.Println(err)
	fmt.Println(errors.Is(err, checkpoint.ErrNotApplied), errors.Is(err, checkpoint.ErrConflict))
	// Output:
	// sqlstore: Swap of "billing/lease/orders/0": not applied: no route to host
	// true false
}

// What is wrong with the arguments of New is the error of every method.
func ExampleNew_wrong() {
	db := sql.OpenDB(down{})
	defer db.Close()
	store := sqlstore.New(db, sqlstore.MariaDB, sqlstore.WithTable("infra."))

	fmt.Println(store.Create(context.Background()))
	_, err := store.Get(context.Background(), "billing/lease/orders/0")
	fmt.Println(err)
	// Output:
	// sqlstore: Create of "infra.": "infra." is no name of a table
	// sqlstore: Get of "billing/lease/orders/0": "infra." is no name of a table
}
