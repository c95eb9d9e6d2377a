package kinesistest

// Faults of subscriptions that no other call can have. Those of other calls meet them, too: on "SubscribeToShard" they
// meet the call, whose answer's body is the initial-response, and on "SubscribeToShardEvent" single events.

// NoInitialResponse makes n SubscribeToShard calls send their events without the initial-response that comes before the
// first one. The newest clients of the SDK take that for a failure; others, as service/kinesis v1.27.0, wait for ever, also
// when the call's context is done. With [Hang] on the first event, nothing comes after the status and the header, and with
// [Error] an exception is all that comes.
func NoInitialResponse(n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.noInitial = true }).of("SubscribeToShard")
}

// Corrupt gives n events of subscriptions a wrong checksum.
func Corrupt(n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.corrupt = true }).of(pushOp)
}

// EndEarly ends n subscriptions after their next event, as it ends after five minutes. With [Omit] of
// "ContinuationSequenceNumber" it looks like the end of the shard.
func EndEarly(n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.endEarly = true }).of(pushOp)
}

// OldContinuation makes n events of subscriptions tell the ContinuationSequenceNumber from before their records: who
// subscribes after it gets them again.
func OldContinuation(n int) *Fault {
	return fault(n, false, func(_ *call, e *effects) { e.oldContinuation = true }).of(pushOp)
}
