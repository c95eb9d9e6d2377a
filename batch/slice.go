package batch

import "fmt"

// A Slice is a run of records of one lane that is attempted as a unit: a fresh batch is a slice.
type Slice[T any] struct {
	Records   []T    // in order; at least one
	RequestID string // the same for all attempts
	Attempts  int    // counted attempts that have failed
	Waits     int    // consecutive attempts that were refused and not counted
	Err       error  // of the latest attempt that failed or was refused
}

// Outcome is what became of one attempt.
type Outcome uint8

// The outcomes. The zero Outcome is none of them and counts as Failed.
const (
	Succeeded   Outcome = iota + 1 // every record of the slice is resolved
	Failed                         // error, panic, time-out: the slice is tried again after a backoff
	Throttled                      // refused (C13): tried again after a backoff, and not counted
	Aborted                        // cut off by a stop or by the loss of the shard: nothing is resolved, the lane ends (C15)
	Interrupted                    // the worker's claim on the shard lapsed and came back: tried again at once, not counted
)

// String returns the outcome in lower case.
func (o Outcome) String() string {
	switch o {
	case Succeeded:
		return "succeeded"
	case Failed:
		return "failed"
	case Throttled:
		return "throttled"
	case Aborted:
		return "aborted"
	case Interrupted:
		return "interrupted"
	}
	return fmt.Sprintf("Outcome(%d)", uint8(o))
}

// A Result is the outcome of one attempt, with its error unless it succeeded.
type Result struct {
	Outcome Outcome
	Err     error
}
