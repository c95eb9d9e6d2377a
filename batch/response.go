package batch

import (
	"errors"
	"fmt"

	"github.com/aws/aws-lambda-go/events"
)

// Response reports the records whose error is not nil, lowest first; errs[i] belongs to records[i]. Any error counts,
// also one that says that the record was not tried: only nil is success. That makes it the last line of a handler that
// works on its records in parallel, with partition.Each for instance. Lambda delivers the lowest reported record and
// everything after it again (L36), a consumer the whole batch, until it resolves the records before.
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

// PartitionKey returns the partition key of r, in the form that partition.Each takes.
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

// reported returns nil if failed is empty, and else the error of an attempt on the records ids.
func reported(ids []string, failed []events.KinesisBatchItemFailure, cs *causes) error {
	if len(failed) == 0 {
		return nil
	}
	i, err := lowest(ids, failed)
	if err != nil {
		return err
	}
	if cause := cs.of(ids[i]); cause != nil {
		return fmt.Errorf("batch: handler reported record %d of %d, %s: %w", i+1, len(ids), ids[i], cause)
	}
	return fmt.Errorf("batch: handler reported record %d of %d, %s", i+1, len(ids), ids[i])
}
