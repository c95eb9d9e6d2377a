// Package filter matches records against event filter patterns, as the filter criteria of a Lambda event source mapping
// have them (L55).
//
// [Compile] makes a [Set] of patterns; [Set.Match] says whether a record passes. A pattern is a JSON object that names
// fields of a record, the decoded payload among them as "data", and for each of them an array of what it may be:
//
//	{"partitionKey": [{"prefix": "vip-"}], "data": {"type": ["order"], "amount": [{"numeric": [">", 100]}]}}
//
// Matching works on the bytes of the payload: it builds no maps, and a usual pattern allocates nothing. A payload is JSON
// if encoding/json takes it, at most 10,000 levels deep; of a key that it has twice, the last one counts. SEMANTICS.md of
// package batch states the rules that are cited.
package filter
