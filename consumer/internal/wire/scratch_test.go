package wire

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func TestShelf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h shelf
		held := func(want ...int) {
			t.Helper()
			sum := 0
			if len(h.free) != len(want) {
				t.Fatalf("%d are kept, want %d", len(h.free), len(want))
			}
			for i, s := range h.free {
				if sum += s.bytes(); s.room < want[i] || s.room > want[i]*5/4+512 {
					t.Errorf("one for %d bytes is kept, want %d", s.room, want[i])
				}
			}
			if h.bytes != sum {
				t.Errorf("%d bytes in all, by its count %d", sum, h.bytes)
			}
		}
		small, large := h.take(1000), h.take(14<<20)
		if len(small.body) != 0 || cap(small.body) <= 1000 || cap(large.body) != window {
			t.Fatalf("%d and %d bytes", cap(small.body), cap(large.body))
		}
		h.keep(large)
		h.keep(small)
		held(14<<20, 1000)

		// A small reply takes no large body.
		if s := h.take(500); s != small {
			t.Error("a new one for a small body")
		}
		if s := h.take(500); s == large {
			t.Error("a large one for a small body")
		}
		if s := h.take(13 << 20); s != large {
			t.Error("a new one for a large body")
		}
		held()

		// One that was used for a body whose length was not said is for such bodies.
		unsaid := h.take(1000)
		unsaid.size = 14 << 20
		h.keep(unsaid)
		held(14 << 20)
		if s := h.take(1000); s == unsaid {
			t.Error("a large one for a small body")
		}
		if s := h.take(14 << 20); s != unsaid {
			t.Error("a new one for a large body")
		}

		// So many are kept, and not longer than they are of use.
		var all []*scratch
		for range 10 {
			all = append(all, h.take(14<<20))
		}
		for _, s := range all {
			s.front = make([]byte, 0, 15<<20)
			h.keep(s)
		}
		held(14<<20, 14<<20, 14<<20)
		time.Sleep(keptFor + 1)
		h.keep(small)
		held(1000)
	})
}

// FuzzWindow holds that a reply is read the same through a small window as through one that has room for it, in whatever pieces
// it comes, and that what came of it is known to the byte.
func FuzzWindow(f *testing.F) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 50 {
		b := []byte(`{"MillisBehindLatest":1,"Records":[`)
		for range rnd.IntN(9) {
			data := make([]byte, rnd.IntN(100))
			b = fmt.Appendf(b, `{"PartitionKey":"é\u00e9\n%d","Data":"%s","ApproximateArrivalTimestamp":1.7%dE9, "SequenceNumber":"%d"},`,
				i, base64.StdEncoding.EncodeToString(data), rnd.IntN(1e9), rnd.IntN(1e9))
		}
		end := []string{`null]}`, `{"Data":"QR=="},{"Data":"QUI="}]}`, `{}],"NextShardIterator":"i"} `, `{"Data":"QQ"}]}`, `{"Data":"QU`}[rnd.IntN(5)]
		f.Add(append(b, end...), uint8(rnd.IntN(9)), uint8(rnd.IntN(200)))
	}
	f.Fuzz(func(t *testing.T, body []byte, piece, width uint8) {
		s, all := new(shelf).take(0), new(shelf).take(len(body))
		s.window, s.body = int(width)+1, make([]byte, 0, int(width)+1)
		s.begin(iotest.DataErrReader(&pieces{body, int(piece) + 1}), int64(len(body)))
		all.begin(bytes.NewReader(body), int64(len(body)))
		got, ok := s.page()
		want, wantOK := all.page()
		if ok != wantOK || ok && !reflect.DeepEqual(got, want) {
			t.Fatalf("decoded: %v and %v\n%+v\n%+v", ok, wantOK, got, want)
		}
		if !bytes.Equal(s.raw(), body[:s.size]) {
			t.Fatalf("%q came, and not %q", body[:s.size], s.raw())
		}
	})
}

// pieces come n bytes at a time.
type pieces struct {
	rest []byte
	n    int
}

func (p *pieces) Read(b []byte) (n int, err error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n = copy(b, p.rest[:min(p.n, len(p.rest))])
	p.rest = p.rest[n:]
	return n, nil
}

// TestRaw holds that what came of a body is still known to the byte, whatever of it was decoded and put aside, where it ends
// otherwise than expected.
func TestRaw(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	b.WriteString(`{"Records":[`)
	for b.Len() < 5*window {
		data := make([]byte, rnd.IntN(3000))
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		text := base64.StdEncoding.EncodeToString(data)
		if i := len(text) - 2; i > 0 && rnd.IntN(2) == 0 && text[i+1] == '=' && text[i] != '=' {
			text = text[:i] + "B=" // decodes to what has other base64
		} else if i > 0 && text[i] == '=' && rnd.IntN(2) == 0 {
			text = text[:i-1] + "R=="
		}
		fmt.Fprintf(&b, `{"Data":"%s", "PartitionKey":"\u00e9%d"},`, text, b.Len())
	}
	b.WriteString(`null]}`)
	s := new(shelf).take(longBody + 1)
	s.begin(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if _, ok := s.page(); ok || s.moved < len(s.recs)/2 {
		t.Fatalf("decoded: %v, %d of %d records put aside", ok, s.moved, len(s.recs))
	}
	if len(s.front) > b.Len()/2 {
		t.Errorf("%d bytes are put aside, of %d", len(s.front), b.Len())
	}
	if !bytes.Equal(s.raw(), b.Bytes()) {
		t.Error("not what came")
	}
}
