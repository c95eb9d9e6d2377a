package kpl_test

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shardlane/shardlane/batch/kpl"
)

// sealed puts a body between the magic and its MD5.
func sealed(body string) []byte {
	sum := md5.Sum([]byte(body))
	return append([]byte("\xf3\x89\x9a\xc2"+body), sum[:]...)
}

// pair is an aggregate of two.
func pair() []byte {
	return kpl.Encode(kpl.UserRecord{PartitionKey: "a", Data: []byte("1")}, kpl.UserRecord{PartitionKey: "b", Data: []byte("2")})
}

func userRecords() *rapid.Generator[[]kpl.UserRecord] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) kpl.UserRecord {
		return kpl.UserRecord{
			PartitionKey:    string(rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "key")), // also what is no UTF-8
			ExplicitHashKey: rapid.StringMatching(`|[0-9]{1,38}`).Draw(t, "hash key"),
			Data:            rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data"),
		}
	}), 1, 300)
}

// Bytes in are bytes out, behind what dst has already.
func TestRoundTrip(t *testing.T) {
	t.Attr("rule", "L62")
	rapid.Check(t, func(t *rapid.T) {
		want := userRecords().Draw(t, "records")
		data := kpl.Encode(want...)
		in := bytes.Clone(data)
		before := kpl.UserRecord{PartitionKey: "before"}
		got, ok := kpl.Decode(data, []kpl.UserRecord{before})
		if diff := cmp.Diff(append([]kpl.UserRecord{before}, want...), got); !ok || diff != "" {
			t.Fatalf("ok %t (-want +got):\n%s", ok, diff)
		}
		for _, u := range got[1:] {
			if cap(u.Data) != len(u.Data) {
				t.Fatal("an append to the data would reach a neighbour")
			}
		}
		if !bytes.Equal(in, data) {
			t.Fatal("Decode changes its input")
		}
	})
}

// Whatever is broken leaves an ordinary record, and what was decoded before as it was.
func TestBroken(t *testing.T) {
	t.Attr("rule", "L62")
	whole := pair()
	const key, record = "\x0a\x01a", "\x1a\x05\x08\x00\x1a\x01d"
	for name, data := range map[string][]byte{
		"nothing":                nil,
		"magic only":             whole[:4],
		"magic and checksum":     sealed(""),
		"cut":                    whole[:len(whole)-1],
		"one byte more":          append(bytes.Clone(whole), 0),
		"other magic":            append([]byte("\xf3\x89\x9a\xc3"), whole[4:]...),
		"no record":              sealed(key),
		"no table":               sealed(record),
		"hash keys for keys":     sealed("\x12\x01a" + record),
		"key index too large":    sealed(key + "\x1a\x05\x08\x01\x1a\x01d"),
		"key index of 64 bits":   sealed(key + "\x1a\x0e\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x01d"),
		"no key index":           sealed(key + "\x1a\x05\x1a\x03ddd"),
		"no data":                sealed(key + "\x1a\x04\x08\x00\x08\x00"),
		"empty record":           sealed(key + "\x1a\x00"),
		"hash index too large":   sealed(key + "\x1a\x07\x08\x00\x10\x00\x1a\x01d"),
		"hash index of 64 bits":  sealed(key + "\x1a\x10\x08\x00\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x01d"),
		"size beyond the end":    sealed(key + "\x1a\x7f\x08\x00\x1a\x01d"),
		"size beyond the record": sealed(key + "\x1a\x05\x08\x00\x1a\x02d" + record),
		"size of 64 bits":        sealed("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a" + record),
		"size of 63 bits":        sealed("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7fa" + record),
		"no size":                sealed(key + record + "\x0a"),
		"endless number":         sealed(key + "\x1a\x0e\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x01d"),
		"number cut off":         sealed(key + "\x1a\x05\x1a\x01d\x08\x80"),
		"tag cut off":            sealed(key + record + "\x80"),
		"key as number":          sealed("\x08\x01" + record),
		"record as number":       sealed(key + "\x18\x01"),
		"record of 4 bytes":      sealed(key + record + "\x1d\x00\x00\x00\x00"),
		"key index as bytes":     sealed(key + "\x1a\x06\x0a\x01\x00\x1a\x01d"),
		"data as number":         sealed(key + "\x1a\x04\x08\x00\x18\x01"),
		"group":                  sealed(key + record + "\x2b\x2c"),
		"field 0":                sealed(key + record + "\x02\x01a"),
		"field of 30 bits":       sealed(key + record + "\x80\x80\x80\x80\x10\x00"),
		"8 bytes cut off":        sealed(key + record + "\x29\x00\x00"),
		"4 bytes cut off":        sealed(key + record + "\x2d\x00"),
		"second record broken":   sealed(key + record + "\x1a\x05\x08\x07\x1a\x01d"),
		"tags cut off":           sealed(key + "\x1a\x07\x08\x00\x1a\x01d\x22\x05"),
	} {
		before := []kpl.UserRecord{{PartitionKey: "before"}}
		if got, ok := kpl.Decode(data, before); ok || !cmp.Equal(got, before) {
			t.Errorf("%s: %v %t", name, got, ok)
		}
		if got, ok := kpl.Decode(data, nil); ok || got != nil {
			t.Errorf("%s, without a slice: %v %t", name, got, ok)
		}
	}
	for i := range whole {
		flipped := bytes.Clone(whole)
		flipped[i] ^= 1
		if _, ok := kpl.Decode(flipped, nil); ok {
			t.Errorf("byte %d may be another one", i)
		}
	}
}

