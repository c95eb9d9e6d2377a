package filter_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/filter"
)

func source() *batch.Source {
	return &batch.Source{
		StreamARN: "arn:aws:kinesis:eu-west-1:123456789012:stream/orders", Region: "eu-west-1",
		Shard: "shardId-000000000007", IdentityARN: "arn:aws:iam::123456789012:role/billing",
	}
}

func record(data string) *batch.Record {
	return &batch.Record{
		PartitionKey: "customer-17", SequenceNumber: "4967", Data: []byte(data), Arrival: time.UnixMilli(1772719618250),
	}
}

func compile(t testing.TB, patterns ...string) *filter.Set {
	t.Helper()
	s, err := filter.Compile(patterns...)
	if err != nil {
		t.Fatalf("%q: %v", patterns, err)
	}
	return s
}

// Each row is a leaf of the field "x" of the payload, and payloads that it matches and that it does not.
func TestLeaf(t *testing.T) {
	for _, rule := range []string{"L55", "L56", "C17", "P5"} {
		t.Attr("rule", rule)
	}
	const big = "100000000000000000000000000000000000001"
	for _, c := range []struct {
		leaf    string
		yes, no []string
	}{
		{`["a"]`, []string{`{"x":"a"}`, `{"x":["b","a"]}`, `{"x":[["a"]]}`, `{"x":"\u0061"}`}, []string{`{"x":"A"}`, `{"x":""}`, `{"X":"a"}`, `{}`, `{"x":{"a":1}}`, `{"x":1}`, `[]`, `1`, `null`}},
		{`["a",null,true,1]`, []string{`{"x":"a"}`, `{"x":null}`, `{"x":true}`, `{"x":1.0}`}, []string{`{"x":false}`, `{"x":"null"}`, `{"x":"1"}`, `{"x":[]}`}},
		{`[""]`, []string{`{"x":""}`}, []string{`{"x":" "}`, `{"x":null}`, `{}`}},
		{`[300]`, []string{`{"x":300.0}`, `{"x":3e2}`, `{"x":300}`}, []string{`{"x":"300"}`, `{"x":301}`, `{"x":-300}`}},
		{`[` + big + `]`, []string{`{"x":` + big + `}`}, []string{`{"x":100000000000000000000000000000000000002}`}},
		{`[-0]`, []string{`{"x":0}`, `{"x":-0.0}`}, []string{`{"x":1}`}},
		{`[{"prefix":"ab"}]`, []string{`{"x":"abc"}`, `{"x":"ab"}`}, []string{`{"x":"a"}`, `{"x":"Ab"}`, `{"x":1}`, `{}`}},
		{`[{"prefix":""}]`, []string{`{"x":""}`, `{"x":"a"}`}, []string{`{"x":1}`, `{"x":null}`, `{}`}},
		{`[{"prefix":{"equals-ignore-case":"aB"}}]`, []string{`{"x":"AbC"}`}, []string{`{"x":"bA"}`}},
		{`[{"prefix":{"equals-ignore-case":"\u212a"}}]`, []string{`{"x":"kelvin"}`}, []string{`{"x":"l"}`}},
		{`[{"suffix":"bc"}]`, []string{`{"x":"abc"}`}, []string{`{"x":"bcd"}`}},
		{`[{"suffix":{"equals-ignore-case":"Bc"}}]`, []string{`{"x":"abC"}`}, []string{`{"x":"c"}`}},
		{`[{"equals-ignore-case":"ÄB"}]`, []string{`{"x":"äb"}`}, []string{`{"x":"äbc"}`, `{"x":null}`}},
		{`[{"anything-but":"a"}]`, []string{`{"x":"b"}`, `{"x":1}`, `{"x":null}`, `{"x":["a","b"]}`}, []string{`{"x":"a"}`, `{}`, `{"x":[]}`, `{"x":{}}`}},
		{`[{"anything-but":[1,2]}]`, []string{`{"x":3}`, `{"x":"1"}`}, []string{`{"x":1.0}`, `{"x":2}`}},
		{`[{"anything-but":{"prefix":["a","b"]}}]`, []string{`{"x":"c"}`, `{"x":1}`}, []string{`{"x":"ax"}`, `{"x":"b"}`, `{}`}},
		{`[{"anything-but":{"suffix":"z"}}]`, []string{`{"x":"za"}`}, []string{`{"x":"az"}`}},
		{`[{"anything-but":{"equals-ignore-case":["a","b"]}}]`, []string{`{"x":"ab"}`}, []string{`{"x":"A"}`}},
		{`[{"anything-but":{"wildcard":"*a*"}}]`, []string{`{"x":"b"}`}, []string{`{"x":"bab"}`}},
		{`[{"numeric":[">",0,"<=",5]}]`, []string{`{"x":5}`, `{"x":0.1}`, `{"x":1e-300}`}, []string{`{"x":0}`, `{"x":5.01}`, `{"x":"3"}`, `{"x":null}`, `{"x":1e400}`}},
		{`[{"numeric":["=",1e400]}]`, []string{`{"x":1e999999999}`}, []string{`{"x":1e300}`}},
		{`[{"numeric":["<",` + big + `]}]`, []string{`{"x":100000000000000000000000000000000000000}`, `{"x":-5}`}, []string{`{"x":` + big + `}`}},
		{`[{"exists":true}]`, []string{`{"x":null}`, `{"x":[1]}`, `{"x":""}`}, []string{`{}`, `{"x":{}}`, `{"x":[]}`, `{"x":{"y":1}}`}},
		{`[{"exists":false}]`, []string{`{}`, `{"x":{}}`, `{"x":[]}`, `{"x":{"y":1}}`, `1`}, []string{`{"x":null}`, `{"x":[1]}`}},
		{`["a",{"exists":false}]`, []string{`{}`, `{"x":"a"}`}, []string{`{"x":"b"}`}},
		{`[{"cidr":"10.0.0.0/24"}]`, []string{`{"x":"10.0.0.255"}`}, []string{`{"x":"10.0.1.0"}`, `{"x":"ten"}`, `{"x":"::1"}`, `{"x":1}`}},
		{`[{"cidr":"2001:db8::/32"}]`, []string{`{"x":"2001:db8::5"}`}, []string{`{"x":"2001:db9::"}`}},
		{`[{"wildcard":"a*b*c"}]`, []string{`{"x":"abc"}`, `{"x":"aXbYbZc"}`}, []string{`{"x":"ab"}`, `{"x":"acb"}`, `{"x":"abcd"}`}},
		{`[{"wildcard":"a\\*\\\\*"}]`, []string{`{"x":"a*\\b"}`}, []string{`{"x":"ab\\"}`}},
		{`[{"wildcard":""}]`, []string{`{"x":""}`}, []string{`{"x":"a"}`}},
	} {
		s := compile(t, `{"data":{"x":`+c.leaf+`}}`)
		for _, data := range c.yes {
			if !s.Match(source(), record(data)) {
				t.Errorf("%s does not match %s", c.leaf, data)
			}
		}
		for _, data := range c.no {
			if s.Match(source(), record(data)) {
				t.Errorf("%s matches %s", c.leaf, data)
			}
		}
	}
}

