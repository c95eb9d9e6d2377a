package kinesistest

import "fmt"

type putRecordsInput struct {
	streamRef
	Records []entry
}

const (
	maxPutRecords = 500
	maxPutBytes   = 10 << 20 // data and keys of a request
)

// apiPutRecords stores 1 to 500 records, 10 MiB of data and keys at most. A request that breaks a rule anywhere is
// refused as a whole; a record above its shard's write limits, or that a fault meets, fails alone, in its place of the
// answer, while later ones are stored.
func (s *Server) apiPutRecords(c *call, in *putRecordsInput) (any, error) {
	var v validation
	v.check(len(in.Records) >= 1, "records", in.Records, "have length greater than or equal to 1")
	v.check(len(in.Records) <= maxPutRecords, "records", "[...]", fmt.Sprintf("have length less than or equal to %d", maxPutRecords))
	total := 0
	for i := range in.Records {
		in.Records[i].validate(&v, fmt.Sprintf("records.%d.member.", i+1))
		total += in.Records[i].size()
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	if total > maxPutBytes {
		return nil, invalid("Records size exceeds %d bytes limit", maxPutBytes)
	}
	st, err := s.readable(&in.streamRef)
	if err != nil {
		return nil, err
	}
	hashes := make([]hash, len(in.Records))
	for i := range in.Records {
		if hashes[i], err = st.accept(&in.Records[i], fmt.Sprintf("records.%d.member.", i+1)); err != nil {
			return nil, err
		}
	}
	out := struct {
		FailedRecordCount int
		Records           []putBody
		EncryptionType    string
	}{Records: make([]putBody, len(in.Records)), EncryptionType: "NONE"}
	for i := range in.Records {
		e, sh := &in.Records[i], s.place(st, hashes[i])
		switch {
		case c.faults.failPuts > 0 && (i+1)%c.faults.failPuts == 0:
			out.Records[i] = putBody{ErrorCode: c.faults.failPutsBy, ErrorMessage: "kinesistest: error on request"}
		case !s.admitWrite(sh, e.size(), c.Time):
			out.Records[i] = putBody{
				ErrorCode:    "ProvisionedThroughputExceededException",
				ErrorMessage: fmt.Sprintf("Rate exceeded for shard %s in stream %s under account %s.", sh.id, st.name, account),
			}
		default:
			seq := s.settings.prefix + st.put(sh, deref(e.PartitionKey), e.Data, c.Time)
			out.Records[i] = putBody{SequenceNumber: seq, ShardId: sh.id}
			c.records, c.bytes, c.last = c.records+1, c.bytes+e.size(), seq
			if c.first == "" {
				c.first = seq
			}
			continue
		}
		out.FailedRecordCount++
	}
	return out, nil
}
