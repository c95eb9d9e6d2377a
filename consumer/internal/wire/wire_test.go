package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go/middleware"

	"github.com/shardlane/shardlane/consumer/internal/wire"
)

// An answer is what a service sends.
type answer struct {
	body   []byte
	err    error // behind the body, in place of its end
	kind   string
	status int         // 0: 200
	header http.Header // besides the content type
	length int64       // as the header has it; 0: that of the body
	pieces int         // bytes in a Read; 0: all that there is room for
}

const jsonKind = "application/x-amz-json-1.1"

func text(s string) answer { return answer{body: []byte(s), kind: jsonKind} }

// Do implements the SDK's HTTP client.
func (a answer) Do(r *http.Request) (*http.Response, error) {
	h := http.Header{"Content-Type": {a.kind}, "X-Amzn-Requestid": {"r"}}
	maps.Copy(h, a.header)
	if a.status == 0 {
		a.status = http.StatusOK
	}
	if a.length == 0 {
		a.length = int64(len(a.body))
	}
	return &http.Response{StatusCode: a.status, Header: h, Body: &stream{a: a}, ContentLength: a.length, Request: r}, nil
}

// A stream is the body of an answer.
type stream struct {
	a      answer
	closed bool
}

func (s *stream) Read(p []byte) (int, error) {
	if s.closed {
		return 0, errors.New("read of a body that is closed")
	}
	if s.a.pieces > 0 {
		p = p[:min(len(p), s.a.pieces)]
	}
	n := copy(p, s.a.body)
	if s.a.body = s.a.body[n:]; n > 0 {
		return n, nil
	}
	if s.a.err != nil {
		return 0, s.a.err
	}
	return 0, io.EOF
}

func (s *stream) Close() error {
	s.closed = true
	return nil
}

// get makes a call of GetRecords that gets the answer. A panic is an error: newer SDKs do so at a time that is not a number.
func get(t testing.TB, a kinesis.HTTPClient, opts ...func(*kinesis.Options)) (out *kinesis.GetRecordsOutput, err error) {
	t.Helper()
	defer func() {
		if v := recover(); v != nil {
			out, err = nil, fmt.Errorf("panic: %v", v)
		}
	}()
	client := kinesis.New(kinesis.Options{
		Region: "eu-west-1", HTTPClient: a, Retryer: aws.NopRetryer{}, BaseEndpoint: aws.String("http://stub"),
		Credentials: aws.CredentialsProviderFunc(credentials),
	})
	return client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: aws.String("i")}, opts...)
}

// same holds that a call has the same result with the Decoder as without, and tells whether it decoded the answer. It decodes
// it a second time, into the memory of the first.
func same(t testing.TB, a answer) (fast bool) {
	t.Helper()
	d := wire.Decoder{Spoil: spoil}
	var l wire.Loan
	if before, err := get(t, a, d.Lend(&l)); err == nil {
		if back := l.Back(before); back != nil {
			back()
		}
	}
	got, gotErr := get(t, a, d.Lend(&l))
	n, slow := d.Counts()
	if n+slow > 2 || n == 1 {
		t.Fatalf("%d replies decoded, %d left to the SDK", n, slow)
	}
	want, wantErr := get(t, a)
	for range 50 { // of two faults, a map of the SDK's tells of the first one that it comes to
		if message(wantErr) == message(gotErr) {
			break
		}
		want, wantErr = get(t, a)
	}
	if message(gotErr) != message(wantErr) {
		t.Fatalf("the error is\n%v\nthat of the SDK\n%v\nof %s", gotErr, wantErr, shown(a.body))
	}
	if gotErr != nil {
		return n == 2
	}
	got.ResultMetadata, want.ResultMetadata = middleware.Metadata{}, middleware.Metadata{}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("the result is\n%s\nthat of the SDK\n%s\nof %s", dump(got), dump(want), shown(a.body))
	}
	return n == 2
}

