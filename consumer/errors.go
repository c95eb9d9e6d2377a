package consumer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/smithy-go"
)

// The errors that callers tell apart. Each comes wrapped, most in an [Error].
var (
	// ErrConfig is wrapped by every option error; the text names option, value and range.
	ErrConfig = errors.New("consumer: invalid configuration")
	// ErrRunning is returned by a second Run of a running Consumer.
	ErrRunning = errors.New("consumer: already running")
	// ErrStreamNotFound says that there is no such stream, or no more, in the client's region and account.
	ErrStreamNotFound = errors.New("consumer: no such stream")
	// ErrStreamRecreated says that a stream of this name was deleted and created anew: positions of the old one mean
	// nothing in it.
	ErrStreamRecreated = errors.New("consumer: stream was deleted and created again")
	// ErrAccessDenied says that the credentials are not valid, or do not allow a call, or the use of the stream's key.
	ErrAccessDenied = errors.New("consumer: access denied")
	// ErrDrainTimeout says that handlers, or a delivery to the on-failure destination, were still running when the drain
	// timeout ended, and did not succeed then. Their records come again.
	ErrDrainTimeout = errors.New("consumer: drain timeout")
	// ErrHandlerRunning says that a handler ignored the end of its context and still runs. Its shard is not released.
	ErrHandlerRunning = errors.New("consumer: handler is still running")
	// ErrLeaseLost says that somebody else has claimed a shard. Run goes on with the others; Status and a Notice tell.
	ErrLeaseLost = errors.New("consumer: lease lost")
)

// An Error says what failed where, and what can be done about it.
type Error struct {
	Stream string // name or ARN as given
	Shard  string // empty if the error concerns the stream
	Op     string // the API call or the step, for example "GetRecords" or "checkpoint"
	Err    error
	Hint   string // what an operator can do; may be empty
}

// Error returns "consumer: stream[/shard]: op: error".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("consumer: ")
	b.WriteString(e.Stream)
	if e.Shard != "" {
		b.WriteString("/" + e.Shard)
	}
	fmt.Fprintf(&b, ": %s: %v", e.Op, e.Err)
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// classified wraps an error of the service with the sentinel that it stands for, and says what to do about it.
func classified(err error) (hint string, _ error) {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return "", err
	}
	switch code := api.ErrorCode(); code {
	case "ResourceNotFoundException":
		return "check the stream's name, and the client's region and account",
			fmt.Errorf("%w: %w", ErrStreamNotFound, err)
	case "AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException",
		"MissingAuthenticationTokenException", "IncompleteSignatureException":
		return "allow kinesis:DescribeStreamSummary, ListShards, GetShardIterator and GetRecords on the stream, and check that the credentials are valid",
			fmt.Errorf("%w: %w", ErrAccessDenied, err)
	case "KMSAccessDeniedException", "KMSDisabledException", "KMSInvalidStateException", "KMSNotFoundException", "KMSOptInRequired":
		return "the stream is encrypted: allow kms:Decrypt on its key, and check that the key is enabled",
			fmt.Errorf("%w: %w", ErrAccessDenied, err)
	}
	return "", err
}

// permanent tells whether err ends a consumer that has not read anything yet: waiting does not mend it.
func permanent(err error) bool {
	return errors.Is(err, ErrStreamNotFound) || errors.Is(err, ErrAccessDenied) || errors.Is(err, ErrStreamRecreated)
}
