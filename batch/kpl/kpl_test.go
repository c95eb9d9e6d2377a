package kpl_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/kpl"
)

// sealed puts a body between the magic and its MD5.
func sealed(body string) []byte {
	sum := md5.Sum([]byte(body))
	return append([]byte("\xf3\x89\x9a\xc2"+body), sum[:]...)
}

func TestRoundTrip(t *testing.T) {
	t.Attr("rule", "L62")
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) kpl.UserRecord {
			return kpl.UserRecord{
				PartitionKey:    rapid.StringN(0, 8, -1).Draw(t, "key"),
				ExplicitHashKey: rapid.StringMatching(`|[0-9]{1,38}`).Draw(t, "hash key"),
				Data:            rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "data"),
			}
		}), 1, 20).Draw(t, "records")
		got, ok := kpl.Decode(kpl.Encode(want...), nil)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Fatalf("ok %t (-want +got):\n%s", ok, diff)
		}
		for _, u := range got {
			if cap(u.Data) != len(u.Data) {
				t.Fatal("an append to the data would reach a neighbour")
			}
		}
	})
}

// Whatever is broken leaves an ordinary record, and what was decoded before as it was.
func TestBroken(t *testing.T) {
	t.Attr("rule", "L62")
	whole := kpl.Encode(kpl.UserRecord{PartitionKey: "a", Data: []byte("1")}, kpl.UserRecord{PartitionKey: "b", Data: []byte("2")})
	flipped := bytes.Clone(whole)
	flipped[6] ^= 1
	for name, data := range map[string][]byte{
		"empty":                nil,
		"magic only":           whole[:4],
		"magic and checksum":   sealed(""),
		"cut":                  whole[:len(whole)-1],
		"wrong checksum":       flipped,
		"no record":            sealed("\x0a\x01a"),
		"key index too large":  sealed("\x0a\x01a\x1a\x05\x08\x01\x1a\x01d"),
		"no key index":         sealed("\x0a\x01a\x1a\x03\x1a\x01d"),
		"no data":              sealed("\x0a\x01a\x1a\x02\x08\x00"),
		"hash index too large": sealed("\x0a\x01a\x1a\x07\x08\x00\x10\x00\x1a\x01d"),
		"length beyond":        sealed("\x0a\x01a\x1a\x7f\x08\x00\x1a\x01d"),
		"huge length":          sealed("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a"),
		"endless varint":       sealed("\x0a\x01a\x1a\x0c\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
		"key as number":        sealed("\x08\x01\x1a\x05\x08\x00\x1a\x01d"),
		"record as number":     sealed("\x0a\x01a\x18\x01"),
		"data as number":       sealed("\x0a\x01a\x1a\x04\x08\x00\x18\x01"),
		"group":                sealed("\x0a\x01a\x1b\x1c"),
		"field 0":              sealed("\x02\x01a\x0a\x01a\x1a\x05\x08\x00\x1a\x01d"),
		"second record broken": sealed("\x0a\x01a\x1a\x05\x08\x00\x1a\x01d\x1a\x05\x08\x07\x1a\x01d"),
	} {
		before := []kpl.UserRecord{{PartitionKey: "before"}}
		got, ok := kpl.Decode(data, before)
		if ok || !cmp.Equal(got, before) {
			t.Errorf("%s: %v %t", name, got, ok)
		}
	}
	unknown := sealed("\x0a\x01a\x7a\x01x\x1a\x09\x08\x00\x1a\x01d\x22\x02tt\x7d")
	if got, ok := kpl.Decode(unknown, nil); ok {
		t.Errorf("a field cut off in a record: %v", got)
	}
	tagged := sealed("\x0a\x01a\x7a\x01x\x1a\x09\x08\x00\x1a\x01d\x22\x02tt")
	if got, ok := kpl.Decode(tagged, nil); !ok || len(got) != 1 || string(got[0].Data) != "d" {
		t.Errorf("tags and unknown fields: %v %t", got, ok)
	}
	nested := kpl.Encode(kpl.UserRecord{PartitionKey: "outer", Data: whole})
	if got, ok := kpl.Decode(nested, nil); !ok || len(got) != 1 || !bytes.Equal(got[0].Data, whole) {
		t.Errorf("an aggregate inside an aggregate: %v %t", got, ok)
	}
}

func TestHashRange(t *testing.T) {
	t.Attr("rule", "L65")
	const half, most = "170141183460469231731687303715884105728", "340282366920938463463374607431768211455"
	lower, err := kpl.ParseHashRange("0", "170141183460469231731687303715884105727")
	if err != nil {
		t.Fatal(err)
	}
	upper, err := kpl.ParseHashRange(half, most)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		u     kpl.UserRecord
		lower bool
	}{
		{kpl.UserRecord{PartitionKey: "a"}, true},  // MD5 0cc1…
		{kpl.UserRecord{PartitionKey: "b"}, false}, // MD5 92eb…
		{kpl.UserRecord{PartitionKey: "b", ExplicitHashKey: "0"}, true},
		{kpl.UserRecord{PartitionKey: "a", ExplicitHashKey: half}, false},
		{kpl.UserRecord{PartitionKey: "a", ExplicitHashKey: most}, false},
		{kpl.UserRecord{PartitionKey: "b", ExplicitHashKey: most + "0"}, false}, // too large: as if absent
		{kpl.UserRecord{PartitionKey: "a", ExplicitHashKey: "x"}, true},
	} {
		if lower.Contains(c.u) != c.lower || upper.Contains(c.u) == c.lower || !(kpl.HashRange{}).Contains(c.u) {
			t.Errorf("%v: lower half %t, upper half %t; want lower %t", c.u, lower.Contains(c.u), upper.Contains(c.u), c.lower)
		}
	}
	for _, bad := range [][2]string{{"", most}, {"0", "-1"}, {half, "0"}, {"0", most + "0"}} {
		if _, err := kpl.ParseHashRange(bad[0], bad[1]); err == nil {
			t.Errorf("%q is taken for a range", bad)
		}
	}
}

