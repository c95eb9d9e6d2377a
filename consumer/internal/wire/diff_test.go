package wire_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// FuzzReply holds that a call has the same result with the Decoder as without, whatever is sent, and wherever it is cut off.
func FuzzReply(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		f.Add(page(rnd, rnd.IntN(4)), uint16(rnd.IntN(400)))
		f.Add(spoilt(rnd, page(rnd, rnd.IntN(4))), uint16(0xffff))
	}
	f.Fuzz(func(t *testing.T, body []byte, cut uint16) {
		a := answer{body: body, kind: jsonKind, length: -1}
		if int(cut) < len(body) {
			a.body, a.err = body[:cut], io.ErrUnexpectedEOF
		}
		same(t, a)
	})
}

// TestSpoiltPages is the fuzz test with pages that are nearly right.
func TestSpoiltPages(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	taken := 0
	for range 2000 {
		if same(t, answer{body: spoilt(rnd, page(rnd, rnd.IntN(4))), kind: jsonKind}) {
			taken++
		}
	}
	if taken == 0 || taken == 2000 {
		t.Errorf("%d of 2000 were decoded", taken)
	}
}

// TestValidPagesAreDecoded holds that the Decoder takes at least 999 of 1,000 good pages: one that leaves all to the SDK
// would never differ from it.
func TestValidPagesAreDecoded(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	const pages = 3000
	taken := 0
	for i := range pages {
		n := rnd.IntN(5)
		if i%500 == 0 {
			n = 1000
		}
		if same(t, answer{body: page(rnd, n), kind: jsonKind}) {
			taken++
		}
	}
	if taken*1000 < pages*999 {
		t.Errorf("%d of %d were decoded", taken, pages)
	}
}

// TestLargestRecord decodes a record of 10 MiB.
func TestLargestRecord(t *testing.T) {
	data := make([]byte, 10<<20)
	for i := range data {
		data[i] = byte(i * i >> 8)
	}
	if !same(t, text(`{"Records":[{"Data":"`+base64.StdEncoding.EncodeToString(data)+`","PartitionKey":"k"}]}`)) {
		t.Error("it is left to the SDK")
	}
}

// page is a valid page of n records as one service or another may write it.
func page(rnd *rand.Rand, n int) []byte {
	w := writer{rnd: rnd, spaces: rnd.IntN(3) == 0, escapes: rnd.IntN(3)}
	var records, children []string
	for range n {
		records = append(records, w.record())
	}
	for range rnd.IntN(4) {
		children = append(children, w.object(map[string]string{
			"ShardId": w.str(w.name("shardId-", 12)), "ParentShards": w.list(w.some(w.str(w.name("shardId-", 12)))),
			"HashKeyRange": w.object(map[string]string{"StartingHashKey": w.str(w.name("", 39)), "EndingHashKey": w.str(w.name("", 39))}),
		}))
	}
	return []byte(w.object(map[string]string{
		"Records": w.list(records), "ChildShards": w.list(children), "NextShardIterator": w.str(w.data(300)), "MillisBehindLatest": strconv.Itoa(rnd.IntN(100_000)),
	}))
}

// A writer writes JSON, with or without what it may leave out.
type writer struct {
	rnd     *rand.Rand
	spaces  bool
	escapes int // 0, 1 or 2: as few as there may be, more, all
}

func (w writer) record() string {
	at := float64(1_728_000_000_000+w.rnd.Int64N(1e10)) / 1000
	format := []byte{'f', 'E', 'g'}[w.rnd.IntN(3)]
	size := 200
	if w.rnd.IntN(100) == 0 {
		size = 50_000
	}
	return w.object(map[string]string{
		"Data": w.str(w.data(size)), "PartitionKey": w.key(), "SequenceNumber": w.str(w.name("", 56)),
		"ApproximateArrivalTimestamp": strconv.FormatFloat(at, format, -1, 64), "EncryptionType": w.str([]string{"KMS", "NONE", "X"}[w.rnd.IntN(3)]),
	})
}

func (w writer) space() string {
	if !w.spaces {
		return ""
	}
	return strings.Repeat([]string{" ", "\n", "\t", "\r"}[w.rnd.IntN(4)], w.rnd.IntN(3))
}

func (w writer) data(size int) string {
	if w.rnd.IntN(10) == 0 {
		return ""
	}
	b := make([]byte, w.rnd.IntN(size))
	if w.rnd.IntN(5) == 0 {
		copy(b, "\xf3\x89\x9a\xc2") // what an aggregate begins with
	}
	for i := range b {
		b[i] = byte(w.rnd.Uint32())
	}
	return base64.StdEncoding.EncodeToString(b)
}

func (w writer) name(prefix string, digits int) string {
	return prefix + strings.Repeat(strconv.Itoa(w.rnd.IntN(10)), digits)
}

