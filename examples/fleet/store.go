package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	_ "github.com/go-sql-driver/mysql" // the drivers of the databases
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/checkpoint/dynamostore"
	"github.com/shardlane/shardlane/checkpoint/redisstore"
	"github.com/shardlane/shardlane/checkpoint/sqlstore"
)

// A location is where the workers keep who owns which shard, and how far it was read.
type location struct {
	Kind string // sqlite, postgres, mariadb, redis or dynamodb
	DSN  string // what the driver takes; a path for sqlite, a URL for dynamodb
}

// table is the name of the table in a database, and the prefix in Redis.
const table = "shardlane_fleet"

// A shelf is a store and what makes and closes it.
type shelf struct {
	checkpoint.Store
	create func(context.Context) error
	close  func() error
}

func (l location) shelf() (shelf, error) {
	if l.DSN == "" {
		return shelf{}, fmt.Errorf("-store %s needs -dsn", l.Kind)
	}
	switch l.Kind {
	case "sqlite":
		return l.database("sqlite", "file:"+l.DSN+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)", sqlstore.SQLite)
	case "postgres":
		return l.database("pgx", l.DSN, sqlstore.Postgres)
	case "mariadb":
		return l.database("mysql", l.DSN, sqlstore.MariaDB)
	case "redis":
		c := redis.NewClient(&redis.Options{Addr: l.DSN})
		return shelf{redisstore.New(c, table), func(ctx context.Context) error { return c.Ping(ctx).Err() }, c.Close}, nil
	case "dynamodb":
		s := dynamostore.New(dynamodb.New(dynamodb.Options{
			BaseEndpoint: &l.DSN, Region: cmp.Or(os.Getenv("AWS_REGION"), "us-east-1"), Credentials: aws.CredentialsProviderFunc(credentials),
		}), table)
		return shelf{s, s.Create, func() error { return nil }}, nil
	}
	return shelf{}, fmt.Errorf("-store %s: want sqlite, postgres, mariadb, redis or dynamodb", l.Kind)
}

func (l location) database(driver, dsn string, d sqlstore.Dialect) (shelf, error) {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return shelf{}, err
	}
	db.SetMaxIdleConns(8) // more than a worker uses at once
	s := sqlstore.New(db, d, sqlstore.WithTable(table))
	return shelf{s, s.Create, db.Close}, nil
}

// create makes what the store needs, and looks that it answers.
func (l location) create(ctx context.Context) error {
	s, err := l.shelf()
	if err != nil {
		return err
	}
	return errors.Join(s.create(ctx), s.close())
}

// clear removes the rows of a group.
func (l location) clear(ctx context.Context, group string) error {
	s, err := l.shelf()
	if err != nil {
		return err
	}
	rows, err := s.List(ctx, group+"/")
	for _, row := range rows {
		err = errors.Join(err, s.Delete(ctx, row))
	}
	return errors.Join(err, s.close())
}

// credentials are those of the environment; an emulator takes any.
func credentials(context.Context) (aws.Credentials, error) {
	return aws.Credentials{
		AccessKeyID:     cmp.Or(os.Getenv("AWS_ACCESS_KEY_ID"), "any"),
		SecretAccessKey: cmp.Or(os.Getenv("AWS_SECRET_ACCESS_KEY"), "any"),
		SessionToken:    os.Getenv("AWS_SESSION_TOKEN"),
	}, nil
}

// A counted store writes each call into the history of its worker.
type counted struct {
	checkpoint.Store
	history *history
}

func (c counted) note(method, key string) {
	parts := strings.SplitN(key, "/", 3) // group/kind/…
	c.history.write("store", method, cmp.Or(strings.Join(parts[1:min(2, len(parts))], ""), "group"))
}

func (c counted) List(ctx context.Context, prefix string) ([]checkpoint.Entry, error) {
	c.note("List", prefix)
	return c.Store.List(ctx, prefix)
}

func (c counted) Get(ctx context.Context, key string) (checkpoint.Entry, error) {
	c.note("Get", key)
	return c.Store.Get(ctx, key)
}

func (c counted) Swap(ctx context.Context, e checkpoint.Entry) (checkpoint.Entry, error) {
	c.note("Swap", e.Key)
	return c.Store.Swap(ctx, e)
}

func (c counted) Delete(ctx context.Context, e checkpoint.Entry) error {
	c.note("Delete", e.Key)
	return c.Store.Delete(ctx, e)
}

// Reserved is for the heartbeats. They have connections of their own where the store has such.
func (c counted) Reserved() checkpoint.Store {
	if s, ok := c.Store.(interface{ Reserved() checkpoint.Store }); ok {
		return counted{s.Reserved(), c.history}
	}
	return c
}
