package kinesistest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"
)

// post makes a call as a client of another release would, and returns the answer: what our lowest release of the SDK has
// no field for. code is "" for a success.
func post(t *testing.T, srv *Server, op, body string, headers ...string) (answer map[string]any, code string) {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), http.MethodPost, "http://kinesis.test", strings.NewReader(body)))
	r.Header.Set("X-Amz-Target", "Kinesis_20131202."+op)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	out := must(srv.transport.RoundTrip(r))
	defer out.Body.Close()
	if b := must(io.ReadAll(out.Body)); len(b) > 0 {
		if err := json.Unmarshal(b, &answer); err != nil {
			t.Fatalf("%s: %v in %s", op, err, b)
		}
	}
	if out.StatusCode != http.StatusOK {
		code, _ = answer["__type"].(string)
	}
	return answer, code
}

func strategy(t *testing.T, srv *Server, stream string) any {
	t.Helper()
	out, _ := post(t, srv, "DescribeStreamSummary", `{"StreamName":"`+stream+`"}`)
	return out["StreamDescriptionSummary"].(map[string]any)["RecordDistributionStrategy"]
}

// TestAuto puts records with one key, with an explicit hash key and without a key: the service chooses, until it is
// switched off.
func TestAuto(t *testing.T) {
	bubble(t, 4, func(t *testing.T, srv *Server, c *kinesis.Client) {
		count := func() (n []int) {
			for _, sh := range srv.Shards("s") {
				n = append(n, len(sh.Records))
			}
			return n
		}
		if got := strategy(t, srv, "s"); got != nil {
			t.Errorf("a provisioned stream has strategy %v", got)
		}
		srv.SetDistribution("s", Auto)
		if got := strategy(t, srv, "s"); got != "AUTO" {
			t.Errorf("strategy %v, want AUTO", got)
		}
		for range 4 {
			srv.Put("s", "k", []byte("with a key"))
			srv.PutHash("s", "k", "0", []byte("with a hash key"))
			srv.PutHash("s", "", "340282366920938463463374607431768211456", []byte("with one that is ignored"))
			srv.Put("s", "", []byte("without a key"))
		}
		if d := cmp.Diff([]int{4, 4, 4, 4}, count()); d != "" {
			t.Errorf("records per shard (-want +got):\n%s", d)
		}
		before := count()
		srv.SetDistribution("s", UserPartitionKey)
		if got := strategy(t, srv, "s"); got != "USER_PARTITION_KEY" {
			t.Errorf("strategy %v, want USER_PARTITION_KEY", got)
		}
		for range 4 {
			srv.PutHash("s", "k", "0", nil)
		}
		before[0] += 4
		if d := cmp.Diff(before, count()); d != "" {
			t.Errorf("records per shard after AUTO (-want +got):\n%s", d)
		}
		keys := 0
		for _, sh := range srv.Shards("s") {
			for i, r := range must(get(c, iteratorOf(c, sh.ID, types.ShardIteratorTypeTrimHorizon), 0)).Records {
				if want := sh.Records[i].PartitionKey; (r.PartitionKey == nil) != (want == "") || aws.ToString(r.PartitionKey) != want {
					t.Errorf("%s: key %v, want %q", r.Data, r.PartitionKey, want)
				}
				if r.PartitionKey != nil {
					keys++
				}
			}
		}
		if keys != 12 {
			t.Errorf("%d records have a key, want 12", keys)
		}
		lower, upper := srv.Split("s", shardID(0))
		srv.Merge("s", shardID(1), shardID(2))
		srv.SetDistribution("s", Auto)
		for range 16 {
			if shard, _ := srv.Put("s", "", nil); shard == shardID(0) || shard == shardID(1) || shard == shardID(2) {
				t.Errorf("a record was put to %s, which is closed; open are %s, %s", shard, lower, upper)
			}
		}
	})
}

func TestAutoAtRandom(t *testing.T) {
	places := func(seed uint64) string {
		srv := NewServer("other", 1)
		defer srv.Close()
		srv.SetSeed(seed)
		srv.CreateOnDemand("s", 4, Auto)
		srv.SetDistribution("other", Auto)
		var b strings.Builder
		for range 400 {
			srv.Put("other", "", nil)
			shard, _ := srv.Put("s", "k", nil)
			b.WriteByte(shard[len(shard)-1])
		}
		for _, sh := range srv.Shards("s") {
			if n := len(sh.Records); n < 60 || n > 140 {
				t.Errorf("%s has %d of 400 records", sh.ID, n)
			}
		}
		return b.String()
	}
	one := places(1)
	if one != places(1) {
		t.Error("one seed gives two orders")
	}
	if one == places(2) || strings.Contains(one, strings.Repeat("0123", 4)) || strings.Contains(one, strings.Repeat("1230", 4)) {
		t.Errorf("not at random: %s", one)
	}
}

func TestAutoOverTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer("s", 2)
		defer srv.Close()
		srv.SetTransition(0)
		refused := func(op, body, want string) map[string]any {
			t.Helper()
			out, code := post(t, srv, op, body)
			if code != want {
				t.Errorf("%s %s: got code %q, want %q (%v)", op, body, code, want, out["message"])
			}
			return out
		}
		const onDemand = `"StreamModeDetails":{"StreamMode":"ON_DEMAND"}`
		refused("CreateStream", `{"StreamName":"t","ShardCount":2,"RecordDistributionStrategy":"AUTO"}`, "InvalidArgumentException")
		refused("CreateStream", `{"StreamName":"t",`+onDemand+`,"RecordDistributionStrategy":"EVEN"}`, "ValidationException")
		refused("CreateStream", `{"StreamName":"t",`+onDemand+`,"RecordDistributionStrategy":"AUTO"}`, "")
		refused("CreateStream", `{"StreamName":"u",`+onDemand+`}`, "")
		if got := fmt.Sprintln(strategy(t, srv, "s"), strategy(t, srv, "t"), strategy(t, srv, "u")); got != "<nil> AUTO USER_PARTITION_KEY\n" {
			t.Errorf("strategies %s", got)
		}
		refused("PutRecord", `{"StreamName":"t","Data":"AA=="}`, "")
		refused("PutRecord", `{"StreamName":"t","Data":"AA==","PartitionKey":""}`, "ValidationException")
		refused("PutRecord", `{"StreamName":"u","Data":"AA=="}`, "ValidationException")
		refused("PutRecord", `{"StreamName":"t","Data":"AA==","PartitionKey":"k","SequenceNumberForOrdering":"1"}`, "InvalidArgumentException")
		refused("PutRecord", `{"StreamName":"u","Data":"AA==","PartitionKey":"k","SequenceNumberForOrdering":"1"}`, "")
		out := refused("PutRecords", `{"StreamName":"t","Records":[{"Data":"AA=="},{"Data":"AA==","PartitionKey":"k"},{"Data":"AA=="}]}`, "")
		shards := map[any]bool{}
		for _, r := range out["Records"].([]any) {
			shards[r.(map[string]any)["ShardId"]] = true
		}
		if len(shards) != 3 {
			t.Errorf("three records went to %d shards, want 3: %v", len(shards), out)
		}
		out = refused("PutRecords", `{"StreamName":"u","Records":[{"Data":"AA==","PartitionKey":"k"},{"Data":"AA=="}]}`, "ValidationException")
		if message := fmt.Sprint(out["message"]); !strings.Contains(message, "records.2.member.partitionKey") {
			t.Errorf("refused with %q", message)
		}
		if n := len(srv.Records("u")); n != 1 {
			t.Errorf("a refused request stored records: %d, want 1", n)
		}

		update := func(stream, to, want string) {
			t.Helper()
			refused("UpdateStreamRecordDistributionStrategy", `{"StreamARN":"`+arn(stream)+`","RecordDistributionStrategy":"`+to+`"}`, want)
		}
		update("s", "AUTO", "InvalidArgumentException")
		update("s", "USER_PARTITION_KEY", "")
		update("t", "EVEN", "ValidationException")
		update("none", "AUTO", "ResourceNotFoundException")
		update("t", "USER_PARTITION_KEY", "")
		update("u", "AUTO", "")
		refused("UpdateStreamRecordDistributionStrategy", `{"StreamName":"u","RecordDistributionStrategy":"AUTO"}`, "ValidationException")
		refused("UpdateStreamRecordDistributionStrategy", `{"StreamARN":"`+arn("u")+`"}`, "ValidationException")
		if got := fmt.Sprintln(strategy(t, srv, "t"), strategy(t, srv, "u")); got != "USER_PARTITION_KEY AUTO\n" {
			t.Errorf("strategies %s", got)
		}
		refused("PutRecord", `{"StreamName":"t","Data":"AA=="}`, "ValidationException")
		refused("PutRecord", `{"StreamName":"u","Data":"AA=="}`, "")
	})
}
