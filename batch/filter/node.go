package filter

import (
	"fmt"
	"slices"
	"strings"
)

// A node is what an object has to be: all of its fields have to match, and one node of each group of alternatives.
//
// The fields and the groups of a node name different fields of the object. A group that would share a field with what
// stands beside it has that in each of its alternatives instead.
type node struct {
	fields []field
	groups [][]*node
}

// A field of a node has a leaf, or a node below it.
type field struct {
	name string
	way  way // from data; empty for the top level
	leaf *leaf
	node *node
}

// top is the depth of the pattern itself; that of the object of data is 0.
const top = -1

// maxFields bounds how large a pattern becomes when it is written out. Few grow at all.
const maxFields = 10_000

// A builder builds nodes out of entries, as AWS's matcher compiles a pattern (C31): key by key, in the order of the text. A
// key replaces what was there before under the same names; "$or" copies what was there into each of its alternatives, and
// a key behind it goes into each of them. Only what shares a field with an alternative is copied: the rest can stand beside
// it. A dotted key goes where the nested form of it goes (L56), so that both share their elements (C17).
type builder struct{ fields int }

// build returns the node of a whole pattern.
func build(entries []entry) (*node, *Error) {
	b, n := new(builder), new(node)
	if b.object(n, entries, way{}, top); b.fields > maxFields {
		return nil, &Error{Reason: fmt.Sprintf(`it has more than %d fields once each alternative of "$or" is written out`, maxFields)}
	}
	return n, nil
}

// object adds the entries of an object to n, which stands at depth of w.
func (b *builder) object(n *node, entries []entry, w way, depth int) {
	for i := range entries {
		e, below := &entries[i], way{}
		key, dotted := e.key, true
		if depth == top { // ways begin below the first name
			_, key, dotted = strings.Cut(key, ".")
		}
		if dotted {
			below = w.extend(key)
		}
		b.add(n, e, e.names, below, depth)
	}
}

// add adds an entry to n: names are those of its key that are left, and w leads to the last of them.
func (b *builder) add(n *node, e *entry, names []string, w way, depth int) {
	if b.fields > maxFields {
		return
	}
	name, rest := names[0], names[1:]
	if name == "$or" {
		b.or(n, e.or, w.to(depth), depth)
		return
	}
	for _, group := range n.groups {
		if named(group, name) {
			for _, alternative := range group {
				b.add(alternative, e, names, w, depth)
			}
			return
		}
	}
	depth++
	switch {
	case len(rest) > 0:
		b.add(b.field(n, name, w.to(depth), false).node, e, rest, w, depth)
	case e.leaf != nil:
		b.field(n, name, w.to(depth), true).leaf = e.leaf
	default:
		b.object(b.field(n, name, w.to(depth), false).node, e.object, w.to(depth), depth)
	}
}

// field returns the field of this name with a leaf, which the caller sets, or with a node. n gets one if it has none.
func (b *builder) field(n *node, name string, w way, leaf bool) *field {
	for i := range n.fields {
		if f := &n.fields[i]; f.name == name && leaf == (f.leaf != nil) {
			return f
		}
	}
	b.fields++
	f := field{name: name, way: w}
	if !leaf {
		f.node = new(node)
	}
	n.fields = append(n.fields, f)
	return &n.fields[len(n.fields)-1]
}

// or adds alternatives to n. What n has of the fields that they name goes into each of them first.
func (b *builder) or(n *node, alternatives [][]entry, w way, depth int) {
	shared := new(node)
	n.fields = slices.DeleteFunc(n.fields, func(f field) bool {
		if !slices.ContainsFunc(alternatives, func(es []entry) bool { return names(es, f.name) }) {
			return false
		}
		shared.fields = append(shared.fields, f)
		return true
	})
	n.groups = slices.DeleteFunc(n.groups, func(group []*node) bool {
		if !slices.ContainsFunc(alternatives, func(es []entry) bool { return meets(group, es) }) {
			return false
		}
		shared.groups = append(shared.groups, group)
		return true
	})
	var group []*node
	for _, entries := range alternatives {
		a := b.clone(shared)
		b.object(a, entries, w, depth)
		group = append(group, a)
	}
	n.groups = append(n.groups, group)
}

// clone copies n and what is below it. The leaves are shared: they do not change.
func (b *builder) clone(n *node) *node {
	out := &node{fields: slices.Clone(n.fields)}
	if b.fields += len(n.fields); b.fields > maxFields {
		return out
	}
	for i := range out.fields {
		if f := &out.fields[i]; f.node != nil {
			f.node = b.clone(f.node)
		}
	}
	for _, group := range n.groups {
		copied := make([]*node, len(group))
		for i, alternative := range group {
			copied[i] = b.clone(alternative)
		}
		out.groups = append(out.groups, copied)
	}
	return out
}

// names reports whether one of the entries, or of the alternatives among them, is of the field called name.
func names(entries []entry, name string) bool {
	return slices.ContainsFunc(entries, func(e entry) bool {
		return e.names[0] == name || e.names[0] == "$or" && slices.ContainsFunc(e.or, func(es []entry) bool { return names(es, name) })
	})
}

// named reports whether one of the nodes has a field called name, by itself or in an alternative.
func named(group []*node, name string) bool {
	for _, n := range group {
		if slices.ContainsFunc(n.fields, func(f field) bool { return f.name == name }) ||
			slices.ContainsFunc(n.groups, func(g []*node) bool { return named(g, name) }) {
			return true
		}
	}
	return false
}

// meets reports whether one of the nodes has a field that one of the entries names.
func meets(group []*node, entries []entry) bool {
	for _, n := range group {
		if slices.ContainsFunc(n.fields, func(f field) bool { return names(entries, f.name) }) ||
			slices.ContainsFunc(n.groups, func(g []*node) bool { return meets(g, entries) }) {
			return true
		}
	}
	return false
}
