package kinesistest_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Assertions on records: puts, iterators, pages, the end of a shard.

func (s *session) put(name, key, data string) *kinesis.PutRecordOutput {
	s.Helper()
	return must(s.c.PutRecord(s.ctx, &kinesis.PutRecordInput{StreamName: &name, PartitionKey: &key, Data: []byte(data)}))(s)
}

func (s *session) iterator(name string, shard int, kind types.ShardIteratorType) string {
	s.Helper()
	return aws.ToString(must(s.c.GetShardIterator(s.ctx, &kinesis.GetShardIteratorInput{StreamName: &name, ShardId: aws.String(id(shard)), ShardIteratorType: kind}))(s).ShardIterator)
}

func (s *session) get(it string, limit int32) *kinesis.GetRecordsOutput {
	s.Helper()
	return must(s.c.GetRecords(s.ctx, &kinesis.GetRecordsInput{ShardIterator: &it, Limit: &limit}))(s)
}

// drain reads from an iterator until there is nothing more: an empty page at the tip of an open shard, or the end of a
// closed one.
func (s *session) drain(it string) []types.Record {
	s.Helper()
	var rs []types.Record
	for {
		out := s.get(it, 10_000)
		rs = append(rs, out.Records...)
		if out.NextShardIterator == nil || len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0 {
			return rs
		}
		it = *out.NextShardIterator
	}
}

// read drains a shard and returns the data of its records.
func (s *session) read(name string, shard int, kind types.ShardIteratorType) string {
	s.Helper()
	return texts(s.drain(s.iterator(name, shard, kind)))
}

func texts(rs []types.Record) string {
	var b []string
	for _, r := range rs {
		b = append(b, string(r.Data))
	}
	return strings.Join(b, " ")
}

func puts(s *session) {
	name := s.stream("puts", 4)
	for _, key := range []string{"alice", "bob", "ключ"} {
		sum := md5.Sum([]byte(key))
		shard := new(big.Int).Rsh(new(big.Int).SetBytes(sum[:]), 126) // of four equal ranges
		s.is("put/shard of "+key, short(s.put(name, key, key).ShardId), shard)
	}
	at := func(hash string) string {
		out, err := s.c.PutRecord(s.ctx, &kinesis.PutRecordInput{StreamName: &name, PartitionKey: aws.String("alice"), ExplicitHashKey: &hash, Data: []byte(hash)})
		if err != nil {
			return codeOf(err)
		}
		return short(out.ShardId)
	}
	s.is("put/hash 0", at("0"), "0")
	s.is("put/hash below a quarter", at(less(quarter)), "0")
	s.is("put/hash of a quarter", at(quarter), "1")
	s.is("put/highest hash", at(highest), "3")
	s.is("put/hash of 2^128", at("340282366920938463463374607431768211456"), "InvalidArgumentException")
	s.is("put/hash that is no number", at("half"), "ValidationException")

	a, b := s.put(name, "order", "1"), s.put(name, "order", "2")
	s.is("put/sequence grows", number(*b.SequenceNumber).Cmp(number(*a.SequenceNumber)), 1)
	s.is("put/sequence digits", len(*a.SequenceNumber), 56)
	c := must(s.c.PutRecord(s.ctx, &kinesis.PutRecordInput{StreamName: &name, PartitionKey: aws.String("order"), Data: []byte("3"), SequenceNumberForOrdering: b.SequenceNumber}))(s)
	s.is("put/sequence for ordering", number(*c.SequenceNumber).Cmp(number(*b.SequenceNumber)), 1)

	try := func(key string, data []byte) error {
		_, err := s.c.PutRecord(s.ctx, &kinesis.PutRecordInput{StreamName: &name, PartitionKey: &key, Data: data})
		return err
	}
	s.refuses("put/no key", try("", []byte("d")), "ValidationException")
	s.refuses("put/key of 256", try(strings.Repeat("é", 256), []byte("d")), "accepted")
	s.refuses("put/key of 257", try(strings.Repeat("k", 257), []byte("d")), "ValidationException")
	s.refuses("put/empty", try("k", []byte{}), "accepted")
	s.refuses("put/1 MiB with its key", try("k", make([]byte, 1<<20-1)), "accepted")
	s.refuses("put/above 1 MiB", try("k", make([]byte, 1<<20+1)), "ValidationException")
	_, err := s.c.PutRecord(s.ctx, &kinesis.PutRecordInput{StreamName: aws.String(name + "-missing"), PartitionKey: aws.String("k"), Data: []byte("d")})
	s.refuses("put/missing stream", err, "ResourceNotFoundException")
	_, err = s.c.PutRecord(s.ctx, &kinesis.PutRecordInput{StreamARN: s.summary(name).StreamARN, PartitionKey: aws.String("k"), Data: []byte("d")})
	s.refuses("put/by arn", err, "accepted")

	single := s.stream("put", 1)
	before := time.Now().Add(-time.Second)
	put := s.put(single, "ключ \"1\"\n", "\x00\xff data")
	rs := s.drain(s.iterator(single, 0, types.ShardIteratorTypeTrimHorizon))
	if len(rs) != 1 {
		s.Fatalf("%d records, want 1", len(rs))
	}
	arrival := aws.ToTime(rs[0].ApproximateArrivalTimestamp)
	s.is("put/record", fmt.Sprintf("%q %q %v %v", *rs[0].PartitionKey, rs[0].Data, *rs[0].SequenceNumber == *put.SequenceNumber,
		arrival.After(before) && arrival.Before(time.Now().Add(time.Second))), `"ключ \"1\"\n" "\x00\xff data" true true`)
	s.is("put/arrival in milliseconds", arrival.Nanosecond()%1e6, 0)
}