// outer is an event of records r0, r1 and so on, with these data.
func outer(data ...[]byte) events.KinesisEvent {
	src := batch.Source{StreamARN: "arn:aws:kinesis:eu-west-1:123456789012:stream/orders", Region: "eu-west-1", Shard: "shardId-000000000000"}
	return src.Event(len(data), func(i int) batch.Record {
		return batch.Record{PartitionKey: "outer", SequenceNumber: fmt.Sprint("r", i), Data: data[i]}
	})
}

type named func(context.Context, events.KinesisEvent) (events.KinesisEventResponse, error)

// A corrupt aggregate among good ones is a record of its own, in every form of handler (F17).
func TestDeaggregate(t *testing.T) {
	t.Attr("rule", "L62")
	t.Attr("rule", "L63")
	t.Attr("rule", "C21")
	whole := kpl.Encode(kpl.UserRecord{PartitionKey: "a", Data: []byte("1")}, kpl.UserRecord{PartitionKey: "b", Data: []byte("2")})
	broken := bytes.Clone(whole)
	broken[6] ^= 1
	ev := outer([]byte("plain"), whole, broken, whole)
	want := []string{"outer plain r0", "a 1 r1/0", "b 2 r1/1", "outer " + string(broken) + " r2", "a 1 r3/0", "b 2 r3/1"}
	var got []string
	see := func(ctx context.Context, rs []events.KinesisEventRecord) {
		got = nil
		for i, r := range rs {
			id := batch.Identity(ctx, rs, i)
			if ctx.Value(bare{}) != nil {
				id = r.EventID
			}
			got = append(got, fmt.Sprintf("%s %s %s", r.Kinesis.PartitionKey, r.Kinesis.Data, strings.TrimPrefix(id, "shardId-000000000000:")))
		}
	}
	failure := events.KinesisEventResponse{BatchItemFailures: []events.KinesisBatchItemFailure{{ItemIdentifier: "r3"}}}

	whole1 := kpl.Deaggregate(func(ctx context.Context, ev events.KinesisEvent) error {
		see(ctx, ev.Records)
		return errors.New("boom")
	})
	if err := whole1(t.Context(), ev); err == nil || !slices.Equal(got, want) {
		t.Errorf("whole: %v, saw %q", err, got)
	}
	partial := kpl.Deaggregate(named(func(ctx context.Context, ev events.KinesisEvent) (events.KinesisEventResponse, error) {
		see(ctx, ev.Records)
		return failure, nil
	}))
	if resp, err := partial(t.Context(), ev); err != nil || !cmp.Equal(resp, failure) || !slices.Equal(got, want) {
		t.Errorf("partial: %v %v, saw %q", resp, err, got)
	}
	window := kpl.Deaggregate(func(ctx context.Context, ev events.KinesisTimeWindowEvent) (r events.KinesisTimeWindowEventResponse, err error) {
		see(ctx, ev.Records)
		return r, nil
	})
	if _, err := window(t.Context(), events.KinesisTimeWindowEvent{KinesisEvent: ev}); err != nil || !slices.Equal(got, want) {
		t.Errorf("window: %v, saw %q", err, got)
	}
	inJSON := kpl.Deaggregate(func(ctx context.Context, event []byte) ([]byte, error) {
		var ev events.KinesisTimeWindowEvent
		if err := json.Unmarshal(event, &ev); err != nil {
			return nil, err
		}
		see(context.WithValue(ctx, bare{}, true), ev.Records)
		return []byte(ev.ShardID), nil
	})
	event := append(bytes.TrimSuffix(batch.AppendEvent(nil, ev), []byte("}")), `,"shardId":"kept"}`...)
	out, err := inJSON(t.Context(), event)
	plain := slices.Clone(want)
	for i := range plain {
		plain[i] = strings.TrimSuffix(strings.TrimSuffix(plain[i], "/0"), "/1")
	}
	plain[3] = "outer " + string(broken) + " r2"
	if err != nil || string(out) != "kept" || !slices.Equal(got, plain) {
		t.Errorf("JSON: %q %v, saw %q, want %q", out, err, got, plain)
	}
	if _, err := inJSON(t.Context(), []byte("{")); err == nil {
		t.Error("a broken event is no error")
	}
	if kpl.Deaggregate[named](nil) != nil {
		t.Error("nil is not nil")
	}
}

