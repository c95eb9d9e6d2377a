// Package batch is the contract between AWS Lambda's Kinesis event source mapping and a handler: what a handler
// looks like, how records become a batch, and what happens to a batch that fails. It makes no network call, starts no
// goroutine and takes the time from its callers, and it needs no SDK client, so that a Lambda function can use it too.
//
// A handler is a function that [Func] admits. It has one of four forms: two on an events.KinesisEvent, of which one
// reports single records; one on an events.KinesisTimeWindowEvent, for tumbling windows; and one on JSON, as the Invoke
// method of a lambda.Handler has it. [Each] makes one of a function of a single record, [Wrap] puts interceptors around
// one of the first three, and both results still go to lambda.Start. Package adapt makes one of any function that
// lambda.Start takes.
//
// What a handler may ask of its ctx is [InvocationFrom] and [Identity]; what it may answer is nil, an error, an error that
// wraps [ErrThrottled], or, in the forms that have a response, the records that failed ([Response]). The lowest record that
// is reported and everything after it come again, what is before it does not.
//
// In a tumbling window a handler gets, beside the records, the state that it returned last; {} comes first. The
// window ends with a final call, which has the state and no records. Every call of a window returns a state, but for
// the final one.
//
// A handler is called concurrently, from different shards and from different lanes of a shard, and all these calls
// share one process. What it touches besides its event has to be safe for concurrent use. Only a function on JSON that
// is not [Concurrent] has one call at a time. The event is the handler's own: every attempt gets a new one, which it
// may change and keep.
//
// What fails is tried again without end, unless a [Policy] limits it. Beyond the limit, records are given up as one
// [Failure], for a [Destination]; the document in it is that of Lambda.
//
// Delivery is at least once. A batch comes again after a failure, and after a restart or a takeover of its shard
// records come again that had succeeded before. A window is replayed from its first record then. Identity tells that
// a record is the same.
//
// [Batcher], [Lane], [Source] and [Handler] are the parts a consumer is built of. They stand alone, and Batcher is of use
// without Kinesis.
//
// SEMANTICS.md beside this file states all rules by number; comments inside the code cite them as L17 or C5.
package batch
