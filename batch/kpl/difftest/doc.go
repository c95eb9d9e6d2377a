// Package difftest compares package kpl with AWS's own module for aggregates, github.com/awslabs/kinesis-aggregation/go/v2.
// It has tests only, and is a module of its own so that nobody else requires AWS's.
//
// Both agree on every aggregate that a producer writes, and on what has not the magic or not the checksum. With these, that
// have both and that no producer writes, they deal otherwise:
//
//   - A body that is no message, a record without partition key index or data: theirs returns an error for all records of
//     the call, kpl says that it is an ordinary record.
//   - A partition key index that is not in its table: theirs panics, kpl says that it is an ordinary record.
//   - An explicit hash key index that is not in its table: theirs does not look at it, kpl says that it is an ordinary
//     record, since nothing else can be said of its shard.
//   - No records: theirs returns nothing in its place, kpl says that it is an ordinary record.
//   - A field of the format with another wire type, a group: theirs skips it as unknown, kpl says that it is an ordinary
//     record.
//   - Tags that are no message or have no key: theirs returns an error, kpl does not look at them.
package difftest
