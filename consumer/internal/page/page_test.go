package page_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/filter"
	"github.com/shardlane/shardlane/batch/kpl"
	"github.com/shardlane/shardlane/consumer/internal/page"
	"pgregory.net/rapid"
)

func record(seq, key string, data []byte) types.Record {
	return types.Record{
		SequenceNumber: &seq, PartitionKey: &key, Data: data, ApproximateArrivalTimestamp: aws.Time(time.UnixMilli(1772719618250)),
	}
}

// names are the records of a page as "sequence number.place=data", and those that are skipped with a "-" in front.
func names(p *page.Page, skip []bool) (names []string) {
	deliver, settled := p.Items(skip)
	all := slices.Concat(deliver, settled)
	slices.SortFunc(all, func(a, b page.Item) int { return int(a.Pos() - b.Pos()) })
	for _, it := range all {
		n := fmt.Sprintf("%s.%d=%s", it.Seq(), it.Sub(), it.Record().Data)
		if slices.Contains(settled, it) {
			n = "-" + n
		}
		names = append(names, n)
	}
	return names
}

func TestSift(t *testing.T) {
	aggregate := kpl.Encode(kpl.UserRecord{PartitionKey: "a", Data: []byte(`{"n":1}`)}, kpl.UserRecord{PartitionKey: "b", Data: []byte(`{"n":2}`)}, kpl.UserRecord{PartitionKey: "c", Data: []byte(`{"n":3}`)})
	recs := func() []types.Record {
		return []types.Record{record("7", "x", []byte(`{"n":0}`)), record("8", "a", aggregate), record("9", "y", []byte("text"))}
	}
	even, err := filter.Compile(`{"data":{"n":[0,2]}}`)
	if err != nil {
		t.Fatal(err)
	}
	plain := page.Point{Sub: batch.NoSub}
	for _, tt := range []struct {
		name  string
		sieve page.Sieve
		want  []string
		seen  page.Seen
	}{
		{"as they are", page.Sieve{Resume: plain}, []string{"7.-1={\"n\":0}", "8.-1=" + string(aggregate), "9.-1=text"}, page.Seen{Aggregates: 1}},
		{"split", page.Sieve{Split: true, Resume: plain}, []string{`7.-1={"n":0}`, `8.0={"n":1}`, `8.1={"n":2}`, `8.2={"n":3}`, "9.-1=text"}, page.Seen{Aggregates: 1}},
		{"resumed", page.Sieve{Split: true, Resume: page.Point{Seq: "8", Sub: 1}}, []string{`7.-1={"n":0}`, `8.2={"n":3}`, "9.-1=text"}, page.Seen{Aggregates: 1}},
		{"filtered", page.Sieve{Split: true, Resume: plain, Filter: even}, []string{`7.-1={"n":0}`, `-8.0={"n":1}`, `8.1={"n":2}`, `-8.2={"n":3}`, "-9.-1=text"}, page.Seen{Aggregates: 1, Filtered: 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, skip, seen := tt.sieve.Sift(page.New(recs(), nil))
			if got := names(p, skip); !slices.Equal(got, tt.want) || seen != tt.seen {
				t.Errorf("%q %+v, want %q %+v", got, seen, tt.want, tt.seen)
			}
		})
	}
}

