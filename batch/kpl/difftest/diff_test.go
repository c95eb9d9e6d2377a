package difftest

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/awslabs/kinesis-aggregation/go/v2/deaggregator"
	"github.com/awslabs/kinesis-aggregation/go/v2/records"
	"github.com/golang/protobuf/proto" //nolint:staticcheck // the messages of AWS are of its version
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/shardlane/shardlane/batch/kpl"
)

const magic = "\xf3\x89\x9a\xc2"

// sealed puts a body between the magic and its MD5.
func sealed(body []byte) []byte {
	sum := md5.Sum(body)
	return append(append([]byte(magic), body...), sum[:]...)
}

// bodyOf is what sealed was called with.
func bodyOf(aggregate []byte) []byte { return aggregate[len(magic) : len(aggregate)-md5.Size] }

// theirs is kpl.Decode by AWS's module. raw says that it passed the record on.
func theirs(data []byte) (users []kpl.UserRecord, raw bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	in := types.Record{Data: data, PartitionKey: aws.String("outer")}
	out, err := deaggregator.DeaggregateRecords([]types.Record{in})
	if err != nil {
		return nil, false, err
	}
	if len(out) == 1 && out[0].PartitionKey == in.PartitionKey {
		if !bytes.Equal(out[0].Data, data) {
			return nil, true, errors.New("passed on and changed")
		}
		return nil, true, nil
	}
	var m records.AggregatedRecord // which has the explicit hash keys, that the records have not
	if err := proto.Unmarshal(bodyOf(data), &m); err != nil {
		return nil, false, err
	}
	for i, r := range out {
		u := kpl.UserRecord{PartitionKey: aws.ToString(r.PartitionKey), Data: r.Data}
		if h := m.GetRecords()[i].ExplicitHashKeyIndex; h != nil && *h < uint64(len(m.GetExplicitHashKeyTable())) {
			u.ExplicitHashKey = m.GetExplicitHashKeyTable()[*h]
		}
		users = append(users, u)
	}
	return users, false, nil
}

// encode is kpl.Encode by AWS's module, with tags on some records.
func encode(t *testing.T, rnd *rand.Rand, users []kpl.UserRecord) []byte {
	var m records.AggregatedRecord
	index := func(table *[]string, s string) *uint64 {
		for i, have := range *table {
			if have == s && rnd.IntN(4) > 0 { // a producer may also write it twice
				return proto.Uint64(uint64(i))
			}
		}
		*table = append(*table, s)
		return proto.Uint64(uint64(len(*table) - 1))
	}
	for _, u := range users {
		r := &records.Record{PartitionKeyIndex: index(&m.PartitionKeyTable, u.PartitionKey), Data: u.Data}
		if u.ExplicitHashKey != "" {
			r.ExplicitHashKeyIndex = index(&m.ExplicitHashKeyTable, u.ExplicitHashKey)
		}
		for range rnd.IntN(3) {
			r.Tags = append(r.Tags, &records.Tag{Key: proto.String("tag"), Value: proto.String("value")})
		}
		m.Records = append(m.Records, r)
	}
	body, err := proto.Marshal(&m)
	if err != nil {
		t.Fatal(err)
	}
	return sealed(body)
}

func random(rnd *rand.Rand) []kpl.UserRecord {
	users := make([]kpl.UserRecord, 1+rnd.IntN(200))
	for i := range users {
		u := &users[i]
		u.PartitionKey = fmt.Sprint("customer-", rnd.IntN(50))
		if rnd.IntN(10) == 0 {
			u.PartitionKey = string([]byte{byte(rnd.Uint32()), byte(rnd.Uint32())}) // maybe no UTF-8
		}
		if rnd.IntN(3) == 0 {
			u.ExplicitHashKey = strconv.FormatUint(rnd.Uint64(), 10)
		}
		u.Data = make([]byte, rnd.IntN(1<<rnd.IntN(10)))
		for j := range u.Data {
			u.Data[j] = byte(rnd.Uint32())
		}
	}
	return users
}

// odd reports whether a body has what theirs skips and kpl does not: a group, or a field of the format with another wire
// type.
func odd(body []byte, known map[protowire.Number]protowire.Type) bool {
	for len(body) > 0 {
		num, typ, n := protowire.ConsumeField(body)
		if n < 0 {
			return false
		}
		want, ok := known[num]
		if typ == protowire.StartGroupType || ok && typ != want {
			return true
		}
		if num == 3 && want == protowire.BytesType && len(known) == 3 {
			_, _, tag := protowire.ConsumeTag(body)
			record, _ := protowire.ConsumeBytes(body[tag:n])
			if odd(record, map[protowire.Number]protowire.Type{1: protowire.VarintType, 2: protowire.VarintType, 3: protowire.BytesType, 4: protowire.BytesType}) {
				return true
			}
		}
		body = body[n:]
	}
	return false
}

