package dynamostore

import (
	"slices"
	"strings"
	"testing"

	"github.com/shardlane/shardlane/checkpoint"
)

// TestPartition holds the places of rows to those where earlier versions put them.
func TestPartition(t *testing.T) {
	for key, want := range map[string]string{
		"billing/member/w/1":                              "billing/",
		"billing/stream/123:orders:1":                     "billing/",
		"billing/lease/123:orders:1/shardId-000000000000": "billing/lease/1",
		"billing/lease/123:orders:1/shardId-000000000001": "billing/lease/6",
		"billing/leases/x":                                "billing/",
		"billing/lease":                                   "billing/",
		"/lease/x":                                        "/lease/3",
		"billing":                                         "/",
		"layout":                                          "/",
		"":                                                "/",
	} {
		if got := partition(key, 8); got != want {
			t.Errorf("%q is in %q, want %q", key, got, want)
		}
		if got, _, _ := strings.Cut(want, "lease/"); partition(key, 1) != got {
			t.Errorf("%q is in %q without buckets, want %q", key, partition(key, 1), got)
		}
	}
}

// TestBucketsAreEven looks at how 10,000 shards are spread.
func TestBucketsAreEven(t *testing.T) {
	seen := map[string]int{}
	for i := range 10_000 {
		seen[partition("billing/lease/123456789012:orders:1700000000/shardId-"+strings.Repeat("0", 8)+string(rune('0'+i/1000))+string(rune('0'+i/100%10))+string(rune('0'+i/10%10))+string(rune('0'+i%10)), 16)]++
	}
	for part, n := range seen {
		if n < 10_000/16*8/10 || n > 10_000/16*12/10 {
			t.Errorf("%s has %d of 10,000", part, n)
		}
	}
	if len(seen) != 16 {
		t.Errorf("%d partitions", len(seen))
	}
}

// FuzzPartitions checks that the partition of a key is among those where a list looks that has it.
func FuzzPartitions(f *testing.F) {
	f.Add("billing/lease/s/1", 3, byte(4))
	f.Add("billing/lease/s/1", 9, byte(1))
	f.Add("/lease/", 1, byte(200))
	f.Add("billing", 7, byte(0))
	f.Fuzz(func(t *testing.T, key string, cut int, buckets byte) {
		n := int(buckets) + 1
		prefix := key[:max(0, min(cut, len(key)))]
		part := partition(key, n)
		if parts, ok := partitions(prefix, n); ok && !slices.Contains(parts, part) {
			t.Errorf("%q is in %q, and a list of %q looks in %q", key, part, prefix, parts)
		} else if ok != strings.Contains(prefix, "/") {
			t.Errorf("a list of %q looks everywhere: %v", prefix, !ok)
		}
		if part == layoutKey || part == "" {
			t.Errorf("%q is in %q", key, part)
		}
	})
}

func FuzzParseLayout(f *testing.F) {
	for _, text := range []string{`{"v":1,"buckets":8}`, `{"v":2}`, `{"v":1,"buckets":0}`, `{"v":1,"buckets":257}`, `{"buckets":1}`, "", "null", `{"v":1,"buckets":1e99}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		if n, err := parseLayout(checkpoint.Entry{Value: value}); (err == nil) != (n >= 1 && n <= maxBuckets) {
			t.Errorf("%q: %d, %v", value, n, err)
		}
	})
}
