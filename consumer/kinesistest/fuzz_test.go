package kinesistest

import (
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTokensAreSealed(t *testing.T) {
	good := iterator{Stream: "s", Birth: 1, Shard: shardID(0), Index: 7, Issued: 1}
	if back, err := parseIterator(good.String()); err != nil || back != good {
		t.Errorf("got %+v, %v back", back, err)
	}
	if _, err := parseListToken(good.String()); err == nil {
		t.Error("an iterator is taken for a list token")
	}
	b, _ := base64.StdEncoding.DecodeString(good.String())
	for i := range b {
		b[i] ^= 1
		if it, err := parseIterator(base64.StdEncoding.EncodeToString(b)); err == nil {
			t.Errorf("with bit %d changed it is taken for %+v", 8*i, it)
		}
		b[i] ^= 1
	}
}

// fuzzed is when a consumer is registered that requests can name.
var fuzzed = time.Now()

// FuzzRequest sends any body to every operation: each answers or refuses, and the stream stays whole.
func FuzzRequest(f *testing.F) {
	const ref = `{"StreamName":"s",`
	for _, body := range []string{
		`null`, `[]`, `{}`, `{"StreamName":null}`, ref + `"ShardCount":-1}`, `{"StreamARN":"arn:aws:kinesis:::stream/"}`,
		ref + `"PartitionKey":"k","Data":"AA==","ExplicitHashKey":"0"}`,
		ref + `"Records":[{"PartitionKey":"k","Data":"AA=="},null]}`,
		ref + `"ShardId":"shardId-000000000000","ShardIteratorType":"AT_TIMESTAMP","Timestamp":1e300}`,
		ref + `"ShardId":"shardId-000000000000","ShardIteratorType":"AT_SEQUENCE_NUMBER","StartingSequenceNumber":"0"}`,
		ref + `"ShardFilter":{"Type":"AT_TIMESTAMP","Timestamp":-1},"MaxResults":1}`,
		ref + `"ShardToSplit":"shardId-000000000001","NewStartingHashKey":"300000000000000000000000000000000000000"}`,
		ref + `"ShardToMerge":"shardId-000000000000","AdjacentShardToMerge":"shardId-000000000001"}`,
		ref + `"TargetShardCount":3,"ScalingType":"UNIFORM_SCALING","RetentionPeriodHours":24}`,
		ref + `"StreamModeDetails":{"StreamMode":"ON_DEMAND"},"RecordDistributionStrategy":"AUTO"}`,
		`{"StreamARN":"` + arn("s") + `","RecordDistributionStrategy":"USER_PARTITION_KEY","Data":"AA=="}`,
		`{"ShardIterator":"` + iterator{Stream: "s", Birth: 1, Shard: shardID(0), Index: -7, Issued: 1 << 62}.String() + `"}`,
		`{"StreamARN":"` + arn("s") + `","ConsumerName":"c"}`,
		`{"StreamARN":"` + arn("s") + `","ConsumerName":"d","NextToken":"` + seal('c', listToken{Stream: "s", Birth: 1, After: "a", Issued: 1 << 62}) + `"}`,
		`{"ConsumerARN":"` + consumerARN("s", "c", fuzzed) + `","ShardId":"` + shardID(0) + `","StartingPosition":{"Type":"LATEST"}}`,
		`{"ConsumerARN":"` + consumerARN("s", "c", fuzzed) + `","ShardId":"` + shardID(1) + `","StartingPosition":{"Type":"AT_TIMESTAMP","Timestamp":-1}}`,
		`{"NextToken":"` + listToken{Stream: "s", Birth: 1, Issued: 1 << 62}.String() + `"}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		srv := NewServer("s", 2)
		defer srv.Close()
		srv.SetLatency(0)
		srv.SetTransition(0)
		srv.SetShardLimit(100)
		srv.mu.Lock()
		srv.register(srv.streams["s"], "c", fuzzed)
		srv.mu.Unlock()
		for _, op := range slices.Sorted(maps.Keys(srv.ops)) {
			_, err := srv.answer(t.Context(), &call{Request: Request{Body: body}}, "Kinesis_20131202."+op)
			var refused *apiError
			if err != nil && !errors.As(err, &refused) {
				t.Errorf("%s: %v", op, err)
			}
		}
		if st := srv.streams["s"]; st != nil && (st.open[0].start != hash{} || st.open[len(st.open)-1].end != hash{}.prev()) {
			t.Error("hash keys are not covered")
		}
	})
}

func FuzzSequence(f *testing.F) {
	f.Add("0")
	f.Add(sequence{created: 1, shard: 2, n: 3, at: 4}.String())
	f.Fuzz(func(t *testing.T, s string) {
		if q, ok := parseSequence(s); ok && q.String() != s {
			t.Errorf("%q is taken for %+v, which is %s", s, q, q)
		}
	})
}

func FuzzConsumerARN(f *testing.F) {
	f.Add("")
	f.Add(arn("s") + "/consumer/c:1")
	f.Add(arn("s") + "/consumer/c:-1")
	f.Add(arn("s") + "/consumer/c:01")
	f.Add(arn("s") + "/consumer/a/consumer/b:c:1")
	f.Fuzz(func(t *testing.T, s string) {
		stream, name, created, ok := parseConsumerARN(s)
		var v validation
		if v.consumerARN(s); ok && v.err() != nil {
			t.Errorf("%q is taken for stream %q, consumer %q of %v, but: %v", s, stream, name, created, v.err())
		}
		if back := streamName(s); ok && stream != "" && !strings.Contains(stream, "/") && back != stream {
			t.Errorf("%q is about stream %q, and of %q", s, back, stream)
		}
	})
}
