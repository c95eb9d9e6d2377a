package filter

import (
	"fmt"
	"slices"
	"strings"
)

// An entry is a key of a pattern object with its value: a leaf, an object, or the alternatives of "$or".
type entry struct {
	key    string
	names  []string // that the dots of the key part
	leaf   *leaf
	object []entry
	or     [][]entry
}

// A reader reads the text of one pattern.
type reader struct {
	absent int // leaves with {"exists": false}; each has a number
}

// object reads a pattern object. Its keys keep their order; of a key that is given twice the last one counts (C17).
func (r *reader) object(raw []byte, path string) ([]entry, *Error) {
	if raw[0] != '{' {
		return nil, &Error{Path: path, Reason: "want an object"}
	}
	all := pairs(raw)
	if len(all) == 0 {
		return nil, &Error{Path: path, Reason: "an object without keys"}
	}
	entries := make([]entry, len(all))
	for i, p := range all {
		e := &entries[i]
		e.key, e.names = p.key, strings.Split(p.key, ".")
		if err := r.value(e, p.raw, join(path, p.key)); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// value reads what stands behind a key.
func (r *reader) value(e *entry, raw []byte, path string) (err *Error) {
	switch or := slices.Index(e.names, "$or"); {
	case or >= 0 && or < len(e.names)-1:
		return &Error{Path: path, Reason: "want an array of at least two patterns"}
	case or >= 0:
		e.or, err = r.alternatives(raw, path)
	case raw[0] == '{':
		e.object, err = r.object(raw, path)
	case raw[0] == '[':
		e.leaf, err = members(raw, path)
		if err == nil && e.leaf.absent {
			e.leaf.bit = r.absent
			r.absent++
		}
	default:
		return &Error{Path: path, Reason: "want an array of what the field may be, or an object"}
	}
	return err
}

// alternatives reads the patterns of "$or".
func (r *reader) alternatives(raw []byte, path string) (or [][]entry, _ *Error) {
	patterns := elements(raw)
	if len(patterns) < 2 {
		return nil, &Error{Path: path, Reason: "want an array of at least two patterns"}
	}
	for i, one := range patterns {
		entries, err := r.object(one, fmt.Sprintf("%s[%d]", path, i))
		if err != nil {
			return nil, err
		}
		or = append(or, entries)
	}
	return or, nil
}

// dataIsObject refuses patterns in which data has a leaf (L57).
func dataIsObject(entries []entry) *Error {
	for _, e := range entries {
		if e.key == "data" && e.leaf != nil {
			return &Error{Path: "data", Reason: "want an object with fields of the payload"}
		}
		for _, alternative := range e.or {
			if err := dataIsObject(alternative); e.key == "$or" && err != nil {
				return err
			}
		}
	}
	return nil
}

// A pair is a key of a pattern object.
type pair struct {
	key string
	raw []byte
}

// pairs returns the keys of an object with their values, in the order in which they count.
func pairs(object []byte) (all []pair) {
	for w := over(object); ; {
		k, v, ok := w.member()
		if !ok {
			return all
		}
		p := pair{string(unquote(nil, k)), v}
		if i := slices.IndexFunc(all, func(q pair) bool { return q.key == p.key }); i >= 0 {
			all = slices.Delete(all, i, i+1)
		}
		all = append(all, p)
	}
}

// elements returns the elements of an array, and nothing for another value.
func elements(raw []byte) (all [][]byte) {
	if raw[0] != '[' {
		return nil
	}
	for i := space(raw, 1); raw[i] != ']'; {
		end := skip(raw, i)
		all = append(all, raw[i:end])
		if i = space(raw, end); raw[i] == ',' {
			i = space(raw, i+1)
		}
	}
	return all
}

// join returns the place of key in errors.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
