package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A fields object is a JSON object whose fields are taken out one by one: what is left in the end is unknown.
type fields struct {
	values map[string]json.RawMessage
	asked  []string        // what was taken, or would have been
	found  map[string]bool // what was taken and was there
}

// has reports whether a field has not been taken yet. null is an absent one, and so is CloudFormation's way to say it.
func (f *fields) has(key string) bool {
	raw, ok := f.values[key]
	return ok && string(raw) != "null" && refersTo(raw) != "AWS::NoValue"
}

// lacks reports whether a field that was taken had not been there.
func (f *fields) lacks(key string) bool { return !f.found[key] }

// take takes a field out.
func (f *fields) take(key string) (json.RawMessage, bool) {
	raw, ok := f.values[key], f.has(key)
	delete(f.values, key)
	f.asked = append(f.asked, key)
	if !ok {
		return nil, false
	}
	f.found[key] = true
	return raw, true
}

// rest tells of every field that nothing has asked for.
func (f *fields) rest(path string, bad complaint) {
	for _, key := range slices.Sorted(maps.Keys(f.values)) {
		advice := "correct its name, or leave it out"
		name := strings.ReplaceAll(key, "_", "") // Terraform's batch_size
		if i := slices.IndexFunc(f.asked, func(known string) bool { return strings.EqualFold(known, name) }); i >= 0 {
			advice = "want " + f.asked[i]
		}
		if f.has(key) {
			bad("%s%s: unknown (%s): %s", path, key, short(f.values[key]), advice)
		}
	}
}

// value takes a field out and reads it. ok is false if it is absent, and if it is wrong, which bad is told.
func value[T any](f *fields, key string, of func(json.RawMessage) (T, error), bad complaint) (v T, ok bool) {
	raw, ok := f.take(key)
	if !ok {
		return v, false
	}
	v, err := of(raw)
	if err != nil {
		bad("%s: %w", key, err)
	}
	return v, err == nil
}

// within puts a path before what is complained of.
func within(path string, bad complaint) complaint {
	return func(format string, args ...any) { bad("%s.%w", path, fmt.Errorf(format, args...)) }
}

// objectOf reads an object.
func objectOf(raw json.RawMessage) (*fields, error) {
	if err := literal(raw); err != nil {
		return nil, err
	}
	f := &fields{found: map[string]bool{}}
	if err := json.Unmarshal(raw, &f.values); err != nil || f.values == nil {
		return nil, fmt.Errorf("%s: want a JSON object", short(raw))
	}
	return f, nil
}

// listOf reads a list.
func listOf(raw json.RawMessage) (list []json.RawMessage, err error) {
	if err := literal(raw); err != nil {
		return nil, err
	}
	if json.Unmarshal(raw, &list) != nil || list == nil {
		return nil, fmt.Errorf("%s: want a list", short(raw))
	}
	return list, nil
}

// textOf reads a string.
func textOf(raw json.RawMessage) (s string, err error) {
	if err := literal(raw); err != nil {
		return "", err
	}
	if !bytes.HasPrefix(raw, []byte(`"`)) || json.Unmarshal(raw, &s) != nil {
		return "", fmt.Errorf("%s: want a string", short(raw))
	}
	return s, nil
}

// wordOf reads what CloudFormation lets stand in quotes or without.
func wordOf(raw json.RawMessage) (string, error) {
	if err := literal(raw); err != nil {
		return "", err
	}
	if s, err := textOf(raw); err == nil {
		return s, nil
	}
	return string(raw), nil
}

// intOf reads a whole number. Numbers that no setting comes near to are errors, so that seconds fit in a duration.
func intOf(raw json.RawMessage) (int, error) {
	s, err := wordOf(raw)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(s, 10, 32)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%s: out of range: want %d to %d", short(raw), math.MinInt32, math.MaxInt32)
	case err != nil:
		return 0, fmt.Errorf("%s: want a whole number", short(raw))
	}
	return int(n), nil
}

// secondsOf reads whole seconds.
func secondsOf(raw json.RawMessage) (time.Duration, error) {
	n, err := intOf(raw)
	return time.Duration(n) * time.Second, err
}

// ageOf reads whole seconds, or -1 for no limit.
func ageOf(raw json.RawMessage) (time.Duration, error) {
	d, err := secondsOf(raw)
	if d == -time.Second {
		return -1, err
	}
	return d, err
}

// boolOf reads true or false.
func boolOf(raw json.RawMessage) (bool, error) {
	s, err := wordOf(raw)
	if err != nil {
		return false, err
	}
	if s != "true" && s != "false" {
		return false, fmt.Errorf("%s: want true or false", short(raw))
	}
	return s == "true", nil
}

// timeOf reads RFC 3339, also with a space for its T, or Unix seconds.
func timeOf(raw json.RawMessage) (time.Time, error) {
	s, err := wordOf(raw)
	if err != nil {
		return time.Time{}, err
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05Z07:00"} { // the latter is Python's
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil && strings.Trim(s, "0123456789.eE+") == "" && n < 1e11 { // more would be milliseconds
		return time.UnixMilli(int64(n * 1000)), nil
	}
	return time.Time{}, fmt.Errorf("%s: want a time as 2026-03-05T14:07:21Z, or in Unix seconds", short(raw))
}

// An unresolved error is a value that stands in the document by a reference only.
type unresolved struct{ value, reason string }

func (u *unresolved) Error() string { return u.value + ": " + u.reason }

// literal refuses functions of CloudFormation.
func literal(raw json.RawMessage) error {
	if name, _ := function(raw); name != "" {
		return &unresolved{short(raw), "only CloudFormation can resolve it"}
	}
	return nil
}

// function takes a function of CloudFormation apart; name is empty if raw is none.
func function(raw json.RawMessage) (name string, arg json.RawMessage) {
	var f map[string]json.RawMessage
	if !bytes.HasPrefix(raw, []byte("{")) || json.Unmarshal(raw, &f) != nil || len(f) != 1 {
		return "", nil
	}
	for name, arg = range f {
		if name == "Ref" || strings.HasPrefix(name, "Fn::") {
			return name, arg
		}
	}
	return "", nil
}

// refersTo is what Ref or Fn::GetAtt names, without the attribute.
func refersTo(raw json.RawMessage) string {
	name, arg := function(raw)
	var s string
	var list []json.RawMessage
	switch {
	case name != "Ref" && name != "Fn::GetAtt":
	case json.Unmarshal(arg, &s) == nil && name == "Ref":
		return s
	case json.Unmarshal(arg, &s) == nil:
		s, _, _ = strings.Cut(s, ".")
		return s
	case json.Unmarshal(arg, &list) == nil && len(list) == 2 && json.Unmarshal(list[0], &s) == nil:
		return s
	}
	return ""
}

// empty is true for {} and [], which tools print for what is not set.
func empty(raw json.RawMessage) bool { return len(bytes.Trim(raw, "{}[] \t\r\n")) == 0 }

// short is a value as errors show it.
func short(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return "nothing"
	}
	if b.Len() > 100 {
		return strings.ToValidUTF8(string(b.Bytes()[:97]), "") + "..."
	}
	return b.String()
}
