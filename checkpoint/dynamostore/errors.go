package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/shardlane/shardlane/checkpoint"
)

// Errors to be tested with errors.Is.
var (
	// ErrKeys says that the table has other keys than a Store needs: p and k, both strings.
	ErrKeys = errors.New("dynamostore: the table has other keys")

	// ErrBuckets says that the table has another number of buckets than WithBuckets asks for.
	ErrBuckets = errors.New("dynamostore: another number of buckets")

	// ErrItem says that the table holds an item which this package did not write.
	ErrItem = errors.New("dynamostore: an item of somebody else")
)

// An Error is what a method of a Store returns, other than checkpoint.ErrConflict. It wraps the error of the client, and
// [checkpoint.ErrNotApplied] where a write is certain not to be applied.
type Error struct {
	Op    string // "List", "Get", "Swap", "Delete", "Create"
	Table string
	Key   string // or prefix; "" for Create
	Err   error
	Hint  string // what can be done; may be ""

	certain bool
}

// Error says what was done to which row, what is wrong, and what can be done.
func (e *Error) Error() string {
	text := fmt.Sprintf("dynamostore: %s in table %q: ", e.Op, e.Table)
	if e.Op != "Create" {
		text = fmt.Sprintf("dynamostore: %s of %q in table %q: ", e.Op, e.Key, e.Table)
	}
	if e.certain {
		text += "not applied: "
	}
	text += strings.ReplaceAll(e.Err.Error(), "dynamostore: ", "")
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

// Unwrap returns the error of the client, and checkpoint.ErrNotApplied if the write is certain not to be applied.
func (e *Error) Unwrap() []error {
	if e.certain {
		return []error{e.Err, checkpoint.ErrNotApplied}
	}
	return []error{e.Err}
}

// failed returns the error of an operation. A table that is gone may come back as another one.
func (s *Store) failed(op, key string, err error, certain bool) error {
	if conflict(err) && (op == "Swap" || op == "Delete") {
		return checkpoint.ErrConflict
	}
	if code(err) == "ResourceNotFoundException" {
		s.layout.buckets.Store(0)
	}
	return &Error{Op: op, Table: s.table, Key: key, Err: err, Hint: hint(err), certain: certain}
}

// code returns the error code that DynamoDB answered with; "" if it did not answer.
func code(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return ""
	}
	return api.ErrorCode()
}

// conflict reports whether DynamoDB answered that a row is not as the condition says. As a call is sent once, that is the
// answer to this very write.
func conflict(err error) bool { return code(err) == "ConditionalCheckFailedException" }

// refused reports whether DynamoDB answered that it did not take the request up.
func refused(err error) bool {
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.HTTPStatusCode() >= http.StatusInternalServerError {
		return false
	}
	switch code(err) {
	case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded",
		"ValidationException", "SerializationException", "UnknownOperationException", "ResourceNotFoundException",
		"AccessDeniedException", "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException",
		"IncompleteSignatureException", "MissingAuthenticationTokenException", "ExpiredTokenException":
		return true
	}
	return false
}

// hint returns what can be done about an error.
func hint(err error) string {
	var op *smithy.OperationError
	call := "the calls of the policy in the package comment"
	if errors.As(err, &op) {
		call = "dynamodb:" + op.OperationName
	}
	switch code := code(err); code {
	case "ResourceNotFoundException":
		return "call Create, or correct the table's name or the client's region"
	case "AccessDeniedException":
		return "allow " + call + " on the table, and the use of its key if it is encrypted with one of yours"
	case "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "IncompleteSignatureException",
		"MissingAuthenticationTokenException":
		return "check the client's credentials and region, and the clock of this machine"
	case "ExpiredTokenException":
		return "give the client new credentials, or a source that renews them"
	case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded":
		return "the table or one of its partitions is throttled: see its capacity and limits, and WithBuckets"
	case "ValidationException":
		if strings.Contains(err.Error(), "key") {
			return "if the table is not one that Create made: its partition key must be p and its sort key k, both strings"
		}
		return ""
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time: check the network on the way to DynamoDB"
	case op != nil && (strings.Contains(op.Err.Error(), "get identity: ") || strings.Contains(op.Err.Error(), "failed to retrieve credentials")):
		return "the client finds no credentials"
	case op != nil && strings.Contains(strings.ToLower(op.Err.Error()), "missing region"):
		return "give the client a region"
	}
	return ""
}
