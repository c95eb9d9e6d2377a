package filter_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/batch/filter"
)

// The reference matches decoded values, slowly. It turns dotted keys into nesting on both sides, and answers for a list of
// the elements that a field may be looked for in.

// nested is v with dotted keys as nesting.
func nested(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = nested(v[i])
		}
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			names, x := strings.Split(k, "."), nested(x)
			for i := len(names) - 1; i > 0; i-- {
				x = map[string]any{names[i]: x}
			}
			merge(out, names[0], x)
		}
		return out
	}
	return v
}

func merge(into map[string]any, key string, x any) {
	old, ok := into[key].(map[string]any)
	more, both := x.(map[string]any)
	if !ok || !both {
		into[key] = x
		return
	}
	for k, y := range more {
		merge(old, k, y)
	}
}

// flat are the elements of v and of arrays in it.
func flat(v any) []any {
	list, ok := v.([]any)
	if !ok {
		return []any{v}
	}
	var out []any
	for _, e := range list {
		out = append(out, flat(e)...)
	}
	return out
}

func scalarsOf(v any) (out []any) {
	for _, e := range flat(v) {
		if _, object := e.(map[string]any); !object {
			out = append(out, e)
		}
	}
	return out
}

// leaves are all scalars at a path, wherever arrays lead.
func leaves(v any, path []string) (out []any) {
	if len(path) == 0 {
		return scalarsOf(v)
	}
	for _, e := range flat(v) {
		if m, ok := e.(map[string]any); ok {
			if x, ok := m[path[0]]; ok {
				out = append(out, leaves(x, path[1:])...)
			}
		}
	}
	return out
}

// A refPair is a key of a pattern object with its value: a list, or pairs again.
type refPair struct {
	key   string
	value any
}

// ordered decodes the value that dec is before, objects as pairs in the order of the text. Of a key that is given twice the
// last one counts (C17).
func ordered(dec *json.Decoder) any {
	switch t, _ := dec.Token(); t {
	case json.Delim('{'):
		object := []refPair{}
		for dec.More() {
			key, _ := dec.Token()
			object = slices.DeleteFunc(object, func(p refPair) bool { return p.key == key })
			object = append(object, refPair{key.(string), ordered(dec)})
		}
		_, _ = dec.Token()
		return object
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			list = append(list, ordered(dec))
		}
		_, _ = dec.Token()
		return list
	default:
		return t
	}
}

// plain is v with objects as maps.
func plain(v any) any {
	switch v := v.(type) {
	case []refPair:
		out := map[string]any{}
		for _, p := range v {
			out[p.key] = plain(p.value)
		}
		return out
	case []any:
		out := []any{}
		for _, e := range v {
			out = append(out, plain(e))
		}
		return out
	}
	return v
}

// written writes a pattern object at a path out as C31 says it: rules are the alternatives so far, each with its leaves by
// path. A key sets its leaf in all of them, and replaces what was there; "$or" copies them for each of its alternatives.
func written(rules []map[string][]any, at string, object []refPair) []map[string][]any {
	for _, p := range object {
		switch value := p.value.(type) {
		case []refPair:
			rules = written(rules, at+p.key+".", value)
		case []any:
			if below, ok := strings.CutSuffix(p.key, "$or"); ok {
				var all []map[string][]any
				for _, alternative := range value {
					var copies []map[string][]any
					for _, r := range rules {
						copies = append(copies, maps.Clone(r))
					}
					all = append(all, written(copies, at+below, alternative.([]refPair))...)
				}
				rules = all
				continue
			}
			for _, r := range rules {
				r[at+p.key], _ = plain(value).([]any)
			}
		}
	}
	return rules
}

// A refNode is a rule as a tree: what the value has to be by itself, and what its fields have to be.
type refNode struct {
	leaf   []any
	fields map[string]*refNode
}

func refTree(rule map[string][]any) *refNode {
	root := &refNode{fields: map[string]*refNode{}}
	for path, leaf := range rule {
		n := root
		for name := range strings.SplitSeq(path, ".") {
			if n.fields[name] == nil {
				n.fields[name] = &refNode{fields: map[string]*refNode{}}
			}
			n = n.fields[name]
		}
		n.leaf = leaf
	}
	return root
}

