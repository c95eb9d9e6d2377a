package lease

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/shardlane/shardlane/checkpoint"
)

// Version is the version of the rows this package writes. A row of a higher
// one is left alone. Fields may be added without a new version: a reader
// carries those it does not know through its own writes.
const Version = 1

// A Row is what the store holds for one shard: who owns it and how far it was
// read. Rows are values; those that this package returns share nothing with it.
type Row struct {
	V     int    // Version of the writer
	By    string // incarnation and counter of the write, for recognising one's own
	Owner string // "<worker>/<incarnation>"; empty while nobody owns the shard
	Epoch int64  // +1 at each claim, release, end and re-put
	To    string // hint: who is meant to claim a released shard
	Ck    checkpoint.Position
	// Arrival is the service's time of the checkpoint's record in milliseconds
	// since 1970, 0 if unknown. It serves reports only.
	Arrival int64
	// Done is what was worked above Ck, as the one who wrote it encodes it. It says
	// nothing without the Ck of the same row.
	Done []byte
	// Reached is the time in milliseconds since 1970 up to which the shard was
	// worked, where reading ends at a time; 0 if it is not known.
	Reached            int64
	Parents, Children  []string // shard ids, sorted
	HashStart, HashEnd string   // inclusive, decimal
	Root               bool     // starts without waiting for its parents
	// More holds the fields that this version does not know, by name, as JSON.
	More map[string]json.RawMessage
}

// Ended reports whether the shard was read to its end.
func (r Row) Ended() bool { return r.Ck == checkpoint.End }

// clone returns a copy of r that shares no memory with it.
func (r Row) clone() Row {
	r.Done = slices.Clone(r.Done)
	r.Parents, r.Children = slices.Clone(r.Parents), slices.Clone(r.Children)
	r.More = maps.Clone(r.More)
	return r
}

// progress returns how far the row says that its shard was worked.
func (r Row) progress() Progress {
	return Progress{Pos: r.Ck, Arrival: r.Arrival, Done: r.Done, Reached: r.Reached}
}

// at returns a copy of r with the progress p.
func (r Row) at(p Progress) Row {
	r = r.clone()
	r.Ck, r.Arrival, r.Done, r.Reached = p.Pos, p.Arrival, slices.Clone(p.Done), p.Reached
	return r
}

// encode returns the JSON form of r: equal rows give equal bytes. Fields that
// are zero are left out, apart from v, by, epoch and ck.
func (r Row) encode() ([]byte, error) {
	if _, err := checkpoint.ParsePosition(string(r.Ck)); err != nil {
		return nil, fmt.Errorf("lease: bad checkpoint %q: %w", string(r.Ck), err)
	}
	w := object{more: r.More}
	w.add("v", r.V, true)
	w.add("by", r.By, true)
	w.add("owner", r.Owner, r.Owner != "")
	w.add("epoch", r.Epoch, true)
	w.add("to", r.To, r.To != "")
	w.add("ck", r.Ck, true)
	w.add("arrival", r.Arrival, r.Arrival != 0)
	w.add("done", r.Done, len(r.Done) > 0)
	w.add("reached", r.Reached, r.Reached != 0)
	w.add("parents", r.Parents, len(r.Parents) > 0)
	w.add("children", r.Children, len(r.Children) > 0)
	w.add("hash", [2]string{r.HashStart, r.HashEnd}, r.HashStart != "" || r.HashEnd != "")
	w.add("root", r.Root, r.Root)
	return w.bytes()
}

