package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/shardlane/shardlane/batch/kpl"
)

// The children of a test are this binary once more.
func TestMain(m *testing.M) {
	if is, err := work(); is {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// drain reads a shard to its end, limit records at a time.
func drain(t *testing.T, client *kinesis.Client, stream, shard string, limit int32) (records []types.Record) {
	t.Helper()
	at, err := client.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{StreamName: &stream, ShardId: &shard, ShardIteratorType: "TRIM_HORIZON"})
	if err != nil {
		t.Fatal(err)
	}
	for it := at.ShardIterator; ; {
		out, err := client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it, Limit: &limit})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Records) > int(limit) {
			t.Fatalf("%d records at a limit of %d", len(out.Records), limit)
		}
		records, it = append(records, out.Records...), out.NextShardIterator
		if *out.MillisBehindLatest == 0 {
			return records
		}
	}
}

func TestServer(t *testing.T) {
	s := &server{}
	at, end := s.listen()
	defer end()
	for _, l := range []load{
		{Records: 7, Size: 10, Shards: 3, Pages: 2},
		{Records: 4, Size: 10, User: 5, Shards: 3, Pages: 2},
	} {
		for _, transport := range []string{"plain", "tls"} {
			j := &job{Transport: transport, Load: l, Server: at}
			client, stream := j.client(), l.stream()
			list, err := client.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: &stream})
			if err != nil || len(list.Shards) != l.Shards {
				t.Fatalf("%v, %v", list, err)
			}
			for _, shard := range list.Shards {
				own, err := kpl.ParseHashRange(*shard.HashKeyRange.StartingHashKey, *shard.HashKeyRange.EndingHashKey)
				if err != nil {
					t.Fatal(err)
				}
				for _, limit := range []int32{1, 5, 10_000} {
					checkRecords(t, l, own, drain(t, client, stream, *shard.ShardId, limit))
				}
			}
			s.held.Store(true)
			if got := drain(t, client, stream, *list.Shards[0].ShardId, 10_000); len(got) != l.Records {
				t.Errorf("%d records of a server that holds, not %d", len(got), l.Records)
			}
			s.held.Store(false)
		}
	}
}

func checkRecords(t *testing.T, l load, own kpl.HashRange, records []types.Record) {
	t.Helper()
	if len(records) != l.Records*l.Pages {
		t.Errorf("%d records, not %d", len(records), l.Records*l.Pages)
	}
	if !slices.IsSortedFunc(records, func(a, b types.Record) int { return strings.Compare(*a.SequenceNumber, *b.SequenceNumber) }) {
		t.Error("not in order")
	}
	for _, r := range records {
		if l.User == 0 {
			if len(r.Data) != l.Size || *r.PartitionKey == "" || r.ApproximateArrivalTimestamp == nil {
				t.Errorf("got %+v", r)
			}
			continue
		}
		user, ok := kpl.Decode(r.Data, nil)
		if !ok || len(user) != l.User {
			t.Fatalf("%d user records, %t", len(user), ok)
		}
		for _, u := range user {
			if len(u.Data) != l.Size || !own.Contains(u) {
				t.Errorf("got %+v, which is none of the shard %v", u, own)
			}
		}
	}
}

func TestServerRefuses(t *testing.T) {
	at, end := new(server).listen()
	defer end()
	client := (&job{Transport: "plain", Server: at}).client()
	for _, stream := range []string{"orders", "r1.s1.u0.n0.p1.b0", "r1.s1.u0.n1.p1.b0.x"} {
		if _, err := client.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: &stream}); err == nil {
			t.Errorf("there is a stream %s", stream)
		}
	}
}

