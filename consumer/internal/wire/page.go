package wire

import (
	"bytes"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	smithytime "github.com/aws/smithy-go/time"
)

// A record is one of the page.
type record struct {
	text       span // its data in base64, of the body
	data       []byte
	cut        int32 // data stands for what was at this place of the front; 0: it is still there
	size       int32 // of the data, once it is known
	key, seq   span  // of the text
	seconds    float64
	arrived    bool // at those seconds
	encryption types.EncryptionType
}

// fields is a set of the fields of an object.
type fields uint8

// once adds f, and is false if it was there: of two fields of one name, SDKs take one or the other.
func (fs *fields) once(f fields) bool {
	had := *fs&f != 0
	*fs |= f
	return !had
}

// page decodes the body.
func (s *scratch) page() (*kinesis.GetRecordsOutput, bool) {
	const (
		children fields = 1 << iota
		behind
		iterator
		records
	)
	out := &kinesis.GetRecordsOutput{}
	var seen fields
	ok := s.object(func(key []byte) bool {
		switch string(key) {
		case "ChildShards":
			return seen.once(children) && (s.null() || s.children(&out.ChildShards))
		case "MillisBehindLatest":
			return seen.once(behind) && (s.null() || s.integer(&out.MillisBehindLatest))
		case "NextShardIterator":
			return seen.once(iterator) && (s.null() || s.alone(&out.NextShardIterator))
		case "Records":
			return seen.once(records) && (s.null() || s.array(s.record) && s.records(&out.Records))
		}
		return s.skip(0)
	})
	s.space()
	return out, ok && s.i == len(s.body) && s.err == io.EOF //nolint:errorlint // Read returns it as it is
}

// record reads a record.
func (s *scratch) record() bool {
	const (
		data fields = 1 << iota
		key
		seq
		arrival
		encryption
	)
	if s.i > max(s.window, cap(s.body))/8*7 && !s.slide() {
		return false
	}
	s.recs = append(s.recs, record{})
	r := &s.recs[len(s.recs)-1]
	if s.usual(r) {
		return true
	}
	*r = record{}
	var seen fields
	return s.object(func(name []byte) bool {
		switch string(name) {
		case "Data":
			return seen.once(data) && (s.null() || s.base64(&r.text))
		case "PartitionKey":
			return seen.once(key) && (s.null() || s.str(&r.key))
		case "SequenceNumber":
			return seen.once(seq) && (s.null() || s.str(&r.seq))
		case "ApproximateArrivalTimestamp":
			return seen.once(arrival) && (s.null() || s.time(r))
		case "EncryptionType":
			return seen.once(encryption) && (s.null() || s.encryption(&r.encryption))
		}
		return s.skip(0)
	})
}

// decode decodes the data of the records that came since the front was moved, into one block.
func (s *scratch) decode() bool {
	recs, size := s.recs[s.moved:], 0
	for i := range recs {
		n, ok := size64(recs[i].text.of(s.body))
		if !ok {
			return false
		}
		recs[i].size = int32(n) //nolint:gosec // less than maxBody
		size += n
	}
	block := s.loan.block(size)
	for i := range recs {
		r := &recs[i]
		if !r.text.found {
			continue
		}
		r.data, block = block[:r.size:r.size], block[r.size:]
		if !decode64(r.data, r.text.of(s.body)) {
			return false
		}
	}
	return true
}

// records makes the records that were read. Their keys and sequence numbers are in one string.
func (s *scratch) records(list *[]types.Record) bool {
	if !s.decode() {
		return false
	}
	n := len(s.recs)
	mem, text := s.loan.records(n), string(s.text)
	out, strings, times := mem.recs[:n:n], mem.strings[:0], mem.times[:0]
	str := func(at span) *string {
		if !at.found {
			return nil
		}
		strings = append(strings, text[at.from:at.to])
		return &strings[len(strings)-1]
	}
	for i := range s.recs {
		in, r := &s.recs[i], &out[i]
		r.Data, r.PartitionKey, r.SequenceNumber, r.EncryptionType = in.data, str(in.key), str(in.seq), in.encryption
		if in.arrived {
			times = append(times, epoch(in.seconds))
			r.ApproximateArrivalTimestamp = &times[len(times)-1]
		}
	}
	*list = out
	return true
}

