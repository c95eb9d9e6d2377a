// Package kinesistest is an in-process Kinesis for tests and examples: it speaks the service's JSON protocol, so that
// the SDK's own client is used everywhere, and it keeps the service's rules: shards, lineage, iterators and their
// expiry, pages, limits, retention, error codes.
//
// One state machine has two fronts. [Server.Client] returns an SDK client on an in-memory network, which works inside
// a testing/synctest bubble; [Server.URL] starts a TCP listener for other processes and other clients. The clock is
// time.Now: in a bubble, iterators expire and records are trimmed in virtual time.
//
//	srv := kinesistest.NewServer("orders", 2)
//	defer srv.Close()
//	srv.Put("orders", "alice", []byte("1 espresso"))
//	srv.Fail("GetRecords", kinesistest.Throttle(3))
//	out, err := srv.Client().ListShards(ctx, &kinesis.ListShardsInput{StreamName: aws.String("orders")})
//
// Calls through a client take time: 20 ms for GetRecords and 10 ms for the rest, unless [Server.SetLatency] says
// otherwise. Methods of Server such as [Server.Put] and [Server.Split] act at once, and panic when they are misused.
// Nothing is random unless [Server.SetSeed] is called.
//
// The in-memory network belongs to the bubble in which NewServer was called. Close must be called before that bubble
// ends; no goroutine of the server is left after it.
//
// It does not register stream consumers, encrypt, tag or bill, and it does not check signatures.
package kinesistest
