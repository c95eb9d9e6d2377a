package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sampleLog is a log of four lines, the last of which changes two rows, and its rows after each line.
func sampleLog() (lines []string, rows []map[string]Entry) {
	var now map[string]Entry
	text := []byte(logHeader + "\n")
	sum := checksum(0, []byte(logHeader))
	lines, rows = []string{string(text)}, []map[string]Entry{{}}
	for _, change := range [][]Entry{
		{{Key: "group/a", Value: []byte(`{"ck":"0/trim"}`), Revision: "R1"}},
		{{Key: "ü \"\\\n\x00\xff", Value: []byte("\x00\n\xff\u2028"), Revision: "R2"}},
		{{Key: "group/a", Value: []byte{}, Revision: "R3"}, {Key: "ü \"\\\n\x00\xff"}},
	} {
		now = maps.Clone(rows[len(rows)-1])
		var records []byte
		for _, e := range change {
			records = appendRecord(records, e)
			if now[e.Key] = e; e.Revision == "" {
				delete(now, e.Key)
			}
		}
		text, sum = appendLine(nil, sum, records)
		lines, rows = append(lines, string(text)), append(rows, now)
	}
	return lines, rows
}

// TestReadLogTorn cuts a log at every byte: what is left is the rows of the lines that are whole.
func TestReadLogTorn(t *testing.T) {
	lines, rows := sampleLog()
	text := strings.Join(lines, "")
	for cut := range len(text) + 1 {
		whole := strings.Count(text[:cut], "\n")
		for _, zeros := range []int{0, 1, 4096} {
			if zeros > 0 && whole == 0 {
				continue // nothing that was ever in use
			}
			got, err := readLog("p", strings.NewReader(text[:cut]+strings.Repeat("\x00", zeros)))
			if err != nil {
				t.Fatalf("cut at %d of %d, and %d zeros: %v", cut, len(text), zeros, err)
			}
			if diff := cmp.Diff(rows[max(0, whole-1)], got.rows); diff != "" {
				t.Fatalf("cut at %d of %d, and %d zeros: %s", cut, len(text), zeros, diff)
			}
		}
	}
	last := lines[len(lines)-1]
	hole := strings.Join(lines[:len(lines)-1], "") + strings.Repeat("\x00", 20) + last[20:]
	if got, err := readLog("p", strings.NewReader(hole)); err != nil || len(got.rows) != 2 {
		t.Errorf("a block of the last line was not written: %v, %v", got, err)
	}
}

// TestReadLogCorrupt changes every byte but those that the torn line may lose.
func TestReadLogCorrupt(t *testing.T) {
	lines, _ := sampleLog()
	text := strings.Join(lines, "")
	refused := func(what, text string, line int) {
		t.Helper()
		_, err := readLog("dir/store", strings.NewReader(text))
		var corrupt *CorruptError
		if !errors.Is(err, ErrCorrupt) || !errors.As(err, &corrupt) || corrupt.Line != line {
			t.Errorf("%s: got %v, want one that names line %d", what, err, line)
			return
		}
		for _, part := range []string{"checkpoint: dir/store: line ", corrupt.Reason, "restore a copy"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: no %q in %v", what, part, err)
			}
		}
	}
	for i := range len(text) - 1 {
		for _, change := range []byte{1, 0x80} {
			damaged := []byte(text)
			damaged[i] ^= change
			refused(fmt.Sprintf("byte %d", i), string(damaged), 1+strings.Count(text[:i], "\n"))
		}
	}
	refused("line missing", lines[0]+lines[2], 2)
	refused("lines exchanged", lines[0]+lines[2]+lines[1], 2)
	refused("line twice", lines[0]+lines[1]+lines[1], 3)
	refused("empty line", lines[0]+"\n"+lines[1], 2)
	refused("zeros before the last line", lines[0]+lines[1]+strings.Repeat("\x00", 30)+"\n"+lines[2], 3)
	refused("another file", "name,value\n", 1)
	refused("another file, short", "notes", 1)
	refused("another version", strings.Replace(logHeader, "1", "2", 1)+"\n", 1)

	for _, records := range []string{"", " put", ` put "a"`, ` put "a" "r"`, ` put "a" "" "v"`, ` put "a" "r" v`, ` put "a" "r" "v" `, ` del a`, ` del "a`, " del `a`", ` swap "a"`, ` put "a""r""v"`} {
		line, _ := appendLine(nil, checksum(0, []byte(logHeader)), []byte(records))
		refused(records, lines[0]+string(line)+lines[1], 2)
	}
}

