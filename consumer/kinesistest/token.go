package kinesistest

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"time"
)

// expiry is how long iterators and list tokens live.
const expiry = 5 * time.Minute

// iterator is what a shard iterator says. Its token is opaque to callers and needs no state here.
type iterator struct {
	Stream string
	Birth  int
	Shard  string
	Index  int   // of the next record in the shard's records
	Empty  int   // empty pages given out at Index
	Issued int64 // ms
}

// listToken is what a NextToken of ListShards says, or with the name of a consumer one of ListStreamConsumers.
type listToken struct {
	Stream string
	Birth  int
	After  string // shard id, or name
	Filter *shardFilter
	Issued int64 // ms
}

var errToken = errors.New("kinesistest: not a token of this server")

func (it iterator) String() string { return seal('i', it) }

func parseIterator(s string) (it iterator, err error) { return it, unseal('i', s, &it) }

func (t listToken) String() string { return seal('l', t) }

// parseConsumerToken reads a NextToken of ListStreamConsumers.
func parseConsumerToken(s string) (t listToken, err error) { return t, unseal('c', s, &t) }

func parseListToken(s string) (t listToken, err error) { return t, unseal('l', s, &t) }

// seal encodes a value with a checksum.
func seal(kind byte, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	b = append([]byte{kind, 0, 0, 0, 0}, b...)
	binary.BigEndian.PutUint32(b[1:], crc32.ChecksumIEEE(b[5:]))
	return base64.StdEncoding.EncodeToString(b)
}

func unseal(kind byte, s string, v any) error {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) < 5 || b[0] != kind || binary.BigEndian.Uint32(b[1:]) != crc32.ChecksumIEEE(b[5:]) || json.Unmarshal(b[5:], v) != nil {
		return errToken
	}
	return nil
}
