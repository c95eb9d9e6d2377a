package filter

import (
	"strconv"

	"github.com/shardlane/shardlane/batch"
)

// metadata reports whether records have a top-level key of this name besides data (C16).
func metadata(name string) bool {
	switch name {
	case "partitionKey", "sequenceNumber", "kinesisSchemaVersion", "approximateArrivalTimestamp", "eventSource",
		"eventVersion", "eventID", "eventName", "invokeIdentityArn", "awsRegion", "eventSourceARN":
		return true
	}
	return false
}

// metadata matches the value of the key called name: strings, but for the time of arrival (C16, L60). The partition key
// and the time that a record does not have are null (C26, C27).
func (l *leaf) metadata(name string, src *batch.Source, r *batch.Record) bool {
	var room [256]byte
	text := room[:0]
	switch name {
	case "partitionKey":
		if r.PartitionKey == "" {
			return l.match(&scalar{kind: 'n'})
		}
		text = append(text, r.PartitionKey...)
	case "sequenceNumber":
		text = append(text, r.SequenceNumber...)
	case "kinesisSchemaVersion", "eventVersion":
		text = append(text, "1.0"...)
	case "approximateArrivalTimestamp":
		if r.Arrival.IsZero() {
			return l.match(&scalar{kind: 'n'})
		}
		text = append(strconv.AppendInt(text, r.Arrival.UnixMilli(), 10), "e-3"...)
		return l.match(&scalar{kind: '0', num: parse(text)})
	case "eventSource":
		text = append(text, "aws:kinesis"...)
	case "eventID":
		text = append(text, src.Shard...)
		text = append(text, ':')
		text = append(text, r.SequenceNumber...)
	case "eventName":
		text = append(text, "aws:kinesis:record"...)
	case "invokeIdentityArn":
		text = append(text, src.IdentityARN...)
	case "awsRegion":
		text = append(text, src.Region...)
	case "eventSourceARN":
		text = append(text, src.StreamARN...)
	}
	return l.match(&scalar{kind: '"', text: repair(text)}) // as the event has it
}