// TestReadLogRemedy does what the error proposes.
func TestReadLogRemedy(t *testing.T) {
	lines, rows := sampleLog()
	damaged := lines[0] + lines[1] + "x" + lines[2] + lines[3]
	_, err := readLog("p", strings.NewReader(damaged))
	if err == nil || !strings.Contains(err.Error(), "keep only its first 2 lines") {
		t.Fatal(err)
	}
	got, err := readLog("p", strings.NewReader(strings.Join(strings.SplitAfter(damaged, "\n")[:2], "")))
	if err != nil || !cmp.Equal(got.rows, rows[1]) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestReadLogError(t *testing.T) {
	broken := errors.New("input/output error")
	_, err := readLog("p", &failingReader{strings.NewReader(logHeader + "\n"), broken})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type failingReader struct {
	r   *strings.Reader
	err error
}

func (r *failingReader) Read(p []byte) (int, error) {
	if r.r.Len() > 0 {
		return r.r.Read(p)
	}
	return 0, r.err
}

// FuzzReadLog checks that no input is taken for more than it is: what is read can be written, and reads the same.
func FuzzReadLog(f *testing.F) {
	lines, _ := sampleLog()
	f.Add([]byte(strings.Join(lines, "")), false)
	f.Add([]byte(strings.Join(lines[:2], "")+"0000000"), false)
	for _, records := range []string{` put "a" "r" "v"`, ` del "\xff\u00fc"`, ` put "a" "r" "v" del "a"`, ` put "" "r" ""`} {
		f.Add([]byte(records), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, sealed bool) {
		if sealed { // with the right checksum, to get behind it
			line, _ := appendLine(nil, checksum(0, []byte(logHeader)), data)
			data = append([]byte(logHeader+"\n"), line...)
		}
		read, err := readLog("p", bytes.NewReader(data))
		rows := read.rows
		if err != nil {
			if !errors.Is(err, ErrCorrupt) || rows != nil {
				t.Fatalf("got %v, %v", rows, err)
			}
			return
		}
		var buf bytes.Buffer
		size, sum, err := writeLog(&buf, rows)
		if err != nil || size != int64(buf.Len()) {
			t.Fatalf("wrote %d bytes and said %d, %v", buf.Len(), size, err)
		}
		line, _ := appendLine(nil, sum, appendRecord(nil, Entry{Key: "one more", Revision: "R"}))
		all, err := readLog("p", bytes.NewReader(append(buf.Bytes(), line...)))
		if err != nil || all.last != size || all.size != size+int64(len(line)) {
			t.Fatalf("the line at %d ends at %d, want %d and %d: %v", all.last, all.size, size, size+int64(len(line)), err)
		}
		again := all.rows
		if _, ok := again["one more"]; !ok {
			t.Fatal("the line after is not read")
		}
		delete(again, "one more")
		delete(rows, "one more")
		if !slices.Equal(slices.Sorted(maps.Keys(rows)), slices.Sorted(maps.Keys(again))) {
			t.Fatalf("wrote %v and read %v", rows, again)
		}
		for key, e := range rows {
			if got := again[key]; got.Revision != e.Revision || !bytes.Equal(got.Value, e.Value) {
				t.Fatalf("wrote %q and read %q", e, got)
			}
		}
	})
}
