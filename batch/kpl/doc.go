// Package kpl reads and writes the aggregates of the Kinesis Producer Library: records that hold many user records in one.
//
// [Deaggregate] is for Lambda functions: it wraps any handler, so that it sees user records. [Decode], [HashRange] and
// [Encode] are for consumers, producers and tests.
//
// An aggregate is the bytes F3 89 9A C2, a protobuf message and its MD5. What only begins so is an ordinary record, and is
// delivered as it is (L62): nothing disappears here. The package imports no AWS client, makes no call and starts no
// goroutine.
package kpl
