package kinesistest

import (
	"fmt"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// Event returns an event as Lambda hands it to a handler, for tests of handlers without a server. It takes pairs of
// partition key and data, and makes one record of each, in order, of shard shardId-000000000000 of the stream
// "stream". Arrival times begin now and are 1 ms apart, sequence numbers grow. It panics when a key has no data.
//
//	err := handle(ctx, kinesistest.Event("alice", "1 espresso", "bob", "1 cortado"))
func Event(keysAndData ...string) events.KinesisEvent {
	if len(keysAndData)%2 != 0 {
		panic(fmt.Sprintf("kinesistest: Event: partition key %q has no data", keysAndData[len(keysAndData)-1]))
	}
	const shard = "shardId-000000000000"
	at := milliseconds(time.Now())
	ev := events.KinesisEvent{Records: make([]events.KinesisEventRecord, 0, len(keysAndData)/2)}
	for i := 0; i < len(keysAndData); i += 2 {
		seq := sequence{created: uint64(at.Unix()), n: uint64(i/2 + 1), at: uint64(at.Unix())}.String()
		ev.Records = append(ev.Records, events.KinesisEventRecord{
			AwsRegion:         region,
			EventID:           shard + ":" + seq,
			EventName:         "aws:kinesis:record",
			EventSource:       "aws:kinesis",
			EventSourceArn:    arn("stream"),
			EventVersion:      "1.0",
			InvokeIdentityArn: "arn:aws:iam::" + account + ":role/kinesistest",
			Kinesis: events.KinesisRecord{
				ApproximateArrivalTimestamp: events.SecondsEpochTime{Time: at.Add(time.Duration(i/2) * time.Millisecond)},
				Data:                        []byte(keysAndData[i+1]),
				PartitionKey:                keysAndData[i],
				SequenceNumber:              seq,
				KinesisSchemaVersion:        "1.0",
			},
		})
	}
	return ev
}

func arn(stream string) string {
	return "arn:aws:kinesis:" + region + ":" + account + ":stream/" + stream
}