// What is unusual and not broken.
func TestUnusual(t *testing.T) {
	t.Attr("rule", "L62")
	const key, record = "\x0a\x01a", "\x1a\x05\x08\x00\x1a\x01d"
	nested := pair()
	for name, data := range map[string][]byte{
		"table behind":         sealed(record + key),
		"table around":         sealed("\x0a\x01b\x1a\x05\x08\x01\x1a\x01d" + key),
		"tags":                 sealed(key + "\x1a\x0a\x08\x00\x1a\x01d\x22\x03\x0a\x01t"),
		"unknown fields":       sealed("\x29eight888" + key + "\x7a\x01x" + "\x1a\x0a\x08\x00\x2dfour\x1a\x01d" + "\x28\x80\x80\x01"),
		"key index twice":      sealed(key + "\x1a\x07\x08\x07\x08\x00\x1a\x01d"),
		"data twice":           sealed(key + "\x1a\x08\x08\x00\x1a\x01x\x1a\x01d"),
		"index of three bytes": sealed(key + "\x1a\x07\x08\x80\x80\x00\x1a\x01d"),
	} {
		if got, ok := kpl.Decode(data, nil); !ok || len(got) != 1 || got[0].PartitionKey != "a" || string(got[0].Data) != "d" {
			t.Errorf("%s: %v %t", name, got, ok)
		}
	}
	if got, ok := kpl.Decode(kpl.Encode(kpl.UserRecord{Data: nested}), nil); !ok || len(got) != 1 || !bytes.Equal(got[0].Data, nested) {
		t.Errorf("an aggregate inside an aggregate: %v %t", got, ok)
	}
	if got, ok := kpl.Decode(kpl.Encode(), nil); ok || kpl.IsAggregate(kpl.Encode()) {
		t.Errorf("no records: %v %t", got, ok)
	}
}

// Tables and records that are as many as their bytes allow cost memory in proportion to them.
func TestMemory(t *testing.T) {
	t.Attr("rule", "L62")
	const n = 1 << 17
	for name, data := range map[string][]byte{
		"empty keys":                  sealed(strings.Repeat("\x0a\x00", n) + "\x1a\x05\x08\x00\x1a\x01d"),
		"smallest records":            sealed("\x0a\x01a" + strings.Repeat("\x1a\x04\x08\x00\x1a\x00", n)),
		"smallest records, broken":    sealed("\x0a\x01a" + strings.Repeat("\x1a\x04\x08\x00\x1a\x00", n) + "\x1a\x04\x08\x01\x1a\x00"),
		"less than smallest records":  sealed("\x0a\x01a" + strings.Repeat("\x1a\x00", n)),
		"a key around a large record": sealed("\x0a\x01a" + "\x1a\x87\x80\x40\x08\x00\x1a\x80\x80\x40" + strings.Repeat("d", 1<<20) + "\x0a\x01b"),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		kpl.Decode(data, nil)
		runtime.ReadMemStats(&after)
		if used := (after.TotalAlloc - before.TotalAlloc) / uint64(len(data)); used > 24 {
			t.Errorf("%s: %d bytes for each byte", name, used)
		}
	}
}

// FuzzDecode holds any body, and what is around it, to Encode. It puts the right checksum behind half of the bodies, or
// else few would be looked at.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x0a\x01a\x1a\x05\x08\x00\x1a\x01d"), true)
	f.Add([]byte("\x0a\x01a\x12\x010\x1a\x0c\x08\x00\x10\x00\x1a\x01d\x22\x03\x0a\x01t\x1a\x04\x08\x00\x1a\x00\x7a\x01x"), true)
	f.Add([]byte("\x1a\x04\x08\x00\x1a\x00\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7fa"), true)
	f.Add(pair(), false)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if seal {
			data = sealed(string(data))
		}
		in := bytes.Clone(data)
		got, ok := kpl.Decode(data, nil)
		if !bytes.Equal(in, data) || ok != (len(got) > 0) || ok && !kpl.IsAggregate(data) {
			t.Fatalf("%d records, ok %t, data changed %t", len(got), ok, !bytes.Equal(in, data))
		}
		if again, ok := kpl.Decode(kpl.Encode(got...), nil); ok != (len(got) > 0) || !cmp.Equal(got, again) {
			t.Fatalf("encoded again: %v, want %v", again, got)
		}
	})
}

// hundred is an aggregate of 100 × 250 bytes.
func hundred() []byte {
	us := make([]kpl.UserRecord, 100)
	for i := range us {
		us[i] = kpl.UserRecord{PartitionKey: fmt.Sprintf("customer-%d", i), Data: bytes.Repeat([]byte{'x'}, 250)}
	}
	return kpl.Encode(us...)
}

// An aggregate takes one allocation, for its keys, whatever the number of its records; what is none takes nothing.
func TestAllocations(t *testing.T) {
	aggregate, plain := hundred(), bytes.Repeat([]byte{'x'}, 250)
	dst := make([]kpl.UserRecord, 0, 100)
	if n := testing.AllocsPerRun(100, func() { dst, _ = kpl.Decode(aggregate, dst[:0]) }); n > 1 {
		t.Errorf("%v allocations for 100 user records", n)
	}
	if n := testing.AllocsPerRun(100, func() { dst, _ = kpl.Decode(plain, dst[:0]) }); n > 0 {
		t.Errorf("%v allocations for an ordinary record", n)
	}
}