func oddBody(body []byte) bool {
	if odd(body, map[protowire.Number]protowire.Type{1: protowire.BytesType, 2: protowire.BytesType, 3: protowire.BytesType}) {
		return true
	}
	var m records.AggregatedRecord
	if proto.Unmarshal(body, &m) != nil {
		return false
	}
	for _, r := range m.GetRecords() {
		if h := r.ExplicitHashKeyIndex; h != nil && *h >= uint64(len(m.GetExplicitHashKeyTable())) {
			return true
		}
	}
	return false
}

// untagged is a body without the tags of its records.
func untagged(body []byte, inside bool) (out []byte) {
	for len(body) > 0 {
		num, _, n := protowire.ConsumeField(body)
		switch {
		case inside && num == 4:
		case !inside && num == 3:
			_, _, tag := protowire.ConsumeTag(body)
			record, _ := protowire.ConsumeBytes(body[tag:n])
			out = protowire.AppendBytes(protowire.AppendTag(out, 3, protowire.BytesType), untagged(record, true))
		default:
			out = append(out, body[:n]...)
		}
		body = body[n:]
	}
	return out
}

// compare holds kpl to theirs, and to the known deviations.
func compare(t *testing.T, data []byte) {
	t.Helper()
	users, ok := kpl.Decode(data, nil)
	want, raw, err := theirs(data)
	if ok && err != nil {
		want, raw, err = theirs(sealed(untagged(bodyOf(data), false)))
	}
	switch {
	case ok && (raw || err != nil):
		t.Fatalf("%q has %d records; theirs: raw %t, %v", data, len(users), raw, err)
	case ok:
		if diff := cmp.Diff(want, users, cmp.Comparer(bytes.Equal)); diff != "" {
			t.Fatalf("%q (-theirs +kpl):\n%s", data, diff)
		}
	case !raw && err == nil && len(want) > 0 && !oddBody(bodyOf(data)):
		t.Fatalf("%q is no aggregate; theirs has %v", data, want)
	}
}

// What either writes the other reads, and both read the same in what became of it.
func TestDifferential(t *testing.T) {
	t.Attr("rule", "L62")
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 62))
		users := random(rnd)
		for _, data := range [][]byte{kpl.Encode(users...), encode(t, rnd, users)} {
			ours, ok := kpl.Decode(data, nil)
			if diff := cmp.Diff(users, ours); !ok || diff != "" {
				t.Fatalf("seed %d: kpl says %t (-want +got):\n%s", seed, ok, diff)
			}
			got, raw, err := theirs(data)
			if diff := cmp.Diff(users, got, cmp.Comparer(bytes.Equal)); raw || err != nil || diff != "" {
				t.Fatalf("seed %d: theirs says raw %t, %v (-want +got):\n%s", seed, raw, err, diff)
			}
			for range 20 {
				changed := bytes.Clone(data)
				changed[rnd.IntN(len(changed))] ^= 1 << rnd.IntN(8)
				compare(t, changed)
				body := bytes.Clone(bodyOf(data))
				switch i := rnd.IntN(len(body)); rnd.IntN(3) {
				case 0:
					body[i] ^= 1 << rnd.IntN(8)
				case 1:
					body = body[:i]
				default:
					body = append(body[:i], body[i+1:]...)
				}
				compare(t, sealed(body))
			}
		}
	}
}

// The deviations are as the comment on the package has them.
func TestDeviations(t *testing.T) {
	t.Attr("rule", "L62")
	const key, record = "\x0a\x01a", "\x1a\x05\x08\x00\x1a\x01d"
	for name, c := range map[string]struct {
		body   string
		ok     bool // kpl splits it
		theirs int  // records of theirs, -1 for an error or a panic
	}{
		"no message":             {key + record + "\x0a\x05", false, -1},
		"no partition key index": {key + "\x1a\x05\x1a\x03ddd", false, -1},
		"partition key index":    {key + "\x1a\x05\x08\x01\x1a\x01d", false, -1},
		"explicit hash key":      {key + "\x1a\x07\x08\x00\x10\x00\x1a\x01d", false, 1},
		"no records":             {key, false, 0},
		"other wire type":        {key + record + "\x18\x01", false, 1},
		"group":                  {key + record + "\x2b\x2c", false, 1},
		"tag without key":        {key + "\x1a\x07\x08\x00\x1a\x01d\x22\x00", true, -1},
	} {
		_, ok := kpl.Decode(sealed([]byte(c.body)), nil)
		users, raw, err := theirs(sealed([]byte(c.body)))
		n := len(users)
		if err != nil {
			n = -1
		}
		if ok != c.ok || n != c.theirs || raw {
			t.Errorf("%s: kpl %t, theirs has %d, raw %t, %v", name, ok, n, raw, err)
		}
	}
}

func FuzzDifferential(f *testing.F) {
	f.Add([]byte("\x0a\x01a\x12\x010\x1a\x0c\x08\x00\x10\x00\x1a\x01d\x22\x03\x0a\x01t\x1a\x04\x08\x00\x1a\x00\x7a\x01x"), true)
	f.Add(kpl.Encode(kpl.UserRecord{PartitionKey: "a", ExplicitHashKey: "1", Data: []byte("1")}), false)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if seal {
			data = sealed(data)
		}
		compare(t, data)
	})
}
