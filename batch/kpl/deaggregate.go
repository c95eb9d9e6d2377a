package kpl

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
)

// Deaggregate returns a handler that splits the aggregates of its event and calls h with their user records: for
// lambda.Start, where a stream is polled and Lambda hands aggregates over as they are (L63). A consumer does it with
// WithDeaggregation instead. The result has the type of h, and its calls may overlap if those of h may.
//
// Each user record has its own partition key and data and the aggregate's sequence number, event id and arrival time;
// [batch.Identity] tells them apart. h reports a user record by that sequence number, so the whole aggregate comes again.
// What only looks like an aggregate is handed to h as it is, and disturbs no other record (L62).
//
// Inside Lambda the hash key range of the shard is not known, so no user record is left out (L65): after a split some
// come twice, and none is lost. Deaggregate(nil) is nil.
func Deaggregate[H batch.Func](h H) H {
	if h == nil {
		return nil
	}
	v := reflect.ValueOf(h)
	as := func(f any) H { return reflect.ValueOf(f).Convert(v.Type()).Interface().(H) }
	switch v.Type().In(1) {
	case reflect.TypeFor[events.KinesisTimeWindowEvent]():
		f := plain[func(context.Context, events.KinesisTimeWindowEvent) (events.KinesisTimeWindowEventResponse, error)](v)
		return as(func(ctx context.Context, ev events.KinesisTimeWindowEvent) (events.KinesisTimeWindowEventResponse, error) {
			ctx, ev.Records = expand(ctx, ev.Records)
			return f(ctx, ev)
		})
	case reflect.TypeFor[[]byte]():
		f := plain[func(context.Context, []byte) ([]byte, error)](v)
		return as(func(ctx context.Context, event []byte) ([]byte, error) {
			ctx, event, err := expandJSON(ctx, event)
			if err != nil {
				return nil, err
			}
			return f(ctx, event)
		})
	}
	if v.Type().NumOut() == 1 {
		f := plain[func(context.Context, events.KinesisEvent) error](v)
		return as(func(ctx context.Context, ev events.KinesisEvent) error {
			ctx, ev.Records = expand(ctx, ev.Records)
			return f(ctx, ev)
		})
	}
	f := plain[func(context.Context, events.KinesisEvent) (events.KinesisEventResponse, error)](v)
	return as(func(ctx context.Context, ev events.KinesisEvent) (events.KinesisEventResponse, error) {
		ctx, ev.Records = expand(ctx, ev.Records)
		return f(ctx, ev)
	})
}

func plain[F any](v reflect.Value) F { return v.Convert(reflect.TypeFor[F]()).Interface().(F) }

// expand puts user records in the place of aggregates. Without aggregates it returns what it got.
func expand(ctx context.Context, rs []events.KinesisEventRecord) (context.Context, []events.KinesisEventRecord) {
	var users []UserRecord
	var out []events.KinesisEventRecord
	var subs []int64
	for i := range rs {
		var ok bool
		if users, ok = Decode(rs[i].Kinesis.Data, users[:0]); ok && out == nil {
			out = append(make([]events.KinesisEventRecord, 0, len(rs)+len(users)), rs[:i]...)
			for range i {
				subs = append(subs, batch.NoSub)
			}
		}
		switch {
		case ok:
			for j, u := range users {
				r := rs[i]
				r.Kinesis.PartitionKey, r.Kinesis.Data = u.PartitionKey, u.Data
				out, subs = append(out, r), append(subs, int64(j))
			}
		case out != nil:
			out, subs = append(out, rs[i]), append(subs, batch.NoSub)
		}
	}
	if out == nil {
		return ctx, rs
	}
	return batch.WithSubRecords(ctx, out, subs), out
}

// expandJSON is expand for an event as JSON. What it does not know of the event and its records stays as it is.
func expandJSON(ctx context.Context, event []byte) (context.Context, []byte, error) {
	var fields map[string]json.RawMessage
	var raw []json.RawMessage
	if err := json.Unmarshal(event, &fields); err != nil {
		return ctx, nil, fmt.Errorf("kpl: event: %w", err)
	}
	if err := json.Unmarshal(fields["Records"], &raw); err != nil {
		return ctx, nil, fmt.Errorf("kpl: records of the event: %w", err)
	}
	out, split := make([]json.RawMessage, 0, len(raw)), false
	for i := range raw {
		var r struct {
			Kinesis struct {
				Data []byte `json:"data"`
			} `json:"kinesis"`
		}
		if err := json.Unmarshal(raw[i], &r); err != nil {
			return ctx, nil, fmt.Errorf("kpl: record %d of the event: %w", i, err)
		}
		users, ok := Decode(r.Kinesis.Data, nil)
		if !ok {
			out = append(out, raw[i])
			continue
		}
		split = true
		for _, u := range users {
			one, err := replaced(raw[i], u)
			if err != nil {
				return ctx, nil, fmt.Errorf("kpl: record %d of the event: %w", i, err)
			}
			out = append(out, one)
		}
	}
	if !split {
		return ctx, event, nil
	}
	var err error
	if fields["Records"], err = json.Marshal(out); err != nil {
		return ctx, nil, err
	}
	event, err = json.Marshal(fields)
	return ctx, event, err
}

// replaced is a record with the partition key and the data of u.
func replaced(record json.RawMessage, u UserRecord) (json.RawMessage, error) {
	var fields, kinesis map[string]json.RawMessage
	if err := json.Unmarshal(record, &fields); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(fields["kinesis"], &kinesis); err != nil {
		return nil, err
	}
	var err error
	if kinesis["partitionKey"], err = json.Marshal(u.PartitionKey); err != nil {
		return nil, err
	}
	if kinesis["data"], err = json.Marshal(u.Data); err != nil {
		return nil, err
	}
	if fields["kinesis"], err = json.Marshal(kinesis); err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}
