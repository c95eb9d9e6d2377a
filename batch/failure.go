package batch

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch/internal/jsontext"
)

// A Condition says why records are given up, in Lambda's words.
type Condition string

// The conditions.
const (
	RetryAttemptsExhausted Condition = "RetryAttemptsExhausted"
	RecordAgeExceeded      Condition = "RecordAgeExceeded"
)

// A Failure is one run of records that is given up: what an on-failure destination gets. Records and Err are for
// Go functions; queues and topics get the [Failure.Document], buckets the [Failure.PayloadDocument].
type Failure struct {
	Records     []events.KinesisEventRecord // in order; none in the final call of a window. The receiver's own
	Condition   Condition
	InvokeCount int       // counted attempts, at least 1
	Err         error     // of the latest attempt; nil if there was none
	Responded   bool      // the handler was called and that is why: the document has a responseContext
	Unhandled   bool      // with Responded: an error, a panic or a time-out, and not a response
	Time        time.Time // of the decision
	RequestID   string    // of the slice
	Shard       string
	StreamARN   string  // eventSourceARN of the records
	Window      *Window // in window mode, with the state that the handler got

	FunctionARN     string // the group's name unless configured
	ExecutedVersion string // "$LATEST" unless configured
	MappingID       string // UUID of the event source mapping
	ID              string // a random UUID, for the name of an object
}

// A Destination takes what is given up. Deliver is called once per run of records, before they are resolved, from
// several goroutines at once. Its ctx ends after the destination's time limit. An error, and a panic, is a delivery that
// failed: it is reported and counted, the records count as dropped, and nothing tries again.
//
// A Destination that also has a method Validate() error is asked by consumer.New whether it can be used.
type Destination interface {
	Deliver(ctx context.Context, f *Failure) error
}

// A DestinationFunc is a function as a [Destination]. f and what it holds are the function's own.
type DestinationFunc func(ctx context.Context, f *Failure) error

// Deliver calls d.
func (d DestinationFunc) Deliver(ctx context.Context, f *Failure) error { return d(ctx, f) }

// All returns a Destination that hands every Failure to all ds, one after the other. It has been delivered when all of
// them took it; the errors of those that did not are joined. What they do to the Records is seen by those behind them.
func All(ds ...Destination) Destination { return all(ds) }

type all []Destination

func (a all) Deliver(ctx context.Context, f *Failure) error {
	var errs []error
	for _, d := range a {
		errs = append(errs, d.Deliver(ctx, f))
	}
	return errors.Join(errs...)
}

// Validate joins what its destinations find wrong with themselves.
func (a all) Validate() error {
	var errs []error
	for _, d := range a {
		if d == nil {
			errs = append(errs, errors.New("batch: All has a nil destination"))
		}
		if v, ok := d.(interface{ Validate() error }); ok {
			errs = append(errs, v.Validate())
		}
	}
	return errors.Join(errs...)
}

// Document returns the JSON document of f as Lambda sends it to queues and topics: keys in a fixed order, times in UTC
// with three decimals, no record data.
func (f *Failure) Document() []byte { return f.document(false) }

// PayloadDocument returns the document as Lambda puts it into buckets: with the event of the records, as a JSON string,
// in the key payload. In window mode that is the whole event of the window, its state included.
func (f *Failure) PayloadDocument() []byte { return f.document(true) }

// ObjectKey returns the key under which Lambda puts the document into a bucket.
func (f *Failure) ObjectKey() string {
	id := f.ID
	if id == "" {
		id = f.RequestID
	}
	return "aws/lambda/" + f.MappingID + "/" + f.Shard + "/" + f.Time.UTC().Format("2006/01/02/2006-01-02T15.04.05-") + id
}

// Event returns the event of the records as JSON, as a handler of the JSON form gets it, in window mode with the state.
func (f *Failure) Event() []byte { return appendEvent(nil, f.Records, f.Window, f.Shard, f.StreamARN) }

func (f *Failure) document(payload bool) []byte {
	b := jsontext.AppendString([]byte(`{"requestContext":{"requestId":`), f.RequestID)
	b = jsontext.AppendString(append(b, `,"functionArn":`...), f.FunctionARN)
	b = jsontext.AppendString(append(b, `,"condition":`...), string(f.Condition))
	b = appendInt(append(b, `,"approximateInvokeCount":`...), f.InvokeCount)
	b = append(b, '}')
	if f.Responded {
		b = append(b, `,"responseContext":{"statusCode":200,"executedVersion":`...)
		b = append(jsontext.AppendString(b, f.ExecutedVersion), `,"functionError":`...)
		if f.Unhandled {
			b = append(b, `"Unhandled"}`...)
		} else {
			b = append(b, `null}`...)
		}
	}
	b = append(b, `,"version":"1.0"`...)
	if payload {
		b = jsontext.AppendString(append(b, `,"payload":`...), string(f.Event()))
	}
	b = appendTime(append(b, `,"timestamp":`...), f.Time)
	b = jsontext.AppendString(append(b, `,"KinesisBatchInfo":{"shardId":`...), f.Shard)
	if n := len(f.Records); n > 0 {
		first, last := &f.Records[0].Kinesis, &f.Records[n-1].Kinesis
		b = jsontext.AppendString(append(b, `,"startSequenceNumber":`...), first.SequenceNumber)
		b = jsontext.AppendString(append(b, `,"endSequenceNumber":`...), last.SequenceNumber)
		b = appendTime(append(b, `,"approximateArrivalOfFirstRecord":`...), first.ApproximateArrivalTimestamp.Time)
		b = appendTime(append(b, `,"approximateArrivalOfLastRecord":`...), last.ApproximateArrivalTimestamp.Time)
		b = appendInt(append(b, `,"batchSize":`...), n)
	}
	b = append(jsontext.AppendString(append(b, `,"streamArn":`...), f.StreamARN), '}')
	if w := f.Window; w != nil {
		info := *w
		info.State = nil
		b = append(appendWindow(append(b, `,"timeWindowInfo":{`...), &info), '}')
	}
	return append(b, '}')
}

// appendTime writes RFC 3339 in UTC with three decimals (L43), or null for a record without a time of arrival (C27).
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, null...)
	}
	return t.UTC().AppendFormat(b, `"2006-01-02T15:04:05.000Z"`)
}
