// Package shardlane is the root of a library that consumes Kinesis data streams with the function that you would run in
// Lambda. It holds no code: this page says what the library is, which package to look into, and what it promises.
//
// # The idea
//
// Take a function with the Kinesis signature of aws-lambda-go:
//
//	func handle(ctx context.Context, ev events.KinesisEvent) error
//
// Give it to lambda.Start, and it runs in Lambda. Give it to consumer.Run, and it runs inside your own process. Both call it
// under the same contract, that of Lambda's event source mapping for Kinesis: batches by count, bytes and time, retries
// with limits, bisecting, partial failures, on-failure destinations, tumbling windows, filters, and lanes that run in
// parallel within a shard and keep the order of every partition key. batch/SEMANTICS.md states each rule; comments inside
// the code cite them by ids such as L17 and C9.
//
// # Packages
//
// One package is the trunk and imports the others:
//
//   - [github.com/shardlane/shardlane/consumer] reads the shards of a stream, hands batches to a handler, writes
//     checkpoints, follows splits and merges, and drains when its context ends.
//   - [github.com/shardlane/shardlane/consumer/kinesistest] is a Kinesis inside your process, for tests and examples. It
//     speaks the real protocol to the real client, and works under the virtual time of testing/synctest.
//
// Four packages are leaves. None imports another, and each works on its own:
//
//   - [github.com/shardlane/shardlane/batch] holds what a handler touches: its types, what it can know about its
//     invocation, interceptors, the batcher, and the retry state machine. It does no I/O and imports no AWS client.
//     Below it, kpl splits KPL aggregates, filter matches event filter patterns, adapt takes whatever lambda.Start takes,
//     and the module destination sends records that are given up to a queue, a topic or a bucket.
//   - [github.com/shardlane/shardlane/partition] keeps order within a key and runs keys in parallel: the hash, lanes,
//     the watermark.
//   - [github.com/shardlane/shardlane/checkpoint] keeps progress and ownership in one compare-and-swap: the Store
//     interface, a store in memory and one in a file. Below it, sqlstore keeps rows in a SQL database, the modules
//     dynamostore and redisstore in DynamoDB and in Redis, and checkpointtest is the suite that every store passes.
//   - [github.com/shardlane/shardlane/metrics] names what is measured and takes it: the catalogue, Recorder, Snapshot.
//
// partition, checkpoint and metrics use the standard library only; batch adds aws-lambda-go's events.
//
// # Delivery
//
// The handler gets each record at or after the starting position at least once: again after a failed attempt, and again
// after a restart if the last checkpoint does not cover it. So its effects should bear repetition; batch.Identity gives
// each record a stable key. Checkpoints are written every 10 seconds, at the end of a shard, and at a clean stop. A
// record that Kinesis dropped before it was read, because its retention ended, is reported as lost.
//
// Records with the same partition key start in their order, one after another, within a shard and from a parent shard to
// its children: across batches, retries, restarts, splits and merges. This needs a stream on which the partition key
// chooses the shard. Under the distribution strategy AUTO, with explicit hash keys that send one key to several shards,
// and for records without a key, there is no order. Records with different keys run concurrently, as many at once in each
// shard as the parallelization factor says, so a handler is called from several goroutines.
//
// A checkpoint never passes a record without an outcome. A failing record delays its own lane, then, once the bounded
// read-ahead is full, its shard, and the shards that this one is split or merged into. It never delays another shard,
// and nothing is skipped silently.
//
// # A fleet
//
// Processes with one group and one store share the shards of a stream. Each says every 2.5 seconds in the store that it
// lives, takes its part of the shards, and hands shards over as others come and go: what runs is finished first, so that a
// clean hand-over repeats nothing. The shards of a process that died have a new one within 13 seconds. A write of a process
// that has lost a shard is refused by the store.
//
// # Enhanced fan-out
//
// A stream is polled, and its shards serve 5 reads and 2 MB a second to all who do. With the option WithEnhancedFanOut, or the ARN
// of a stream consumer in place of the stream's, Kinesis pushes the records instead, for more money and with 2 MB a second of
// each shard for this consumer alone.
package shardlane