// A user record that no parent's range explains is delivered, and so is one without a partition key: it has no hash key, and
// who makes such records does not choose shards by them. Only what a stale shard map explains is left out.
func TestStale(t *testing.T) {
	for _, rule := range []string{"L65", "C25", "C26"} {
		t.Attr("rule", rule)
	}
	const (
		half = "170141183460469231731687303715884105728" // 2^127; the MD5 of "a" is below, those of "b" and "" are above
		most = "340282366920938463463374607431768211455"
	)
	between := func(from, to string) kpl.HashRange {
		h, err := kpl.ParseHashRange(from, to)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	lower, whole := between("0", half), between("0", most)
	a, b, none := kpl.UserRecord{PartitionKey: "a"}, kpl.UserRecord{PartitionKey: "b"}, kpl.UserRecord{}
	explicit := kpl.UserRecord{PartitionKey: "a", ExplicitHashKey: most}
	for _, tt := range []struct {
		name    string
		parents []kpl.HashRange
		users   []kpl.UserRecord
		placed  bool
		late    time.Duration
		want    page.Seen
	}{
		{"a stale shard map", []kpl.HashRange{whole}, []kpl.UserRecord{a, b, explicit}, true, 10 * time.Minute, page.Seen{Aggregates: 1, Outside: 2, Left: 2}},
		{"the second parent's", []kpl.HashRange{between("0", "1"), whole}, []kpl.UserRecord{a, b}, true, 0, page.Seen{Aggregates: 1, Outside: 1, Left: 1}},
		{"of no parent", []kpl.HashRange{lower}, []kpl.UserRecord{a, b}, true, 0, page.Seen{Aggregates: 1, Outside: 1}},
		{"no parents", nil, []kpl.UserRecord{a, b}, true, 0, page.Seen{Aggregates: 1, Outside: 1}},
		{"too late", []kpl.HashRange{whole}, []kpl.UserRecord{a, b}, true, 10*time.Minute + 1, page.Seen{Aggregates: 1, Outside: 1}},
		{"placed by the service", []kpl.HashRange{whole}, []kpl.UserRecord{a, b}, false, 0, page.Seen{Aggregates: 1, Outside: 1}},
		{"without a key", []kpl.HashRange{whole}, []kpl.UserRecord{a, none}, true, 0, page.Seen{Aggregates: 1}},
		{"beside one without a key", []kpl.HashRange{whole}, []kpl.UserRecord{b, none}, true, 0, page.Seen{Aggregates: 1, Outside: 1}},
	} {
		sieve := page.Sieve{
			Split: true, Hashes: lower, Resume: page.Point{Sub: batch.NoSub}, Parents: tt.parents,
			Placed: func(time.Time) bool { return tt.placed },
		}
		sieve.Sift(page.New([]types.Record{record("7", "a", nil)}, nil))
		r := record("8", "a", kpl.Encode(tt.users...))
		*r.ApproximateArrivalTimestamp = r.ApproximateArrivalTimestamp.Add(tt.late)
		if p, skip, seen := sieve.Sift(page.New([]types.Record{r}, nil)); seen != tt.want || p.Len() != len(tt.users) {
			t.Errorf("%s: %+v of %q, want %+v", tt.name, seen, names(p, skip), tt.want)
		}
	}
}

// A point inside an aggregate names the user record, one at its end the whole record.
func TestPoint(t *testing.T) {
	aggregate := kpl.Encode(kpl.UserRecord{PartitionKey: "a"}, kpl.UserRecord{PartitionKey: "b"})
	sieve := page.Sieve{Split: true, Resume: page.Point{Sub: batch.NoSub}}
	p, _, _ := sieve.Sift(page.New([]types.Record{record("8", "a", aggregate), record("9", "y", nil)}, nil))
	var got []string
	for i := range p.Len() {
		pos, err := p.Point(i).After()
		got = append(got, fmt.Sprintf("%s %v", pos, err))
	}
	if want := []string{"1/0018/0000000000 <nil>", "1/0018/~ <nil>", "1/0019/~ <nil>"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Event shares nothing with the page, and says what batch.Source says of the same records.
func TestEvent(t *testing.T) {
	src := batch.Source{StreamARN: "arn", Region: "r", Shard: "shard"}
	recs := []types.Record{record("7", "x", []byte("one")), record("8", "", []byte{}), {SequenceNumber: aws.String("9")}}
	p := page.New(recs, nil)
	items, _ := p.Items(nil)
	ev := page.Event(src, items)
	want := src.Event(len(items), func(i int) batch.Record { return items[i].Record() })
	a, errA := json.Marshal(ev)
	b, errB := json.Marshal(want)
	if errA != nil || errB != nil || string(a) != string(b) {
		t.Errorf("%s %v\n%s %v", a, errA, b, errB)
	}
	ev.Records[0].Kinesis.Data[0] = 'X'
	if string(recs[0].Data) != "one" {
		t.Error("a handler that changes its event changes the page")
	}
}

// TestMost holds that no record is larger in an event than its page says.
func TestMost(t *testing.T) {
	size := batch.Source{StreamARN: "arn", Region: "r", Shard: "shard"}.Sizer()
	text := rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.SampledFrom([]rune("\x00\"\u2028a")), 0, 60, -1), rapid.Just(strings.Repeat("\xff", 40)))
	rapid.Check(t, func(t *rapid.T) {
		recs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) types.Record {
			r := record(text.Draw(t, "seq"), text.Draw(t, "key"), rapid.SliceOf(rapid.Byte()).Draw(t, "data"))
			*r.ApproximateArrivalTimestamp = time.UnixMilli(rapid.Int64().Draw(t, "ms"))
			return r
		}), 1, 4).Draw(t, "records")
		p := page.New(recs, nil)
		items, _ := p.Items(nil)
		for _, it := range items {
			if n := size(it.Record()); n > size(batch.Record{})+p.Most() {
				t.Fatalf("%d bytes, at most %d", n, size(batch.Record{})+p.Most())
			}
		}
	})
}

