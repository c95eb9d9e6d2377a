package redisstore_test

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

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

// A client of a Redis Cluster needs ContextTimeoutEnabled.
func ExampleNew_cluster() {
	rdb := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs:                 []string{"redis-0:6379", "redis-1:6379", "redis-2:6379"},
		ContextTimeoutEnabled: true,
	})
	defer rdb.Close()
	store := redisstore.New(rdb, "billing")
	defer store.Close()

	row, err := store.Get(context.Background(), "billing/stream/123456789012:orders:1735689600")
	fmt.Println(row.Revision != "", err)
}
