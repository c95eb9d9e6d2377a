package ledger

import (
	"bytes"
	"slices"
	"testing"

	"github.com/shardlane/shardlane/checkpoint"
)

// FuzzDone decodes bytes beside a checkpoint, with a sum that is right: what comes out is in order and above the checkpoint,
// and its encoding comes back as what it was. With a sum that is not, nothing comes out.
func FuzzDone(f *testing.F) {
	at, err := checkpoint.AfterSub("0017", 3)
	if err != nil {
		f.Fatal(err)
	}
	whole, err := checkpoint.After("49590338271490256608559692538361571095921575989136588898")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(at), []byte{0, 5, 0, 0})
	f.Add(string(at), []byte{8, 1, 3, 8, 2, 0, 9, 1, 0, 0, 0})
	f.Add(string(whole), []byte{8<<3 | 4, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0})
	f.Add(string(checkpoint.TrimHorizon), []byte{0, 1, 0, 0})
	f.Fuzz(func(t *testing.T, position string, body []byte) {
		at, err := checkpoint.ParsePosition(position)
		if err != nil {
			return
		}
		done := slices.Concat([]byte{doneVersion}, sum(at, "a", body), body)
		in := decode(done, at, "a")
		last := behind(at)
		for _, iv := range in {
			if iv.lo.compare(last) < 0 || iv.hi.compare(iv.lo) < 0 || len(iv.hi.seq) > maxDigits || digits(iv.hi.seq) != iv.hi.seq {
				t.Fatalf("%v behind %v", iv, last)
			}
			last = iv.hi
		}
		one := slices.Collect(merged(slices.Values(in), behind(at)))
		again, _ := encode(at, "a", slices.Values(in), 1<<20)
		if len(again) > len(done)+16*len(in) {
			t.Fatalf("%d bytes became %d", len(done), len(again))
		}
		if two := decode(again, at, "a"); !slices.Equal(one, two) {
			t.Fatalf("%v became %v", one, two)
		}
		if len(body) > 0 {
			if in := decode(done, at, "b"); in != nil {
				t.Fatalf("%v under other settings", in)
			}
			if in := decode(bytes.Replace(done, []byte{doneVersion}, []byte{2}, 1), at, "a"); in != nil {
				t.Fatalf("%v of another version", in)
			}
		}
	})
}