// refMatch matches p against element e, which is part of all at path.
func refMatch(p *refNode, e, all any, path []string) bool {
	m, _ := e.(map[string]any)
	for k, sub := range p.fields {
		here := append(append([]string(nil), path...), k)
		x, present := m[k]
		if len(sub.fields) > 0 {
			matched := false
			var objects []any
			if present {
				for _, c := range flat(x) {
					if _, ok := c.(map[string]any); ok {
						objects = append(objects, c)
					}
				}
			}
			if len(objects) == 0 {
				objects = []any{nil}
			}
			for _, c := range objects {
				matched = matched || refMatch(sub, c, all, here)
			}
			if !matched {
				return false
			}
		}
		if sub.leaf == nil {
			continue
		}
		var values []any
		if present {
			values = scalarsOf(x)
		}
		matched := false
		for _, want := range sub.leaf {
			if op, ok := want.(map[string]any); ok && op["exists"] == false {
				matched = matched || len(leaves(all, here)) == 0
				continue
			}
			for _, v := range values {
				matched = matched || refScalar(want, v)
			}
		}
		if !matched {
			return false
		}
	}
	return true
}

func refScalar(want, v any) bool {
	op, ok := want.(map[string]any)
	if !ok {
		return refEqual(want, v)
	}
	text, isText := v.(string)
	for name, x := range op {
		switch name {
		case "exists":
			return true
		case "prefix", "suffix", "equals-ignore-case", "wildcard", "cidr":
			return isText && refText(name, x, text)
		case "numeric":
			list := x.([]any)
			for i := 0; i < len(list); i += 2 {
				n, ok := v.(json.Number)
				if !ok {
					return false
				}
				c := refCompare(n, list[i+1].(json.Number))
				if o := list[i].(string); !(strings.Contains(o, "=") && c == 0 || o[0] == '<' && c < 0 || o[0] == '>' && c > 0) {
					return false
				}
			}
			return true
		case "anything-but":
			if nestedOp, ok := x.(map[string]any); ok {
				for name, y := range nestedOp {
					for _, s := range flat(y) {
						if isText && refText(name, s, text) {
							return false
						}
					}
				}
				return true
			}
			for _, y := range flat(x) {
				if refEqual(y, v) {
					return false
				}
			}
			return true
		}
	}
	return false
}

func refText(name string, x any, text string) bool {
	if fold, ok := x.(map[string]any); ok {
		flags := "(?i)^" + regexp.QuoteMeta(fold["equals-ignore-case"].(string))
		if name == "suffix" {
			flags = "(?i)" + regexp.QuoteMeta(fold["equals-ignore-case"].(string)) + "$"
		}
		return regexp.MustCompile(flags).MatchString(text)
	}
	s := x.(string)
	switch name {
	case "prefix":
		return strings.HasPrefix(text, s)
	case "suffix":
		return strings.HasSuffix(text, s)
	case "equals-ignore-case":
		return strings.EqualFold(text, s)
	case "cidr":
		addr, err := netip.ParseAddr(text)
		return err == nil && netip.MustParsePrefix(s).Contains(addr)
	}
	var re strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '*':
			re.WriteString("(?s:.*)")
		case '\\':
			i++
			fallthrough
		default:
			re.WriteString(regexp.QuoteMeta(s[i : i+1]))
		}
	}
	return regexp.MustCompile("^" + re.String() + "$").MatchString(text)
}

func refEqual(want, v any) bool {
	a, isNumber := want.(json.Number)
	b, both := v.(json.Number)
	if isNumber || both {
		return isNumber && both && refCompare(b, a) == 0
	}
	return want == v
}

func refCompare(a, b json.Number) int {
	x, okX := new(big.Rat).SetString(a.String())
	y, okY := new(big.Rat).SetString(b.String())
	if okX && okY && x.IsInt() && y.IsInt() {
		return x.Cmp(y)
	}
	f, _ := a.Float64()
	g, _ := b.Float64()
	return big.NewFloat(f).Cmp(big.NewFloat(g))
}

