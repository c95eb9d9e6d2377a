package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	maxPatterns = 10
	maxLength   = 4096 // characters of a pattern
)

// A Set is a list of compiled patterns. It does not change, and may be used concurrently.
type Set struct {
	patterns []*node
	payload  bool // a pattern names data
	unknown  []string
}

// A node is a pattern object: all of its fields and all of its alternatives have to match.
type node struct {
	fields []field
	ors    [][]*node
}

// A field of a node has a leaf, or a node below it. Path is the way to it from data, and keys are the dotted forms of its
// end: for a path of a, b and c they are "c", "b.c" and "a.b.c" (L56).
type field struct {
	name string
	path []string
	keys []string
	leaf *leaf
	node *node
}

// Compile compiles patterns, of which a record has to match one: at most 10, of at most 4,096 characters each. Without
// patterns every record matches. The error joins an [*Error] for each pattern that is not valid.
func Compile(patterns ...string) (*Set, error) {
	s := new(Set)
	var errs []error
	if len(patterns) > maxPatterns {
		errs = append(errs, &Error{Pattern: maxPatterns, Reason: fmt.Sprintf("there are %d patterns: want at most %d", len(patterns), maxPatterns)})
	}
	for i, text := range patterns {
		n, err := compile(text)
		if err != nil {
			err.Pattern = i
			errs = append(errs, err)
			continue
		}
		s.patterns = append(s.patterns, n)
		s.look(n)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	slices.Sort(s.unknown)
	s.unknown = slices.Compact(s.unknown)
	return s, nil
}

// Len returns the number of patterns.
func (s *Set) Len() int { return len(s.patterns) }

// Unknown returns the top-level keys of the patterns that no record has, sorted: they see an absent field (C16).
func (s *Set) Unknown() []string { return slices.Clone(s.unknown) }

// look notes what the top level of a pattern names.
func (s *Set) look(n *node) {
	for _, f := range n.fields {
		if f.name == "data" {
			s.payload = true
		} else if !metadata(f.name) {
			s.unknown = append(s.unknown, f.name)
		}
	}
	for _, or := range n.ors {
		for _, alternative := range or {
			s.look(alternative)
		}
	}
}

func compile(text string) (*node, *Error) {
	if n := utf8.RuneCountInString(text); n > maxLength {
		return nil, &Error{Reason: fmt.Sprintf("it has %d characters: want at most %d", n, maxLength)}
	}
	var raw json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, &Error{Reason: "it is not JSON: " + err.Error()}
	}
	n, err := object(raw, "", nil, true)
	if err == nil {
		err = dataIsObject(n)
	}
	return n, err
}

// dataIsObject refuses patterns in which data has a leaf (L57).
func dataIsObject(n *node) *Error {
	for _, f := range n.fields {
		if f.name == "data" && f.node == nil {
			return &Error{Path: "data", Reason: "want an object with fields of the payload"}
		}
	}
	for _, or := range n.ors {
		for _, alternative := range or {
			if err := dataIsObject(alternative); err != nil {
				return err
			}
		}
	}
	return nil
}

// A pair is a key of a pattern object. Of a key that is given twice the last one counts (C17).
type pair struct {
	key string
	raw json.RawMessage
}

func pairs(raw json.RawMessage) ([]pair, bool) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	var all []pair
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

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// object compiles a pattern object. way are the names from data to it.
func object(raw json.RawMessage, path string, way []string, top bool) (*node, *Error) {
	all, ok := pairs(raw)
	switch {
	case !ok:
		return nil, &Error{Path: path, Reason: "want an object"}
	case len(all) == 0:
		return nil, &Error{Path: path, Reason: "an object without keys"}
	}
	n := new(node)
	for _, p := range all {
		if p.key == "$or" {
			or, err := alternatives(p.raw, join(path, p.key), way, top)
			if err != nil {
				return nil, err
			}
			n.ors = append(n.ors, or)
			continue
		}
		if err := n.add(strings.Split(p.key, "."), p.raw, join(path, p.key), way, top); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// add puts a field below n: names are its key, split at the dots (L56).
func (n *node) add(names []string, raw json.RawMessage, path string, way []string, top bool) *Error {
	name := names[0]
	below := append(slices.Clone(way), name)
	if top {
		below = nil // data is where ways begin; other fields have nothing below them
	}
	f := field{name: name, path: below}
	for i := len(below) - 1; i >= 0; i-- {
		f.keys = append(f.keys, strings.Join(below[i:], "."))
	}
	var err *Error
	switch {
	case len(names) > 1:
		f.node = new(node)
		err = f.node.add(names[1:], raw, path, below, false)
	case raw[0] == '{':
		f.node, err = object(raw, path, below, false)
	case raw[0] == '[':
		f.leaf, err = members(raw, path)
	default:
		err = &Error{Path: path, Reason: "want an array of what the field may be, or an object"}
	}
	n.fields = append(n.fields, f)
	return err
}

func alternatives(raw json.RawMessage, path string, way []string, top bool) (or []*node, _ *Error) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) < 2 {
		return nil, &Error{Path: path, Reason: "want an array of at least two patterns"}
	}
	for i, one := range list {
		n, err := object(one, fmt.Sprintf("%s[%d]", path, i), way, top)
		if err != nil {
			return nil, err
		}
		or = append(or, n)
	}
	return or, nil
}