// quoted is what of a text that is no JSON its error quotes: since Go 1.27 that depends on how the text came, in one piece
// or in several.
var quoted = regexp.MustCompile("(invalid character|invalid escape sequence) ('[^']*'|`[^`]*`)")

func message(err error) string {
	if err == nil {
		return ""
	}
	return quoted.ReplaceAllString(err.Error(), "$1")
}

func shown(b []byte) []byte { return b[:min(len(b), 2000)] }

func TestWhatIsDecoded(t *testing.T) {
	const record = `{"Data":"AQID","PartitionKey":"k","SequenceNumber":"1","ApproximateArrivalTimestamp":1.7E9}`
	page := func(fields string) string { return `{"Records":[{` + fields + `}]}` }
	for name, body := range map[string]string{
		"nothing":                     `{}`,
		"as the service sends it":     `{"MillisBehindLatest":0,"NextShardIterator":"AAA","Records":[` + record + `,` + record + `]}`,
		"space everywhere":            " {\t\"Records\" :\r\n[ { \"Data\" : \"AQID\" , \"PartitionKey\" : \"k\" } , { } ] , \"MillisBehindLatest\" : 12 }\n ",
		"no records":                  `{"Records":[],"ChildShards":[]}`,
		"null":                        `{"Records":null,"ChildShards":null,"MillisBehindLatest":null,"NextShardIterator":null}`,
		"null in a record":            page(`"Data":null,"PartitionKey":null,"SequenceNumber":null,"ApproximateArrivalTimestamp":null,"EncryptionType":null`),
		"empty":                       `{"NextShardIterator":"","Records":[{"Data":"","PartitionKey":"","SequenceNumber":"","EncryptionType":""},{"Data":""}]}`,
		"a mix of absent and present": `{"Records":[{"Data":""},{"PartitionKey":"a"},{"SequenceNumber":"2"},{"ApproximateArrivalTimestamp":1},{},{"Data":"AA=="}]}`,
		"encryption":                  `{"Records":[{"EncryptionType":"NONE"},{"EncryptionType":"KMS"},{"EncryptionType":"else"}]}`,
		"children":                    `{"ChildShards":[{"ShardId":"s1","ParentShards":["s0"],"HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"9"}},{"ShardId":"s2","ParentShards":[]},{"HashKeyRange":{}},{"HashKeyRange":null,"ParentShards":null,"ShardId":null,"x":1}]}`,
		"padding":                     `{"Records":[{"Data":"QQ=="},{"Data":"QUI="},{"Data":"QUJD"},{"Data":"QR=="}]}`,
		"escapes":                     page(`"PartitionKey":"\"\\\/\b\f\n\r\t\u0041\u00e9\u20aC\ud83d\uDE00\u0000","SequenceNumber":"1"`),
		"letters":                     page(`"PartitionKey":"é€😀\u007f` + "\x7f\u2028\ufffd" + `"`),
		"unknown fields":              `{"a":{"b":[1,-2.5e+3,"x\n",true,false,null,{"c":{}}],"d":[]},"Records":[{"new":"\u0041","Data":"QUJD","q":"é"}],"z":0}`,
		"unknown fields twice":        `{"a":1,"a":2}`,
		"names in other letters":      `{"records":[{"data":1}],"RECORDS":2}`,
		"times":                       `{"Records":[{"ApproximateArrivalTimestamp":1728123456.789},{"ApproximateArrivalTimestamp":1.728123456789E9},{"ApproximateArrivalTimestamp":0},{"ApproximateArrivalTimestamp":-1.5},{"ApproximateArrivalTimestamp":1e-9},{"ApproximateArrivalTimestamp":1e300},{"ApproximateArrivalTimestamp":1728123456.78912345678901234567890123456789}]}`,
		"far behind":                  `{"MillisBehindLatest":9223372036854775807}`,
		"ahead":                       `{"MillisBehindLatest":-1}`,
	} {
		t.Run(name, func(t *testing.T) {
			if !same(t, text(body)) {
				t.Error("it is left to the SDK")
			}
			if a := text(body); !same(t, answer{body: a.body, kind: a.kind, pieces: 1, length: -1}) {
				t.Error("it is left to the SDK, byte by byte")
			}
		})
	}
}

