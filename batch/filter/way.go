package filter

import "strings"

// A way is the names that lead from data to a field, joined by dots; name i begins at starts[i].
type way struct {
	text   string
	starts []int
}

// extend returns the way to what key, which may be dotted (L56), names below w.
func (w way) extend(key string) way {
	out := way{key, append(make([]int, 0, len(w.starts)+1), w.starts...)}
	if len(w.starts) > 0 {
		out.text = w.text + "." + key
	}
	at := len(out.text) - len(key)
	for name := range strings.SplitSeq(key, ".") {
		out.starts = append(out.starts, at)
		at += len(name) + len(".")
	}
	return out
}

// end returns where the first depth names of w end.
func (w way) end(depth int) int {
	if depth < len(w.starts) {
		return w.starts[depth] - len(".")
	}
	return len(w.text)
}

// to returns the way of the first depth names of w.
func (w way) to(depth int) way {
	if depth <= 0 {
		return way{}
	}
	return way{w.text[:w.end(depth)], w.starts[:depth:depth]}
}

// A part is an object, or what an object has under dotted keys: with back 1 its keys are looked at as far as they begin
// with the name of the field above and a dot, and so on.
type part struct {
	object []byte
	back   int
}

// find looks in parts for the field at depth, and returns its value, nil if there is none, and the parts below it that
// have dotted keys, which it appends to room. Of two values the later one counts, and that of the later part.
func (w way) find(parts []part, depth int, room []part) (v []byte, below []part) {
	for _, p := range parts {
		key, dotted := w.text[w.starts[depth-1-p.back]:w.end(depth)], false
		for o := over(p.object); ; {
			k, val, ok := o.member()
			if !ok {
				break
			}
			if len(k) < len(key) { // what an escape stands for is never longer
				continue
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
			room = append(room, part{p.object, p.back + 1})
		}
	}
	return v, room
}

// holds reports whether v, which stands at depth, has the leaf of w, in any element of its arrays.
func (w way) holds(v []byte, depth int) bool {
	switch v[0] {
	case '[':
		for f := (flat{b: v}); ; {
			e, ok := f.next()
			if !ok {
				return false
			}
			if w.holds(e, depth) {
				return true
			}
		}
	case '{':
		return w.under([]part{{v, 0}}, depth)
	}
	return depth == len(w.starts)
}

// under reports whether parts, which stand at depth, have the leaf of w.
func (w way) under(parts []part, depth int) bool {
	if depth == len(w.starts) || len(parts) == 0 {
		return false
	}
	depth++
	var room [2]part
	v, below := w.find(parts, depth, room[:0])
	switch {
	case v == nil:
		return w.under(below, depth)
	case v[0] == '{':
		return w.under(append(below, part{v, 0}), depth)
	}
	return w.holds(v, depth) || w.under(below, depth)
}
