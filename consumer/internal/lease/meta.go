package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/shardlane/shardlane/checkpoint"
)

// A Meta is what the store holds for a stream as a whole.
type Meta struct {
	V       int
	By      string
	ARN     string
	Created int64 // creation of the stream, milliseconds since 1970
	// Start is where reading began: checkpoint.TrimHorizon or a time. It is
	// written once, so that a restart begins at the same instant.
	Start    checkpoint.Position
	Rooted   bool     // the rows of all shards listed as of Start are put
	Settings string   // of the consumer, as far as they say what progress means; empty in a row of an older version
	Auto     bool     // the service has placed records of the stream by itself, at some time
	FanOut   []string // names of stream consumers that the group has read through, as far as they may still be registered
	// More holds the fields that this version does not know, by name, as JSON.
	More map[string]json.RawMessage

	// Revision is that of the row this Meta was read from; empty for a new one.
	Revision string
}

// encode returns the JSON form of m: equal values give equal bytes.
func (m Meta) encode() ([]byte, error) {
	if _, err := checkpoint.ParsePosition(string(m.Start)); err != nil {
		return nil, fmt.Errorf("lease: bad start %q: %w", string(m.Start), err)
	}
	w := object{more: m.More}
	w.add("v", m.V, true)
	w.add("by", m.By, true)
	w.add("arn", m.ARN, m.ARN != "")
	w.add("created", m.Created, m.Created != 0)
	w.add("start", m.Start, true)
	w.add("rooted", m.Rooted, m.Rooted)
	w.add("auto", m.Auto, m.Auto)
	w.add("fanout", m.FanOut, len(m.FanOut) > 0)
	w.add("set", m.Settings, m.Settings != "")
	return w.bytes()
}

// decodeMeta reads what encode wrote. Its error wraps ErrRowVersion or
// ErrRowCorrupt.
func decodeMeta(value []byte) (Meta, error) {
	var m Meta
	f, err := parse(value, &m.V)
	if err != nil {
		return Meta{}, err
	}
	f.take("by", &m.By)
	f.take("arn", &m.ARN)
	f.take("created", &m.Created)
	f.take("start", &m.Start)
	f.take("rooted", &m.Rooted)
	f.take("auto", &m.Auto)
	f.take("fanout", &m.FanOut)
	f.take("set", &m.Settings)
	if f.err != nil {
		return Meta{}, f.err
	}
	if _, err := checkpoint.ParsePosition(string(m.Start)); err != nil {
		return Meta{}, fmt.Errorf("%w: start: %w", ErrRowCorrupt, err)
	}
	m.More = f.rest()
	return m, nil
}

// Meta returns the row of the stream; false if there is none. Its error may be
// a *RowError.
func (t *Table) Meta(ctx context.Context) (Meta, bool, error) {
	e, err := t.store.Get(ctx, t.metaKey())
	if err != nil {
		return Meta{}, false, fmt.Errorf("lease: read the row of stream %s: %w", t.stream, err)
	}
	if e.Revision == "" {
		return Meta{}, false, nil
	}
	m, err := decodeMeta(e.Value)
	if err != nil {
		return Meta{}, false, &RowError{Key: e.Key, Err: err}
	}
	m.Revision = e.Revision
	return m, true, nil
}

// PutMeta writes m: as a new row if m has no Revision, else in place of the row
// it was read from. If the store holds another by now, PutMeta writes nothing
// and returns that one with a nil error: the first start position that was
// stored counts for everybody. After an error the result is unknown and PutMeta
// may be repeated with the same m.
func (t *Table) PutMeta(ctx context.Context, m Meta) (Meta, error) {
	m.V, m.By = Version, t.tenure.sign()
	value, err := m.encode()
	if err != nil {
		return Meta{}, err
	}
	e, err := t.store.Swap(ctx, checkpoint.Entry{Key: t.metaKey(), Value: value, Revision: m.Revision})
	if err == nil {
		m.Revision = e.Revision
		return m, nil
	}
	if !errors.Is(err, checkpoint.ErrConflict) {
		return Meta{}, fmt.Errorf("lease: write the row of stream %s: %w", t.stream, err)
	}
	stored, ok, err := t.Meta(ctx)
	if err == nil && !ok {
		err = fmt.Errorf("lease: write the row of stream %s: it was deleted meanwhile", t.stream)
	}
	return stored, err
}
