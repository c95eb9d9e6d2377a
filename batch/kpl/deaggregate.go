package kpl

import (
	"context"
	"reflect"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/batch"
)

// Deaggregate returns a handler that splits the aggregates of its event and calls h with their user records: for
// lambda.Start, where a stream is polled and Lambda hands aggregates over as they are. The result has the type of h,
// and its calls may overlap if those of h may. Deaggregate(nil) is nil.
//
// Each user record has its own partition key and data and the aggregate's sequence number, event id and arrival time;
// [batch.Identity] tells them apart. What only looks like an aggregate is handed to h as it is, and disturbs no other
// record. An event without aggregates goes to h as it came.
//
// h reports a user record by its sequence number, which is that of the aggregate: it comes again with all of its user
// records, also those that have succeeded. Identifiers, state and error of h are returned as they are, so that one that
// names no record fails the batch, as it does without Deaggregate.
//
// The range of the shard's hash keys is not known inside Lambda, so no user record is left out: where a shard was
// split, records that a producer had sent before it learnt of that may come from both children, and none is lost.
//
// A consumer splits with WithDeaggregation, which also filters, counts and resumes by user record. Where it has split, and
// inside another Deaggregate, nothing is split a second time.
//
// In the form with JSON the event keeps its bytes but for the records of aggregates, which are repeated with another
// partitionKey and data. What is no event of Kinesis goes to h as it is.
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
			ctx, event = expandJSON(ctx, event)
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

// plain returns a handler as the type that its named type has as underlying one. Its calls do not go through reflection.
func plain[F any](v reflect.Value) F { return v.Convert(reflect.TypeFor[F]()).Interface().(F) }

// expand puts user records in the place of aggregates. Without aggregates it returns what it got.
func expand(ctx context.Context, rs []events.KinesisEventRecord) (context.Context, []events.KinesisEventRecord) {
	if isSplit(ctx) {
		return ctx, rs
	}
	var users []UserRecord
	var out []events.KinesisEventRecord
	var subs []int64
	for i := range rs {
		var ok bool
		if users, ok = Decode(rs[i].Kinesis.Data, users[:0]); ok && out == nil {
			out = append(make([]events.KinesisEventRecord, 0, len(rs)+len(users)), rs[:i]...)
			subs = make([]int64, i, cap(out))
			for j := range subs {
				subs[j] = batch.NoSub
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
	return markSplit(ctx, out, subs), out
}

type splitKey struct{}

func markSplit(ctx context.Context, rs []events.KinesisEventRecord, subs []int64) context.Context {
	return context.WithValue(batch.WithSubRecords(ctx, rs, subs), splitKey{}, true)
}

// isSplit reports whether the records that come with ctx are user records already: data of theirs that is an aggregate
// was put into one by its producer.
func isSplit(ctx context.Context) bool {
	inv, _ := batch.InvocationFrom(ctx)
	return inv.Subs != nil || ctx.Value(splitKey{}) != nil
}