func batches(s *session) {
	name := s.stream("batches", 2)
	entry := func(hash, data string) types.PutRecordsRequestEntry {
		return types.PutRecordsRequestEntry{PartitionKey: aws.String("k"), ExplicitHashKey: &hash, Data: []byte(data)}
	}
	put := func(rs ...types.PutRecordsRequestEntry) (*kinesis.PutRecordsOutput, error) {
		return s.c.PutRecords(s.ctx, &kinesis.PutRecordsInput{StreamName: &name, Records: rs})
	}
	var rs []types.PutRecordsRequestEntry
	for i := range 12 {
		rs = append(rs, entry([]string{"0", highest}[i%2], strconv.Itoa(i)))
	}
	out := must(put(rs...))(s)
	var shards, codes []string
	for i := range out.Records {
		shards = append(shards, short(out.Records[i].ShardId))
		codes = append(codes, aws.ToString(out.Records[i].ErrorCode))
	}
	s.is("puts", line(aws.ToInt32(out.FailedRecordCount), shards, strings.Join(codes, "")), "0 [0 1 0 1 0 1 0 1 0 1 0 1]")
	s.is("puts/order", s.read(name, 0, types.ShardIteratorTypeTrimHorizon), "0 2 4 6 8 10")
	s.is("puts/order of the other shard", s.read(name, 1, types.ShardIteratorTypeTrimHorizon), "1 3 5 7 9 11")
	_, err := put(some(501)...)
	s.refuses("puts/501", err, "ValidationException")
	_, err = put(some(500)...)
	s.refuses("puts/500", err, "accepted")
	_, err = put([]types.PutRecordsRequestEntry{}...)
	s.refuses("puts/none", err, "ValidationException")
	_, err = put(entry("0", "good"), entry("0", strings.Repeat("d", 1<<20+1)))
	s.refuses("puts/above 1 MiB", err, "ValidationException")
	_, err = put(entry("0", "good"), entry("340282366920938463463374607431768211456", "bad"))
	s.refuses("puts/hash of 2^128", err, "InvalidArgumentException")
	_, err = put(types.PutRecordsRequestEntry{PartitionKey: aws.String(""), Data: []byte("d")})
	s.refuses("puts/no key", err, "ValidationException")
	_, err = s.c.PutRecords(s.ctx, &kinesis.PutRecordsInput{StreamName: aws.String(name + "-missing"), Records: rs})
	s.refuses("puts/missing stream", err, "ResourceNotFoundException")
	_, err = s.c.PutRecords(s.ctx, &kinesis.PutRecordsInput{StreamARN: s.summary(name).StreamARN, Records: rs})
	s.refuses("puts/by arn", err, "accepted")
}

func some(n int) []types.PutRecordsRequestEntry {
	rs := make([]types.PutRecordsRequestEntry, n)
	for i := range rs {
		rs[i] = types.PutRecordsRequestEntry{PartitionKey: aws.String(strconv.Itoa(i)), Data: []byte("d")}
	}
	return rs
}