// Each subject gets all records, in processes of their own; what comes out has the fields that are promised.
func TestMeasures(t *testing.T) {
	t.Parallel()
	at, end, err := startServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list := []setting{
		{page: "a", transport: "plain", load: load{Records: 200, Size: 100, Shards: 2, Pages: 2}, rounds: 1},
		{page: "d", transport: "tls", load: load{Records: 3, Size: 100, User: 4, Shards: 2, Pages: 2}, rounds: 1},
	}
	var out bytes.Buffer
	lines := json.NewEncoder(&out)
	err = measureAll(t.Context(), at, list, io.Discard, func(r row) { _ = lines.Encode(r) })
	if err := errors.Join(err, end()); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{
		"shardlane 100 a plain": true, "shardlane 10000 a plain": true, "sdk 10000 a plain": true, "harlow 1 a plain": true, "vmware 10000 a plain": true,
		"shardlane 100 d tls": true, "shardlane 10000 d tls": true, "sdk 10000 d tls": true, "harlow 1 d tls": true, "vmware 10000 d tls": true,
	}
	for line := range strings.Lines(out.String()) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprint(r["subject"], " ", r["batch"], " ", r["page"], " ", r["transport"])
		if !want[key] {
			t.Errorf("a row too many: %s", line)
		}
		delete(want, key)
		for _, field := range []string{"cpu_ns_per_record", "allocs_per_record", "ratio", "ratio_min", "ratio_max"} {
			if v, ok := r[field].(float64); !ok || v <= 0 {
				t.Errorf("%s is %v in %s", field, r[field], line)
			}
		}
		if r["format"] != "json" || r["subject"] == "sdk" && r["ratio"] != 1.0 {
			t.Errorf("got %s", line)
		}
	}
	if len(want) > 0 {
		t.Errorf("no rows of %v", want)
	}
}

