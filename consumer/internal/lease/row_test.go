package lease

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/shardlane/shardlane/checkpoint"
)

// The stored form is part of what versions agree on.
func TestRowGolden(t *testing.T) {
	row := Row{
		V: 1, By: "inc.7", Owner: "host/inc", Epoch: 3, To: "next/inc2",
		Ck: "0/time/0001700000000000", Arrival: 1700000000123,
		Parents: []string{"shardId-000000000000"}, Children: []string{"shardId-000000000003"},
		HashStart: "0", HashEnd: "170141183460469231731687303715884105727", Root: true,
		Done: []byte{1}, Reached: 1700000000999,
		More: map[string]json.RawMessage{"zeta": []byte(`"AQ=="`), "alpha": []byte(`{"b": [1, 2]}`)},
	}
	const want = `{"v":1,"by":"inc.7","owner":"host/inc","epoch":3,"to":"next/inc2","ck":"0/time/0001700000000000",` +
		`"arrival":1700000000123,"done":"AQ==","reached":1700000000999,"parents":["shardId-000000000000"],"children":["shardId-000000000003"],` +
		`"hash":["0","170141183460469231731687303715884105727"],"root":true,"alpha":{"b":[1,2]},"zeta":"AQ=="}`
	got, err := row.encode()
	if err != nil || string(got) != want {
		t.Errorf("got  %s\nwant %s\nerr %v", got, want, err)
	}
	if got, err := (Row{V: 1, By: "a.1", Ck: checkpoint.TrimHorizon, More: map[string]json.RawMessage{"root": []byte("true")}}).encode(); err != nil ||
		string(got) != `{"v":1,"by":"a.1","epoch":0,"ck":"0/trim"}` {
		t.Errorf("smallest row: %s, %v", got, err)
	}
	meta := Meta{V: 1, By: "a.1", ARN: "arn:x", Created: 5, Start: checkpoint.TrimHorizon, Rooted: true}
	if got, err := meta.encode(); err != nil ||
		string(got) != `{"v":1,"by":"a.1","arn":"arn:x","created":5,"start":"0/trim","rooted":true}` {
		t.Errorf("meta: %s, %v", got, err)
	}
}

func TestRowRoundTrip(t *testing.T) {
	ids := rapid.SliceOfN(rapid.String(), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		row := Row{
			V: 1, By: rapid.String().Draw(t, "by"), Owner: rapid.String().Draw(t, "owner"),
			Epoch: rapid.Int64Min(0).Draw(t, "epoch"), To: rapid.String().Draw(t, "to"),
			Ck: rapid.SampledFrom([]checkpoint.Position{
				checkpoint.TrimHorizon, checkpoint.End, pos(0), pos(77),
			}).Draw(t, "ck"),
			Arrival: rapid.Int64().Draw(t, "arrival"),
			Done:    rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "done"), Reached: rapid.Int64().Draw(t, "reached"),
			Parents: ids.Draw(t, "parents"), Children: ids.Draw(t, "children"),
			HashStart: rapid.String().Draw(t, "start"), HashEnd: rapid.String().Draw(t, "end"),
			Root: rapid.Bool().Draw(t, "root"),
			More: make(map[string]json.RawMessage),
		}
		for _, name := range ids.Draw(t, "more") {
			row.More["+"+name] = json.RawMessage(rapid.SampledFrom([]string{"null", "1e400", `{"a":[]}`, `"\u00e9"`}).Draw(t, "value"))
		}
		value, err := row.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeRow(value)
		if diff := cmp.Diff(row, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Fatalf("%v %s\n%s", err, value, diff)
		}
		if again, _ := got.encode(); string(again) != string(value) {
			t.Fatalf("not deterministic:\n%s\n%s", value, again)
		}
	})
}