// Each row is a whole pattern.
func TestPattern(t *testing.T) {
	for _, rule := range []string{"L55", "L56", "L57", "L58", "C16", "C17"} {
		t.Attr("rule", rule)
	}
	deep := strings.Repeat(`[`, 10_001) + strings.Repeat(`]`, 10_001)
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{`{"data":{"a":["1"],"b":["2"]}}`, []string{` {"b":"2", "a" : "1","c":[{}]} `, `[{"a":"1","b":"2"}]`}, []string{`{"a":"1"}`, `{"a":"2","b":"2"}`, `[{"a":"1"},{"b":"2"}]`}},
		{`{"data":{"a":{"b":["x"]}}}`, []string{`{"a":{"b":"x"}}`, `{"a.b":"x"}`, `{"a":[{"b":"y"},{"b":"x"}]}`, `{"a":[[{"b":"x"}]]}`}, []string{`{"a":"x"}`, `{"a":{"b":{"c":"x"}}}`}},
		{`{"data":{"a.b":["x"]}}`, []string{`{"a":{"b":"x"}}`, `{"a.b":"x"}`}, []string{`{"ab":"x"}`}},
		{`{"data.a":["x"]}`, []string{`{"a":"x"}`}, []string{`{"a":"y"}`}},
		{`{"data":{"a.b.c":["x"]}}`, []string{`{"a":{"b":{"c":"x"}}}`, `{"a.b":{"c":"x"}}`, `{"a":{"b.c":"x"}}`, `{"a.b.c":"x"}`}, []string{`{"a.b":"x"}`}},
		{`{"data":{"a":{"b":["x"],"c":[{"exists":false}]}}}`, []string{`{"a":[{"b":"x"},{"d":1}]}`, `{"a":{"b":"x"}}`}, []string{`{"a":[{"b":"x"},{"c":1}]}`, `{"a":[{"b":"x","c":1}]}`}},
		{`{"data":{"a":{"b":[{"exists":false}]}}}`, []string{`{}`, `{"a":1}`, `{"a":[]}`, `{"a":[1]}`, `[{"a":{"c":1}}]`}, []string{`{"a":{"b":1}}`, `{"a.b":1}`, `[{"a":{"b":1}},{}]`}},
		{`{"data":{"$or":[{"a":["1"]},{"b":["2"]}],"c":["3"]}}`, []string{`{"a":"1","c":"3"}`, `{"b":"2","c":"3"}`}, []string{`{"c":"3"}`, `{"a":"1"}`}},
		{`{"$or":[{"data":{"a":[1]}},{"partitionKey":["customer-17"]}]}`, []string{`{}`, `not JSON`}, nil},
		{`{"data":{"a":["1"],"a":["2"]}}`, []string{`{"a":"2"}`}, []string{`{"a":"1"}`}},
		{`{"data":{"a":["2"]}}`, []string{`{"a":"1","a":"2"}`}, []string{`{"a":"2","a":"1"}`}},
		{`{"data":{"a":[{"exists":false}]}}`, []string{`{}`, `"text"`}, []string{``, ` `, `{`, `{}x`, `not JSON`, `{"b":01}`, `{"b":"` + "\x01" + `"}`, `{"b":"\x"}`, `[1,]`, `{"b":1,}`, deep}},
		{`{"partitionKey":[{"prefix":"customer-"}]}`, []string{`not JSON`, ``}, nil},
		{`{"approximateArrivalTimestamp":[1772719618.25],"eventID":["shardId-000000000007:4967"],"awsRegion":["eu-west-1"],` +
			`"sequenceNumber":["4967"],"kinesisSchemaVersion":["1.0"],"eventVersion":["1.0"],"eventName":["aws:kinesis:record"],` +
			`"eventSource":["aws:kinesis"],"invokeIdentityArn":[{"suffix":"/billing"}],"eventSourceARN":[{"suffix":"/orders"}]}`, []string{``}, nil},
		{`{"approximateArrivalTimestamp":[{"numeric":[">",1772719618.25]}]}`, nil, []string{``}},
		{`{"partitionkey":["customer-17"]}`, nil, []string{``}},
		{`{"partitionkey":[{"exists":false}],"partitionKey":{"x":[{"exists":false}]}}`, []string{``}, nil},
	} {
		s := compile(t, c.pattern)
		for _, data := range c.yes {
			if !s.Match(source(), record(data)) {
				t.Errorf("%s does not match %.60s", c.pattern, data)
			}
		}
		for _, data := range c.no {
			if r := record(data); s.Match(source(), r) || string(r.Data) != data {
				t.Errorf("%s matches %.60s", c.pattern, data)
			}
		}
	}
	or := compile(t, `{"partitionKey":["no"]}`, `{"data":{"a":[1]}}`)
	if !or.Match(source(), record(`{"a":1}`)) || or.Match(source(), record(`{"a":2}`)) || or.Len() != 2 {
		t.Error("patterns are not alternatives")
	}
	if !compile(t).Match(source(), record(`x`)) {
		t.Error("no pattern filters a record out")
	}
	if got := compile(t, `{"Data":{"a":[1]},"partitionKey":["a"],"$or":[{"zone":["a"]},{"Data":["a"]}]}`).Unknown(); fmt.Sprint(got) != "[Data zone]" {
		t.Errorf("unknown keys %v", got)
	}
}

