package batch_test

import (
	"fmt"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/shardlane/shardlane/batch"
)

type (
	record  = events.KinesisEventRecord
	failure = events.KinesisBatchItemFailure
)

var source = batch.Source{
	StreamARN: "arn:aws:kinesis:eu-west-1:123456789012:stream/orders", Region: "eu-west-1", Shard: "shardId-000000000007",
}

// event returns an event with a record per key; sequence numbers count from 1.
func event(keys ...string) events.KinesisEvent {
	return source.Event(len(keys), func(i int) batch.Record {
		return batch.Record{
			PartitionKey: keys[i], SequenceNumber: fmt.Sprint(i + 1), Data: []byte("data of " + keys[i]),
			Arrival: time.UnixMilli(1772719618250),
		}
	})
}

func failures(ids ...string) (fs []failure) {
	for _, id := range ids {
		fs = append(fs, failure{ItemIdentifier: id})
	}
	return fs
}

func keys(rs []record) (ks []string) {
	for _, r := range rs {
		ks = append(ks, r.Kinesis.PartitionKey)
	}
	return ks
}
