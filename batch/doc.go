// Package batch is the contract between AWS Lambda's Kinesis event source mapping and a handler: what a handler
// looks like, how records become a batch, and what happens to a batch that fails. It makes no network call, reads no
// clock and starts no goroutine, and it needs no SDK client, so that a Lambda function can use it too.
//
// A handler is a function that [Func] admits. [Each] makes one of a function of a single record, [Wrap] puts
// interceptors around one, and both results still go to lambda.Start. What a handler may ask of its ctx is
// [InvocationFrom] and [Identity]; what it may answer is nil, an error, an error that wraps [ErrThrottled], or, in the
// forms that have a response, the records that failed ([Response]).
//
// A handler is called concurrently, from different shards and from different lanes of a shard, and all these calls
// share one process (L6). What it touches besides its event has to be safe for concurrent use. The event is its own:
// every attempt gets a new one, which the handler may change and keep (L5).
//
// Delivery is at least once (L26). A batch comes again, as a whole, after a failure, and after a restart or a takeover of
// its shard records come again that had succeeded before. Identity tells that a record is the same.
//
// [Batcher], [Lane] and [Source] are the parts a consumer is built of. They stand alone, and Batcher is of use without
// Kinesis. SEMANTICS.md beside this file states the rules that comments cite as (L17) or (C5).
package batch
