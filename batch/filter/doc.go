// Package filter matches records against event filter patterns, as the filter criteria of a Lambda event source mapping
// have them.
//
// [Compile] makes a [Set] of patterns; [Set.Match] says whether a record passes. A pattern is a JSON object that names
// fields of a record, the decoded payload among them as "data", and for each of them an array of what it may be:
//
//	{"partitionKey": [{"prefix": "vip-"}], "data": {"type": ["order"], "amount": [{"numeric": [">", 100]}]}}
//
// SEMANTICS.md of package batch states the rules that comments in the code cite. Package filter does not read records,
// count them, or resolve those that do not match: package consumer does.
//
// # Cost
//
// Matching works on the bytes of the payload and builds no maps. It allocates in these cases only: strings with escapes,
// and metadata, of more than 256 bytes (keys with escapes: 64), numbers of more than 24 digits, strings compared by cidr,
// objects of the payload that have a field both under a name and under dotted keys, and payloads that are not UTF-8.
// Time is linear in the size of the payload, whatever it holds.
//
// # Members of a leaf
//
// Names are case-sensitive. In an array of the payload one element that matches suffices.
//
//	"text", true, false, null         equal, of the same type
//	300                               equal: integers exactly, others as doubles, and exactly where both exceed those
//	{"prefix": s}, {"suffix": s}      s is a string, or {"equals-ignore-case": string}
//	{"equals-ignore-case": s}         by Unicode simple folding
//	{"wildcard": s}                   * is any run of characters; \* and \\ are literals; ** is invalid
//	{"cidr": s}                       addresses in an IPv4 or IPv6 block; ::ffff:10.0.0.1 is in 10.0.0.0/8 too
//	{"numeric": [op, n]}              op is =, <, <=, > or >=; a second pair gives an upper bound to a lower one
//	{"anything-but": v}               present, and none of v: a string, a number, or a list of strings or of numbers
//	{"anything-but": {op: v}}         op is prefix, suffix, equals-ignore-case or wildcard; v is a string or a list
//	{"exists": true}                  a scalar, null too, or an array with one
//	{"exists": false}                 anything else; under an array, only if no element of it has the leaf
//
// # Payloads
//
// A payload is JSON if encoding/json takes the whole of it, which is at most 10,000 levels deep; its version does not
// matter, as it is not used. Of a key that an object
// has twice, the last one counts. Keys and strings are compared decoded; a byte that is not UTF-8 and half of a surrogate
// pair are U+FFFD, as encoding/json reads them.
//
// # Dotted keys
//
// A dotted key in a pattern goes where the nested form of it goes: {"a.b": ["x"], "a.c": ["y"]} is
// {"a": {"b": ["x"], "c": ["y"]}}, and under an array both have to match in one element. Both forms of one leaf in
// one object are a key given twice. If an object of the payload has both forms of one field, the nested one counts.
//
// # Alternatives
//
// "$or" is written out as AWS's matcher does it: what stands before it in the pattern is copied into each of its
// alternatives, and what stands behind it is added to each of them. Of a field that both name the later one counts alone:
// {"status": ["active"], "$or": [{"status": ["new"]}, {"vip": [true]}]} lets {"status": "new"} pass. Like any other
// fields, those of an alternative and those around it have to match in one element of an array. A pattern that has
// more than 10,000 fields when it is written out is not valid.
//
// An alternative of a top-level "$or" that does not name data, in a pattern that does not name it either, may match a
// record with any payload.
package filter