func iterators(s *session) {
	name := s.stream("iterators", 1)
	s.is("iterator/of nothing", s.read(name, 0, types.ShardIteratorTypeTrimHorizon), "")
	var seqs []*string
	for i := range 5 {
		seqs = append(seqs, s.put(name, "k", strconv.Itoa(i)).SequenceNumber)
		s.later()
	}
	tip := s.iterator(name, 0, types.ShardIteratorTypeLatest)
	s.is("iterator/TRIM_HORIZON", s.read(name, 0, types.ShardIteratorTypeTrimHorizon), "0 1 2 3 4")
	from := func(in kinesis.GetShardIteratorInput) string {
		in.StreamName, in.ShardId = &name, aws.String(id(0))
		short, cancel := context.WithTimeout(s.ctx, 2*time.Second)
		defer cancel()
		out, err := s.c.GetShardIterator(short, &in)
		if err != nil {
			return codeOf(err)
		}
		return texts(s.drain(*out.ShardIterator))
	}
	at, after, timed := types.ShardIteratorTypeAtSequenceNumber, types.ShardIteratorTypeAfterSequenceNumber, types.ShardIteratorTypeAtTimestamp
	s.is("iterator/AT_SEQUENCE_NUMBER", from(kinesis.GetShardIteratorInput{ShardIteratorType: at, StartingSequenceNumber: seqs[2]}), "2 3 4")
	s.is("iterator/AFTER_SEQUENCE_NUMBER", from(kinesis.GetShardIteratorInput{ShardIteratorType: after, StartingSequenceNumber: seqs[2]}), "3 4")
	s.is("iterator/AFTER the last", from(kinesis.GetShardIteratorInput{ShardIteratorType: after, StartingSequenceNumber: seqs[4]}), "")
	start := s.shards(name)[0].SequenceNumberRange.StartingSequenceNumber
	s.is("iterator/AT the shard's start", from(kinesis.GetShardIteratorInput{ShardIteratorType: at, StartingSequenceNumber: start}), "0 1 2 3 4")
	rs := s.drain(s.iterator(name, 0, types.ShardIteratorTypeTrimHorizon))
	arrival := aws.ToTime(rs[2].ApproximateArrivalTimestamp)
	s.is("iterator/AT_TIMESTAMP of a record", from(kinesis.GetShardIteratorInput{ShardIteratorType: timed, Timestamp: &arrival}), "2 3 4")
	s.is("iterator/AT_TIMESTAMP between", from(kinesis.GetShardIteratorInput{ShardIteratorType: timed, Timestamp: aws.Time(arrival.Add(time.Millisecond))}), "3 4")
	s.is("iterator/AT_TIMESTAMP before all", from(kinesis.GetShardIteratorInput{ShardIteratorType: timed, Timestamp: aws.Time(arrival.Add(-time.Hour))}), "0 1 2 3 4")
	s.is("iterator/AT_TIMESTAMP after all", from(kinesis.GetShardIteratorInput{ShardIteratorType: timed, Timestamp: aws.Time(time.Now().Add(-time.Millisecond))}), "")
	s.is("iterator/AT_TIMESTAMP to come", from(kinesis.GetShardIteratorInput{ShardIteratorType: timed, Timestamp: aws.Time(arrival.Add(time.Hour))}), "InvalidArgumentException")
	s.put(name, "k", "new")
	s.is("iterator/LATEST", texts(s.drain(tip)), "new")
	byARN, err := s.c.GetShardIterator(s.ctx, &kinesis.GetShardIteratorInput{StreamARN: s.summary(name).StreamARN, ShardId: aws.String(id(0)), ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	got := codeOf(err)
	if err == nil {
		got = texts(s.drain(*byARN.ShardIterator))
	}
	s.is("iterator/by arn", got, "0 1 2 3 4 new")
}

// refusals are those of iterators.
func refusals(s *session) {
	name := s.stream("refusals", 2)
	var other *string // a sequence number of shard 1
	for other == nil {
		put := must(s.c.PutRecord(s.ctx, &kinesis.PutRecordInput{StreamName: &name, PartitionKey: aws.String("k"), ExplicitHashKey: aws.String(highest), Data: []byte("d")}))(s)
		other = put.SequenceNumber
	}
	now := aws.Time(time.Now().Add(-time.Second))
	for _, r := range []struct {
		name string
		in   kinesis.GetShardIteratorInput
		code string
	}{
		{"AT_SEQUENCE_NUMBER of none", kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber}, "InvalidArgumentException"},
		{"AT_TIMESTAMP of none", kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp}, "InvalidArgumentException"},
		{"TRIM_HORIZON and a number", kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon, StartingSequenceNumber: other}, "InvalidArgumentException"},
		{"no such type", kinesis.GetShardIteratorInput{ShardIteratorType: "NOW", Timestamp: now}, "ValidationException"},
		{"number without sense", kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: aws.String("123")}, "InvalidArgumentException"},
		{"number that is none", kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: aws.String("abc")}, "ValidationException"},
		{"number of another shard", kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAfterSequenceNumber, StartingSequenceNumber: other}, "InvalidArgumentException"},
		{"missing shard", kinesis.GetShardIteratorInput{ShardId: aws.String(id(9)), ShardIteratorType: types.ShardIteratorTypeLatest}, "ResourceNotFoundException"},
		{"shard that is none", kinesis.GetShardIteratorInput{ShardId: aws.String("nonsense"), ShardIteratorType: types.ShardIteratorTypeLatest}, "ResourceNotFoundException"},
		{"missing stream", kinesis.GetShardIteratorInput{StreamName: aws.String(name + "-missing"), ShardIteratorType: types.ShardIteratorTypeLatest}, "ResourceNotFoundException"},
	} {
		if r.in.StreamName == nil {
			r.in.StreamName = &name
		}
		if r.in.ShardId == nil {
			r.in.ShardId = aws.String(id(0))
		}
		_, err := s.c.GetShardIterator(s.ctx, &r.in)
		s.refuses("iterator/"+r.name, err, r.code)
	}

	it := s.iterator(name, 1, types.ShardIteratorTypeTrimHorizon)
	read := func(it string, limit int32) error {
		_, err := s.c.GetRecords(s.ctx, &kinesis.GetRecordsInput{ShardIterator: &it, Limit: &limit})
		return err
	}
	s.refuses("read/garbage", read("Z2FyYmFnZQ==", 1), "InvalidArgumentException")
	s.refuses("read/cut", read(it[:len(it)/2], 1), "InvalidArgumentException")
	s.refuses("read/nothing", read("", 1), "ValidationException")
	s.refuses("read/limit 0", read(it, 0), "ValidationException")
	s.refuses("read/limit above 10,000", read(it, 10_001), "ValidationException")
	s.refuses("read/limit 10,000", read(it, 10_000), "accepted")
	young, done := s.aged(it, 4*time.Minute)
	s.refuses("read/4 minutes old", read(young, 1), "accepted")
	done()
	old, done := s.aged(it, 6*time.Minute)
	s.refuses("read/6 minutes old", read(old, 1), "ExpiredIteratorException")
	done()
	_, err := s.c.GetRecords(s.ctx, &kinesis.GetRecordsInput{ShardIterator: &it, StreamARN: s.summary(name).StreamARN})
	s.refuses("read/by arn", err, "accepted")
}

