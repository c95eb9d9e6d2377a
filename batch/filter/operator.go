package filter

import (
	"fmt"
	"net/netip"
	"slices"
)

// members compiles a leaf: a non-empty array.
func members(raw []byte, path string) (*leaf, *Error) {
	list := elements(raw)
	if len(list) == 0 {
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

// add compiles a member of the array.
func (l *leaf) add(raw []byte, path string) *Error {
	switch raw[0] {
	case '[':
		return &Error{Path: path, Reason: "an array inside an array"}
	case '{':
		return l.operator(raw, path)
	}
	l.members = append(l.members, constant(raw))
	return nil
}

// constant returns the member that is equal to a scalar.
func constant(raw []byte) member {
	switch kind := raw[0]; kind {
	case '"':
		return member{kind: kind, text: []byte(str(raw))}
	case 't', 'f', 'n':
		return member{kind: kind}
	default:
		return member{kind: '0', num: parse(raw)}
	}
}

// str decodes raw, which is a string.
func str(raw []byte) string { return string(unquote(nil, raw[1:len(raw)-1])) }

// isNumber reports whether raw, which is valid, is a number.
func isNumber(raw []byte) bool { return raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9' }

// operator adds {"name": operand}. {"exists": false} is no member: it matches no value.
func (l *leaf) operator(raw []byte, path string) *Error {
	all := pairs(raw)
	if len(all) != 1 {
		return &Error{Path: path, Reason: "want an object with one operator"}
	}
	name, operand := all[0].key, all[0].raw
	path = join(path, name)
	m := member{op: name}
	var err *Error
	switch name {
	case "exists":
		switch operand[0] {
		case 't':
		case 'f':
			l.absent = true
			return nil
		default:
			return &Error{Path: path, Reason: "want true or false"}
		}
	case "numeric":
		m.bounds, err = numeric(operand, path)
	case "anything-but":
		m.not, err = anythingBut(operand, path)
	case "prefix", "suffix", "equals-ignore-case", "wildcard", "cidr":
		m, err = textual(name, operand, path)
	default:
		return &Error{Path: path, Reason: "unknown operator"}
	}
	l.members = append(l.members, m)
	return err
}

// textual compiles an operator on strings. Its operand is a string, of prefix and suffix also
// {"equals-ignore-case": string}.
func textual(name string, operand []byte, path string) (m member, _ *Error) {
	m.op = name
	affix := name == "prefix" || name == "suffix"
	if affix && operand[0] == '{' {
		all := pairs(operand)
		if len(all) != 1 || all[0].key != "equals-ignore-case" {
			return m, &Error{Path: path, Reason: `want a string, or {"equals-ignore-case": string}`}
		}
		m.fold, operand, path = true, all[0].raw, join(path, all[0].key)
	}
	if operand[0] != '"' {
		return m, &Error{Path: path, Reason: "want a string"}
	}
	s := str(operand)
	m.text = []byte(s)
	switch name {
	case "wildcard":
		var reason string
		if m.pieces, reason = stars(s); reason != "" {
			return m, &Error{Path: path, Reason: reason}
		}
	case "cidr":
		var err error
		if m.block, err = netip.ParsePrefix(s); err != nil {
			return m, &Error{Path: path, Reason: "want an IPv4 or IPv6 block: " + err.Error()}
		}
	}
	return m, nil
}

// numeric compiles one comparison, or a lower bound and then a greater upper bound.
func numeric(operand []byte, path string) (bounds []bound, _ *Error) {
	list := elements(operand)
	if len(list) != 2 && len(list) != 4 {
		return nil, &Error{Path: path, Reason: "want an array of one or two comparisons, as [\">\", 0, \"<=\", 5]"}
	}
	for i := 0; i < len(list); i += 2 {
		op := ""
		if list[i][0] == '"' {
			op = str(list[i])
		}
		if !slices.Contains([]string{"=", "<", "<=", ">", ">="}, op) {
			return nil, &Error{Path: fmt.Sprintf("%s[%d]", path, i), Reason: `want "=", "<", "<=", ">" or ">="`}
		}
		if !isNumber(list[i+1]) {
			return nil, &Error{Path: fmt.Sprintf("%s[%d]", path, i+1), Reason: "want a number"}
		}
		bounds = append(bounds, bound{op, parse(list[i+1])})
	}
	if len(bounds) == 1 {
		return bounds, nil
	}
	if low, high := &bounds[0], &bounds[1]; low.op[0] != '>' || high.op[0] != '<' || high.num.compare(&low.num) <= 0 {
		return nil, &Error{Path: path, Reason: "want a lower bound and then a greater upper bound"}
	}
	return bounds, nil
}

// anythingBut compiles what its operand names, of which a value may match none: a string, a number, or a list of either,
// but not of both (C17).
func anythingBut(operand []byte, path string) (not []member, _ *Error) {
	if operand[0] == '{' {
		return anythingButText(operand, path)
	}
	list := [][]byte{operand}
	if operand[0] == '[' {
		list = elements(operand)
	}
	if len(list) == 0 {
		return nil, &Error{Path: path, Reason: "an empty list"}
	}
	texts := 0
	for _, one := range list {
		switch {
		case one[0] == '"':
			texts++
		case !isNumber(one):
			return nil, &Error{Path: path, Reason: "want strings or numbers"}
		}
		not = append(not, constant(one))
	}
	if texts > 0 && texts < len(list) {
		return nil, &Error{Path: path, Reason: "strings and numbers in one list"}
	}
	return not, nil
}

// anythingButText compiles {"anything-but": {"name": string or list of strings}}. An empty prefix or suffix, which would
// leave no string, is not valid.
func anythingButText(operand []byte, path string) (not []member, _ *Error) {
	all := pairs(operand)
	if len(all) != 1 || !slices.Contains([]string{"prefix", "suffix", "equals-ignore-case", "wildcard"}, all[0].key) {
		return nil, &Error{Path: path, Reason: "want one of prefix, suffix, equals-ignore-case and wildcard"}
	}
	name, list := all[0].key, [][]byte{all[0].raw}
	path = join(path, name)
	if list[0][0] == '[' {
		list = elements(list[0])
	}
	if len(list) == 0 {
		return nil, &Error{Path: path, Reason: "an empty list"}
	}
	for _, one := range list {
		if one[0] != '"' {
			return nil, &Error{Path: path, Reason: "want a string or a list of strings"}
		}
		if (name == "prefix" || name == "suffix") && str(one) == "" {
			return nil, &Error{Path: path, Reason: "an empty string"}
		}
		m, err := textual(name, one, path)
		if err != nil {
			return nil, err
		}
		not = append(not, m)
	}
	return not, nil
}
