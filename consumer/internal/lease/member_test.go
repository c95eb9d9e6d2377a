package lease

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMemberGolden(t *testing.T) {
	m := member{
		v: 1, by: "inc.7", st: leaving, held: 3, weight: 2, offers: []Offer{{"1:s:2/shardId-0", "b/i"}}, streams: []string{"1:s:2"}, settings: []string{"0a1b"}, chg: 9,
		more: map[string]json.RawMessage{"load": []byte("12")},
	}
	const want = `{"v":1,"by":"inc.7","st":"LEAVING","n":3,"cap":2,"offer":[{"lease":"1:s:2/shardId-0","to":"b/i"}],` +
		`"streams":["1:s:2"],"sets":["0a1b"],"chg":9,"load":12}`
	got, err := m.encode()
	if err != nil || string(got) != want {
		t.Errorf("got  %s\nwant %s\nerr %v", got, want, err)
	}
	again, err := decodeMember(got)
	if err != nil || again.by != m.by || again.weight != 2 || string(again.more["load"]) != "12" {
		t.Errorf("read back as %+v, %v", again, err)
	}
	p := again.peer("a/i")
	if diff := cmp.Diff(Peer{ID: "a/i", Cap: 2, Leaving: true, Streams: m.streams, Settings: m.settings, Offers: m.offers, Chg: 9}, p); diff != "" {
		t.Error(diff)
	}
	if a, b, c := p.SettingsOf("1:s:2"), p.SettingsOf("1:t:2"), (Peer{Streams: p.Streams}).SettingsOf("1:s:2"); a != "0a1b" || b != "" || c != "" {
		t.Errorf("settings %q, of a stream that it does not serve %q, of an older version %q", a, b, c)
	}
}

func TestMemberRefused(t *testing.T) {
	for value, want := range map[string]error{
		"": ErrRowCorrupt, "[]": ErrRowCorrupt, `{"st":"ALIVE"}`: ErrRowCorrupt, `{"v":1}`: ErrRowCorrupt, `{"v":1,"st":"alive"}`: ErrRowCorrupt,
		`{"v":1,"st":"ALIVE","chg":"x"}`: ErrRowCorrupt, `{"v":2,"st":7}`: ErrRowVersion,
	} {
		if _, err := decodeMember([]byte(value)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", value, err, want)
		}
	}
	m, err := decodeMember([]byte(`{"v":1,"by":"a.1","st":"ALIVE"}`))
	if err != nil || m.weight != 1 {
		t.Errorf("smallest row: %+v, %v", m, err)
	}
}

func TestMemberKey(t *testing.T) {
	for _, id := range []string{"host/abc", "odd/%name/abc", "a b/c", "/x"} {
		key := memberKey("group/1", id)
		if back := memberID("group/1", key); back != id {
			t.Errorf("%s has key %s, which is %s's", id, key, back)
		}
	}
	if memberKey("g", "x") != memberKey("g", "/x") || memberKey("g", "a/b/c") == memberKey("g", "a/b%2Fc") {
		t.Error("keys of different members")
	}
}

func FuzzMember(f *testing.F) {
	for _, seed := range []string{
		`{"v":1,"by":"a.1","st":"ALIVE","cap":1}`, `{"v":2}`, "", `{"v":1,"st":"DEAD","x":{"y":[1]}}`,
		`{"v":1,"by":"a.1","st":"LEAVING","n":3,"cap":0,"offer":[{"lease":"s/x","to":"b/i"}],"streams":["s",""],"chg":-1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		m, err := decodeMember(value)
		checkCodec(t, value, m, err, decodeMember, member.encode)
	})
}