func TestInvalid(t *testing.T) {
	for _, rule := range []string{"L12", "L55", "L57", "C17"} {
		t.Attr("rule", rule)
	}
	leaf := func(l string) string { return `{"data":{"x":` + l + `}}` }
	for pattern, at := range map[string]string{
		``: "", `{`: "", `[]`: "", `"a"`: "", `null`: "", `{} {}`: "", `{}`: "",
		`{"data":["a"]}`: "data", `{"data":"a"}`: "data", `{"data":{}}`: "data", `{"data":null}`: "data",
		`{"$or":[{"data":["a"]},{"partitionKey":["a"]}]}`: "data",
		`{"partitionKey":"a"}`:                            "partitionKey", `{"partitionKey":[]}`: "partitionKey",
		`{"$or":[{"partitionKey":["a"]}]}`: "$or", `{"$or":{"a":["a"]}}`: "$or", `{"$or":["a","b"]}`: "$or[0]",
		leaf(`"a"`): "data.x", leaf(`1`): "data.x", leaf(`true`): "data.x", leaf(`null`): "data.x", leaf(`[]`): "data.x", leaf(`{}`): "data.x",
		leaf(`[["a"]]`): "data.x[0]", leaf(`["a",{}]`): "data.x[1]", leaf(`[{"prefix":"a","suffix":"b"}]`): "data.x[0]",
		leaf(`[{"Prefix":"a"}]`): "data.x[0].Prefix", leaf(`[{"prefix":1}]`): "data.x[0].prefix", leaf(`[{"suffix":{"prefix":"a"}}]`): "data.x[0].suffix",
		leaf(`[{"equals-ignore-case":["a"]}]`): "data.x[0].equals-ignore-case", leaf(`[{"exists":"true"}]`): "data.x[0].exists",
		leaf(`[{"anything-but":null}]`): "data.x[0].anything-but", leaf(`[{"anything-but":true}]`): "data.x[0].anything-but",
		leaf(`[{"anything-but":[]}]`): "data.x[0].anything-but", leaf(`[{"anything-but":["a",1]}]`): "data.x[0].anything-but",
		leaf(`[{"anything-but":[null]}]`): "data.x[0].anything-but", leaf(`[{"anything-but":{"cidr":"10.0.0.0/8"}}]`): "data.x[0].anything-but",
		leaf(`[{"anything-but":{"prefix":""}}]`): "data.x[0].anything-but.prefix", leaf(`[{"anything-but":{"suffix":["a",""]}}]`): "data.x[0].anything-but.suffix",
		leaf(`[{"anything-but":{"prefix":{"equals-ignore-case":"a"}}}]`): "data.x[0].anything-but.prefix", leaf(`[{"anything-but":{"wildcard":[]}}]`): "data.x[0].anything-but.wildcard",
		leaf(`[{"anything-but":{"wildcard":"**"}}]`): "data.x[0].anything-but.wildcard", leaf(`[{"numeric":5}]`): "data.x[0].numeric",
		leaf(`[{"numeric":[]}]`): "data.x[0].numeric", leaf(`[{"numeric":[">"]}]`): "data.x[0].numeric", leaf(`[{"numeric":["!=",5]}]`): "data.x[0].numeric[0]",
		leaf(`[{"numeric":[">","5"]}]`): "data.x[0].numeric[1]", leaf(`[{"numeric":["<",5,">",1]}]`): "data.x[0].numeric", leaf(`[{"numeric":[">",5,"<",5]}]`): "data.x[0].numeric",
		leaf(`[{"numeric":[">",1,"=",5]}]`): "data.x[0].numeric", leaf(`[{"numeric":[" ",1]}]`): "data.x[0].numeric[0]",
		leaf(`[{"cidr":"10.0.0.0"}]`): "data.x[0].cidr", leaf(`[{"cidr":"10.0.0.0/33"}]`): "data.x[0].cidr", leaf(`[{"cidr":10}]`): "data.x[0].cidr",
		leaf(`[{"wildcard":"a**b"}]`): "data.x[0].wildcard", leaf(`[{"wildcard":"a\\b"}]`): "data.x[0].wildcard", leaf(`[{"wildcard":"a\\"}]`): "data.x[0].wildcard",
		leaf(`["` + strings.Repeat("a", 4096) + `"]`): "",
	} {
		_, err := filter.Compile(`{"partitionKey":["a"]}`, pattern)
		var e *filter.Error
		if !errors.As(err, &e) || e.Pattern != 1 || e.Path != at || e.Reason == "" || !strings.HasPrefix(err.Error(), "Invalid filter pattern definition. ") {
			t.Errorf("%.80s: %v at %q, want an error at %q", pattern, err, e, at)
		}
	}
	if _, err := filter.Compile(make([]string, 11)...); err == nil || strings.Count(err.Error(), "Invalid filter pattern definition.") != 12 {
		t.Errorf("11 empty patterns: %v", err)
	}
}