// forge returns an emulator's iterator as it would have been issued earlier: kinesalite and kinesis-local encrypt the
// same text with the same well-known key.
func forge(t *testing.T, it string, by time.Duration) string {
	t.Helper()
	key, _ := hex.DecodeString("1133a5a833666b49abf28c8ba302930f0b2fb240dccd43cf4dfbc0ca91f17751")
	iv, _ := hex.DecodeString("7bf139dbabbea2d9995d6fcae1dff7da")
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := base64.StdEncoding.DecodeString(it)
	if err != nil || len(b)%aes.BlockSize != 8 {
		t.Fatalf("iterator %s is not of the known kind: %v", it, err)
	}
	b = b[8:]
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(b, b)
	ms, err := strconv.ParseInt(string(b[:14]), 10, 64)
	if err != nil {
		t.Fatalf("iterator of %q is not of the known kind: %v", b, err)
	}
	copy(b, fmt.Sprintf("%014d", ms-by.Milliseconds()))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(b, b)
	return base64.StdEncoding.EncodeToString(append([]byte{7: 1}, b...))
}

func pages(s *session) {
	name := s.stream("pages", 1)
	for i := range 5 {
		s.put(name, "k", strconv.Itoa(i))
		s.later()
	}
	start := s.iterator(name, 0, types.ShardIteratorTypeTrimHorizon)
	var got, lags []string
	it := start
	for range 4 {
		out := s.get(it, 2)
		got = append(got, texts(out.Records))
		lags = append(lags, line(aws.ToInt64(out.MillisBehindLatest) > 0))
		if out.NextShardIterator == nil {
			s.Fatal("an open shard ended")
		}
		it = *out.NextShardIterator
		if len(out.ChildShards) > 0 {
			s.Errorf("an open shard has children: %v", out.ChildShards)
		}
	}
	s.is("pages", strings.Join(got, ", "), "0 1, 2 3, 4, ")
	s.is("pages/behind", strings.Join(lags, " "), "true true false false")
	s.is("pages/again", texts(s.get(start, 3).Records), "0 1 2")
	s.is("pages/at the tip, again", texts(s.get(it, 3).Records), "")
	s.put(name, "k", "5")
	s.is("pages/from the tip on", texts(s.drain(it)), "5")
}