type bare struct{}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x0a\x01a\x1a\x05\x08\x00\x1a\x01d"), true)
	f.Add(kpl.Encode(kpl.UserRecord{PartitionKey: "a", ExplicitHashKey: "1", Data: []byte("1")}), false)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if seal {
			data = sealed(string(data))
		}
		in := bytes.Clone(data)
		got, ok := kpl.Decode(data, nil)
		if !bytes.Equal(in, data) || ok != (len(got) > 0) {
			t.Fatalf("%d records, ok %t, data changed %t", len(got), ok, !bytes.Equal(in, data))
		}
		if again, ok := kpl.Decode(kpl.Encode(got...), nil); ok != (len(got) > 0) || !cmp.Equal(got, again) {
			t.Fatalf("encoded again: %v, want %v", again, got)
		}
	})
}

func Example() {
	aggregate := kpl.Encode(
		kpl.UserRecord{PartitionKey: "alice", Data: []byte("1 espresso")},
		kpl.UserRecord{PartitionKey: "bob", Data: []byte("1 cortado")})
	users, ok := kpl.Decode(aggregate, nil)
	fmt.Println(ok)
	for _, u := range users {
		fmt.Printf("%s: %s\n", u.PartitionKey, u.Data)
	}
	// Output:
	// true
	// alice: 1 espresso
	// bob: 1 cortado
}

func hundred() []byte {
	var us []kpl.UserRecord
	for i := range 100 {
		us = append(us, kpl.UserRecord{PartitionKey: fmt.Sprintf("customer-%d", i), Data: bytes.Repeat([]byte{'x'}, 250)})
	}
	return kpl.Encode(us...)
}

// No allocation per record: an aggregate of 100 takes as many as one of 1, to within the growth of its tables.
func TestDecodeAllocates(t *testing.T) {
	data, dst := hundred(), make([]kpl.UserRecord, 0, 100)
	if n := testing.AllocsPerRun(100, func() { dst, _ = kpl.Decode(data, dst[:0]) }); n > 25 {
		t.Errorf("%v allocations for 100 records", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	data, dst := hundred(), make([]kpl.UserRecord, 0, 100)
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = kpl.Decode(data, dst[:0])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/record")
}

func BenchmarkIsAggregate(b *testing.B) {
	data, n := bytes.Repeat([]byte("x"), 250), 0
	b.ReportAllocs()
	for b.Loop() {
		if kpl.IsAggregate(data) {
			n++
		}
	}
}
