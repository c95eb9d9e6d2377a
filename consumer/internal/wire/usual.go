package wire

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// usual reads a record as the service writes it: all of it has come, no space, no escape, no field but those that records have,
// all letters ASCII. Of any other record it returns false, and has read nothing; record reads it then.
func (s *scratch) usual(r *record) bool {
	const (
		data    = `"Data":"`
		key     = `"PartitionKey":"`
		seq     = `"SequenceNumber":"`
		arrival = `"ApproximateArrivalTimestamp":`
		kms     = `"EncryptionType":"KMS"`
	)
	b, text := s.body[s.i:], len(s.text)
	if len(b) == 0 || b[0] != '{' {
		return false
	}
	for i := 1; ; i++ { // behind a brace or a comma
		var ok bool
		switch rest := b[i:]; {
		case starts(rest, data) && !r.text.found:
			i += len(data)
			n := bytes.IndexByte(b[i:], '"')
			if ok = n >= 0; ok {
				r.text = found(s.i+i, s.i+i+n)
				i += n + 1
			}
		case starts(rest, key) && !r.key.found:
			i += len(key)
			i, ok = s.plain(b, i, &r.key)
		case starts(rest, seq) && !r.seq.found:
			i += len(seq)
			i, ok = s.plain(b, i, &r.seq)
		case starts(rest, arrival) && !r.arrived:
			i += len(arrival)
			var n int
			r.seconds, n, ok = seconds(b[i:])
			r.arrived = true
			i += n
		case starts(rest, kms) && r.encryption == "":
			r.encryption, ok = types.EncryptionTypeKms, true
			i += len(kms)
		}
		if ok && i < len(b) && b[i] == '}' {
			s.i += i + 1
			return true
		}
		if !ok || i >= len(b) || b[i] != ',' {
			s.text = s.text[:text]
			return false
		}
	}
}

func starts(b []byte, with string) bool {
	return len(b) > len(with) && b[1] == with[1] && string(b[:len(with)]) == with
}

// plain reads a string of ASCII without escapes, whose first byte is that at i, and returns the place behind its end.
func (s *scratch) plain(b []byte, i int, at *span) (int, bool) {
	n := bytes.IndexByte(b[i:], '"')
	if n < 0 || !ascii(b[i:i+n]) {
		return i, false
	}
	from := len(s.text)
	s.text = append(s.text, b[i:i+n]...)
	*at = found(from, len(s.text))
	return i + n + 1, true
}

// ascii tells whether b has neither a control character nor a backslash, nor anything above ASCII.
func ascii(b []byte) bool {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	for ; len(b) >= 8; b = b[8:] {
		v := binary.LittleEndian.Uint64(b)
		slash := v ^ ('\\' * ones)
		if (v|((slash-ones)&^slash)|((v-' '*ones)&^v))&highs != 0 {
			return false
		}
	}
	for _, c := range b {
		if c < ' ' || c == '\\' || c >= 0x80 {
			return false
		}
	}
	return true
}

// seconds reads a number with few digits, like 1.728123456789E9, and says how long it is. Its quotient is the nearest one: see
// float.
func seconds(b []byte) (f float64, n int, ok bool) {
	var digits int64
	i := 0
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		digits = digits*10 + int64(b[i]-'0')
	}
	whole, places := i, 0
	if i < len(b) && b[i] == '.' {
		i++
		from := i
		for ; i < len(b) && b[i]-'0' <= 9; i++ {
			digits = digits*10 + int64(b[i]-'0')
		}
		if places = i - from; places == 0 {
			return 0, 0, false
		}
	}
	if whole == 0 || b[0] == '0' || whole+places > 15 {
		return 0, 0, false
	}
	if i+1 < len(b) && b[i]|' ' == 'e' && b[i+1]-'0' <= 9 {
		places -= int(b[i+1] - '0')
		i += 2
	}
	if places < 0 || i == len(b) || b[i] != ',' && b[i] != '}' {
		return 0, 0, false
	}
	return float64(digits) / math.Pow10(places), i, true
}