// ends are those of shards, in each shape that the server has.
func ends(s *session) {
	for i, choose := range s.shardEnds {
		choose()
		shape := fmt.Sprintf("end %d/", i)
		name := s.stream("ends", 1)
		s.put(name, "k", "0")
		s.put(name, "k", "1")
		tip := s.iterator(name, 0, types.ShardIteratorTypeLatest)
		ok(s, 0, s.split(name, 0, half))
		must(s.c.PutRecord(s.ctx, &kinesis.PutRecordInput{StreamName: &name, PartitionKey: aws.String("k"), ExplicitHashKey: aws.String("0"), Data: []byte("low")}))(s)
		must(s.c.PutRecord(s.ctx, &kinesis.PutRecordInput{StreamName: &name, PartitionKey: aws.String("k"), ExplicitHashKey: aws.String(highest), Data: []byte("high")}))(s)

		rs, last, empty := s.toEnd(s.iterator(name, 0, types.ShardIteratorTypeTrimHorizon))
		s.is(shape+"records", texts(rs), "0 1")
		s.is(shape+"split", children(last), "1<[0] 0-"+less(half)+", 2<[0] "+half+"-"+highest)
		s.is(shape+"told with the last records", empty == 0, i == 0)
		s.is(shape+"not behind", aws.ToInt64(last.MillisBehindLatest) == 0, true)
		rs, last, _ = s.toEnd(tip)
		s.is(shape+"from the tip", texts(rs)+children(last), "1<[0] 0-"+less(half)+", 2<[0] "+half+"-"+highest)
		s.is(shape+"children's records", s.read(name, 1, types.ShardIteratorTypeTrimHorizon)+" "+s.read(name, 2, types.ShardIteratorTypeTrimHorizon), "low high")
		rs = s.drain(s.iterator(name, 1, types.ShardIteratorTypeTrimHorizon))
		ending := aws.ToString(s.shards(name)[0].SequenceNumberRange.EndingSequenceNumber)
		s.is(shape+"a child's numbers are above its parent's", number(*rs[0].SequenceNumber).Cmp(number(ending)), 1)

		ok(s, 0, s.merge(name, 1, 2))
		for _, parent := range []int{1, 2} {
			rs, last, _ = s.toEnd(s.iterator(name, parent, types.ShardIteratorTypeTrimHorizon))
			s.is(shape+fmt.Sprintf("merge of %d", parent), texts(rs)+" "+children(last), []string{1: "low", 2: "high"}[parent]+" 3<[1 2] 0-"+highest)
		}
	}
}

// toEnd reads a closed shard to its end and returns its records, the last answer, and how many empty answers came first.
func (s *session) toEnd(it string) (rs []types.Record, last *kinesis.GetRecordsOutput, empty int) {
	s.Helper()
	s.until("the end of a closed shard", func() bool {
		last = s.get(it, 10_000)
		rs = append(rs, last.Records...)
		if len(last.Records) == 0 {
			empty++
		}
		it = aws.ToString(last.NextShardIterator)
		return last.NextShardIterator == nil
	})
	return rs, last, empty
}

func children(out *kinesis.GetRecordsOutput) string {
	var b []string
	for _, c := range out.ChildShards {
		var parents []string
		for i := range c.ParentShards {
			parents = append(parents, short(&c.ParentShards[i]))
		}
		b = append(b, fmt.Sprintf("%s<%v %s-%s", short(c.ShardId), parents, aws.ToString(c.HashKeyRange.StartingHashKey), aws.ToString(c.HashKeyRange.EndingHashKey)))
	}
	return strings.Join(b, ", ")
}
