package batch_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/go-cmp/cmp"
	"github.com/shardlane/shardlane/batch"
	"pgregory.net/rapid"
)

func TestInvocation(t *testing.T) {
	if inv, ok := batch.InvocationFrom(t.Context()); ok || inv.Attempt != 0 {
		t.Errorf("%+v without a consumer", inv)
	}
	want := batch.Invocation{
		Stream: "orders", Shard: "shardId-000000000007", Epoch: 3, Attempt: 2, IteratorAge: time.Second,
		RequestID: "id", FunctionARN: "billing",
	}
	ctx := batch.NewContext(t.Context(), want)
	got, ok := batch.InvocationFrom(ctx)
	if diff := cmp.Diff(want, got); diff != "" || !ok {
		t.Errorf("ok %v (-want +got):\n%s", ok, diff)
	}
	if lc, ok := lambdacontext.FromContext(ctx); !ok || lc.AwsRequestID != "id" || lc.InvokedFunctionArn != "billing" {
		t.Errorf("Lambda context %+v", lc)
	}
}

// aggregate returns an event of two aggregates around an ordinary record; each record has a partition key of its own
// unless keys repeat.
func aggregate(keys ...string) (ev events.KinesisEvent, subs []int64) {
	ev = event(keys...)
	for i := range ev.Records {
		id, sub := "10", int64(i)
		switch {
		case i == 3:
			id, sub = "11", batch.NoSub
		case i > 3:
			id, sub = "12", int64(i-4)
		}
		ev.Records[i].EventID, ev.Records[i].Kinesis.SequenceNumber = "shard:"+id, id
		subs = append(subs, sub)
	}
	return ev, subs
}

func identities(ctx context.Context, rs []record) (ids []string) {
	for i := range rs {
		ids = append(ids, batch.Identity(ctx, rs, i))
	}
	return ids
}

