package batch

import (
	"encoding/json"
	"fmt"
	"time"
)

// A Slice is a run of records of one lane that is attempted as a unit: a fresh batch is a slice, and so are the pieces
// cut from it.
type Slice[T any] struct {
	Records   []T    // in order; at least one, except in a window's final call
	RequestID string // the same for all attempts
	Attempts  int    // counted attempts that have failed
	Waits     int    // consecutive attempts that were refused and not counted
	Err       error  // of the latest attempt that failed or was refused

	window span      // in window mode
	final  bool      // the final call of the window
	early  bool      // it comes before the window's end
	tried  time.Time // of the first look at a final call, which has no record to take an age from (C20)
}

// Outcome is what became of one attempt.
type Outcome uint8

// The outcomes. The zero Outcome is none of them and counts as Failed.
const (
	Succeeded   Outcome = iota + 1 // every record of the slice is resolved
	Progressed                     // the first Result.Progress records are resolved, the rest is a new slice
	Failed                         // error, panic, time-out
	Rejected                       // a response that reports the first record, or that is no valid report (§5)
	Oversized                      // the event exceeds the payload limit: the handler was not called
	Throttled                      // refused: tried again after a backoff, and not counted
	Aborted                        // cut off by a stop or by the loss of the shard: nothing is resolved, the lane ends
	Interrupted                    // the worker's claim on the shard lapsed and came back: tried again at once, not counted
)

// String returns the outcome in lower case.
func (o Outcome) String() string {
	switch o {
	case Succeeded:
		return "succeeded"
	case Progressed:
		return "progressed"
	case Failed:
		return "failed"
	case Rejected:
		return "rejected"
	case Oversized:
		return "oversized"
	case Throttled:
		return "throttled"
	case Aborted:
		return "aborted"
	case Interrupted:
		return "interrupted"
	}
	return fmt.Sprintf("Outcome(%d)", uint8(o))
}

// A Result is the outcome of one attempt.
type Result struct {
	Outcome  Outcome
	Progress int             // with Progressed: the number of records before the lowest one reported
	State    json.RawMessage // in window mode, with Succeeded and Progressed: the state returned
	Err      error           // nil if it succeeded
	Unread   int             // item failures in a response that is not read for them: the records count as done
}