// A subject whose handler gets too few records, too many, or others, is an error.
func TestLossFails(t *testing.T) {
	at, end := new(server).listen()
	defer end()
	l := load{Records: 5, Size: 10, Shards: 1, Pages: 2}
	for name, c := range map[string]struct {
		records, bytes int
		ends           bool
		want           string
	}{
		"all of them":      {5, 50, false, ""},
		"one is lost":      {4, 40, true, "ended after 9 of 10 records"},
		"one comes twice":  {6, 60, false, "got 11 records"},
		"one is cut short": {5, 49, false, "got 10 records and 99 bytes"},
	} {
		r := run{&job{Transport: "plain", Load: l, Server: at}, func(ctx context.Context, _ *job, _ string, m *meter) error {
			m.got(5, 50)
			m.got(c.records, c.bytes)
			if !c.ends {
				<-ctx.Done()
			}
			return errors.New("the end")
		}}
		err := r.do(t.Context(), l, func(full <-chan struct{}) error { <-full; return nil })
		if err == nil != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestRow(t *testing.T) {
	s := setting{page: "a", transport: "plain", rounds: 3}
	got := []outcome{{CPU: 400, Units: 2, Allocs: 8, Bytes: 10}, {CPU: 100, Units: 2, Allocs: 2, Bytes: 30}, {CPU: 200, Units: 2, Allocs: 4, Bytes: 20}}
	base := []outcome{{CPU: 100, Units: 2}, {CPU: 100, Units: 2}, {CPU: 1000, Units: 2}}
	r := newRow(s, job{Subject: "harlow"}, got, base)
	if r.CPU != 100 || r.Allocs != 2 || r.Bytes != 10 || r.Ratio != 1 || r.RatioMin != 0.2 || r.RatioMax != 4 {
		t.Errorf("got %+v", r)
	}
	if even := median([]float64{1, 2, 4, 9}); even != 3 {
		t.Errorf("the median of four is %v", even)
	}
}

// rows are made up.
func rows() (list []row) {
	for i, s := range subjects {
		for _, batch := range s.batches {
			r := row{Subject: s.name, Batch: batch, Page: "a", Transport: "plain", CPU: 4812 * float64(i+1), Allocs: 9.04, Ratio: 0.5, RatioMin: 0.44, RatioMax: 0.61}
			list = append(list, r)
		}
		e := row{Subject: s.name, Batch: s.batches[0], Page: "e", Transport: "plain", Heap: 4949, Goroutines: 46, Calls: 200, CPU: 99_000}
		e.Shards = 100
		list = append(list, e)
		for k := range 3 {
			list = append(list, row{Subject: s.name, Page: "size", CPU: 1000 * float64(i+k+1), load: load{Size: 100 << k}},
				row{Subject: s.name, Page: "shards", CPU: 2000, load: load{Shards: 1 << k}})
		}
	}
	return list
}

func TestTable(t *testing.T) {
	var out strings.Builder
	writeTable(&out, rows())
	want := `| CPU time per record | a | allocations (a) | an idle shard |
|---|---|---|---|
| shardlane, batches of 100 | 0.50 (0.44–0.61) | 9 | 4.9 KB |
| shardlane, batches of 10000 | 0.50 (0.44–0.61) | 9 | 4.9 KB |
| the SDK in a bare loop | 1 = 9.6 µs | 9 | 4.9 KB |
| harlow/kinesis-consumer v0.3.5 | 0.50 (0.44–0.61) | 9 | 4.9 KB |
| vmware-go-kcl-v2 v1.0.0 | 0.50 (0.44–0.61) | 9 | 4.9 KB |
`
	if out.String() != want {
		t.Errorf("got\n%s", &out)
	}
	out.Reset()
	writeIdle(&out, rows())
	if row := "| 100, shardlane | 4.9 KB | 46 | 200 | 99 µs | 0.0 % | 0.0 |\n"; !strings.Contains(out.String(), row) {
		t.Errorf("no %q in\n%s", row, &out)
	}
}

// The plot is XML with a line for each subject in each of its two diagrams, and without what is no number.
func TestPlot(t *testing.T) {
	for name, c := range map[string]struct {
		rows  []row
		lines int
	}{"all": {rows(), 2 * len(subjects)}, "nothing measured": {nil, 0}} {
		var out bytes.Buffer
		writePlot(&out, c.rows)
		if text := out.String(); strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
			t.Errorf("%s: not a number in\n%s", name, text)
		}
		lines := 0
		for d := xml.NewDecoder(&out); ; {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if el, ok := token.(xml.StartElement); ok && el.Name.Local == "polyline" {
				lines++
			}
		}
		if lines != c.lines {
			t.Errorf("%s: %d lines, not %d", name, lines, c.lines)
		}
	}
}

func TestSettings(t *testing.T) {
	for _, quick := range []bool{true, false} {
		seen := map[string]bool{}
		for _, s := range settings(quick) {
			seen[s.page+" "+s.transport] = true
			if l, err := parseLoad(s.load.stream()); err != nil || l != s.load {
				t.Errorf("%s is %+v, %v", s.load.stream(), l, err)
			}
		}
		for _, want := range []string{"a plain", "b plain", "c plain", "d plain", "e plain", "a tls", "size plain", "shards plain"} {
			if !seen[want] {
				t.Errorf("quick %t measures no %s", quick, want)
			}
		}
	}
}

// Each record that is put arrives at each subject, and none is read in vain.
func TestLatencies(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	list, err := delays(t.Context(), 40, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range list {
		puts := 40
		if delayed[i].job.Rate > 0 {
			puts = 4
		}
		if d.Puts != puts || d.Mean <= 0 || d.P50 > d.P99 || d.P99 > d.Longest || !slices.IsSorted(d.Within) || d.Within[len(limits)] != puts {
			t.Errorf("%s: %+v", d.title, d)
		}
	}
	writeDelays(&out, list)
	if n := strings.Count(out.String(), "\n"); n != 2+len(delayed) {
		t.Errorf("a table of %d lines:\n%s", n, &out)
	}
}

// Busy shards have records for each call, and the others none.
func TestRests(t *testing.T) {
	t.Parallel()
	at, end, err := startServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var list []rest
	err = rests(t.Context(), at, 10, io.Discard, func(r rest) { list = append(list, r) })
	if err := errors.Join(err, end()); err != nil {
		t.Fatal(err)
	}
	var busy []int
	for _, r := range list {
		busy = append(busy, r.Busy)
		if r.CPU <= 0 || r.Calls <= 0 || r.Goroutines < 1 || r.Connections < 1 {
			t.Errorf("%+v", r)
		}
	}
	if !slices.Equal(busy, []int{0, 0, 1, 1}) {
		t.Errorf("%d shards were busy", busy)
	}
}
