package checkpoint

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Position is a place in a shard, as a string that sorts bytewise in the order of the shard:
//
//	0/trim                         before the oldest record that is kept
//	0/time/0001700000000000        before the first record that arrived at that time or later, in Unix milliseconds
//	1/056<56 digits>/0000000003    after sub-record 3 of the record with that sequence number
//	1/056<56 digits>/~             after the whole record
//	1/0017/~/000                   after the whole record that the service numbered 0007
//	9/END                          after the last record of a shard that ended
//
// Sequence numbers are longer than any number type that stores have; their count of digits, 3 digits itself, comes
// first, so that a shorter number sorts before a longer one. Zeros in front of a number are not counted. They stand at
// the end, and take no part in the order: two Positions that differ in them only are the same place.
//
// Compare gives the order. The order of the bytes, as that of <, agrees with it for any two different places, so a
// store may sort by it. It takes one place for two only where the zeros differ, which no known service does within a
// shard; == does so as well. The empty Position is none of these and sorts first.
type Position string

// The ends of a shard.
const (
	TrimHorizon Position = "0/trim"
	End         Position = "9/END"
)

const (
	timePrefix   = "0/time/"
	recordPrefix = "1/"
	timeDigits   = 16
	countDigits  = 3
	subDigits    = 10
	wholeMark    = "~"
	maxSub       = 9_999_999_999
	maxDigits    = 999
	maxMillis    = 9_999_999_999_999_999
)

// AtTime returns the Position before the first record that arrived at t or later. It rounds t down to the millisecond;
// a time before 1970 is 1970.
func AtTime(t time.Time) Position {
	ms := min(max(t.UnixMilli(), 0), maxMillis)
	return Position(fmt.Sprintf("%s%0*d", timePrefix, timeDigits, ms))
}

// After returns the Position after the whole record with sequence number seq: decimal digits, 999 at most with leading
// zeros, which Sequence gives back. The error for anything else wraps [ErrSequence].
func After(seq string) (Position, error) { return after(seq, wholeMark) }

// AfterSub returns the Position after sub-record sub, counted from 0, of the aggregated record with sequence number
// seq, which is as for After. Sub has at most 10 digits.
func AfterSub(seq string, sub int64) (Position, error) {
	if sub < 0 || sub > maxSub {
		return "", fmt.Errorf("checkpoint: sub-sequence number %d is not in 0..%d", sub, int64(maxSub))
	}
	return after(seq, fmt.Sprintf("%0*d", subDigits, sub))
}

func after(seq, sub string) (Position, error) {
	zeros, digits := splitZeros(seq)
	if err := checkSequence(zeros, digits); err != nil {
		return "", fmt.Errorf("%w: %.80q: %w", ErrSequence, seq, err)
	}
	if zeros != "" {
		sub += "/" + zeros
	}
	return Position(fmt.Sprintf("%s%0*d%s/%s", recordPrefix, countDigits, len(digits), digits, sub)), nil
}

// splitZeros cuts a number behind the zeros that stand in front of its first digit that counts.
func splitZeros(seq string) (zeros, digits string) {
	digits = strings.TrimLeft(seq, "0")
	if digits == "" && seq != "" {
		digits = "0" // of zero, the last digit counts
	}
	n := len(seq) - len(digits)
	return seq[:n], digits
}

// ParsePosition returns s as a Position, or an error if s is none that the functions of this package return.
func ParsePosition(s string) (Position, error) {
	if err := check(s); err != nil {
		return "", fmt.Errorf("checkpoint: position %.80q: %w", s, err)
	}
	return Position(s), nil
}

func check(s string) error {
	if s == string(TrimHorizon) || s == string(End) {
		return nil
	}
	if ms, ok := strings.CutPrefix(s, timePrefix); ok {
		if len(ms) != timeDigits || !isDigits(ms) {
			return fmt.Errorf("time is not %d digits", timeDigits)
		}
		return nil
	}
	rest, ok := strings.CutPrefix(s, recordPrefix)
	if !ok {
		return errors.New("unknown form")
	}
	seq, sub, ok := strings.Cut(rest, "/")
	if !ok || len(seq) < countDigits {
		return errors.New("incomplete")
	}
	count, digits := seq[:countDigits], seq[countDigits:]
	sub, zeros, padded := strings.Cut(sub, "/")
	if padded && (zeros == "" || strings.Trim(zeros, "0") != "") {
		return errors.New("the end is not zeros")
	}
	if err := checkSequence(zeros, digits); err != nil {
		return err
	}
	if count != fmt.Sprintf("%0*d", countDigits, len(digits)) {
		return errors.New("count of digits does not match")
	}
	if sub != wholeMark && (len(sub) != subDigits || !isDigits(sub)) {
		return fmt.Errorf("sub-sequence number is not %d digits or %s", subDigits, wholeMark)
	}
	return nil
}

// checkSequence checks the two parts of a number that splitZeros cuts.
func checkSequence(zeros, digits string) error {
	switch {
	case !isDigits(digits):
		return errors.New("not decimal digits")
	case len(zeros)+len(digits) > maxDigits:
		return fmt.Errorf("%d digits, the limit is %d", len(zeros)+len(digits), maxDigits)
	case digits[0] == '0' && len(digits) > 1:
		return errors.New("leading zero") // its place is behind
	}
	return nil
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// Compare returns -1, 0 or +1 as p lies before, at or after q in a shard. All places in time lie before all records.
func (p Position) Compare(q Position) int { return strings.Compare(p.place(), q.place()) }

// Less reports whether p lies before q.
func (p Position) Less(q Position) bool { return p.Compare(q) < 0 }

// place is p without the zeros at its end, which take no part in the order.
func (p Position) place() string {
	place, padded := strings.CutSuffix(strings.TrimRight(string(p), "0"), "/")
	if padded && len(place)+1 < len(p) && strings.HasPrefix(place, recordPrefix) && strings.Count(place, "/") == 2 {
		return place
	}
	return string(p)
}

// IsEnd reports whether p is End.
func (p Position) IsEnd() bool { return p == End }

// Time returns the time of a Position that AtTime returned, in UTC, and whether p is one.
func (p Position) Time() (time.Time, bool) {
	ms, ok := strings.CutPrefix(string(p), timePrefix)
	if !ok || check(string(p)) != nil {
		return time.Time{}, false
	}
	n, err := strconv.ParseInt(ms, 10, 64)
	return time.UnixMilli(n).UTC(), err == nil
}

// Sequence returns the sequence number of the record that p lies in or after, as the service wrote it, with its leading
// zeros if it has any, and whether p names a record. Whole says that p lies after the whole record: reading resumes
// behind it, and sub is 0. Otherwise p lies after sub-record sub: reading resumes at the record, and its sub-records up
// to sub are done.
func (p Position) Sequence() (seq string, sub int64, whole, ok bool) {
	rest, ok := strings.CutPrefix(string(p), recordPrefix)
	if !ok || check(string(p)) != nil {
		return "", 0, false, false
	}
	seq, tail, _ := strings.Cut(rest, "/")
	tail, zeros, _ := strings.Cut(tail, "/")
	seq = zeros + seq[countDigits:]
	if tail == wholeMark {
		return seq, 0, true, true
	}
	sub, err := strconv.ParseInt(tail, 10, 64)
	return seq, sub, false, err == nil
}
