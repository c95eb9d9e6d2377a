package filter

import (
	"strconv"

	"github.com/shardlane/shardlane/batch"
)

// Match reports whether r, a record of src, matches one of the patterns. A pattern that names data is not matched by a
// payload that is not JSON (L57). r is not changed and not kept (L58).
func (s *Set) Match(src *batch.Source, r *batch.Record) bool {
	if len(s.patterns) == 0 {
		return true
	}
	var payload []byte // nil if it is not JSON
	if s.payload && valid(r.Data) {
		payload = r.Data[space(r.Data, 0):]
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
		switch {
		case f.name == "data":
			if payload == nil || !f.node.value(payload, 0, outer{}) {
				return false
			}
		case f.node != nil:
			if !f.node.in(nil, outer{}) { // metadata has no fields
				return false
			}
		case !metadata(f.name):
			if !f.leaf.absent {
				return false
			}
		default:
			if !f.leaf.match(meta(f.name, src, r)) {
				return false
			}
		}
	}
	for _, or := range n.ors {
		matched := false
		for _, alternative := range or {
			matched = matched || alternative.record(src, r, payload)
		}
		if !matched {
			return false
		}
	}
	return true
}

// metadata reports whether records have a top-level key of this name besides data (C16).
func metadata(name string) bool {
	switch name {
	case "partitionKey", "sequenceNumber", "kinesisSchemaVersion", "approximateArrivalTimestamp", "eventSource",
		"eventVersion", "eventID", "eventName", "invokeIdentityArn", "awsRegion", "eventSourceARN":
		return true
	}
	return false
}

func meta(name string, src *batch.Source, r *batch.Record) scalar {
	text := ""
	switch name {
	case "partitionKey":
		text = r.PartitionKey
	case "sequenceNumber":
		text = r.SequenceNumber
	case "kinesisSchemaVersion", "eventVersion":
		text = "1.0"
	case "approximateArrivalTimestamp":
		return scalar{kind: '0', num: parse(strconv.AppendFloat(nil, float64(r.Arrival.UnixMilli())/1000, 'f', -1, 64))}
	case "eventSource":
		text = "aws:kinesis"
	case "eventID":
		text = src.Shard + ":" + r.SequenceNumber
	case "eventName":
		text = "aws:kinesis:record"
	case "invokeIdentityArn":
		text = src.IdentityARN
	case "awsRegion":
		text = src.Region
	case "eventSourceARN":
		text = src.StreamARN
	}
	return scalar{kind: '"', text: []byte(text)}
}

// A part is an object, or what an object has under dotted keys: with depth 1 its keys are looked at as far as they begin
// with the name of the field above and a dot, and so on.
type part struct {
	object []byte
	depth  int
}

// An outer is the outermost array that a field is under, and the depth of the array in the path of the field.
type outer struct {
	array []byte
	depth int
}

// value matches a value that may hold the fields of n; depth is the length of the path to it.
func (n *node) value(v []byte, depth int, o outer) bool {
	switch v[0] {
	case '{':
		return n.in([]part{{v, 0}}, o)
	case '[':
		return n.elements(v, depth, o)
	}
	return n.in(nil, o)
}

// elements matches the elements of an array, of which one has to match by itself (C17).
func (n *node) elements(array []byte, depth int, o outer) bool {
	if o.array == nil {
		o = outer{array, depth}
	}
	objects := false
	for w := over(array); ; {
		v, ok := w.element()
		if !ok {
			return !objects && n.in(nil, o)
		}
		if v[0] == '{' || v[0] == '[' {
			objects = true
			if n.value(v, depth, o) {
				return true
			}
		}
	}
}

// in matches an object, given by its parts; without parts all fields are absent.
func (n *node) in(parts []part, o outer) bool {
	for i := range n.fields {
		if !n.fields[i].in(parts, o) {
			return false
		}
	}
	for _, or := range n.ors {
		matched := false
		for _, alternative := range or {
			matched = matched || alternative.in(parts, o)
		}
		if !matched {
			return false
		}
	}
	return true
}

func (f *field) in(parts []part, o outer) bool {
	var v []byte
	var room [2]part
	below := room[:0]
	for _, p := range parts {
		key, dotted := f.keys[p.depth], false
		for w := over(p.object); ; {
			k, val, ok := w.member()
			if !ok {
				break
			}
			var buf [64]byte
			switch k = unquote(buf[:0], k); {
			case string(k) == key:
				v = val
			case len(k) > len(key) && k[len(key)] == '.' && string(k[:len(key)]) == key:
				dotted = true
			}
		}
		if dotted {
			below = append(below, part{p.object, p.depth + 1})
		}
	}
	switch {
	case f.leaf != nil:
		return f.present(v, o)
	case v != nil && v[0] == '{':
		return f.node.in(append(below, part{v, 0}), o)
	case v != nil && v[0] == '[' && len(below) == 0:
		return f.node.elements(v, len(f.path), o)
	case v != nil && v[0] == '[':
		return f.node.elements(v, len(f.path), o) || f.node.in(below, o)
	}
	return f.node.in(below, o)
}

// present matches the value of a leaf, nil if there is none.
func (f *field) present(v []byte, o outer) bool {
	matched, found := false, false
	if v != nil {
		matched, found = f.leaf.scalars(v)
	}
	switch {
	case matched:
		return true
	case found || !f.leaf.absent:
		return false
	}
	return o.array == nil || !has(o.array, f.path[o.depth:])
}

// scalars matches a scalar, or those in an array.
func (l *leaf) scalars(v []byte) (matched, found bool) {
	s := scalar{kind: v[0]}
	switch v[0] {
	case '{':
		return false, false
	case '[':
		for w := over(v); !matched; {
			e, ok := w.element()
			if !ok {
				break
			}
			m, f := l.scalars(e)
			matched, found = m, found || f
		}
		return matched, found
	case '"':
		s.text = unquote(nil, v[1:len(v)-1])
	case 't', 'f', 'n':
	default:
		s.kind, s.num = '0', parse(v)
	}
	return l.match(s), true
}

// has reports whether v has a leaf at path, anywhere in its arrays.
func has(v []byte, path []string) bool {
	switch v[0] {
	case '[':
		for w := over(v); ; {
			e, ok := w.element()
			if !ok {
				return false
			}
			if has(e, path) {
				return true
			}
		}
	case '{':
		for w := over(v); ; {
			k, val, ok := w.member()
			if !ok {
				return false
			}
			key := unquote(nil, k)
			for i := range path {
				if i > 0 {
					if len(key) == 0 || key[0] != '.' {
						break
					}
					key = key[1:]
				}
				if len(key) < len(path[i]) || string(key[:len(path[i])]) != path[i] {
					break
				}
				if key = key[len(path[i]):]; len(key) == 0 && has(val, path[i+1:]) {
					return true
				}
			}
		}
	}
	return len(path) == 0
}
