package consumer

import (
	"errors"
	"strings"
)

// Errors to test for with errors.Is. Each comes wrapped, most of them in an [Error].
var (
	// ErrConfig says that an option is wrong; the text names option, value and range. It also stands for a client without a
	// region or with an endpoint that is not a URL.
	ErrConfig = errors.New("consumer: invalid configuration")
	// ErrRunning is returned by a second Run of a running Consumer.
	ErrRunning = errors.New("consumer: already running")
	// ErrStreamNotFound says that the client's region and account have no such stream, or no longer have it.
	ErrStreamNotFound = errors.New("consumer: no such stream")
	// ErrStreamRecreated says that the stream was deleted, and another one created under its name. Positions in the old one
	// mean nothing in the new one.
	ErrStreamRecreated = errors.New("consumer: stream was deleted and created again")
	// ErrAccessDenied says that the credentials are not valid, or do not allow a call or the use of the stream's key.
	ErrAccessDenied = errors.New("consumer: access denied")
	// ErrDrainTimeout says that handlers, or deliveries to the on-failure destination, still ran at the end of the drain
	// timeout and did not succeed, or that a shard's row had no room until then for all that is done behind records that wait.
	// What is not stored is delivered again.
	ErrDrainTimeout = errors.New("consumer: drain timeout")
	// ErrHandlerRunning says that a handler ignored the end of its context and still runs. Its shard is not released.
	ErrHandlerRunning = errors.New("consumer: handler is still running")
	// ErrNotReached says that Run was stopped before all shards had reached the ending position.
	ErrNotReached = errors.New("consumer: ending position not reached")
	// ErrLeaseLost says that another worker has claimed a shard. Run goes on with the others. Only Status and a Notice have it.
	ErrLeaseLost = errors.New("consumer: lease lost")
)

// An Error says what failed where, and what can be done about it.
type Error struct {
	Stream string // name or ARN as given
	Shard  string // empty if the error concerns the stream
	Op     string // the API call or the step, for example "GetRecords" or "checkpoint"
	Err    error
	Hint   string // what an operator can do; never empty in an Error of this package
}

// newError is the only one to make an Error. Without a hint err is classified.
func newError(stream, shard, op string, err error, hint string) *Error {
	if hint == "" {
		hint, err = classified(err)
	}
	return &Error{Stream: stream, Shard: shard, Op: op, Err: err, Hint: hint}
}

// Error returns "consumer: stream[/shard]: op: error; hint".
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.text()
	}
	return strings.TrimRight(e.text(), ".\n ") + "; " + e.Hint
}

// text is what Error returns, without the hint.
func (e *Error) text() string {
	text := "consumer: " + e.Stream
	if e.Shard != "" {
		text += "/" + e.Shard
	}
	text += ": " + e.Op
	if e.Err != nil {
		text += ": " + strings.TrimPrefix(e.Err.Error(), "consumer: ")
	}
	return text
}

// MarshalText returns what Error does: as JSON, an Error is this string.
func (e *Error) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// A list is several errors that came together, as [errors.Join] makes it, and can be marshalled as their text.
type list struct{ errs []error }

// join is [errors.Join] for errors that leave the package. A single Error stays as it is.
func join(errs ...error) error {
	var all []error
	for _, err := range errs {
		switch err := err.(type) { //nolint:errorlint // what wraps a list stays as it is
		case nil:
		case *list:
			all = append(all, err.errs...)
		default:
			all = append(all, err)
		}
	}
	if len(all) == 0 {
		return nil
	}
	if e, ok := all[0].(*Error); ok && len(all) == 1 { //nolint:errorlint // only an Error itself
		return e
	}
	return &list{all}
}

// Error returns a line for each error.
func (l *list) Error() string { return errors.Join(l.errs...).Error() }

func (l *list) Unwrap() []error { return l.errs }

// MarshalText returns what Error does.
func (l *list) MarshalText() ([]byte, error) { return []byte(l.Error()), nil }

// permanent tells whether err ends a consumer that has not read anything yet: waiting does not mend it. Credentials that
// are missing may come, from an instance's or a task's metadata, and a clock may be set: they are waited for.
func permanent(err error) bool {
	return errors.Is(err, ErrConfig) || errors.Is(err, ErrStreamNotFound) || errors.Is(err, ErrStreamRecreated) ||
		errors.Is(err, ErrAccessDenied) && !signatureRefused(err)
}
