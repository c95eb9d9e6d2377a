package kpl

import (
	"crypto/md5"
	"encoding/binary"
)

// Encode returns the aggregate of records, for producers and tests: the data of one record to be put under the partition
// key of any of them, if all of them belong to one shard. Keys that several records share are written once. Without
// records it is no aggregate that [Decode] would take.
func Encode(records ...UserRecord) []byte {
	var keys, hashes []string
	index := func(of map[string]uint64, list *[]string, s string) uint64 {
		i, ok := of[s]
		if !ok {
			i = uint64(len(*list))
			of[s], *list = i, append(*list, s)
		}
		return i
	}
	ofKey, ofHash := map[string]uint64{}, map[string]uint64{}
	var body, one []byte
	for _, r := range records {
		one = binary.AppendUvarint(append(one[:0], tagKeyIndex), index(ofKey, &keys, r.PartitionKey))
		if r.ExplicitHashKey != "" {
			one = binary.AppendUvarint(append(one, tagHashIndex), index(ofHash, &hashes, r.ExplicitHashKey))
		}
		one = appendBytes(one, tagData, r.Data)
		body = appendBytes(body, tagRecord, one)
	}
	out := []byte(magic)
	for _, k := range keys {
		out = appendBytes(out, tagKey, []byte(k))
	}
	for _, h := range hashes {
		out = appendBytes(out, tagHash, []byte(h))
	}
	out = append(out, body...)
	sum := md5.Sum(out[len(magic):])
	return append(out, sum[:]...)
}

func appendBytes(b []byte, tag byte, value []byte) []byte {
	b = binary.AppendUvarint(append(b, tag), uint64(len(value)))
	return append(b, value...)
}
