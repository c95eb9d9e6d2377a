package redisstore_test

import (
	"context"
	"fmt"

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
