package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/redis/go-redis/v9"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/checkpoint/redisstore"
)

// A consumer is given the store by consumer.WithCheckpointer. Rows can be looked at in the same way.
func Example() {
	rdb := redis.NewClient(&redis.Options{Addr: "redis:6379", Username: "shardlane", Password: "password"})
	defer rdb.Close()
	store := redisstore.New(rdb, "shardlane")
	defer store.Close()

	rows, err := store.List(context.Background(), "billing/lease/")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range rows {
		fmt.Printf("%s: %s\n", row.Key, row.Value)
	}
}

// A client of a Redis Cluster needs ContextTimeoutEnabled. Copy moves a group from a file into the store.
func ExampleNew_cluster() {
	rdb := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs:                 []string{"redis-0:6379", "redis-1:6379", "redis-2:6379"},
		ContextTimeoutEnabled: true,
	})
	defer rdb.Close()
	store := redisstore.New(rdb, "billing")
	defer store.Close()

	file, err := checkpoint.OpenFile("/var/lib/billing/checkpoints")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer file.Close()
	n, err := checkpoint.Copy(context.Background(), store, file, "billing")
	fmt.Println(n, "rows copied:", err)
}

// A write that was not sent is known not to be applied. One whose answer was lost is unknown until the row is read.
func ExampleStore_Swap() {
	rdb := redis.NewClient(&redis.Options{
		Dialer:        func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no route to host") },
		DialerRetries: 1,
	})
	defer rdb.Close()
	store := redisstore.New(rdb, "shardlane")

	_, err := store.Swap(context.Background(), checkpoint.Entry{Key: "billing/lease/orders/0", Value: []byte("{}")})
	fmt.Println(err)
	fmt.Println(errors.Is(err, checkpoint.ErrNotApplied), errors.Is(err, checkpoint.ErrConflict))
	// Output:
	// redisstore: swap "billing/lease/orders/0": checkpoint: write not applied: no route to host
	// true false
}

// A Ring spreads keys over servers that know nothing of each other. It is refused.
func ExampleNew_ring() {
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "redis-a:6379", "b": "redis-b:6379"}})
	defer ring.Close()
	_, err := redisstore.New(ring, "shardlane").Get(context.Background(), "billing/lease/orders/0")
	fmt.Println(err)
	// Output:
	// redisstore: get "billing/lease/orders/0": a Ring forgets rows when it loses a server: use a Client or a ClusterClient
}