// TestIdentity asks a handler for the identities of the records that an interceptor passes on.
func TestIdentity(t *testing.T) {
	t.Attr("rule", "C21")
	all := []string{"shard:10/0", "shard:10/1", "shard:10/2", "shard:11", "shard:12/0", "shard:12/1"}
	pick := func(at ...int) func([]record) []record {
		return func(rs []record) (out []record) {
			for _, i := range at {
				out = append(out, rs[i])
			}
			return out
		}
	}
	decrypt := func(rs []record) []record {
		for i := range rs {
			rs[i].Kinesis.Data = []byte("new")
		}
		return rs
	}
	for _, c := range []struct {
		name string
		keys string
		pass func([]record) []record
		want []string
	}{
		{"all", "a a a a a a", pick(0, 1, 2, 3, 4, 5), all},
		{"in place", "a a a a a a", func(rs []record) []record { return rs }, all},
		{"fewer", "a a a a a a", pick(1, 3, 5), []string{"shard:10/1", "shard:11", "shard:12/1"}},
		{"other order", "a a a a a a", pick(5, 2, 0), []string{"shard:12/1", "shard:10/2", "shard:10/0"}},
		{"twice", "a a a a a a", pick(1, 1), []string{"shard:10/1", "shard:10/1"}},
		{"deleted in place", "a b a a a a", func(rs []record) []record {
			return slices.DeleteFunc(rs, func(r record) bool { return r.Kinesis.PartitionKey == "b" })
		}, []string{"shard:10/0", "shard:10/2", "shard:11", "shard:12/0", "shard:12/1"}},
		{
			"sorted in place", "a b c d e f", func(rs []record) []record { slices.Reverse(rs); return rs },
			[]string{"shard:12/1", "shard:12/0", "shard:11", "shard:10/2", "shard:10/1", "shard:10/0"},
		},
		{"other data", "a a a a a a", decrypt, all},
		{
			"other data, fewer", "a b c d e f", func(rs []record) []record { return decrypt(pick(2, 3, 4)(rs)) },
			[]string{"shard:10/2", "shard:11", "shard:12/0"},
		},
		{"other data and keys", "a b c d e f", func(rs []record) []record {
			for i := range rs {
				rs[i].Kinesis.PartitionKey = "x"
			}
			return decrypt(rs)
		}, all},
		{"in doubt", "a a b a a a", func(rs []record) []record { return decrypt(pick(1, 2)(rs)) }, []string{"panic", "shard:10/2"}},
	} {
		ev, subs := aggregate(strings.Fields(c.keys)...)
		var got, each []string
		h := handlerOf(t, batch.Wrap(func(ctx context.Context, ev events.KinesisEvent) error {
			for i := range ev.Records {
				id := "panic"
				if panicOf(func() { id = batch.Identity(ctx, ev.Records, i) }) == nil {
					each = append(each, batch.Identity(ctx, slices.Clone(ev.Records[i:i+1]), 0))
				}
				got = append(got, id)
			}
			if inv, _ := batch.InvocationFrom(ctx); len(inv.Subs) != len(ev.Records) {
				t.Errorf("%s: %d positions for %d records", c.name, len(inv.Subs), len(ev.Records))
			}
			return nil
		}, logged(nil), func(ctx context.Context, rs []record, next batch.Next) ([]failure, error) {
			return next(ctx, c.pass(rs))
		}, logged(nil)))
		if res := h.Call(batch.NewContext(t.Context(), batch.Invocation{Subs: subs}), ev, nil); res.Err != nil {
			t.Errorf("%s: %v", c.name, res.Err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if c.name == "fewer" && !slices.Equal(each, got) {
			t.Errorf("one by one %q, want %q", each, got)
		}
	}
}

// TestIdentityEach has records that only their place tells apart: empty ones of one key in one aggregate.
func TestIdentityEach(t *testing.T) {
	t.Attr("rule", "C21")
	ev, subs := aggregate("a", "a", "a")
	for i := range ev.Records {
		ev.Records[i].Kinesis.Data = nil
	}
	var got []string
	h := handlerOf(t, batch.Each(func(ctx context.Context, r record) error {
		got = append(got, batch.Identity(ctx, []record{r}, 0))
		return nil
	}))
	res := h.Call(batch.NewContext(t.Context(), batch.Invocation{Subs: subs}), ev, nil)
	if want := []string{"shard:10/0", "shard:10/1", "shard:10/2"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q; %v", got, want, res.Err)
	}
}

// TestIdentityOrdinary holds that without aggregates an identity is the event id, or the sequence number in an event
// made by hand, and is the same inside and outside a consumer.
func TestIdentityOrdinary(t *testing.T) {
	t.Attr("rule", "C21")
	ev := event("a", "a")
	want := []string{"shardId-000000000007:1", "shardId-000000000007:2"}
	for _, ctx := range []context.Context{t.Context(), batch.NewContext(t.Context(), batch.Invocation{})} {
		if got := identities(ctx, ev.Records); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	ev.Records[0].EventID = ""
	if got := batch.Identity(t.Context(), ev.Records, 0); got != "1" {
		t.Errorf("%q without an event id, want the sequence number", got)
	}
	if panicOf(func() { batch.WithSubRecords(t.Context(), ev.Records, nil) }) == nil {
		t.Error("indexes of another length are accepted")
	}
}

// TestIdentitySubsets passes on random records in order, unchanged: each keeps its identity.
func TestIdentitySubsets(t *testing.T) {
	t.Attr("rule", "C21")
	rapid.Check(t, func(t *rapid.T) {
		ks := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), 0, 8).Draw(t, "keys")
		ev, subs := aggregate(ks...)
		ctx := batch.WithSubRecords(context.Background(), ev.Records, subs)
		all := identities(ctx, ev.Records)
		var want, got []string
		_ = batch.Wrap(func(ctx context.Context, ev events.KinesisEvent) error {
			got = identities(ctx, ev.Records)
			slices.Reverse(ev.Records)
			back := identities(ctx, ev.Records)
			if slices.Reverse(back); !slices.Equal(back, got) {
				t.Fatalf("%q backwards, %q forwards", back, got)
			}
			return nil
		}, func(ctx context.Context, rs []record, next batch.Next) ([]failure, error) {
			var some []record
			for i, r := range rs {
				if rapid.Bool().Draw(t, "pass") {
					some, want = append(some, r), append(want, all[i])
				}
			}
			return next(ctx, some)
		})(ctx, ev)
		if !slices.Equal(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}