// decodeRow reads what encode wrote, now or in another version. Its error wraps
// ErrRowVersion or ErrRowCorrupt.
func decodeRow(value []byte) (Row, error) {
	var r Row
	f, err := parse(value, &r.V)
	if err != nil {
		return Row{}, err
	}
	var hash []string
	f.take("by", &r.By)
	f.take("owner", &r.Owner)
	f.take("epoch", &r.Epoch)
	f.take("to", &r.To)
	f.take("ck", &r.Ck)
	f.take("arrival", &r.Arrival)
	f.hint("done", &r.Done)
	f.take("reached", &r.Reached)
	f.take("parents", &r.Parents)
	f.take("children", &r.Children)
	f.take("hash", &hash)
	f.take("root", &r.Root)
	switch {
	case f.err != nil:
		return Row{}, f.err
	case r.Epoch < 0:
		return Row{}, fmt.Errorf("%w: negative epoch", ErrRowCorrupt)
	case len(hash) != 0 && len(hash) != 2:
		return Row{}, fmt.Errorf("%w: hash range of %d bounds", ErrRowCorrupt, len(hash))
	}
	if _, err := checkpoint.ParsePosition(string(r.Ck)); err != nil {
		return Row{}, fmt.Errorf("%w: ck: %w", ErrRowCorrupt, err)
	}
	if len(hash) == 2 {
		r.HashStart, r.HashEnd = hash[0], hash[1]
	}
	r.More = f.rest()
	return r, nil
}

// object writes a JSON object: known fields in the order they are added, then
// the unknown ones sorted by name.
type object struct {
	buf  bytes.Buffer
	more map[string]json.RawMessage
	seen []string
	err  error
}

// add writes a known field, unless keep is false. An unknown field of its name
// is dropped.
func (o *object) add(name string, v any, keep bool) {
	o.seen = append(o.seen, name)
	if !keep || o.err != nil {
		return
	}
	raw, err := json.Marshal(v)
	o.put(name, raw)
	o.err = errors.Join(o.err, err)
}

func (o *object) put(name string, raw []byte) {
	if o.buf.Len() == 0 {
		o.buf.WriteByte('{')
	} else {
		o.buf.WriteByte(',')
	}
	key, err := json.Marshal(name)
	o.buf.Write(key)
	o.buf.WriteByte(':')
	if err := errors.Join(err, json.Compact(&o.buf, raw)); err != nil {
		o.err = fmt.Errorf("lease: field %s: %w", name, err)
	}
}

func (o *object) bytes() ([]byte, error) {
	for _, name := range slices.Sorted(maps.Keys(o.more)) {
		if !slices.Contains(o.seen, name) {
			o.put(name, o.more[name])
		}
	}
	o.buf.WriteByte('}')
	return o.buf.Bytes(), o.err
}

// fields are those of a JSON object that were not taken yet. Names are compared
// exactly, unlike those of a Go struct.
type fields struct {
	raw map[string]json.RawMessage
	err error
}

// parse reads an object and its version into v.
func parse(value []byte, v *int) (*fields, error) {
	f := &fields{}
	if err := json.Unmarshal(value, &f.raw); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRowCorrupt, err)
	}
	f.take("v", v)
	switch {
	case f.err != nil:
		return nil, f.err
	case *v < 1:
		return nil, fmt.Errorf("%w: no version", ErrRowCorrupt)
	case *v > Version:
		return nil, fmt.Errorf("%w: %d, this program knows %d", ErrRowVersion, *v, Version)
	}
	return f, nil
}

// take moves the field called name into dst, which keeps its value if there is
// none.
func (f *fields) take(name string, dst any) {
	raw, ok := f.raw[name]
	delete(f.raw, name)
	if !ok || f.err != nil {
		return
	}
	if err := json.Unmarshal(raw, dst); err != nil {
		f.err = fmt.Errorf("%w: %s: %w", ErrRowCorrupt, name, err)
	}
}

// hint moves bytes into dst. Anything else than bytes is none: what they save
// is work, and a row is not refused for it.
func (f *fields) hint(name string, dst *[]byte) {
	if json.Unmarshal(f.raw[name], dst) != nil {
		*dst = nil
	}
	delete(f.raw, name)
}

// rest returns the fields that nobody took, nil if there are none.
func (f *fields) rest() map[string]json.RawMessage {
	if len(f.raw) == 0 {
		return nil
	}
	return f.raw
}
