package wire

import (
	"bytes"

	"github.com/segmentio/asm/base64"
)

// size64 is how many bytes are in src if it is in base64 as RFC 4648 has it, without line breaks. What else the SDK would
// decode does not have that length.
func size64(src []byte) (n int, ok bool) {
	n = len(src) / 4 * 3
	switch {
	case bytes.HasSuffix(src, []byte("==")):
		n -= 2
	case bytes.HasSuffix(src, []byte("=")):
		n--
	}
	return n, len(src)%4 == 0
}

// decode64 decodes src into dst, which has the size of it. It is the only place that knows who decodes.
func decode64(dst, src []byte) bool {
	n, err := base64.StdEncoding.Decode(dst, src)
	return err == nil && n == len(dst)
}
