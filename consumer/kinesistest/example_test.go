package kinesistest_test

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

func Example() {
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	shard, _ := srv.Put("orders", "alice", []byte("1 espresso"))
	srv.Split("orders", shard)

	ctx, c := context.Background(), srv.Client()
	it, err := c.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamName: aws.String("orders"), ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := c.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: %s\n", *out.Records[0].PartitionKey, out.Records[0].Data)
	fmt.Println("end of shard:", out.NextShardIterator == nil, "children:", len(out.ChildShards))
	// Output:
	// alice: 1 espresso
	// end of shard: true children: 2
}

// With the strategy AUTO the service places records, and keys are optional.
func ExampleServer_SetDistribution() {
	srv := kinesistest.NewServer("orders", 4)
	defer srv.Close()
	shards := map[string]bool{}
	for range 4 {
		shard, _ := srv.Put("orders", "alice", []byte("1 espresso"))
		shards[shard] = true
	}
	fmt.Println("by key:", len(shards), "shard")

	srv.SetDistribution("orders", kinesistest.Auto)
	clear(shards)
	for range 4 {
		shard, _ := srv.Put("orders", "", []byte("1 espresso"))
		shards[shard] = true
	}
	fmt.Println("by the service:", len(shards), "shards")
	// Output:
	// by key: 1 shard
	// by the service: 4 shards
}

// A control function sees every call when it arrives, and decides what goes wrong with it.
func ExampleServer_Control() {
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	calls := 0
	srv.Control("ListShards", func(*kinesistest.Request) *kinesistest.Fault {
		if calls++; calls == 1 {
			return kinesistest.Error("ServiceUnavailable", 1)
		}
		return nil
	})
	for range 2 {
		out, err := srv.Client().ListShards(context.Background(), &kinesis.ListShardsInput{StreamName: aws.String("orders")})
		if err != nil {
			fmt.Println("refused")
			continue
		}
		fmt.Println(len(out.Shards), "shard")
	}
	// Output:
	// refused
	// 1 shard
}
