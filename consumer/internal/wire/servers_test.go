package wire_test

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/consumer/internal/wire"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// TestServersReplies holds that the replies of kinesistest, and of the emulators that are configured, are decoded, and as by
// the SDK. SHARDLANE_KINESALITE and SHARDLANE_KINESIS_LOCAL hold the emulators' URLs; with SHARDLANE_REQUIRE_SERVERS=1 both
// must be there.
func TestServersReplies(t *testing.T) {
	servers := map[string]string{}
	for name, env := range map[string]string{"kinesalite": "SHARDLANE_KINESALITE", "kinesis-local": "SHARDLANE_KINESIS_LOCAL"} {
		if at := os.Getenv(env); at != "" {
			servers[name] = at
		} else if os.Getenv("SHARDLANE_REQUIRE_SERVERS") == "1" {
			t.Errorf("%s is not set, and SHARDLANE_REQUIRE_SERVERS is", env)
		}
	}
	own := kinesistest.NewServer("unused", 1)
	t.Cleanup(own.Close)
	own.SetTransition(20 * time.Millisecond)
	servers["kinesistest"] = own.URL()
	for name, at := range servers {
		t.Run(name, func(t *testing.T) { replies(t, at) })
	}
}

func replies(t *testing.T, url string) {
	ctx, name := t.Context(), aws.String("replies")
	client := kinesis.New(kinesis.Options{
		Region: "eu-west-1", BaseEndpoint: &url, Credentials: aws.CredentialsProviderFunc(credentials),
	})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(1)})
	must(err)
	active := func() types.Shard {
		t.Helper()
		must(kinesis.NewStreamExistsWaiter(client, func(o *kinesis.StreamExistsWaiterOptions) { o.MinDelay = 20 * time.Millisecond }).Wait(ctx, &kinesis.DescribeStreamInput{StreamName: name}, time.Minute))
		list, err := client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: name})
		must(err)
		return list.Shards[0]
	}
	shard := active()
	for i, key := range []string{"a", "\"quoted\" \\ / <b>&\u2028", "äöü €", "\U0001f600", "line\nfeed\x00", strings.Repeat("k", 256)} {
		_, err = client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: name, PartitionKey: &key, Data: []byte(strings.Repeat("data", 1000*i))})
		must(err)
	}
	first, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: name, ShardId: shard.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	must(err)
	var d wire.Decoder
	records := 0
	read := func(iterator *string) *kinesis.GetRecordsOutput {
		t.Helper()
		in := &kinesis.GetRecordsInput{ShardIterator: iterator, Limit: aws.Int32(4)}
		got, err := client.GetRecords(ctx, in, d.Option)
		must(err)
		want, err := client.GetRecords(ctx, in)
		must(err)
		if !reflect.DeepEqual(got.Records, want.Records) || !reflect.DeepEqual(got.ChildShards, want.ChildShards) {
			t.Errorf("the reply is\n%s\nby the SDK\n%s", dump(got), dump(want))
		}
		records += len(got.Records)
		return got
	}
	calls, next := int64(0), first.ShardIterator
	for ; calls < 3; calls++ {
		next = read(next).NextShardIterator
	}
	_, err = client.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: name, ShardToSplit: shard.ShardId, NewStartingHashKey: aws.String("99")})
	must(err)
	active()
	var last *kinesis.GetRecordsOutput
	for ; next != nil && calls < 10; calls++ {
		last = read(next)
		next = last.NextShardIterator
	}
	if fast, slow := d.Counts(); records != 6 || next != nil || fast != calls || slow != 0 {
		t.Errorf("%d replies with %d records, %d decoded, %d left to the SDK; the last one is %s", calls, records, fast, slow, dump(last))
	}
}
