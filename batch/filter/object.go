package filter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// top is the depth of the pattern itself; that of the object of data is 0.
const top = -1

// A pair is a key of a pattern object. Of a key that is given twice the last one counts (C17).
type pair struct {
	key string
	raw json.RawMessage
}

// pairs returns the keys of an object with their values, in the order in which they count; ok is false for another value.
func pairs(raw json.RawMessage) (all []pair, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	for dec.More() {
		t, _ := dec.Token()
		p := pair{key: t.(string)}
		if dec.Decode(&p.raw) != nil {
			return nil, false
		}
		p.raw = bytes.TrimSpace(p.raw)
		if i := slices.IndexFunc(all, func(q pair) bool { return q.key == p.key }); i >= 0 {
			all = slices.Delete(all, i, i+1)
		}
		all = append(all, p)
	}
	return all, true
}

// join returns the place of key in errors.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// object adds what a pattern object has to n, which stands at depth of w.
func (n *node) object(raw json.RawMessage, path string, w way, depth int) *Error {
	all, ok := pairs(raw)
	switch {
	case !ok:
		return &Error{Path: path, Reason: "want an object"}
	case len(all) == 0:
		return &Error{Path: path, Reason: "an object without keys"}
	}
	for _, p := range all {
		below, key, dotted := way{}, p.key, true
		if depth == top { // ways begin below the first name
			_, key, dotted = strings.Cut(key, ".")
		}
		if dotted {
			below = w.extend(key)
		}
		if err := n.add(strings.Split(p.key, "."), p.raw, join(path, p.key), below, depth); err != nil {
			return err
		}
	}
	return nil
}

// add adds a key of a pattern object to n: names are those that its dots part, and w leads to the last of them. A dotted
// key goes where the nested form of it goes (L56), so that both share their elements (C17).
func (n *node) add(names []string, raw json.RawMessage, path string, w way, depth int) (err *Error) {
	name, rest := names[0], names[1:]
	if name == "$or" {
		if len(rest) > 0 {
			return &Error{Path: path, Reason: "want an array of at least two patterns"}
		}
		n.or, err = alternatives(raw, path, w.to(depth), depth)
		return err
	}
	depth++
	switch {
	case len(rest) > 0:
		return n.field(name, w.to(depth), false).node.add(rest, raw, path, w, depth)
	case raw[0] == '{':
		return n.field(name, w.to(depth), false).node.object(raw, path, w.to(depth), depth)
	case raw[0] == '[':
		n.field(name, w.to(depth), true).leaf, err = members(raw, path)
		return err
	}
	return &Error{Path: path, Reason: "want an array of what the field may be, or an object"}
}

// field returns the field of this name with a leaf, which the caller sets, or with a node. n gets one if it has none.
func (n *node) field(name string, w way, leaf bool) *field {
	for i := range n.fields {
		if f := &n.fields[i]; f.name == name && leaf == (f.leaf != nil) {
			return f
		}
	}
	f := field{name: name, way: w}
	if !leaf {
		f.node = new(node)
	}
	n.fields = append(n.fields, f)
	return &n.fields[len(n.fields)-1]
}

// alternatives compiles the patterns of "$or", which stand where the object stands that has it.
func alternatives(raw json.RawMessage, path string, w way, depth int) (or []*node, _ *Error) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) < 2 {
		return nil, &Error{Path: path, Reason: "want an array of at least two patterns"}
	}
	for i, one := range list {
		n := new(node)
		if err := n.object(one, fmt.Sprintf("%s[%d]", path, i), w, depth); err != nil {
			return nil, err
		}
		or = append(or, n)
	}
	return or, nil
}
