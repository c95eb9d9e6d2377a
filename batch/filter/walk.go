package filter

// skip returns the end of the value that begins at i, in JSON that is valid. It does not recurse.
func skip(b []byte, i int) int {
	switch b[i] {
	case '"':
		return skipText(b, i)
	case '{', '[':
		for depth := 0; ; {
			switch b[i] {
			case '"':
				i = skipText(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			if i++; depth == 0 {
				return i
			}
		}
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	return i
}

// skipText returns the end of the string that begins at i, in JSON that is valid.
func skipText(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// A walk goes over the members of an object that is valid.
type walk struct {
	b []byte
	i int
}

// over returns a walk that is before the first member.
func over(object []byte) walk { return walk{object, 1} }

// member returns the next key, without its quotes, and its value.
func (w *walk) member() (key, val []byte, ok bool) {
	w.i = space(w.b, w.i)
	if w.b[w.i] == '}' {
		return nil, nil, false
	}
	end := skipText(w.b, w.i)
	key = w.b[w.i+1 : end-1]
	from := space(w.b, space(w.b, end)+len(":"))
	end = skip(w.b, from)
	if w.i = space(w.b, end); w.b[w.i] == ',' {
		w.i++
	}
	return key, w.b[from:end], true
}

// A flat goes over the elements of an array, and of the arrays in it as if they were its own; over a value that is no
// array it goes as the only element. Each byte is passed once, however deep the arrays are.
type flat struct {
	b []byte
	i int
}

// next returns the next scalar or object.
func (w *flat) next() (val []byte, ok bool) {
	for w.i < len(w.b) {
		switch w.b[w.i] {
		case '[', ']', ',', ' ', '\t', '\n', '\r':
		default:
			from := w.i
			w.i = skip(w.b, from)
			return w.b[from:w.i], true
		}
		w.i++
	}
	return nil, false
}
