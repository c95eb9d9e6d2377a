package filter

import "bytes"

// stars cuts a wildcard at its stars. A backslash before a star or a backslash makes it a literal, and stands before
// nothing else (C17).
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

// wild matches the pieces between the stars of a wildcard: the first at the start, the last at the end, those between
// where they are found first. No byte of t is gone over twice, but by the search for one piece (C17).
func wild(t []byte, pieces [][]byte) bool {
	first, last := pieces[0], pieces[len(pieces)-1]
	if len(pieces) == 1 {
		return bytes.Equal(t, first)
	}
	if len(t) < len(first)+len(last) || !bytes.HasPrefix(t, first) || !bytes.HasSuffix(t, last) {
		return false
	}
	t = t[len(first) : len(t)-len(last)]
	for _, p := range pieces[1 : len(pieces)-1] {
		i := bytes.Index(t, p)
		if i < 0 {
			return false
		}
		t = t[i+len(p):]
	}
	return true
}