func TestRowRefused(t *testing.T) {
	for _, tt := range []struct {
		value string
		want  error
	}{
		{"", ErrRowCorrupt},
		{"null", ErrRowCorrupt},
		{"[]", ErrRowCorrupt},
		{"{", ErrRowCorrupt},
		{`{"epoch":1,"ck":"0/trim"}`, ErrRowCorrupt}, // no version
		{`{"v":-1,"ck":"0/trim"}`, ErrRowCorrupt},
		{`{"v":"1","ck":"0/trim"}`, ErrRowCorrupt},
		{`{"v":1}`, ErrRowCorrupt}, // no checkpoint
		{`{"v":1,"ck":"1/3abc/~"}`, ErrRowCorrupt},
		{`{"v":1,"CK":"0/trim"}`, ErrRowCorrupt}, // another field
		{`{"v":1,"ck":"0/trim","epoch":-1}`, ErrRowCorrupt},
		{`{"v":1,"ck":"0/trim","epoch":1.5}`, ErrRowCorrupt},
		{`{"v":1,"ck":"0/trim","hash":["0"]}`, ErrRowCorrupt},
		{`{"v":1,"ck":"0/trim","parents":"shardId-0"}`, ErrRowCorrupt},
		{`{"v":1,"ck":"0/trim"} {}`, ErrRowCorrupt},
		{`{"v":2}`, ErrRowVersion}, // whatever the rest looks like
		{`{"v":99,"ck":[],"epoch":"high"}`, ErrRowVersion},
	} {
		if _, err := decodeRow([]byte(tt.value)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.value, err, tt.want)
		}
	}
	for _, row := range []Row{
		{V: 1, Ck: "nowhere"},
		{V: 1, Ck: checkpoint.TrimHorizon, More: map[string]json.RawMessage{"new": []byte("{")}},
	} {
		if _, err := row.encode(); err == nil {
			t.Errorf("a row that no reader would take was encoded: %+v", row)
		}
	}
	if _, err := decodeMeta([]byte(`{"v":1,"start":"0/trim","created":"now"}`)); !errors.Is(err, ErrRowCorrupt) {
		t.Errorf("meta: %v", err)
	}
}

// What is worked above the checkpoint saves work, and no row is refused for it.
func TestDoneUnreadable(t *testing.T) {
	for value, want := range map[string]string{`"AQ=="`: "\x01", `"?"`: "", `{"z":1}`: "", `7`: "", `null`: "", `""`: ""} {
		r, err := decodeRow([]byte(`{"v":1,"by":"a.1","epoch":0,"ck":"0/trim","done":` + value + `}`))
		if err != nil || string(r.Done) != want || r.More != nil {
			t.Errorf("done %s was read as %+v, %v", value, r, err)
		}
	}
}

func FuzzRow(f *testing.F) {
	for _, seed := range []string{
		`{"v":1,"by":"a.1","epoch":0,"ck":"0/trim"}`,
		`{"v":1,"by":"a.1","owner":"w/a","epoch":9,"ck":"9/END","hash":["0","9"],"children":["x"],"root":true,"done":{"z":1}}`,
		`{"v":2}`, `{"v":1,"V":1,"ck":"0/time/0000000000000001"," ":null}`, "", "\x00",
		`{"v":1,"arn":"a","start":"0/trim","rooted":true}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		row, err := decodeRow(value)
		checkCodec(t, value, row, err, decodeRow, Row.encode)
		meta, err := decodeMeta(value)
		checkCodec(t, value, meta, err, decodeMeta, Meta.encode)
	})
}

// checkCodec: what is read can be written, reads back the same, and loses no
// field; what is refused is refused with a sentinel.
func checkCodec[T any](t *testing.T, value []byte, v T, err error, decode func([]byte) (T, error), encode func(T) ([]byte, error)) {
	t.Helper()
	if err != nil {
		if !errors.Is(err, ErrRowCorrupt) && !errors.Is(err, ErrRowVersion) {
			t.Fatalf("%q: %v", value, err)
		}
		return
	}
	first, err := encode(v)
	if err != nil {
		t.Fatalf("%q was read and cannot be written: %v", value, err)
	}
	again, err := decode(first)
	if err != nil {
		t.Fatalf("%q: %v", first, err)
	}
	if second, err := encode(again); err != nil || string(second) != string(first) {
		t.Fatalf("%q then %q: %v", first, second, err)
	}
	var in, out map[string]json.RawMessage
	if json.Unmarshal(value, &in) != nil || json.Unmarshal(first, &out) != nil {
		t.Fatalf("%q became %q", value, first)
	}
	known := " v by st n cap offer streams chg owner epoch to ck arrival done reached parents children hash root arn created start rooted "
	for name := range in {
		if _, ok := out[name]; !ok && !strings.Contains(known, " "+name+" ") {
			t.Fatalf("field %q of %q is lost in %q", name, value, first)
		}
	}
}
