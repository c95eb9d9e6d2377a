package filter_test

import (
	"errors"
	"fmt"
	"slices"
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
		{`["a"]`, []string{`{"x":"a"}`, `{"x":["b","a"]}`, `{"x":[["a"]]}`, `{"x":"\u0061"}`, `{"\u0078":"a"}`}, []string{`{"x":"A"}`, `{"x":""}`, `{"X":"a"}`, `{}`, `{"x":{"a":1}}`, `{"x":1}`, `[]`, `1`, `null`}},
		{`["a",null,true,1]`, []string{`{"x":"a"}`, `{"x":null}`, `{"x":true}`, `{"x":1.0}`}, []string{`{"x":false}`, `{"x":"null"}`, `{"x":"1"}`, `{"x":[]}`}},
		{`["\ud83d\ude00 \"\/\n"]`, []string{`{"x":"😀 \u0022/\u000A"}`, `{"x":"\uD83D\uDE00 \"\/\n"}`}, []string{`{"x":"\ud83d"}`}},
		{`["\ufffd"]`, []string{"{\"x\":\"\xff\"}", `{"x":"\ud83d"}`, `{"x":"\ude00"}`}, []string{"{\"x\":\"\xff\xfe\"}", `{"x":"?"}`}},
		{`[true]`, []string{`{"x":true}`}, []string{`{"x":false}`, `{"x":"true"}`, `{"x":1}`}},
		{`[""]`, []string{`{"x":""}`}, []string{`{"x":" "}`, `{"x":null}`, `{}`}},
		{`[300]`, []string{`{"x":300.0}`, `{"x":3e2}`, `{"x":300}`}, []string{`{"x":"300"}`, `{"x":301}`, `{"x":-300}`}},
		{`[` + big + `]`, []string{`{"x":` + big + `}`}, []string{`{"x":100000000000000000000000000000000000002}`}},
		{`[-0]`, []string{`{"x":0}`, `{"x":-0.0}`}, []string{`{"x":1}`}},
		{`[{"prefix":"ab"}]`, []string{`{"x":"abc"}`, `{"x":"ab"}`}, []string{`{"x":"a"}`, `{"x":"Ab"}`, `{"x":1}`, `{}`}},
		{`[{"prefix":""}]`, []string{`{"x":""}`, `{"x":"a"}`}, []string{`{"x":1}`, `{"x":null}`, `{}`}},
		{`[{"prefix":{"equals-ignore-case":"aB"}}]`, []string{`{"x":"AbC"}`}, []string{`{"x":"bA"}`}},
		{`[{"prefix":{"equals-ignore-case":"\u212a"}}]`, []string{`{"x":"kelvin"}`}, []string{`{"x":"l"}`, `{"x":""}`}},
		{`[{"prefix":{"equals-ignore-case":""}}]`, []string{`{"x":""}`, `{"x":"a"}`}, []string{`{"x":1}`}},
		{`[{"suffix":"bc"}]`, []string{`{"x":"abc"}`}, []string{`{"x":"bcd"}`}},
		{`[{"suffix":{"equals-ignore-case":"Bc"}}]`, []string{`{"x":"abC"}`}, []string{`{"x":"c"}`}},
		{`[{"equals-ignore-case":"ÄB"}]`, []string{`{"x":"äb"}`}, []string{`{"x":"äbc"}`, `{"x":null}`}},
		{`[{"anything-but":"a"}]`, []string{`{"x":"b"}`, `{"x":1}`, `{"x":null}`, `{"x":["a","b"]}`}, []string{`{"x":"a"}`, `{}`, `{"x":[]}`, `{"x":{}}`}},
		{`[{"anything-but":[1,2]}]`, []string{`{"x":3}`, `{"x":"1"}`}, []string{`{"x":1.0}`, `{"x":2}`}},
		{`[{"anything-but":{"prefix":["a","b"]}}]`, []string{`{"x":"c"}`, `{"x":1}`}, []string{`{"x":"ax"}`, `{"x":"b"}`, `{}`}},
		{`[{"anything-but":{"suffix":"z"}}]`, []string{`{"x":"za"}`}, []string{`{"x":"az"}`}},
		{`[{"anything-but":{"equals-ignore-case":["a","b"]}}]`, []string{`{"x":"ab"}`}, []string{`{"x":"A"}`}},
		{`[{"anything-but":{"equals-ignore-case":""}}]`, []string{`{"x":"a"}`}, []string{`{"x":""}`}},
		{`[{"anything-but":{"wildcard":["*a*","b"]}}]`, []string{`{"x":"bb"}`, `{"x":null}`, `{"x":true}`}, []string{`{"x":"xax"}`, `{"x":"b"}`, `{}`, `{"x":{}}`}},
		{`[{"anything-but":{"wildcard":"*a*"}}]`, []string{`{"x":"b"}`}, []string{`{"x":"bab"}`}},
		{`[{"numeric":[">",0,"<=",5]}]`, []string{`{"x":5}`, `{"x":0.1}`, `{"x":1e-300}`}, []string{`{"x":0}`, `{"x":5.01}`, `{"x":"3"}`, `{"x":null}`, `{"x":1e400}`}},
		{`[12345678901234567891]`, []string{`{"x":12345678901234567891.00}`, `{"x":1234567890123456789.1e1}`, `{"x":0.012345678901234567891e21}`}, []string{`{"x":0.012345678901234567892e21}`, `{"x":12345678901234567890.0}`}},
		{`[0.3]`, []string{`{"x":0.30000000000000001}`, `{"x":3e-1}`}, []string{`{"x":0.31}`, `{"x":-0.3}`}},
		{`[{"numeric":["=",1e400]}]`, []string{`{"x":10e399}`, `{"x":1` + strings.Repeat("0", 400) + `}`}, []string{`{"x":1e300}`, `{"x":1e401}`, `{"x":1e999999999}`, `{"x":-1e400}`}},
		{`[{"numeric":[">",1e999999998,"<=",1e999999999]}]`, []string{`{"x":1e999999999}`, `{"x":9.5e999999998}`}, []string{`{"x":1e999999998}`, `{"x":1.1e999999999}`, `{"x":1e99999999999999999999}`, `{"x":1e-999999999}`}},
		{`[{"numeric":["=",0]}]`, []string{`{"x":0e999999999}`, `{"x":-0.00E-5}`}, []string{`{"x":1e-300}`}},
		{`[{"numeric":["<",` + big + `]}]`, []string{`{"x":100000000000000000000000000000000000000}`, `{"x":-5}`}, []string{`{"x":` + big + `}`}},
		{`[{"exists":true}]`, []string{`{"x":null}`, `{"x":[1]}`, `{"x":""}`}, []string{`{}`, `{"x":{}}`, `{"x":[]}`, `{"x":{"y":1}}`}},
		{`[{"exists":false}]`, []string{`{}`, `{"x":{}}`, `{"x":[]}`, `{"x":{"y":1}}`, `1`}, []string{`{"x":null}`, `{"x":[1]}`}},
		{`["a",{"exists":false}]`, []string{`{}`, `{"x":"a"}`}, []string{`{"x":"b"}`}},
		{`[{"cidr":"10.0.0.0/24"}]`, []string{`{"x":"10.0.0.255"}`}, []string{`{"x":"10.0.1.0"}`, `{"x":"ten"}`, `{"x":"::1"}`, `{"x":1}`}},
		{`[{"cidr":"10.0.0.7/8"}]`, []string{`{"x":"10.255.0.0"}`, `{"x":"::ffff:10.1.2.3"}`}, []string{`{"x":"11.0.0.0"}`, `{"x":"010.0.0.1"}`, `{"x":""}`}},
		{`[{"cidr":"::ffff:10.0.0.0/104"}]`, []string{`{"x":"::ffff:10.1.2.3"}`}, []string{`{"x":"::ffff:11.0.0.0"}`}},
		{`[{"cidr":"2001:db8::/32"}]`, []string{`{"x":"2001:db8::5"}`}, []string{`{"x":"2001:db9::"}`}},
		{`[{"wildcard":"a*b*c"}]`, []string{`{"x":"abc"}`, `{"x":"aXbYbZc"}`}, []string{`{"x":"ab"}`, `{"x":"acb"}`, `{"x":"abcd"}`}},
		{`[{"wildcard":"a\\*\\\\*"}]`, []string{`{"x":"a*\\b"}`}, []string{`{"x":"ab\\"}`}},
		{`[{"wildcard":"*"}]`, []string{`{"x":""}`, `{"x":"ab"}`}, []string{`{"x":1}`, `{"x":null}`}},
		{`[{"wildcard":"\\**"}]`, []string{`{"x":"*"}`, `{"x":"*a"}`}, []string{`{"x":"a*"}`}},
		{`[{"wildcard":"ab*ba"}]`, []string{`{"x":"abba"}`}, []string{`{"x":"aba"}`}},
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
	for _, rule := range []string{"L55", "L56", "L57", "L58", "C16", "C17", "C31"} {
		t.Attr("rule", rule)
	}
	nested := func(depth int) string { return strings.Repeat(`[`, depth) + strings.Repeat(`]`, depth) }
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{`{"data":{"a":["1"],"b":["2"]}}`, []string{` {"b":"2", "a" : "1","c":[{}]} `, `[{"a":"1","b":"2"}]`}, []string{`{"a":"1"}`, `{"a":"2","b":"2"}`, `[{"a":"1"},{"b":"2"}]`}},
		{`{"data":{"a":{"b":["x"]}}}`, []string{`{"a":{"b":"x"}}`, `{"a.b":"x"}`, `{"a":[{"b":"y"},{"b":"x"}]}`, `{"a":[[{"b":"x"}]]}`}, []string{`{"a":"x"}`, `{"a":{"b":{"c":"x"}}}`}},
		{`{"data":{"a.b":["x"]}}`, []string{`{"a":{"b":"x"}}`, `{"a.b":"x"}`}, []string{`{"ab":"x"}`}},
		{`{"data.a":["x"]}`, []string{`{"a":"x"}`}, []string{`{"a":"y"}`}},
		{`{"data":{"a.b":["x"],"a.c":["y"]}}`, []string{`{"a":{"b":"x","c":"y"}}`, `{"a":[{},{"b":"x","c":"y"}]}`, `{"a.b":"x","a":{"c":"y"}}`}, []string{`{"a":[{"b":"x"},{"c":"y"}]}`}},
		{`{"data.a":["x"],"data":{"b":["y"]}}`, []string{`[{"a":"x","b":"y"}]`}, []string{`[{"a":"x"},{"b":"y"}]`}},
		{`{"data":{"a.b":["x"],"a":{"b":["y"]}}}`, []string{`{"a":{"b":"y"}}`}, []string{`{"a":{"b":"x"}}`}},
		{`{"data":{"a":["x"],"a.b":["y"]}}`, []string{`{"a":["x",{"b":"y"}]}`, `{"a":"x","a.b":"y"}`}, []string{`{"a":"x"}`, `{"a":{"b":"y"}}`}},
		{`{"data":{"a.$or":[{"b":["x"]},{"c":["y"]}]}}`, []string{`{"a":{"b":"x"}}`, `{"a":[{"c":"y"}]}`}, []string{`{"a":{}}`, `{"b":"x"}`}},
		{`{"data":{"a":{"b":["x"]}}}`, []string{`{"a\u002eb":"x"}`, `{"a":[1],"a.b":"x"}`, `{"a.b":"y","a":{"b":"x"}}`}, []string{`{"a":"{\"b\":\"x\"}"}`, `{"a":{"b":"x"},"a":{}}`}},
		{`{"data":{"a":{"b":[{"exists":false}]}}}`, []string{`{"a":[{"b":1,"b":[]}]}`, `{"a":[[[]],[{}]]}`, `{"a":[{"b":{"c":1}}]}`}, []string{`{"a":[{"c":1}],"a.b":1}`, `[{"a":[1],"a.b":1},{}]`, `{"a":[{},[[{"b":[[null]]}]]]}`}},
		{`{"data":{"a.b.c":["x"]}}`, []string{`{"a":{"b":{"c":"x"}}}`, `{"a.b":{"c":"x"}}`, `{"a":{"b.c":"x"}}`, `{"a.b.c":"x"}`}, []string{`{"a.b":"x"}`}},
		{`{"data":{"a":{"b":["x"],"c":[{"exists":false}]}}}`, []string{`{"a":[{"b":"x"},{"d":1}]}`, `{"a":{"b":"x"}}`}, []string{`{"a":[{"b":"x"},{"c":1}]}`, `{"a":[{"b":"x","c":1}]}`}},
		{`{"data":{"a":{"b":[{"exists":false}]}}}`, []string{`{}`, `{"a":1}`, `{"a":[]}`, `{"a":[1]}`, `[{"a":{"c":1}}]`}, []string{`{"a":{"b":1}}`, `{"a.b":1}`, `[{"a":{"b":1}},{}]`}},
		{`{"data":{"$or":[{"a":["1"]},{"b":["2"]}],"c":["3"]}}`, []string{`{"a":"1","c":"3"}`, `{"b":"2","c":"3"}`}, []string{`{"c":"3"}`, `{"a":"1"}`}},
		{`{"data":{"a":["1"],"$or":[{"a":["2"]},{"b":["2"]}]}}`, []string{`{"a":"2"}`, `{"a":"1","b":"2"}`}, []string{`{"a":"1"}`, `{"b":"2"}`, `{"a":"3","b":"2"}`}},
		{`{"data":{"$or":[{"a":["2"]},{"b":["2"]}],"a":["1"]}}`, []string{`{"a":"1"}`, `{"a":"1","b":"3"}`}, []string{`{"a":"2"}`, `{"b":"2"}`, `{"a":"2","b":"2"}`}},
		{`{"data":{"a":["1"]},"$or":[{"data":{"a":["2"]}},{"data.b":["2"]}]}`, []string{`{"a":"2"}`, `{"a":"1","b":"2"}`}, []string{`{"a":"1"}`, `{"b":"2"}`}},
		{`{"data":{"x":{"a":["1"],"c":["3"]},"$or":[{"x.a":["2"]},{"x":{"b":["2"]}}]}}`, []string{`{"x":{"a":"2","c":"3"}}`, `{"x":{"a":"1","b":"2","c":"3"}}`}, []string{`{"x":{"a":"2"}}`, `{"x":{"a":"1","c":"3"}}`}},
		{`{"data":{"x":{"a":["1"]},"$or":[{"x":{"b":["2"]}},{"x":{"c":["2"]}}]}}`, []string{`{"x":[{"a":"1","b":"2"}]}`}, []string{`{"x":[{"a":"1"},{"b":"2"}]}`}},
		{`{"data":{"a":["1"],"$or":[{"b":["1"],"$or":[{"a":["2"]},{"b":["2"]}]},{"c":["1"]}]}}`, []string{`{"a":"2","b":"1"}`, `{"a":"1","b":"2"}`, `{"a":"1","c":"1"}`}, []string{`{"a":"1","b":"1"}`, `{"a":"2","b":"2"}`, `{"c":"1"}`}},
		{`{"data":{"x":{"$or":[{"a":["1"]},{"b":["1"]}]},"$or":[{"x.a":["2"]},{"x.c":["2"]}]}}`, []string{`{"x":{"a":"2"}}`, `{"x":{"a":"2","b":"1"}}`, `{"x":{"a":"1","c":"2"}}`, `{"x":{"b":"1","c":"2"}}`}, []string{`{"x":{"a":"1"}}`, `{"x":{"c":"2"}}`, `{"x":{"b":"1"}}`}},
		{`{"data":{"$or":[{"$or":[{"a":["1"]},{"b":["1"]}]},{"c":["1"]}],"a":["2"]}}`, []string{`{"a":"2"}`, `{"a":"2","c":"3"}`}, []string{`{"a":"1"}`, `{"b":"1"}`, `{"c":"1"}`}},
		{`{"partitionKey":["no"],"$or":[{"partitionKey":["customer-17"]},{"data":{"a":["1"]}}]}`, []string{`{"a":"2"}`, `not JSON`}, nil},
		{`{"partitionKey":["no"],"$or":[{"sequenceNumber":["4967"]},{"data":{"a":["1"]}}]}`, nil, []string{`{"a":"1"}`, `not JSON`}},
		{`{"$or":[{"data":{"a":[1]}},{"partitionKey":["customer-17"]}]}`, []string{`{}`, `not JSON`}, nil},
		{`{"data":{"a":["1"],"a":["2"]}}`, []string{`{"a":"2"}`}, []string{`{"a":"1"}`}},
		{`{"kinesis":{"data":{"a":["2"]}}}`, nil, []string{`{"a":"2"}`}},
		{`{"data":{"a":["2"]}}`, []string{`{"a":"1","a":"2"}`}, []string{`{"a":"2","a":"1"}`}},
		{`{"data":{"a":[{"exists":false}]}}`, []string{`{}`, `"text"`, ` 1 `, nested(10_000), "{\"b\":\"\xff\"}"}, []string{``, ` `, `{`, `{}x`, `not JSON`, `{"b":01}`, `{"b":"` + "\x01" + `"}`, `{"b":"\x"}`, `[1,]`, `{"b":1,}`, nested(10_001), "{}\xff"}},
		{`{"partitionKey":[{"prefix":"customer-"}]}`, []string{`not JSON`, ``}, nil},
		{`{"approximateArrivalTimestamp":[{"numeric":[">",1772719618.25]}]}`, nil, []string{``}},
		{`{"partitionkey":["customer-17"]}`, nil, []string{``}},
		{`{"partitionkey":[{"exists":false}],"partitionKey":{"x":[{"exists":false}]}}`, []string{``}, nil},
	} {
		s := compile(t, c.pattern)
		for _, data := range c.yes {
			if r := record(data); !s.Match(source(), r) || string(r.Data) != data {
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
	if got := compile(t, `{"Data":{"a":[1]},"partitionKey":["a"],"$or":[{"zone":["a"]},{"Data":["a"]}]}`).Unknown(); fmt.Sprint(got) != "[Data zone]" {
		t.Errorf("unknown keys %v", got)
	}
}

// Each key of a record but data, with its value. A pattern with all of them allocates nothing.
func TestMetadata(t *testing.T) {
	for _, rule := range []string{"L57", "C16"} {
		t.Attr("rule", rule)
	}
	var all []string
	for key, value := range map[string]string{
		"partitionKey": `"customer-17"`, "sequenceNumber": `"4967"`, "kinesisSchemaVersion": `"1.0"`,
		"approximateArrivalTimestamp": `1772719618.25`, "eventSource": `"aws:kinesis"`, "eventVersion": `"1.0"`,
		"eventID": `"shardId-000000000007:4967"`, "eventName": `"aws:kinesis:record"`,
		"invokeIdentityArn": `"arn:aws:iam::123456789012:role/billing"`, "awsRegion": `"eu-west-1"`,
		"eventSourceARN": `"arn:aws:kinesis:eu-west-1:123456789012:stream/orders"`,
	} {
		all = append(all, fmt.Sprintf("%q:[%s]", key, value))
		for leaf, want := range map[string]bool{
			"[" + value + "]": true, `[{"exists":true}]`: true, `[{"exists":false}]`: false, `[{"anything-but":` + value + `}]`: false,
			`{"x":[{"exists":false}]}`: true, `{"x":[{"exists":true}]}`: false,
		} {
			s := compile(t, fmt.Sprintf("{%q:%s}", key, leaf))
			if got := s.Match(source(), record("not JSON")); got != want || len(s.Unknown()) > 0 {
				t.Errorf("%s: %s: matched %t, unknown %q", key, leaf, got, s.Unknown())
			}
		}
	}
	s, src, r := compile(t, "{"+strings.Join(all, ",")+"}"), source(), record("")
	if n := testing.AllocsPerRun(100, func() {
		if !s.Match(src, r) {
			t.Error("no match")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A record without a partition key, or without a time of arrival, has null there: present, and equal to null only.
func TestAbsentMetadata(t *testing.T) {
	for _, rule := range []string{"C26", "C27"} {
		t.Attr("rule", rule)
	}
	for _, key := range []string{"partitionKey", "approximateArrivalTimestamp"} {
		for leaf, want := range map[string]bool{
			`[null]`: true, `[{"exists":true}]`: true, `[{"anything-but":"a"}]`: true, `[{"anything-but":[0]}]`: true,
			`[""]`: false, `["null"]`: false, `[0]`: false, `[{"exists":false}]`: false, `[{"prefix":""}]`: false,
			`[{"numeric":["<",1]}]`: false, `[{"wildcard":"*"}]`: false, `[{"anything-but":{"prefix":"a"}}]`: true,
		} {
			s := compile(t, fmt.Sprintf("{%q:%s}", key, leaf))
			if got := s.Match(source(), &batch.Record{SequenceNumber: "4967"}); got != want {
				t.Errorf("%s: %s: matched %t", key, leaf, got)
			}
			if leaf == `[null]` && s.Match(source(), record("")) {
				t.Errorf("%s: null matches a value", key)
			}
		}
	}
}

// A partition key that is not UTF-8, as an aggregate may hold one, is for filters what it is in the event.
func TestMetadataIsText(t *testing.T) {
	t.Attr("rule", "C16")
	r := &batch.Record{SequenceNumber: "4967", PartitionKey: "a\xffb"}
	for leaf, want := range map[string]bool{
		`["a\ufffdb"]`: true, `[{"prefix":"a\ufffd"}]`: true, `[{"equals-ignore-case":"A\ufffdB"}]`: true, `[{"wildcard":"*\ufffd*"}]`: true,
		`[{"anything-but":"a\ufffdb"}]`: false,
	} {
		if got := compile(t, `{"partitionKey":`+leaf+`}`).Match(source(), r); got != want {
			t.Errorf("%s: matched %t", leaf, got)
		}
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
		leaf(`[{"Prefix":"a"}]`): "data.x[0].Prefix", leaf(`[{"prefix":1}]`): "data.x[0].prefix", leaf(`[{"suffix":["a"]}]`): "data.x[0].suffix", leaf(`[{"prefix":{"equals-ignore-case":1}}]`): "data.x[0].prefix.equals-ignore-case",
		`{"$or.a":["a"]}`: "$or.a", leaf(`{"y.$or":[{"a":["a"]}]}`): "data.x.y.$or", leaf(`{"y":{"$or":[{"a":["a"]},{}]}}`): "data.x.y.$or[1]", `{"data.a":"x"}`: "data.a", `{"data":{"a":["x"]}}x`: "",
		`{"data.a":["x"],"data":["y"]}`: "data", leaf(`[{"exists":null}]`): "data.x[0].exists", leaf(`[{"wildcard":null}]`): "data.x[0].wildcard",
		leaf(`[{"anything-but":{}}]`): "data.x[0].anything-but", leaf(`[{"anything-but":{"wildcard":["a",1]}}]`): "data.x[0].anything-but.wildcard", leaf(`[{"anything-but":{"prefix":"a","suffix":"b"}}]`): "data.x[0].anything-but",
		leaf(`[{"numeric":[">",1,"<",2,"<",3]}]`): "data.x[0].numeric", leaf(`[{"numeric":[">",1,">",2]}]`): "data.x[0].numeric", leaf(`[{"numeric":[1,2]}]`): "data.x[0].numeric[0]", leaf(`[{"numeric":null}]`): "data.x[0].numeric",
		leaf(`[{"numeric":[">",1,"<",2e0,"x"]}]`): "data.x[0].numeric", leaf(`[{"numeric":[">",1e400,"<",1e399]}]`): "data.x[0].numeric", leaf(`[{"cidr":"fe80::1%eth0/64"}]`): "data.x[0].cidr", leaf(`[{"suffix":{"prefix":"a"}}]`): "data.x[0].suffix",
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
}

// Nested alternatives of the same fields multiply when they are written out. Up to a bound they are, quickly; beyond it the
// pattern is not valid.
func TestWrittenOut(t *testing.T) {
	t.Attr("rule", "C31")
	nested := func(depth int) string {
		p := `{"a":[0],"$or":[{"x":[0]},{"y":[0]}]}`
		for i := range depth {
			p = fmt.Sprintf(`{"p":{"$or":[{"x":[%d]},{"y":[%d]}]},"$or":[%s,{"p":{"y":[%d],"$or":[{"x":[%d]},{"z":[%[1]d]}]}}]}`, i, i, p, i, i)
		}
		return `{"data":` + p + `}`
	}
	if s := compile(t, nested(5)); !s.Match(source(), record(`{"p":{"x":4,"z":4,"y":4}}`)) || s.Match(source(), record(`{"p":{"x":4}}`)) {
		t.Error("five levels are not matched")
	}
	_, err := filter.Compile(nested(20))
	var e *filter.Error
	if !errors.As(err, &e) || !strings.Contains(e.Reason, "10000 fields") {
		t.Errorf("twenty levels: %v", err)
	}
	var wide strings.Builder // a hundred alternatives that do not meet stay beside each other
	for i := range 100 {
		fmt.Fprintf(&wide, `"k%d":{"$or":[{"a":[1]},{"b":[1]}]},`, i)
	}
	compile(t, `{"data":{`+wide.String()+`"k":[1]}}`)
}

// Limits are inclusive, and each bad pattern has its error.
func TestLimits(t *testing.T) {
	for _, rule := range []string{"L12", "L55"} {
		t.Attr("rule", rule)
	}
	longest := `{"partitionKey":["` + strings.Repeat("é", 4096-len(`{"partitionKey":[""]}`)) + `"]}`
	ten := slices.Repeat([]string{longest}, 10)
	if s := compile(t, ten...); s.Len() != 10 || s.Match(source(), record("")) {
		t.Errorf("%d patterns", s.Len())
	}
	_, err := filter.Compile(append(ten, longest)...)
	if err == nil || strings.Count(err.Error(), "Invalid filter pattern definition. Pattern 11: there are 11") != 1 {
		t.Errorf("11 patterns: %v", err)
	}
	_, err = filter.Compile(longest+" ", longest, "{}")
	want := "Invalid filter pattern definition. Pattern 1: it has 4097 characters: want at most 4096\n" +
		"Invalid filter pattern definition. Pattern 3: an object without keys"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if s := compile(t, []string(nil)...); s.Len() != 0 || s.Unknown() != nil || !s.Match(source(), record("x")) {
		t.Error("no pattern filters a record out")
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