func TestWhatIsLeftToTheSDK(t *testing.T) {
	page := func(fields string) string { return `{"Records":[{` + fields + `}]}` }
	for name, body := range map[string]string{
		"no body":                     ``,
		"space":                       ` `,
		"no object":                   `[]`,
		"null":                        `null`,
		"a bare word":                 `nul`,
		"cut off":                     `{"Records":[{"Data":"AQID","Parti`,
		"cut off behind a record":     `{"Records":[{"Data":"AQID"}`,
		"cut off behind a comma":      `{"Records":[{"Data":"AQID"},`,
		"cut off in data":             `{"Records":[{"Data":"AQ`,
		"cut off in an escape":        `{"NextShardIterator":"\`,
		"more behind it":              `{"Records":[]}{}`,
		"rubbish behind it":           `{"Records":[]}x`,
		"a byte order mark":           "\xef\xbb\xbf{}",
		"no comma":                    `{"Records":[] "MillisBehindLatest":1}`,
		"a comma too much":            `{"Records":[],}`,
		"a comma too much in a list":  `{"Records":[{},]}`,
		"no colon":                    `{"Records"[]}`,
		"a name without quotes":       `{Records:[]}`,
		"records twice":               `{"Records":[{"Data":"AQID"}],"Records":[]}`,
		"records and null":            `{"Records":[{"Data":"AQID"}],"Records":null}`,
		"null and records":            `{"Records":null,"Records":[{"Data":"AQID"}]}`,
		"data twice":                  page(`"Data":"AQID","Data":"AQ=="`),
		"a key and null":              page(`"PartitionKey":"a","PartitionKey":null`),
		"a child twice":               `{"ChildShards":[{"ShardId":"a","ShardId":"b"}]}`,
		"a hash twice":                `{"ChildShards":[{"HashKeyRange":{"EndingHashKey":"1","EndingHashKey":"2"}}]}`,
		"a name with an escape":       `{"Record\u0073":[{"Data":"AQID"}]}`,
		"records of another type":     `{"Records":{}}`,
		"a record of another type":    `{"Records":[1]}`,
		"a record that is null":       `{"Records":[null]}`,
		"a child that is null":        `{"ChildShards":[null]}`,
		"a parent that is null":       `{"ChildShards":[{"ParentShards":[null]}]}`,
		"data of another type":        page(`"Data":[1]`),
		"data that is a number":       page(`"Data":1`),
		"a key of another type":       page(`"PartitionKey":1`),
		"a number of another type":    page(`"SequenceNumber":1`),
		"encryption of another type":  page(`"EncryptionType":true`),
		"a time of another type":      page(`"ApproximateArrivalTimestamp":"2024-10-05T10:17:36Z"`),
		"no time":                     page(`"ApproximateArrivalTimestamp":"NaN"`),
		"a time out of range":         page(`"ApproximateArrivalTimestamp":1e999`),
		"an iterator of another type": `{"NextShardIterator":1}`,
		"behind by a fraction":        `{"MillisBehindLatest":1.0}`,
		"behind by too much":          `{"MillisBehindLatest":9223372036854775808}`,
		"behind by text":              `{"MillisBehindLatest":"1"}`,
		"a number from zero":          `{"MillisBehindLatest":01}`,
		"a number with a plus":        `{"MillisBehindLatest":+1}`,
		"no digits":                   `{"x":-}`,
		"no digits behind a point":    `{"x":1.}`,
		"no digits in an exponent":    `{"x":1e+}`,
		"base64 without padding":      page(`"Data":"QQ"`),
		"base64 with too much":        page(`"Data":"QQ==="`),
		"base64 of the other kind":    page(`"Data":"_-__"`),
		"base64 with a line break":    page(`"Data":"QU\nJD"`),
		"base64 with four of them":    page(`"Data":"QUJD\n\r\n\r"`),
		"base64 with raw line breaks": page("\"Data\":\"QUJD\n\n\n\n\""),
		"base64 with an escape":       page(`"Data":"\u0051UJD"`),
		"base64 with a slash":         page(`"Data":"AA\/\/"`),
		"base64 with a quote":         page(`"Data":"QUJD\"QUJ"`),
		"padding in the middle":       page(`"Data":"QQ==QUJD"`),
		"half a pair":                 page(`"PartitionKey":"\ud83d"`),
		"half a pair and a letter":    page(`"PartitionKey":"\ud83dabcdef"`),
		"two first halves":            page(`"PartitionKey":"\ud83d\ud83d"`),
		"the second half":             page(`"PartitionKey":"\ude00"`),
		"an escape without digits":    page(`"PartitionKey":"\u00g0"`),
		"an escape that is cut off":   page(`"PartitionKey":"\u00"`),
		"an unknown escape":           page(`"PartitionKey":"\x41"`),
		"an escaped single quote":     page(`"PartitionKey":"\'"`),
		"a control character":         page("\"PartitionKey\":\"a\x01\""),
		"a control character at last": page("\"PartitionKey\":\"abcdefghijklmnop\n\""),
		"invalid UTF-8":               page("\"PartitionKey\":\"a\xff\""),
		"half a letter":               page("\"PartitionKey\":\"\xc3\""),
		"a surrogate as UTF-8":        page("\"PartitionKey\":\"\xed\xa0\x80\""),
		"a name that is not UTF-8":    "{\"\xff\":1}",
		"unknown and not UTF-8":       "{\"x\":\"\xff\"}",
		"unknown with an escape":      `{"x":"\ud83d"}`,
		"unknown and wrong":           `{"x":tru}`,
		"unknown and very deep":       `{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
		"deeper than any SDK goes":    `{"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			if same(t, text(body)) {
				t.Error("it is decoded")
			}
			same(t, answer{body: []byte(body), kind: jsonKind, pieces: 1, length: -1})
		})
	}
}

// TestReplyOfAnotherKind holds that what is not plain JSON of this protocol is the SDK's.
func TestReplyOfAnotherKind(t *testing.T) {
	const page = `{"Records":[{"Data":"AQID"}]}`
	for name, a := range map[string]answer{
		"no content type":       {body: []byte(page)},
		"another version":       {body: []byte(page), kind: "application/x-amz-json-1.0"},
		"CBOR":                  {body: []byte("\xa1\x67Records\x80"), kind: "application/x-amz-cbor-1.1"},
		"JSON that says CBOR":   {body: []byte(page), kind: "application/x-amz-cbor-1.1"},
		"a page of a proxy":     {body: []byte("<html>"), kind: "text/html"},
		"gzip":                  {body: []byte("\x1f\x8b\x08"), kind: jsonKind, header: http.Header{"Content-Encoding": {"gzip"}}},
		"JSON that says gzip":   {body: []byte(page), kind: jsonKind, header: http.Header{"Content-Encoding": {"gzip"}}},
		"another good status":   {body: []byte(page), kind: jsonKind, status: http.StatusAccepted},
		"an error":              {body: []byte(`{"__type":"ExpiredIteratorException","message":"m"}`), kind: jsonKind, status: http.StatusBadRequest},
		"an error of the host":  {body: []byte(`down`), kind: "text/plain", status: http.StatusServiceUnavailable},
		"an error with records": {body: []byte(page), kind: jsonKind, status: http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			if same(t, a) {
				t.Error("it is decoded")
			}
		})
	}
}

// TestBodyCutOff holds that the error of a connection is what the SDK makes of it, wherever it comes.
func TestBodyCutOff(t *testing.T) {
	const page = `{"Records":[{"Data":"AQID","PartitionKey":"k"}],"NextShardIterator":"i"} `
	for n := range len(page) + 1 {
		for _, err := range []error{io.ErrUnexpectedEOF, errors.New("connection reset"), nil} {
			for _, length := range []int64{-1, int64(len(page)), 1 << 40} {
				fast := same(t, answer{body: []byte(page[:n]), err: err, kind: jsonKind, length: length})
				if whole := n >= len(page)-1 && err == nil; fast != whole {
					t.Errorf("%d bytes and %v: decoded: %v", n, err, fast)
				}
			}
		}
	}
}

// TestSize reads bodies that are as long as said, longer, shorter, and longer than any page.
func TestSize(t *testing.T) {
	page := func(quads, spaces int) []byte {
		return []byte(`{"Records":[{"Data":"` + strings.Repeat("AAAA", quads) + `"}]}` + strings.Repeat(" ", spaces))
	}
	for _, tt := range []struct {
		quads, spaces int
		length        int64
		fast          bool
	}{
		{0, 0, 0, true},
		{0, 0, -1, true},
		{0, 0, 1 << 20, true},
		{0, 0, 1 << 62, true},
		{1000, 0, 1, true},
		{1000, 0, -1, true},
		{1000, 0, 4026, true},
		{1000, 0, 4027, true},
		{100_000, 0, 0, true},
		{100_000, 0, -1, true},
		{100_000, 0, 10, true},
		{100_000, 0, 1 << 62, true},
		{1, 33 << 20, 0, false},
		{1, 33 << 20, 100, false},
	} {
		if fast := same(t, answer{body: page(tt.quads, tt.spaces), kind: jsonKind, length: tt.length}); fast != tt.fast {
			t.Errorf("%d quads and %d spaces, said to be %d bytes: decoded: %v", tt.quads, tt.spaces, tt.length, fast)
		}
	}
}

// TestRecordsAreApart holds that who appends to the data of a record reaches no other, and that the buffers that are used
// again are not those of records.
func TestRecordsAreApart(t *testing.T) {
	var d wire.Decoder
	const page = `{"Records":[{"Data":"AQID","PartitionKey":"a\n","SequenceNumber":"1"},{"Data":"BAUG","PartitionKey":"b","SequenceNumber":"2"}],"NextShardIterator":"first"}`
	first, err := get(t, text(page), d.Option)
	if err != nil {
		t.Fatal(err)
	}
	r := first.Records
	r[0].Data = append(r[0].Data, 9)
	for range 10 {
		if _, err := get(t, text(strings.NewReplacer("AQID", "////", "BAUG", "////", "a", "x", "b", "y", "first", "xxxxx").Replace(page)), d.Option); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(r[0].Data, []byte{1, 2, 3, 9}) || !bytes.Equal(r[1].Data, []byte{4, 5, 6}) ||
		*r[0].PartitionKey != "a\n" || *r[1].PartitionKey != "b" || *r[0].SequenceNumber != "1" || *r[1].SequenceNumber != "2" || *first.NextShardIterator != "first" {
		t.Error(dump(first))
	}
	if fast, slow := d.Counts(); fast != 11 || slow != 0 {
		t.Errorf("%d replies decoded, %d left to the SDK", fast, slow)
	}
}

// TestManyAtOnce makes calls that share a Decoder, of which some are left to the SDK and some cut off.
func TestManyAtOnce(t *testing.T) {
	var d wire.Decoder
	var all sync.WaitGroup
	const calls = 100
	for g := range 8 {
		all.Go(func() {
			for i := range calls {
				key := strings.Repeat(strconv.Itoa(g), 100+i)
				body := `{"Records":[{"Data":"` + strings.Repeat("AAAA", 500*g) + `","PartitionKey":"` + key + `"}`
				if i%2 == 0 {
					body += `,null`
				}
				out, err := get(t, answer{body: []byte(body + `]}`), kind: jsonKind, pieces: 1000}, d.Option)
				if err != nil || *out.Records[0].PartitionKey != key || len(out.Records[0].Data) != 1500*g {
					t.Errorf("%d, %d: %s, %v", g, i, dump(out), err)
				}
			}
		})
	}
	all.Wait()
	if fast, slow := d.Counts(); fast != 8*calls/2 || slow != fast {
		t.Errorf("%d decoded, %d left", fast, slow)
	}
}
