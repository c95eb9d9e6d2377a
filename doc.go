// Package shardlane is the root of a library that consumes Kinesis data streams with the function a Lambda would run. It
// holds no code: this page says what the library is, which package to look into, and what is promised.
//
// # The idea
//
// A function with the Kinesis signature of aws-lambda-go,
//
//	func handle(ctx context.Context, ev events.KinesisEvent) error
//
// is given to lambda.Start to run in Lambda, and to consumer.Run to run inside one's own process. Both give it the same
// contract, the one of Lambda's event source mapping for Kinesis: batches by count, bytes and time, retries with limits,
// bisecting, partial failures, on-failure destinations, tumbling windows, filters, and lanes that run in parallel within
// a shard and keep the order of every partition key. The rules have ids such as L17 and C9, which comments cite;
// batch/SEMANTICS.md states each of them.
//
// # Packages
//
// One package is the trunk, the only one that imports the others:
//
//   - [github.com/shardlane/shardlane/consumer] reads the shards of a stream, hands batches to a handler, writes
//     checkpoints, follows splits and merges, and drains when its context ends.
//   - [github.com/shardlane/shardlane/consumer/kinesistest] is a Kinesis inside the process for tests and examples. It
//     speaks the real protocol to the real client, and works under the virtual time of testing/synctest.
//
// Four packages are leaves. They do not know each other, and each works on its own:
//
//   - [github.com/shardlane/shardlane/batch] holds what a handler touches: its types, what it can know about its
//     invocation, interceptors, the batcher, and the retry state machine. It does no I/O, reads no clock and imports no
//     AWS client. Below it, kpl splits KPL aggregates, filter matches event filter patterns, adapt takes whatever
//     lambda.Start takes, and the module destination has queues, topics and buckets for what is given up.
//   - [github.com/shardlane/shardlane/partition] keeps order within a key and runs keys in parallel: the hash, lanes,
//     the watermark.
//   - [github.com/shardlane/shardlane/checkpoint] keeps progress and ownership in one compare-and-swap: the Store
//     interface, a store in memory and one in a file. Its subpackage checkpointtest is the suite that every store passes.
//   - [github.com/shardlane/shardlane/metrics] names what is measured and takes it: the catalogue, Recorder, Snapshot.
//
// The leaves partition, checkpoint and metrics use the standard library only; batch adds aws-lambda-go's events.
//
// # Delivery
//
// Delivery is at least once. A handler sees every record at or after the starting position, again after a failed
// attempt, and again after a restart if the last checkpoint written does not cover it. Checkpoints are written every 10
// seconds, at the end of a shard, and at a clean stop. So what a handler does should bear repetition; batch.Identity
// gives each record a stable key. A record that Kinesis itself dropped, because its retention ended before it was read,
// is reported as lost.
//
// The records of one partition key start in their order, one after another, across batches, retries, restarts, splits
// and merges. Records of different keys run concurrently, up to the parallelization factor in each shard, so a handler is
// called from several goroutines at once.
//
// A checkpoint never passes a record that has no outcome. One failing record delays its own lane and, once the bounded
// read-ahead is full, its shard, and the shards that this one is split or merged into; it never delays another shard,
// and nothing is skipped silently.
//
// # What there is not yet
//
// One process at a time works for a group, on all shards of its stream. Enhanced fan-out does not exist: the ARN of a
// stream consumer is refused.
package shardlane
