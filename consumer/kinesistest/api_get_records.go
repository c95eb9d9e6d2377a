package kinesistest

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

type getRecordsInput struct {
	ShardIterator *string
	Limit         *int
	StreamARN     *string
}

type childBody struct {
	ShardId      string
	ParentShards []string
	HashKeyRange rangeBody
}

// page is what a read comes to.
type page struct {
	records  []Record // as they are told
	end      int      // index in the shard's records, after the last of them
	next     iterator // zero at the end of a shard
	children []childBody
	lag      time.Duration
}

// apiGetRecords reads a page: at most Limit records, 10,000 by default, and 10 MiB of data and keys, but one record at
// least when there is one. An iterator is good for 5 minutes (ExpiredIteratorException), any number of times, and for
// the stream that gave it out only, not for a later one of the same name (ResourceNotFoundException). What was trimmed
// since the iterator was made is passed over in silence. With read limits on, a call above them is refused
// (ProvisionedThroughputExceededException) and counts for nothing; a page is no larger than what 10 MiB in 5 s leave.
func (s *Server) apiGetRecords(c *call, in *getRecordsInput) (any, error) {
	var v validation
	v.required("shardIterator", in.ShardIterator)
	v.check(in.ShardIterator == nil || *in.ShardIterator != "", "shardIterator", "", "have length greater than or equal to 1")
	v.within("limit", in.Limit, 1, maxReadPage)
	if err := v.err(); err != nil {
		return nil, err
	}
	it, err := parseIterator(*in.ShardIterator)
	if err != nil {
		return nil, invalid("Invalid ShardIterator.")
	}
	if issued := time.UnixMilli(it.Issued); c.faults.expire || c.Time.Sub(issued) > expiry {
		const layout = "Mon Jan 02 15:04:05 MST 2006"
		return nil, refuse("ExpiredIteratorException", "Iterator expired. The iterator was created at time %s while right now it is %s which is further in the future than the tolerated delay of %d milliseconds.",
			issued.UTC().Format(layout), c.Time.Format(layout), expiry.Milliseconds())
	}
	if in.StreamARN != nil && *in.StreamARN != arn(it.Stream) {
		return nil, invalid("The StreamARN %s is not the one of the ShardIterator.", *in.StreamARN)
	}
	st, err := s.readable(&streamRef{StreamName: &it.Stream})
	if err != nil {
		return nil, err
	}
	if st.birth != it.Birth {
		return nil, notFound(st.name)
	}
	sh := st.shard(it.Shard)
	if sh == nil {
		return nil, noShard(st, it.Shard)
	}
	budget := maxReadBytes
	if s.settings.readLimits {
		spent := sh.readBytes.sum(c.Time, 5*time.Second)
		if sh.reads.sum(c.Time, time.Second) >= maxReads || spent >= maxReadBytes {
			return nil, refuse("ProvisionedThroughputExceededException", "Rate exceeded for shard %s in stream %s under account %s.", sh.id, st.name, account)
		}
		sh.reads.add(c.Time, 1)
		budget -= spent
	}
	limit := maxReadPage
	if in.Limit != nil {
		limit = *in.Limit
	}
	p := s.page(c, sh, it, limit, budget)
	if s.settings.readLimits && c.bytes > 0 {
		sh.readBytes.add(c.Time, c.bytes)
	}
	return p.encode, nil
}

// page reads from an iterator: so many records and bytes, one record at least. The call tells what was read.
func (s *Server) page(c *call, sh *shard, it iterator, limit, budget int) (p page) {
	rest := sh.records[min(max(it.Index, sh.trimmed), len(sh.records)):]
	start := len(sh.records) - len(rest)
	next := iterator{Stream: it.Stream, Birth: it.Birth, Shard: it.Shard, Issued: c.Time.UnixMilli()}
	if len(rest) > 0 && (c.faults.empty || it.Empty < s.settings.emptyPages) {
		p.lag = max(c.Time.Sub(rest[0].Arrival), time.Millisecond)
		next.Index, next.Empty = start, it.Empty+1
	} else {
		n := 0
		for n < len(rest) && n < limit {
			size := len(rest[n].Data) + len(rest[n].PartitionKey)
			if n > 0 && c.bytes+size > budget {
				break
			}
			c.bytes += size
			n++
		}
		p.records = rest[:n:n]
		next.Index = start + n
		if n < len(rest) {
			p.lag = max(c.Time.Sub(rest[n-1].Arrival), time.Millisecond)
		}
		if n == 0 {
			next.Empty = it.Empty + 1
		}
		if n == len(rest) && !sh.closed.IsZero() && next.Empty >= s.settings.shardEnd {
			next = iterator{}
			if !c.faults.childless {
				p.children = sh.childBodies()
			}
		}
	}
	if c.faults.lag != nil {
		p.lag = *c.faults.lag
	}
	if c.faults.repeat {
		next = it
		next.Issued, p.children = c.Time.UnixMilli(), nil
	}
	p.end, p.next = start+len(p.records), next
	p.records = told(p.records, s.settings.prefix)
	if c.records = len(p.records); c.records > 0 {
		c.first, c.last = p.records[0].SequenceNumber, p.records[c.records-1].SequenceNumber
	}
	return p
}

func (sh *shard) childBodies() []childBody {
	bodies := make([]childBody, len(sh.children))
	for i, ch := range sh.children {
		bodies[i] = childBody{ch.id, ch.parents, ch.hashes()}
	}
	return bodies
}

// encode writes the answer of GetRecords.
func (p page) encode() []byte {
	b := p.appendJSON([]byte{'{'})
	if p.next != (iterator{}) {
		b = append(b, `,"NextShardIterator":"`...)
		b = append(b, p.next.String()...)
		b = append(b, '"')
	}
	return append(b, '}')
}

// appendJSON writes the members that answers of GetRecords and pushed events have in common, by hand: pages are large,
// and tests of throughput are bound by it.
func (p page) appendJSON(b []byte) []byte {
	size := 512
	for _, r := range p.records {
		size += base64.StdEncoding.EncodedLen(len(r.Data)) + len(r.PartitionKey) + 192
	}
	b = append(slices.Grow(b, size), `"Records":[`...)
	for i, r := range p.records {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"ApproximateArrivalTimestamp":`...)
		b = appendTimestamp(b, r.Arrival)
		b = append(b, `,"Data":"`...)
		b = base64.StdEncoding.AppendEncode(b, r.Data)
		if r.PartitionKey != "" {
			b = append(b, `","PartitionKey":`...)
			b = appendString(b, r.PartitionKey)
			b = append(b, `,"SequenceNumber":"`...)
		} else {
			b = append(b, `","SequenceNumber":"`...)
		}
		b = append(b, r.SequenceNumber...)
		b = append(b, `"}`...)
	}
	b = append(b, `],"MillisBehindLatest":`...)
	b = strconv.AppendInt(b, p.lag.Milliseconds(), 10)
	if len(p.children) > 0 {
		children, _ := json.Marshal(p.children)
		b = append(b, `,"ChildShards":`...)
		b = append(b, children...)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s)
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