func Example() {
	set, err := filter.Compile(`{"data": {"type": ["order"], "amount": [{"numeric": [">", 100]}]}}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, data := range []string{`{"type": "order", "amount": 250}`, `{"type": "order", "amount": 99.5}`, `not JSON`} {
		fmt.Println(set.Match(&batch.Source{}, &batch.Record{Data: []byte(data)}))
	}
	_, err = filter.Compile(`{"data": {"amount": [{"numeric": [">", "100"]}]}}`)
	fmt.Println(err)
	// Output:
	// true
	// false
	// false
	// Invalid filter pattern definition. Pattern 1 at data.amount[0].numeric[1]: want a number
}

// payload has 500 bytes, with the fields of the pattern in the middle and at the end.
func payload() string {
	const ends = `,"type":"order","tags":["a","b"],"customer":{"id":17,"name":"Alice"},"amount":250.5}`
	return `{"text":"` + strings.Repeat("x", 500-len(`{"text":""`)-len(ends)) + `"` + ends
}

const twoFields = `{"data":{"type":["order"],"amount":[{"numeric":[">",100,"<=",1000]}]}}`

func TestMatchAllocatesNothing(t *testing.T) {
	s, src, r := compile(t, twoFields), source(), record(payload())
	if n := testing.AllocsPerRun(100, func() {
		if !s.Match(src, r) {
			t.Error("no match")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMatch(b *testing.B) {
	s, src, r := compile(b, twoFields), source(), record(payload())
	b.SetBytes(int64(len(r.Data)))
	b.ReportAllocs()
	for b.Loop() {
		s.Match(src, r)
	}
}
