package checkpoint

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The log of a File is text. Its first line is logHeader; each other line is one commit, applied as a whole:
//
//	<checksum> put "<key>" "<revision>" "<value>" del "<key>" …
//
// Strings are quoted as in Go source, so that a line holds no control characters. The checksum, 8 hexadecimal digits,
// is a CRC-32C over the text after it and over all lines before: a line that is changed, missing, or moved shows.
const (
	logHeader = "shardlane checkpoint log 1"
	sumDigits = 8
)

// checksum continues the checksum prev of the lines before with one more line.
func checksum(prev uint32, line []byte) uint32 {
	return crc32.Update(prev, crc32.MakeTable(crc32.Castagnoli), line)
}

// appendRecord appends the record of e: a deletion if its Revision is "", else a put.
func appendRecord(buf []byte, e Entry) []byte {
	if e.Revision == "" {
		return strconv.AppendQuote(append(buf, " del "...), e.Key)
	}
	buf = strconv.AppendQuote(append(buf, " put "...), e.Key)
	buf = strconv.AppendQuote(append(buf, ' '), e.Revision)
	return strconv.AppendQuote(append(buf, ' '), string(e.Value))
}

// recordSize returns the bytes that e takes in the log as a row, which is none if its Revision is "".
func recordSize(e Entry) int64 {
	if e.Revision == "" {
		return 0
	}
	return int64(len(appendRecord(nil, e)))
}

// appendLine appends the line that holds records, and returns the checksum for the next one.
func appendLine(buf []byte, prev uint32, records []byte) ([]byte, uint32) {
	sum := checksum(prev, records)
	buf = fmt.Appendf(buf, "%0*x", sumDigits, sum)
	return append(append(buf, records...), '\n'), sum
}

// parseLine reads a line without its newline. It returns the changes, in order, and the checksum for the next line.
func parseLine(line []byte, prev uint32) ([]Entry, uint32, error) {
	if len(line) <= sumDigits {
		return nil, 0, errors.New("line is too short")
	}
	records := line[sumDigits:]
	sum := checksum(prev, records)
	if fmt.Sprintf("%0*x", sumDigits, sum) != string(line[:sumDigits]) {
		return nil, 0, errors.New("checksum does not match")
	}
	var changes []Entry
	for rest := string(records); rest != ""; {
		var e Entry
		var err error
		if rest, e, err = cutRecord(rest); err != nil {
			return nil, 0, err
		}
		changes = append(changes, e)
	}
	return changes, sum, nil
}

func cutRecord(s string) (rest string, e Entry, err error) {
	if rest, ok := strings.CutPrefix(s, " del"); ok {
		rest, err = cutQuoted(rest, &e.Key)
		return rest, e, err
	}
	rest, ok := strings.CutPrefix(s, " put")
	if !ok {
		return "", Entry{}, errors.New("record is neither put nor del")
	}
	var value string
	for _, field := range []*string{&e.Key, &e.Revision, &value} {
		if rest, err = cutQuoted(rest, field); err != nil {
			return "", Entry{}, err
		}
	}
	if e.Revision == "" {
		return "", Entry{}, errors.New("put without a revision")
	}
	e.Value = []byte(value)
	return rest, e, nil
}

func cutQuoted(s string, field *string) (rest string, err error) {
	s, ok := strings.CutPrefix(s, " \"")
	if !ok {
		return "", errors.New("field is not quoted")
	}
	quoted, err := strconv.QuotedPrefix(`"` + s)
	if err != nil {
		return "", errors.New("field is not quoted")
	}
	*field, err = strconv.Unquote(quoted)
	return s[len(quoted)-1:], err
}

// A logText is what was read of a log.
type logText struct {
	rows map[string]Entry
	size int64  // bytes of the lines that count
	last int64  // where the last one of these begins
	sum  uint32 // checksum for the next line
}

// readLog reads a whole log. A last line that a crash left half written is ignored: it was never acknowledged. It has no
// newline, or holds zeros in the place of blocks that were not written. Anything else that does not fit is a
// *CorruptError. An empty log is a new one.
func readLog(path string, r io.Reader) (logText, error) {
	read := logText{rows: make(map[string]Entry)}
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return logText{}, err
		}
		torn := err == io.EOF
		length := int64(len(line))
		line = bytes.TrimSuffix(line, []byte("\n"))
		if n == 1 {
			if string(line) != logHeader && !(torn && strings.HasPrefix(logHeader, string(line))) {
				return logText{}, &CorruptError{path, n, "this is no checkpoint file, or one of another version"}
			}
			read.sum = checksum(0, line)
		} else if !torn {
			changes, next, err := parseLine(line, read.sum)
			if err != nil {
				if _, eof := lines.Peek(1); eof == io.EOF && bytes.IndexByte(line, 0) >= 0 {
					return read, nil
				}
				return logText{}, &CorruptError{path, n, err.Error()}
			}
			for _, e := range changes {
				if e.Revision == "" {
					delete(read.rows, e.Key)
				} else {
					read.rows[e.Key] = e
				}
			}
			read.sum = next
		}
		if torn {
			return read, nil
		}
		read.last, read.size = read.size, read.size+length
	}
}

// writeLog writes a log that holds rows and nothing else, and returns its size and the checksum for the next line.
func writeLog(w io.Writer, rows map[string]Entry) (size int64, sum uint32, err error) {
	out := bufio.NewWriter(w)
	buf := []byte(logHeader + "\n")
	sum = checksum(0, []byte(logHeader))
	var record []byte
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		_, _ = out.Write(buf) // a bufio.Writer keeps its first error for Flush
		size += int64(len(buf))
		record = appendRecord(record[:0], rows[key])
		buf, sum = appendLine(buf[:0], sum, record)
	}
	_, _ = out.Write(buf)
	return size + int64(len(buf)), sum, out.Flush()
}