// A maker draws patterns and payloads from a small world, so that they meet.
type maker struct{ *rand.Rand }

func (m maker) one(of ...string) string { return of[m.IntN(len(of))] }

func (m maker) scalar() string {
	if m.IntN(2) == 0 {
		return m.one(`"a"`, `1`, `"ab"`)
	}
	return m.one(`"a"`, `"ab"`, `"A"`, `""`, `"10.0.0.7"`, `"a\u0062"`, `"\u212a"`, `"k"`, "\"\xff\"", `"\udc00"`, `"\ud83d\ude00"`,
		`0`, `-0.0`, `1`, `1.0`, `0.1e1`, `2`, `-3.5`, `-35e-1`, `1e400`, `10e399`, `1.5e400`, `0.3`, `0.30000000000000001`,
		`12345678901234567890`, `12345678901234567891`, `12345678901234567890.0`, `1234567890123456789.1e1`, `true`, `false`, `null`)
}

func (m maker) member() string {
	switch m.IntN(12) {
	case 0:
		return `{"prefix":` + m.one(`"a"`, `""`, `{"equals-ignore-case":"AB"}`) + `}`
	case 1:
		return `{"suffix":` + m.one(`"b"`, `{"equals-ignore-case":"B"}`) + `}`
	case 2:
		return `{"anything-but":` + m.one(`"a"`, `[1,2]`, `["a","ab"]`, `{"prefix":"a"}`, `{"wildcard":["*b","1*"]}`, `{"equals-ignore-case":"a"}`) + `}`
	case 3:
		return `{"numeric":` + m.one(`[">",1]`, `["<=",1]`, `["=",2]`, `[">=",-3.5,"<",2]`, `["<",12345678901234567891]`) + `}`
	case 4, 5:
		return `{"exists":` + m.one(`true`, `false`) + `}`
	case 6:
		return m.one(`{"cidr":"10.0.0.0/8"}`, `{"equals-ignore-case":"a"}`)
	case 7:
		return m.one(`{"wildcard":"a*"}`, `{"wildcard":"*b*"}`, `{"wildcard":"*\\**"}`)
	}
	return m.scalar()
}

func (m maker) list(n int, f func() string) string {
	var all []string
	for range n {
		all = append(all, f())
	}
	return strings.Join(all, ",")
}

// object draws an object with the keys of one of the lists, of which "!" is {"x.y": …, "x": {"z": …}}: one field in two
// forms that do not name the same key twice.
func (m maker) object(value func() string, lists ...string) string {
	var fields []string
	for k := range strings.FieldsSeq(m.one(lists...)) {
		if k == "!" {
			fields = append(fields, fmt.Sprintf(`"x.y":%s,"x":{"z":%s}`, value(), value()))
		} else {
			fields = append(fields, fmt.Sprintf(`"%s":%s`, k, value()))
		}
	}
	return "{" + strings.Join(fields, " , ") + "}"
}

func (m maker) pattern(depth int) string {
	object := m.object(func() string {
		if depth > 0 && m.IntN(3) == 0 {
			return m.pattern(depth - 1)
		}
		return "[" + m.list(1+m.IntN(4), m.member) + "]"
	}, "x", "x", "x", "y", "x y", "y z", "z x", "x.y", "x.y x.z", "y.z x", "!", `\u0078.y.z y`)
	if depth > 0 && m.IntN(5) == 0 {
		or := fmt.Sprintf(`"%s":[%s]`, m.one("$or", "$or", "w.$or", "x.$or"), m.list(2+m.IntN(2), func() string { return m.pattern(depth - 1) }))
		switch m.IntN(3) { // what stands behind "$or" counts otherwise than what stands before it
		case 0:
			object = "{" + or + "," + object[1:]
		case 1:
			more := m.pattern(0)
			object = object[:len(object)-1] + "," + or + "," + more[1:]
		default:
			object = object[:len(object)-1] + "," + or + "}"
		}
	}
	return object
}

func (m maker) value(depth int) string {
	below := func() string { return m.value(depth - 1) }
	switch n := m.IntN(6); {
	case n < 2 && depth > 0:
		return m.fields(depth)
	case n < 4 && depth > 0:
		return "[" + m.list(m.IntN(4), below) + "]"
	}
	return m.scalar()
}