// base64 reads a string in base64. A backslash in it shows when it is decoded.
func (s *scratch) base64(at *span) bool {
	if !s.eat('"') {
		return false
	}
	for from := s.i; ; {
		if n := bytes.IndexByte(s.body[s.i:], '"'); n >= 0 {
			*at = found(from, s.i+n)
			s.i += n + 1
			return true
		}
		if s.i = len(s.body); !s.more() {
			return false
		}
	}
}

// alone reads a string that keeps nothing else alive.
func (s *scratch) alone(p **string) bool {
	var at span
	if !s.str(&at) {
		return false
	}
	*p = new(string)
	**p = string(at.of(s.text))
	s.text = s.text[:at.from]
	return true
}

// encryption reads a string that nearly always is one of two.
func (s *scratch) encryption(e *types.EncryptionType) bool {
	var at span
	if !s.str(&at) {
		return false
	}
	switch b := at.of(s.text); string(b) {
	case string(types.EncryptionTypeNone):
		*e = types.EncryptionTypeNone
	case string(types.EncryptionTypeKms):
		*e = types.EncryptionTypeKms
	default:
		*e = types.EncryptionType(b)
	}
	s.text = s.text[:at.from]
	return true
}

// integer reads a number without a fraction.
func (s *scratch) integer(p **int64) bool {
	b, ok := s.number()
	if !ok {
		return false
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	*p = &n
	return err == nil
}

// time reads a time of arrival: seconds, in floating point.
func (s *scratch) time(r *record) bool {
	b, ok := s.number()
	if !ok {
		return false
	}
	f, ok := float(b)
	r.seconds, r.arrived = f, true
	return ok
}

// float is strconv.ParseFloat of a number of JSON. Most times have so few digits that they, and the power of ten that they are
// to be divided by, are float64s; their quotient then is the nearest one.
func float(b []byte) (f float64, ok bool) {
	var digits int64
	i, exp := 0, 0
	number := func() (places int) {
		from := i
		for ; i < len(b) && '0' <= b[i] && b[i] <= '9'; i++ {
			digits = digits*10 + int64(b[i]-'0')
		}
		return i - from
	}
	n := number()
	if i < len(b) && b[i] == '.' {
		i++
		exp = -number()
	}
	if n -= exp; n > 0 && n <= 15 {
		f = float64(digits)
		if i+2 == len(b) && b[i]|' ' == 'e' {
			exp += int(b[i+1] - '0')
			i += 2
		}
		if i == len(b) && exp <= 0 {
			return f / math.Pow10(-exp), true
		}
	}
	f, err := strconv.ParseFloat(string(b), 64)
	return f, err == nil
}

// epoch is smithytime.ParseEpochSeconds, less its big numbers where nothing overflows.
func epoch(seconds float64) time.Time {
	if math.Abs(seconds) < 9e9 {
		return time.Unix(0, int64(seconds*1e3)*1e6).UTC()
	}
	return smithytime.ParseEpochSeconds(seconds)
}

// children reads a list of shards.
func (s *scratch) children(list *[]types.ChildShard) bool {
	const (
		hashes fields = 1 << iota
		parents
		id
	)
	*list = []types.ChildShard{}
	return s.array(func() bool {
		var c types.ChildShard
		var seen fields
		ok := s.object(func(key []byte) bool {
			switch string(key) {
			case "HashKeyRange":
				return seen.once(hashes) && (s.null() || s.hashes(&c.HashKeyRange))
			case "ParentShards":
				return seen.once(parents) && (s.null() || s.list(&c.ParentShards))
			case "ShardId":
				return seen.once(id) && (s.null() || s.alone(&c.ShardId))
			}
			return s.skip(0)
		})
		*list = append(*list, c)
		return ok
	})
}

func (s *scratch) hashes(p **types.HashKeyRange) bool {
	const (
		start fields = 1 << iota
		end
	)
	r := &types.HashKeyRange{}
	*p = r
	var seen fields
	return s.object(func(key []byte) bool {
		switch string(key) {
		case "StartingHashKey":
			return seen.once(start) && (s.null() || s.alone(&r.StartingHashKey))
		case "EndingHashKey":
			return seen.once(end) && (s.null() || s.alone(&r.EndingHashKey))
		}
		return s.skip(0)
	})
}

// list reads a list of strings.
func (s *scratch) list(list *[]string) bool {
	*list = []string{}
	return s.array(func() bool {
		var p *string
		ok := s.alone(&p)
		if ok {
			*list = append(*list, *p)
		}
		return ok
	})
}
