// Package kpl reads and writes the aggregates of the Kinesis Producer Library: records that hold many user records in one.
//
// [Deaggregate] is for Lambda functions: it wraps a handler of any form, so that it sees user records. [Decode],
// [HashRange] and [Encode] are for consumers, producers and tests; package consumer uses the first two where
// WithDeaggregation is on.
//
// An aggregate is the bytes F3 89 9A C2, a protobuf message and its MD5:
//
//	message AggregatedRecord {
//	  repeated string partition_key_table     = 1;
//	  repeated string explicit_hash_key_table = 2;
//	  repeated Record records                 = 3;
//	}
//	message Record {
//	  required uint64 partition_key_index     = 1; // in the tables above
//	  optional uint64 explicit_hash_key_index = 2;
//	  required bytes  data                    = 3;
//	  repeated Tag    tags                    = 4; // not read
//	}
//
// What only begins so is an ordinary record and is delivered as it is: nothing disappears here, an aggregate without
// user records neither. The index of a user record in its aggregate, together with the aggregate's sequence number, is its
// identity; a user record that is left out because of its hash key keeps its index.
//
// The package imports no AWS client and no protobuf library, makes no call, starts no goroutine and keeps nothing. All of
// its functions may be called concurrently.
package kpl
