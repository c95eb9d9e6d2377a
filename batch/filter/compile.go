package filter

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

const (
	maxPatterns = 10
	maxLength   = 4096 // characters of a pattern, not bytes
)

// A Set is a list of compiled patterns. It does not change, and may be used concurrently.
type Set struct {
	patterns []*node
	payload  bool // a pattern names data
	unknown  []string
}

// Compile compiles patterns, of which a record has to match one: at most 10, of at most 4,096 characters each.
// Without patterns every record matches. The error joins an [*Error] for each pattern that is not valid; of
// several flaws of one pattern it tells the first.
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

// Len returns the number of patterns. With 0 every record matches, and the caller may leave out Match.
func (s *Set) Len() int { return len(s.patterns) }

// Unknown returns the top-level keys of the patterns that no record has, sorted; of a dotted key it has the first name.
// They are valid and see an absent field; the consumer warns of them. Defaults to nil.
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
	for _, group := range n.groups {
		for _, alternative := range group {
			s.look(alternative)
		}
	}
}

// compile compiles one pattern. The error lacks its number.
func compile(text string) (*node, *Error) {
	if n := utf8.RuneCountInString(text); n > maxLength {
		return nil, &Error{Reason: fmt.Sprintf("it has %d characters: want at most %d", n, maxLength)}
	}
	raw := []byte(text)
	if at, ok := valid(raw); !ok {
		return nil, &Error{Reason: fmt.Sprintf("it is not JSON: see byte %d", at)}
	}
	raw = bytes.Trim(repair(raw), " \t\r\n")
	entries, err := new(reader).object(raw, "")
	if err == nil {
		err = dataIsObject(entries)
	}
	if err != nil {
		return nil, err
	}
	return build(entries)
}