// A record without a key shows that the service has placed records, to aggregates of its own page, too, and to all later
// ones: none of their records is left out (C25).
func TestKeylessInPage(t *testing.T) {
	parent, err := kpl.ParseHashRange("0", "99")
	if err != nil {
		t.Fatal(err)
	}
	own, err := kpl.ParseHashRange("0", "49")
	if err != nil {
		t.Fatal(err)
	}
	foreign := func(seq string) types.Record {
		return record(seq, "x", kpl.Encode(kpl.UserRecord{PartitionKey: "a", ExplicitHashKey: "60", Data: []byte(seq)}))
	}
	keyless := record("8", "", []byte("keyless"))
	keyless.PartitionKey = nil
	s := page.Sieve{
		Split: true, Resume: page.Point{Sub: batch.NoSub}, Hashes: own, Parents: []kpl.HashRange{parent},
		Placed: func(time.Time) bool { return true },
	}
	for _, tt := range []struct {
		recs []types.Record
		want []string
	}{
		{[]types.Record{foreign("1")}, []string{"-1.0=1"}},
		{[]types.Record{foreign("7"), keyless, foreign("9")}, []string{"7.0=7", "8.-1=keyless", "9.0=9"}},
		{[]types.Record{foreign("10")}, []string{"10.0=10"}},
	} {
		p, skip, _ := s.Sift(page.New(tt.recs, nil))
		if got := names(p, skip); !slices.Equal(got, tt.want) {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// Reading resumes inside one aggregate: of those behind it, in its page and in later ones, nothing is left out.
func TestAggregatesBehindResumed(t *testing.T) {
	aggregate := func() []byte {
		return kpl.Encode(kpl.UserRecord{PartitionKey: "a", Data: []byte("0")}, kpl.UserRecord{PartitionKey: "b", Data: []byte("1")})
	}
	s := page.Sieve{Split: true, Resume: page.Point{Seq: "8", Sub: 0}}
	for _, tt := range []struct {
		recs []types.Record
		want []string
	}{
		{[]types.Record{record("8", "x", aggregate()), record("9", "x", aggregate())}, []string{"8.1=1", "9.0=0", "9.1=1"}},
		{[]types.Record{record("10", "x", aggregate())}, []string{"10.0=0", "10.1=1"}},
	} {
		p, skip, _ := s.Sift(page.New(tt.recs, nil))
		if got := names(p, skip); !slices.Equal(got, tt.want) {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// A stale shard map explains no aggregate that has no time, and none whose user records are of two parents, in either order.
func TestStaleInDoubt(t *testing.T) {
	var ranges [3]kpl.HashRange
	for i, r := range [][2]string{{"0", "99"}, {"100", "199"}, {"50", "149"}} {
		var err error
		if ranges[i], err = kpl.ParseHashRange(r[0], r[1]); err != nil {
			t.Fatal(err)
		}
	}
	at := time.UnixMilli(1772719618250)
	for _, tt := range []struct {
		hashes [2]string
		at     *time.Time
		left   int
	}{
		{[2]string{"60", "40"}, &at, 1}, {[2]string{"60", "40"}, nil, 0}, {[2]string{"40", "140"}, &at, 0}, {[2]string{"140", "40"}, &at, 0},
	} {
		s := page.Sieve{
			Split: true, Resume: page.Point{Sub: batch.NoSub}, Hashes: ranges[2], Parents: ranges[:2],
			Placed: func(time.Time) bool { return true },
		}
		s.Sift(page.New([]types.Record{record("1", "x", nil)}, nil))
		r := record("2", "x", kpl.Encode(kpl.UserRecord{PartitionKey: "a", ExplicitHashKey: tt.hashes[0]}, kpl.UserRecord{PartitionKey: "a", ExplicitHashKey: tt.hashes[1]}))
		r.ApproximateArrivalTimestamp = tt.at
		if _, _, seen := s.Sift(page.New([]types.Record{r}, nil)); seen.Left != tt.left || seen.Outside != 1 {
			t.Errorf("%v at %v: %d of %d left out, want %d of 1", tt.hashes, tt.at, seen.Left, seen.Outside, tt.left)
		}
	}
}

// TestMemory holds that the memory of a page's data is given back once, by the page that has it in the end.
func TestMemory(t *testing.T) {
	given := 0
	aggregate := kpl.Encode(kpl.UserRecord{PartitionKey: "a"}, kpl.UserRecord{PartitionKey: "b"})
	read := page.New([]types.Record{record("8", "a", aggregate), record("9", "y", nil)}, func() { given++ })
	sieve := page.Sieve{Split: true, Resume: page.Point{Sub: batch.NoSub}}
	split, _, _ := sieve.Sift(read)
	head := split.Head(1)
	read.Free()
	split.Free()
	if given != 0 {
		t.Error("memory that is another page's is given back")
	}
	if got := head.Len(); got != 1 {
		t.Errorf("%d records", got)
	}
	head.Free()
	head.Free()
	if given != 1 {
		t.Errorf("given back %d times", given)
	}
}