func (w writer) key() string {
	letters := []rune("abcXYZ0189-_.:/\\\"'<>&\b\f\n\r\t\x00\x1f\x7féß€\u2028\ufffd\U0001f600\U0010ffff")
	n := w.rnd.IntN(40)
	var b strings.Builder
	for range n {
		b.WriteRune(letters[w.rnd.IntN(len(letters))])
	}
	key := w.str(b.String())
	if w.escapes == 2 {
		key = strings.ReplaceAll(key, "/", `\/`)
	}
	return key
}

func (w writer) some(s string) []string { return []string{s, s}[:w.rnd.IntN(3)] }

// str writes s with the escapes that it needs, those of HTML, or all that there are.
func (w writer) str(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(w.escapes == 1)
	if err := e.Encode(s); err != nil || !utf8.ValidString(s) {
		panic(fmt.Sprintf("%q: %v", s, err))
	}
	s = strings.TrimSuffix(b.String(), "\n")
	if w.escapes < 2 {
		return s
	}
	b.Reset()
	for _, r := range s {
		if r <= '~' {
			b.WriteRune(r)
			continue
		}
		for _, u := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, []string{`\u%04x`, `\u%04X`}[w.rnd.IntN(2)], u)
		}
	}
	return b.String()
}

func (w writer) list(items []string) string {
	var b strings.Builder
	b.WriteString("[" + w.space())
	for i, it := range items {
		if i > 0 {
			b.WriteString("," + w.space())
		}
		b.WriteString(it + w.space())
	}
	return b.String() + "]"
}

// object writes fields in any order, some as null, some not at all, and unknown ones among them.
func (w writer) object(fields map[string]string) string {
	if w.rnd.IntN(4) == 0 {
		fields["Unknown"] = []string{`1`, `-2.5e-3`, `"a\nb"`, `{"a":[{},[],null,true]}`, `[1, "x"]`, `false`}[w.rnd.IntN(6)]
	}
	var items []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fields[name]
		switch w.rnd.IntN(20) {
		case 0:
			continue
		case 1:
			value = "null"
		}
		items = append(items, `"`+name+`"`+w.space()+":"+w.space()+value)
	}
	w.rnd.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	list := w.list(items)
	return w.space() + "{" + list[1:len(list)-1] + "}" + w.space()
}

// spoilt is a page with some bytes changed, gone, moved or put in.
func spoilt(rnd *rand.Rand, b []byte) []byte {
	const odd = "{}[]:,\"\\ntfu0123456789eE.+-=/ \n\x00\x1f\x80\xff\xc3"
	for range 1 + rnd.IntN(3) {
		i := rnd.IntN(len(b) + 1)
		switch rest := b[i:]; rnd.IntN(5) {
		case 0:
			b = b[:i]
		case 1:
			b = append(b[:i:i], rest[min(len(rest), 1+rnd.IntN(3)):]...)
		case 2:
			b = append(append(b[:i:i], odd[rnd.IntN(len(odd))]), rest...)
		case 3:
			b = append(append(b[:i:i], odd[rnd.IntN(len(odd))]), rest[min(len(rest), 1):]...)
		case 4: // a part again
			j := min(len(b), i+rnd.IntN(60))
			b = append(append(b[:j:j], b[i:j]...), b[j:]...)
		}
	}
	return b
}

// TestLongPages holds that a page that is longer by far than what is looked at of it at a time is the SDK's to the byte, where
// its end is not as expected, whatever was decoded before that.
func TestLongPages(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	for i := range 2 {
		w := writer{rnd: rnd, spaces: i%2 == 0, escapes: i % 3}
		var records []string
		for size := 0; size < 6<<20; size += len(records[len(records)-1]) {
			records = append(records, w.record(), `{"Data":"`+base64.StdEncoding.EncodeToString(make([]byte, 10_000+rnd.IntN(3)))+`"}`)
		}
		page := func() string { return `{"Records":` + w.list(records) + `,"MillisBehindLatest":1}` }
		if !same(t, text(page())) || !same(t, answer{body: []byte(page()), kind: jsonKind, length: -1, pieces: 1000}) {
			t.Error("it is left to the SDK")
		}
		cut := page()
		cut = cut[:len(cut)/2+rnd.IntN(len(cut)/2)]
		last := len(records) - 1 - rnd.IntN(3)
		for _, end := range []string{`null`, `{"Data":"QQ"}`} {
			records[last] = end
			for _, body := range []string{page(), cut} {
				if same(t, text(body)) || same(t, answer{body: []byte(body), kind: jsonKind, length: -1, err: io.ErrUnexpectedEOF}) {
					t.Errorf("it is decoded with %s", end)
				}
			}
		}
	}
}
