package kpl

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/internal/jsontext"
)

// inBase64 is how each aggregate begins in JSON: the magic without its last four bits, which share a character with what
// follows.
const inBase64 = `"84maw`

// expandJSON is expand for an event as JSON. Of the event and its records only partitionKey and data change, and only those
// of aggregates: fields that it does not know stay, with their order.
func expandJSON(ctx context.Context, event []byte) (context.Context, []byte) {
	if !bytes.Contains(event, []byte(inBase64)) || isSplit(ctx) {
		return ctx, event
	}
	at, ok := members(event, "Records")
	var records []json.RawMessage
	if !ok || json.Unmarshal(event[at[0].from:at[0].to], &records) != nil {
		return ctx, event
	}
	out := append(bytes.Clone(event[:at[0].from]), '[')
	var rs []events.KinesisEventRecord // for their identities
	var subs []int64
	split := false
	for i, raw := range records {
		if i > 0 {
			out = append(out, ',')
		}
		var r struct {
			Kinesis struct {
				SequenceNumber string `json:"sequenceNumber"`
				PartitionKey   string `json:"partitionKey"`
				Data           []byte `json:"data"`
			} `json:"kinesis"`
		}
		_ = json.Unmarshal(raw, &r) // of another kind of event there is nothing to split
		one := events.KinesisEventRecord{Kinesis: events.KinesisRecord{
			SequenceNumber: r.Kinesis.SequenceNumber, PartitionKey: r.Kinesis.PartitionKey, Data: r.Kinesis.Data,
		}}
		users, ok := Decode(r.Kinesis.Data, nil)
		form, known := formOf(raw)
		if !ok || !known {
			out, rs, subs = append(out, raw...), append(rs, one), append(subs, batch.NoSub)
			continue
		}
		split = true
		for j, u := range users {
			if j > 0 {
				out = append(out, ',')
			}
			out = form.append(out, u)
			one.Kinesis.PartitionKey, one.Kinesis.Data = u.PartitionKey, u.Data
			rs, subs = append(rs, one), append(subs, int64(j))
		}
	}
	if !split {
		return ctx, event
	}
	return markSplit(ctx, rs, subs), append(append(out, ']'), event[at[0].to:]...)
}

// A form is a record in JSON without its partition key and its data.
type form struct {
	pieces    [3][]byte // what is around them
	dataFirst bool
}

// formOf returns the form of a record. ok is false if it has not both.
func formOf(record []byte) (f form, ok bool) {
	outer, ok := members(record, "kinesis")
	if !ok {
		return f, false
	}
	at := outer[0].from
	inner, ok := members(record[at:outer[0].to], "partitionKey", "data")
	if !ok {
		return f, false
	}
	first, second := inner[0], inner[1]
	if f.dataFirst = second.from < first.from; f.dataFirst {
		first, second = second, first
	}
	f.pieces = [3][]byte{record[:at+first.from], record[at+first.to : at+second.from], record[at+second.to:]}
	return f, true
}

// append appends the form with the partition key and data of u.
func (f form) append(b []byte, u UserRecord) []byte {
	key := func() {
		if u.PartitionKey == "" {
			b = append(b, "null"...) // it has none (C26)
		} else {
			b = jsontext.AppendString(b, u.PartitionKey) // as Lambda writes it
		}
	}
	data := func() { b = append(base64.StdEncoding.AppendEncode(append(b, '"'), u.Data), '"') }
	if f.dataFirst {
		key, data = data, key
	}
	b = append(b, f.pieces[0]...)
	key()
	b = append(b, f.pieces[1]...)
	data()
	return append(b, f.pieces[2]...)
}

// A place is where a value is in JSON.
type place struct{ from, to int }

// members returns where the values of these members of a JSON object are. ok is false unless it has all of them. Of a
// member that is there twice the last one counts, as in encoding/json.
func members(object []byte, names ...string) (at []place, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(object))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	at = make([]place, len(names))
	found := 0
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, false
		}
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return nil, false
		}
		to := int(dec.InputOffset())
		for i := range names {
			if name == names[i] {
				if at[i].to == 0 {
					found++
				}
				at[i] = place{to - len(value), to}
			}
		}
	}
	return at, found == len(names)
}
