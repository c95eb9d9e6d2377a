package wire

import (
	"bytes"
	"io"
)

// maxBody is how long a body may be: a reply has at most 10 MiB of data, which are 14 in base64. What is longer is left to
// the SDK.
const maxBody = 32 << 20

// size is how long a body is expected to be, by its header.
func size(length int64) int {
	if length < 0 || length > maxBody {
		return smallBody / 2
	}
	return int(length)
}

// again is a body of which b was read, and then err; with a nil error there is more.
func again(b []byte, err error, body io.ReadCloser) io.ReadCloser {
	var rest io.Reader = body
	if err != nil {
		rest = failed{err}
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(b), rest), body}
}

// failed is a reader at its end.
type failed struct{ err error }

func (f failed) Read([]byte) (int, error) { return 0, f.err }
