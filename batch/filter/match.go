package filter

import (
	"slices"

	"github.com/shardlane/shardlane/batch"
)

// Match reports whether r, a record of src, matches one of the patterns. A pattern that names data is not matched by a
// payload that is not JSON; an alternative of a top-level "$or" is a pattern here. r is not changed and not kept.
func (s *Set) Match(src *batch.Source, r *batch.Record) bool {
	if len(s.patterns) == 0 {
		return true
	}
	var payload []byte // nil if it is not JSON
	if s.payload {
		if _, ok := valid(r.Data); ok {
			payload = repair(r.Data[space(r.Data, 0):])
		}
	}
	for _, n := range s.patterns {
		if n.record(src, r, payload) {
			return true
		}
	}
	return false
}

// record matches the top level of a pattern.
func (n *node) record(src *batch.Source, r *batch.Record, payload []byte) bool {
	for i := range n.fields {
		f := &n.fields[i]
		var matched bool
		switch {
		case f.name == "data":
			matched = payload != nil && f.node.value(payload)
		case f.node != nil:
			matched = f.node.in(nil, nil) // metadata has no fields
		case metadata(f.name):
			matched = f.leaf.metadata(f.name, src, r)
		default:
			matched = f.leaf.absent
		}
		if !matched {
			return false
		}
	}
	for _, group := range n.groups {
		matched := false
		for i := 0; i < len(group) && !matched; i++ {
			matched = group[i].record(src, r, payload)
		}
		if !matched {
			return false
		}
	}
	return true
}

// bits is how many words number the leaves with {"exists": false}: 4,096 characters have room for 186 of them.
const bits = 3

// An outer is the outermost array that a field is under, the parts beside the array, and their depth. It remembers which
// leaves it has: each leaf is looked for once, however many elements ask.
type outer struct {
	array []byte
	parts []part
	depth int
	known [bits]uint64
	found [bits]uint64
}

// has reports whether an element of o has the leaf f (C17).
func (o *outer) has(f *field) bool {
	i, bit := f.leaf.bit/64, uint64(1)<<(f.leaf.bit%64)
	if o.known[i]&bit == 0 {
		o.known[i] |= bit
		if f.way.holds(o.array, o.depth) || f.way.under(o.parts, o.depth) {
			o.found[i] |= bit
		}
	}
	return o.found[i]&bit != 0
}

// value matches the payload. One that is neither an object nor an array has no fields (C17).
func (n *node) value(payload []byte) bool {
	switch payload[0] {
	case '{':
		return n.in([]part{{payload, 0}}, nil)
	case '[':
		return n.elements(payload, nil, 0, nil)
	}
	return n.in(nil, nil)
}

// elements matches the elements of an array, of which one has to match by itself (C17), and the parts beside it.
func (n *node) elements(array []byte, beside []part, depth int, o *outer) bool {
	var own outer
	if o == nil {
		own = outer{array: array, parts: slices.Clone(beside), depth: depth} // cloned, or all parts went to the heap
		o = &own
	}
	objects := false
	for w := (flat{b: array}); ; {
		e, ok := w.next()
		if !ok {
			break
		}
		if e[0] == '{' {
			objects = true
			if n.in([]part{{e, 0}}, o) {
				return true
			}
		}
	}
	return !objects && n.in(nil, o) || len(beside) > 0 && n.in(beside, o)
}

// in matches an object, given by its parts; without parts all fields are absent. o is nil outside of arrays.
func (n *node) in(parts []part, o *outer) bool {
	for i := range n.fields {
		if !n.fields[i].in(parts, o) {
			return false
		}
	}
	for _, group := range n.groups {
		matched := false
		for i := 0; i < len(group) && !matched; i++ {
			matched = group[i].in(parts, o)
		}
		if !matched {
			return false
		}
	}
	return true
}

// in matches the field in an object. An array is searched; what the object has of the field under dotted keys is a part
// of the value if that is an object, and else stands beside it (L56).
func (f *field) in(parts []part, o *outer) bool {
	var room [2]part
	v, below := f.way.find(parts, len(f.way.starts), room[:0])
	switch {
	case f.leaf != nil:
		return f.present(v, o)
	case v != nil && v[0] == '{':
		return f.node.in(append(below, part{v, 0}), o)
	case v != nil && v[0] == '[':
		return f.node.elements(v, below, len(f.way.starts), o)
	}
	return f.node.in(below, o)
}

// present matches the value of a leaf, nil if there is none: a scalar, or one of those in an array (L56). An object and an
// array without scalars are absent.
func (f *field) present(v []byte, o *outer) bool {
	found := false
	for w := (flat{b: v}); ; {
		e, ok := w.next()
		if !ok {
			break
		}
		if e[0] != '{' {
			found = true
			if f.leaf.value(e) {
				return true
			}
		}
	}
	return !found && f.leaf.absent && (o == nil || !o.has(f))
}
