package batch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-lambda-go/events"
)

// Response reports the records whose error is not nil, lowest first; errs[i] belongs to records[i]. Any error counts,
// also one that says that the record was not tried: only nil is success. That makes it the last line of a handler that
// works on its records in parallel, with partition.Each for instance. Lambda delivers the lowest reported record and
// everything after it again, and so does a consumer.
//
// Response panics if the lengths differ: a record without a result is a mistake that must not pass for success.
func Response(records []events.KinesisEventRecord, errs []error) events.KinesisEventResponse {
	if len(records) != len(errs) {
		panic(fmt.Sprintf("batch: Response of %d records and %d errors", len(records), len(errs)))
	}
	var resp events.KinesisEventResponse
	for i, err := range errs {
		if err != nil {
			resp.BatchItemFailures = append(resp.BatchItemFailures,
				events.KinesisBatchItemFailure{ItemIdentifier: records[i].Kinesis.SequenceNumber})
		}
	}
	return resp
}

// PartitionKey returns the partition key of r, in the form that partition.Each takes: "" if it has none.
func PartitionKey(r events.KinesisEventRecord) string { return r.Kinesis.PartitionKey }

// sequences returns the sequence numbers of rs, by which a handler reports. It is taken before the handler can change
// its records.
func sequences(rs []events.KinesisEventRecord) []string {
	ids := make([]string, len(rs))
	for i := range rs {
		ids[i] = rs[i].Kinesis.SequenceNumber
	}
	return ids
}

// lowest returns the lowest position in ids that failed names (L36, L37), len(ids) if failed is empty. An identifier
// that is empty or names no record is an error, also beside valid ones (L38, C8).
func lowest(ids []string, failed []events.KinesisBatchItemFailure) (int, error) {
	if len(failed) == 0 {
		return len(ids), nil
	}
	named := make(map[string]bool, len(failed)) // true until found
	for _, f := range failed {
		if f.ItemIdentifier == "" {
			return 0, errors.New("batch: handler reported an empty item identifier")
		}
		named[f.ItemIdentifier] = true
	}
	first := len(ids)
	for i := len(ids) - 1; i >= 0; i-- {
		if _, ok := named[ids[i]]; ok {
			named[ids[i]], first = false, i
		}
	}
	for _, f := range failed {
		if named[f.ItemIdentifier] {
			return 0, fmt.Errorf("batch: handler reported %q, which is no record of its batch", f.ItemIdentifier)
		}
	}
	return first, nil
}

// errNoState fails a window call whose response has no state (L49).
var errNoState = errors.New("batch: the response has no state")

// reported is the result of an attempt on the records ids whose response names the records failed.
func reported(ids []string, failed []events.KinesisBatchItemFailure, a *attempt) Result {
	if len(failed) == 0 {
		return Result{Outcome: Succeeded}
	}
	i, err := lowest(ids, failed)
	if err != nil {
		return Result{Outcome: Rejected, Err: err}
	}
	res := Result{Outcome: Rejected, Err: fmt.Errorf("batch: handler reported record %d of %d, %s", i+1, len(ids), ids[i])}
	if cause := a.of(ids[i]); cause != nil {
		res.Err = fmt.Errorf("%w: %w", res.Err, cause)
	}
	switch {
	case i > 0:
		res.Outcome, res.Progress = Progressed, i
	case errors.Is(res.Err, ErrThrottled):
		res.Outcome = Throttled
	}
	return res
}

// classify is the result of an attempt whose handler answered with JSON (§5). Item failures count if reports is set, a
// state in window mode; anything else in it is ignored (L4). Item failures that are ignored are counted (C29).
func classify(body []byte, rs []events.KinesisEventRecord, reports bool, w *Window, a *attempt) Result {
	body = bytes.Trim(body, " \t\r\n") // the white space of JSON, and no other
	if !reports && w == nil {
		return Result{Outcome: Succeeded, Unread: unread(body)}
	}
	var fields map[string]json.RawMessage
	switch string(body) {
	case "", "null", `""`:
	default:
		var list []json.RawMessage
		if json.Unmarshal(body, &list) == nil && len(list) == 0 {
			break // [] is nothing, too
		}
		if err := json.Unmarshal(body, &fields); err != nil {
			return Result{Outcome: Rejected, Err: fmt.Errorf("batch: response is no JSON object: %w", err)}
		}
	}
	res := Result{Outcome: Succeeded}
	if reports {
		failed, err := itemFailures(fields["batchItemFailures"])
		if err != nil {
			return Result{Outcome: Rejected, Err: err}
		}
		res = reported(sequences(rs), failed, a)
	} else {
		res.Unread = items(fields["batchItemFailures"])
	}
	if w == nil || w.Final || res.Outcome != Succeeded && res.Outcome != Progressed {
		return res
	}
	if res.State = fields["state"]; res.State == nil || string(res.State) == "null" {
		return Result{Outcome: Rejected, Err: errNoState}
	}
	return res
}

// unread returns the number of item failures in a response that is not read for them. Most responses have none, which is
// seen without reading them: a key is written as it is, or with escapes.
func unread(body []byte) int {
	if !bytes.Contains(body, []byte(`"batchItemFailures"`)) && !bytes.Contains(body, []byte(`\u00`)) {
		return 0
	}
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(body, &fields) // what is no object has none
	return items(fields["batchItemFailures"])
}

// items returns the number of elements of raw, 0 for null, and 1 for what is no array: with reports on it fails the batch.
func items(raw json.RawMessage) int {
	var list []json.RawMessage
	if raw != nil && json.Unmarshal(raw, &list) != nil {
		return 1
	}
	return len(list)
}

// itemFailures reads the value of batchItemFailures.
func itemFailures(raw json.RawMessage) ([]events.KinesisBatchItemFailure, error) {
	if raw == nil {
		return nil, nil
	}
	var items []map[string]json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, fmt.Errorf("batch: batchItemFailures is no list of objects: %w", err)
	}
	failed := make([]events.KinesisBatchItemFailure, len(items))
	for i, item := range items {
		var id *string
		if err := json.Unmarshal(item["itemIdentifier"], &id); err != nil || id == nil {
			return nil, fmt.Errorf("batch: item failure %d has no identifier", i+1)
		}
		failed[i].ItemIdentifier = *id
	}
	return failed, nil
}
