// Package kinesistest is an in-process Kinesis for tests and examples: it speaks the service's JSON protocol, so that
// the SDK's own client is used everywhere, and it keeps the service's rules: shards, lineage, iterators and their
// expiry, pages, limits, retention, error codes.
//
// One state machine has two fronts. [Server.Client] returns an SDK client on an in-memory network, which works inside
// a testing/synctest bubble; [Server.URL] starts a TCP listener for other processes and other clients. The clock is
// time.Now, or off it by [Server.SetClock]: in a bubble, iterators expire and records are trimmed in virtual time.
//
//	srv := kinesistest.New(t, "orders", 2)
//	srv.Put("orders", "alice", []byte("1 espresso"))
//	srv.Fail("GetRecords", kinesistest.Throttle(3))
//	out, err := srv.Client().ListShards(ctx, &kinesis.ListShardsInput{StreamName: aws.String("orders")})
//
// Calls through a client take time: 20 ms for GetRecords and 10 ms for the rest, unless [Server.SetLatency] says
// otherwise. Methods of Server such as [Server.Put] and [Server.Split] act at once, and panic when they are misused.
// Nothing is random unless [Server.SetSeed] is called.
//
// [New] closes the server when its test ends, and [NewServer] is for programs, which call Close. The in-memory network
// belongs to the bubble in which the server was made, and Close must be called before that bubble ends, as New does; no
// goroutine of the server is left after it.
//
// # What is kept of the service's rules
//
// Operations: CreateStream, DeleteStream, DescribeStream, DescribeStreamSummary, ListStreams, ListShards, PutRecord,
// PutRecords, GetShardIterator, GetRecords, SplitShard, MergeShards, UpdateShardCount, the two that change the
// retention, UpdateStreamRecordDistributionStrategy, and the five of enhanced fan-out: RegisterStreamConsumer,
// DescribeStreamConsumer, ListStreamConsumers, DeregisterStreamConsumer and SubscribeToShard. Streams are named by name or
// ARN everywhere. A refused call gets the service's error code.
//
//   - Streams are CREATING, UPDATING or DELETING for 500 ms ([Server.SetTransition]), at most five CREATING at once. An
//     ACTIVE or UPDATING one is read and written, an ACTIVE one resharded. An account has at most 20,000 open shards
//     ([Server.SetShardLimit]).
//   - Records: 1 MiB of data and key ([Server.SetMaxRecordSize]), a key of 1 to 256 characters; PutRecords takes 500
//     records and 10 MiB, and fails records one by one. The MD5 of the key, or an explicit hash key, chooses the shard.
//   - A stream on demand may leave the choice of the shard to the service ([Auto]), from its creation or from any time on
//     ([Server.SetDistribution]). Records need no key then, and none is read from one that had none.
//   - Sequence numbers grow within a shard and from parent to child. One of another shard is refused.
//     [Server.SetSequencePrefix] gives them leading zeros, or makes words of them.
//   - Iterators have five types, live for 5 minutes and may be used again. A time in the future is refused.
//   - Pages have at most 10,000 records and 10 MiB, and tell MillisBehindLatest. The last page of a closed shard has no
//     iterator, and names the children ([Server.SetShardEnd]).
//   - Shards are listed at most 1,000 at a time, through each of the six filters; tokens live for 5 minutes.
//   - Splits, merges and UpdateShardCount (half to double, ten in 24 hours) close parents and open children.
//   - Retention is 24 hours ([Server.SetRetention]). Records past it cannot be read; shards closed for longer vanish.
//     [Server.Trim] and [Server.TrimBefore] do not wait for it.
//   - A stream that is deleted and created again ([Server.DeleteStream], [Server.CreateStream]) is another one: nothing that
//     the old one gave out is good for it.
//   - Throughput per shard is limited on demand: [Server.SetReadLimits], [Server.SetWriteLimits]. So is the line to the
//     clients: [Server.SetBandwidth].
//   - A stream has up to 20 registered consumers ([Server.SetConsumerLimit]). They are CREATING or DELETING as long as
//     streams are, at most five CREATING at once, and their ARNs hold the second of their creation.
//   - SubscribeToShard begins where an iterator can, and sends an initial-response and then events: the first at once, later
//     ones 200 ms after the one before when there is something, and after 3 s when there is nothing. An event has at most
//     2 MiB of data and keys, or one record, and a ContinuationSequenceNumber that gets on without records, too. The last
//     one of a closed shard has none, and names the children ([Server.SetShardEnd]). The stream ends after 5 minutes.
//   - A consumer has one subscription to a shard. A second one within 5 s of the last that succeeded is refused
//     (ResourceInUseException); later it takes over, and the old one ends with a ResourceInUseException. It ends with a
//     ResourceNotFoundException when the consumer or the stream is deleted.
//
// # What goes wrong
//
// [Server.Fail] puts a [Fault] on an operation: one that refuses calls ([Throttle], [Error], [ExpireIterators], [Drop],
// [Hang]), that loses the answer of a call which took effect ([ErrorAfter], [DropAfter], [Truncate], [CutAfter],
// [StallAfter]), that makes it late ([Delay], [Drip]), or that answers what the service answers now and then
// ([EmptyPages], [RepeatPages], [HideChildren], [HideParents], [ShortPages], [ListLate], [WrongLag], [FailRecords]), or
// what few answer that speak its protocol: without a field that is optional ([Omit]), without an iterator at a shard's end
// ([NoIterators]), or with a refusal there ([RefuseEnds]). [Server.Control] decides call by call.
//
// On "SubscribeToShard" they meet the call, whose answer's body is the initial-response: with [Drip] it is late, with
// [StallAfter] or [NoInitialResponse] it does not come. On "SubscribeToShardEvent" they meet single events: [Hang] leaves
// the stream half-open, [Drop], [Truncate] and [CutAfter] cut it, [Error] sends an exception that ends it, [Delay] makes an
// event late, [RepeatPages] makes its records come twice. [EndEarly], [OldContinuation] and [Corrupt] are for events alone.
//
//	srv.Fail("SubscribeToShardEvent", kinesistest.Hang(1).OnShard("shardId-000000000001").After(10))
//
// # What is left out
//
// Encryption, tags, monitoring and resource policies do not exist; calls for them get UnknownOperationException, and tags
// of a consumer are passed over. Of a signature only the date is checked, on demand ([Server.SetClockCheck]), and
// permissions are not: [Error] stands in for a denial. The limits on calls other than GetRecords and SubscribeToShard, as
// ten ListShards a second, are not kept: [Throttle] stands in.
package kinesistest
