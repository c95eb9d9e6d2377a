package filter

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
)

// members compiles a leaf: a non-empty array.
func members(raw json.RawMessage, path string) (*leaf, *Error) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return nil, &Error{Path: path, Reason: "an empty array"}
	}
	l := new(leaf)
	for i, one := range list {
		if err := l.add(one, fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *leaf) add(raw json.RawMessage, path string) *Error {
	kind := raw[0]
	switch kind {
	case '[':
		return &Error{Path: path, Reason: "an array inside an array"}
	case '{':
		return l.operator(raw, path)
	case '"':
		l.members = append(l.members, isText(equals([]byte(str(raw)))))
	case 't', 'f', 'n':
		l.members = append(l.members, func(s scalar) bool { return s.kind == kind })
	default:
		l.members = append(l.members, isNumber("=", parse(raw)))
	}
	return nil
}

func str(raw json.RawMessage) (s string) {
	_ = json.Unmarshal(raw, &s) // it is a string
	return s
}

func isNumber(op string, want num) func(scalar) bool {
	return func(s scalar) bool {
		if s.kind != '0' {
			return false
		}
		switch c := s.num.compare(want); op {
		case "<":
			return c < 0
		case "<=":
			return c <= 0
		case ">":
			return c > 0
		case ">=":
			return c >= 0
		default:
			return c == 0
		}
	}
}

// operator adds {"name": operand}.
func (l *leaf) operator(raw json.RawMessage, path string) *Error {
	all, _ := pairs(raw)
	if len(all) != 1 {
		return &Error{Path: path, Reason: "want an object with one operator"}
	}
	name, operand := all[0].key, all[0].raw
	path = join(path, name)
	var match func(scalar) bool
	var err *Error
	switch name {
	case "exists":
		switch operand[0] {
		case 't':
			match = func(scalar) bool { return true }
		case 'f':
			l.absent = true
			return nil
		default:
			return &Error{Path: path, Reason: "want true or false"}
		}
	case "numeric":
		match, err = numeric(operand, path)
	case "anything-but":
		match, err = anythingBut(operand, path)
	case "prefix", "suffix":
		var f func([]byte) bool
		f, err = affix(name, operand, path)
		match = isText(f)
	case "equals-ignore-case", "wildcard", "cidr":
		if operand[0] != '"' {
			return &Error{Path: path, Reason: "want a string"}
		}
		var f func([]byte) bool
		f, err = textual(name, str(operand), path)
		match = isText(f)
	default:
		return &Error{Path: path, Reason: "unknown operator"}
	}
	l.members = append(l.members, match)
	return err
}

// textual returns the test of an operator on strings.
func textual(name, operand, path string) (func([]byte) bool, *Error) {
	switch name {
	case "prefix":
		return hasPrefix([]byte(operand)), nil
	case "suffix":
		return hasSuffix([]byte(operand)), nil
	case "equals-ignore-case":
		return folds([]byte(operand)), nil
	case "wildcard":
		pieces, reason := stars(operand)
		if reason != "" {
			return nil, &Error{Path: path, Reason: reason}
		}
		return wild(pieces), nil
	}
	block, err := netip.ParsePrefix(operand)
	if err != nil {
		return nil, &Error{Path: path, Reason: "want an IPv4 or IPv6 block: " + err.Error()}
	}
	return inBlock(block.Masked()), nil
}

// stars cuts a wildcard at its stars; a backslash before a star or a backslash makes it a literal.
func stars(w string) (pieces [][]byte, reason string) {
	piece, star := []byte{}, false
	for i := 0; i < len(w); i++ {
		switch {
		case w[i] == '\\':
			if i++; i == len(w) || w[i] != '*' && w[i] != '\\' {
				return nil, `a backslash that is not before "*" or "\"`
			}
			piece = append(piece, w[i])
		case w[i] != '*':
			piece = append(piece, w[i])
		case star:
			return nil, `"**"`
		default:
			pieces, piece, star = append(pieces, piece), []byte{}, true
			continue
		}
		star = false
	}
	return append(pieces, piece), ""
}

// affix compiles prefix and suffix, whose operand is a string or {"equals-ignore-case": string}.
func affix(name string, operand json.RawMessage, path string) (func([]byte) bool, *Error) {
	if operand[0] == '"' {
		return textual(name, str(operand), path)
	}
	all, _ := pairs(operand)
	if len(all) != 1 || all[0].key != "equals-ignore-case" || all[0].raw[0] != '"' {
		return nil, &Error{Path: path, Reason: `want a string, or {"equals-ignore-case": string}`}
	}
	if want := []byte(str(all[0].raw)); name == "prefix" {
		return foldsPrefix(want), nil
	} else {
		return foldsSuffix(want), nil
	}
}

func numeric(operand json.RawMessage, path string) (func(scalar) bool, *Error) {
	var list []json.RawMessage
	if json.Unmarshal(operand, &list) != nil || len(list) != 2 && len(list) != 4 {
		return nil, &Error{Path: path, Reason: "want an array of one or two comparisons, as [\">\", 0, \"<=\", 5]"}
	}
	var ops []string
	var nums []num
	for i := 0; i < len(list); i += 2 {
		op := ""
		if list[i][0] == '"' {
			op = str(list[i])
		}
		if !slices.Contains([]string{"=", "<", "<=", ">", ">="}, op) {
			return nil, &Error{Path: fmt.Sprintf("%s[%d]", path, i), Reason: `want "=", "<", "<=", ">" or ">="`}
		}
		if c := list[i+1][0]; c != '-' && (c < '0' || c > '9') {
			return nil, &Error{Path: fmt.Sprintf("%s[%d]", path, i+1), Reason: "want a number"}
		}
		ops, nums = append(ops, op), append(nums, parse(list[i+1]))
	}
	first := isNumber(ops[0], nums[0])
	if len(ops) == 1 {
		return first, nil
	}
	if ops[0][0] != '>' || ops[1][0] != '<' || nums[1].compare(nums[0]) <= 0 {
		return nil, &Error{Path: path, Reason: "want a lower bound and then a greater upper bound"}
	}
	second := isNumber(ops[1], nums[1])
	return func(s scalar) bool { return first(s) && second(s) }, nil
}

// anythingBut matches every scalar but those that its operand names.
func anythingBut(operand json.RawMessage, path string) (func(scalar) bool, *Error) {
	var tests []func(scalar) bool
	if operand[0] == '{' {
		all, _ := pairs(operand)
		if len(all) != 1 || !slices.Contains([]string{"prefix", "suffix", "equals-ignore-case", "wildcard"}, all[0].key) {
			return nil, &Error{Path: path, Reason: `want one of prefix, suffix, equals-ignore-case and wildcard`}
		}
		name := all[0].key
		path = join(path, name)
		var operands []json.RawMessage
		if all[0].raw[0] == '"' {
			operands = []json.RawMessage{all[0].raw}
		} else if json.Unmarshal(all[0].raw, &operands) != nil || len(operands) == 0 {
			return nil, &Error{Path: path, Reason: "want a string or a list of strings"}
		}
		for _, one := range operands {
			if one[0] != '"' {
				return nil, &Error{Path: path, Reason: "want a string or a list of strings"}
			}
			if s := str(one); s == "" && (name == "prefix" || name == "suffix") {
				return nil, &Error{Path: path, Reason: "an empty string"}
			}
			f, err := textual(name, str(one), path)
			if err != nil {
				return nil, err
			}
			tests = append(tests, isText(f))
		}
	} else {
		list := []json.RawMessage{operand}
		if operand[0] == '[' && (json.Unmarshal(operand, &list) != nil || len(list) == 0) {
			return nil, &Error{Path: path, Reason: "an empty list"}
		}
		texts := 0
		for _, one := range list {
			switch c := one[0]; {
			case c == '"':
				texts++
				tests = append(tests, isText(equals([]byte(str(one)))))
			case c == '-' || c >= '0' && c <= '9':
				tests = append(tests, isNumber("=", parse(one)))
			default:
				return nil, &Error{Path: path, Reason: "want strings or numbers"}
			}
		}
		if texts > 0 && texts < len(list) {
			return nil, &Error{Path: path, Reason: "strings and numbers in one list"}
		}
	}
	return func(s scalar) bool {
		for _, t := range tests {
			if t(s) {
				return false
			}
		}
		return true
	}, nil
}