func (m maker) fields(depth int) string {
	return m.object(func() string { return m.value(depth - 1) }, "x", "x", "x", "y", "x y", "y z", "x z", "x.y", "x.y x.z", "y.z x", "x y z", "!", "x x", "x.y x.y", `\u0078`, `x\u002ey`, "w x", "x y z")
}

// payload draws an object, a list of them, or now and then anything.
func (m maker) payload(depth int) string {
	switch m.IntN(8) {
	case 0:
		return m.value(depth)
	case 1:
		return "[" + m.list(1+m.IntN(3), func() string { return m.fields(depth) }) + "]"
	}
	return m.fields(depth)
}

func decoded(s string) (v any) {
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return nil
	}
	return nested(v)
}

// agree holds Match to the reference, and returns what both say.
func agree(t *testing.T, pattern, data string) bool {
	t.Helper()
	set, err := filter.Compile(`{"data":` + pattern + `}`)
	if err != nil {
		t.Fatalf("%s: %v", pattern, err)
	}
	got := set.Match(&batch.Source{}, &batch.Record{Data: []byte(data)})
	all := decoded(data)
	objects := []any{}
	for _, e := range flat(all) {
		if _, ok := e.(map[string]any); ok {
			objects = append(objects, e)
		}
	}
	if len(objects) == 0 {
		objects = []any{nil}
	}
	dec := json.NewDecoder(strings.NewReader(pattern))
	dec.UseNumber()
	want := false
	for _, rule := range written([]map[string][]any{{}}, "", ordered(dec).([]refPair)) {
		for _, e := range objects {
			want = want || refMatch(refTree(rule), e, all, nil)
		}
	}
	if got != want {
		t.Fatalf("%s on %s: %t, the reference says %t", pattern, data, got, want)
	}
	return got
}

// TestReference compares the matcher with the reference on patterns and payloads drawn at random.
func TestReference(t *testing.T) {
	t.Attr("rule", "L55")
	t.Attr("rule", "L56")
	t.Attr("rule", "C17")
	t.Attr("rule", "C31")
	matched := 0
	const cases = 25_000
	for seed := range uint64(cases) {
		m := maker{rand.New(rand.NewPCG(seed, 0))}
		if agree(t, m.pattern(m.IntN(3)), m.payload(1+m.IntN(3))) {
			matched++
		}
	}
	t.Logf("%d of %d cases matched", matched, cases)
	if matched < cases/20 || matched > cases*19/20 {
		t.Errorf("%d of %d cases matched", matched, cases)
	}
}

// FuzzReference draws the same from a fuzzer's seeds.
func FuzzReference(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		m := maker{rand.New(rand.NewPCG(a, b))}
		agree(t, m.pattern(3), m.payload(4))
	})
}

// FuzzMatch looks for panics, and for payloads on which the library and encoding/json disagree about what JSON is.
func FuzzMatch(f *testing.F) {
	f.Add(`{"data":{"a":[1]}}`, `{"a":1}`)
	f.Add(`{"data":{"a.b":[{"exists":false}],"$or":[{"a":["x"]},{"b":[{"wildcard":"*"}]}]}}`, `[{"a":{"b":[]}}]`)
	f.Add(`{"data":{"a":[{"numeric":[">",1e400]}]}}`, `{"a":"\ud83d\ude00"}`)
	absent := `{"data":{"surely absent":[{"exists":false}]}}`
	f.Fuzz(func(t *testing.T, pattern, data string) {
		r := &batch.Record{Data: []byte(data)}
		if set, err := filter.Compile(pattern); err == nil {
			set.Match(&batch.Source{}, r)
		}
		set, err := filter.Compile(absent)
		if err != nil {
			t.Fatal(err)
		}
		if got := set.Match(&batch.Source{}, r); got != json.Valid(r.Data) && !strings.Contains(data, "sure") && !strings.Contains(data, `\u`) {
			t.Fatalf("%q: matched %t, JSON %t", data, got, json.Valid(r.Data))
		}
	})
}
