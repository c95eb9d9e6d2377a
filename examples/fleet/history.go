package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// A history is a file to which one worker appends a line for everything that it does, as it does it. A line that was
// written outlives the process, however that ends. Its fields are a kind, a time in Unix nanoseconds, and
//
//	begin CALL SHARD EPOCH KEY:N…   a handler was called with these records
//	end   CALL ok|failed            it returns
//	owns  SHARD…                    the shards that the worker runs from now on
//	store METHOD KIND               a call of the store, for a row of a "member", a "lease", and so on
//
// The processes share the machine's clock.
type history struct{ f *os.File }

func openHistory(path string) (*history, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return &history{f}, err
}

// write appends a line, in one call of the system, which several goroutines may do at once. A worker that cannot tell what
// it does must not do it.
func (h *history) write(kind string, fields ...any) {
	line := fmt.Appendln(fmt.Appendf(nil, "%s %d ", kind, time.Now().UnixNano()), fields...)
	if _, err := h.f.Write(line); err != nil {
		panic(err)
	}
}

// A record is one of those that the parent puts: the n-th of its key, counted from 1.
type record struct {
	key string
	n   int
}

func (r record) String() string { return fmt.Sprint(r.key, ":", r.n) }

func parseRecord(s string) (record, error) {
	key, number, ok := strings.Cut(s, ":")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < 1 {
		return record{}, fmt.Errorf("record %q", s)
	}
	return record{key, n}, nil
}

// A call is a handler with a batch. It has not ended where its process died.
type call struct {
	shard        string
	epoch        int64
	records      []record
	began, ended time.Time
	ok           bool
}

// An operation is a call of the store.
type operation struct {
	at           time.Time
	method, kind string
}

// A past is what the history of a process says, as far as it has been read.
type past struct {
	calls []*call
	owns  []string
	held  map[string]bool // the shards that it has ever had
	ops   []operation
	open  map[string]*call
	done  int // records of calls that went well
}

func newPast() past { return past{open: map[string]*call{}, held: map[string]bool{}} }

// A reader follows the history of a process that goes on writing.
type reader struct {
	past
	f    *os.File
	rest []byte // of a line that is not whole yet
}

func followHistory(path string) (*reader, error) {
	f, err := os.Open(path)
	return &reader{f: f, past: newPast()}, err
}

// read takes in what has been written since the last time. What a killed process left of a line counts for nothing.
func (r *reader) read() error {
	more, err := io.ReadAll(r.f)
	if err != nil {
		return err
	}
	r.rest = append(r.rest, more...)
	for {
		line, rest, whole := bytes.Cut(r.rest, []byte("\n"))
		if !whole {
			return nil
		}
		if err := r.take(strings.Fields(string(line))); err != nil {
			return fmt.Errorf("%s: line %q: %w", r.f.Name(), line, err)
		}
		r.rest = rest
	}
}

var errFields = errors.New("fields are missing")

// take takes in the fields of one line.
func (p *past) take(fields []string) error {
	if len(fields) < 2 {
		return errFields
	}
	ns, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return err
	}
	kind, at, args := fields[0], time.Unix(0, ns), fields[2:]
	switch {
	case kind == "owns":
		p.owns = args
		for _, shard := range args {
			p.held[shard] = true
		}
	case kind == "store" && len(args) == 2:
		p.ops = append(p.ops, operation{at, args[0], args[1]})
	case kind == "begin" && len(args) > 3:
		c := &call{shard: args[1], began: at}
		if c.epoch, err = strconv.ParseInt(args[2], 10, 64); err != nil {
			return err
		}
		for _, s := range args[3:] {
			rec, err := parseRecord(s)
			if err != nil {
				return err
			}
			c.records = append(c.records, rec)
		}
		p.held[c.shard] = true
		p.calls, p.open[args[0]] = append(p.calls, c), c
	case kind == "end" && len(args) == 2 && p.open[args[0]] != nil:
		c := p.open[args[0]]
		delete(p.open, args[0])
		if c.ended, c.ok = at, args[1] == "ok"; c.ok {
			p.done += len(c.records)
		}
	default:
		return errFields
	}
	return nil
}
