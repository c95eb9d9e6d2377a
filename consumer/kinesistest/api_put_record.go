package kinesistest

import (
	"strconv"
	"unicode/utf8"
)

type putRecordInput struct {
	streamRef
	entry
	SequenceNumberForOrdering *string
}

// entry is one record to put.
type entry struct {
	Data            []byte
	ExplicitHashKey *string
	PartitionKey    *string
}

type putBody struct {
	SequenceNumber string `json:",omitempty"`
	ShardId        string `json:",omitempty"`
	ErrorCode      string `json:",omitempty"`
	ErrorMessage   string `json:",omitempty"`
}

// apiPutRecord stores a record in the open shard of its hash key: the MD5 of the partition key, or ExplicitHashKey. The
// partition key has 1 to 256 characters; data and key together have at most 1 MiB, or what SetMaxRecordSize says
// (ValidationException). Under AUTO the service chooses the shard, there need not be a key, and SequenceNumberForOrdering
// is refused (InvalidArgumentException). With write limits on, a record above them is refused
// (ProvisionedThroughputExceededException).
func (s *Server) apiPutRecord(c *call, in *putRecordInput) (any, error) {
	var v validation
	in.entry.validate(&v, "")
	if n := in.SequenceNumberForOrdering; n != nil {
		v.sequence("sequenceNumberForOrdering", *n, s.settings.prefix)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	st, err := s.readable(&in.streamRef)
	if err != nil {
		return nil, err
	}
	if st.distribution == Auto && in.SequenceNumberForOrdering != nil {
		return nil, invalid("SequenceNumberForOrdering cannot be provided for stream %s with RecordDistributionStrategy AUTO.", st.name)
	}
	h, err := st.accept(&in.entry, "")
	if err != nil {
		return nil, err
	}
	sh := s.place(st, h)
	if !s.admitWrite(sh, in.entry.size(), c.Time) {
		return nil, refuse("ProvisionedThroughputExceededException", "Rate exceeded for shard %s in stream %s under account %s.", sh.id, st.name, account)
	}
	seq := s.settings.prefix + st.put(sh, deref(in.PartitionKey), in.Data, c.Time)
	c.Shard, c.records, c.bytes, c.first, c.last = sh.id, 1, in.entry.size(), seq, seq
	return putBody{SequenceNumber: seq, ShardId: sh.id}, nil
}

func (e *entry) size() int { return len(e.Data) + len(deref(e.PartitionKey)) }

// validate checks what needs no stream. at is the path of the record in the request.
func (e *entry) validate(v *validation, at string) {
	v.check(e.Data != nil, at+"data", "null", "not be null")
	v.check(len(e.Data) <= 10<<20, at+"data", "java.nio.HeapByteBuffer[pos=0 lim="+strconv.Itoa(len(e.Data))+"]", "have length less than or equal to 10485760")
	if e.PartitionKey != nil {
		n := utf8.RuneCountInString(*e.PartitionKey)
		v.check(n >= 1, at+"partitionKey", *e.PartitionKey, "have length greater than or equal to 1")
		v.check(utf8.ValidString(*e.PartitionKey), at+"partitionKey", *e.PartitionKey, "be Unicode")
		v.check(n <= 256, at+"partitionKey", *e.PartitionKey, "have length less than or equal to 256")
	}
	if e.ExplicitHashKey != nil {
		v.check(isNumber(*e.ExplicitHashKey, 39), at+"explicitHashKey", *e.ExplicitHashKey, `satisfy regular expression pattern: 0|([1-9]\d{0,38})`)
	}
}

// accept checks a record against what its stream asks of it, and returns its hash key: under AUTO none.
func (st *streamState) accept(e *entry, at string) (h hash, err error) {
	if st.distribution != Auto {
		var v validation
		v.required(at+"partitionKey", e.PartitionKey)
		if err := v.err(); err != nil {
			return h, err
		}
		if h, err = e.hash(); err != nil {
			return h, err
		}
	}
	return h, e.fits(st)
}

func (e *entry) hash() (hash, error) {
	if e.ExplicitHashKey == nil {
		return hashOf(*e.PartitionKey), nil
	}
	h, ok := parseHash(*e.ExplicitHashKey)
	if !ok {
		return h, invalid("Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was %s", *e.ExplicitHashKey)
	}
	return h, nil
}

// fits checks the stream's limit of a record: data and key together.
func (e *entry) fits(st *streamState) error {
	if e.size() > st.maxRecord {
		return refuse("ValidationException", "1 validation error detected: Record size of %d bytes exceeds the limit of %d bytes of stream %s", e.size(), st.maxRecord, st.name)
	}
	return nil
}
