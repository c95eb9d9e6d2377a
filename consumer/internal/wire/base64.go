package wire

import (
	"bytes"
	"strings"

	"github.com/segmentio/asm/base64"
)

// size64 is how many bytes are in src if it is in base64 as RFC 4648 has it, without line breaks. What else the SDK would
// decode does not have that length.
func size64(src []byte) (n int, ok bool) {
	n = len(src)
	if n%4 != 0 || n == 0 {
		return 0, n == 0
	}
	size := n / 4 * 3
	if src[n-1] == '=' {
		if size--; src[n-2] == '=' {
			size--
		}
	}
	return size, true
}

// canonical tells whether what src decodes to makes src again: bits that its last quantum has no use for are 0.
func canonical(src []byte) bool {
	n := len(src)
	switch {
	case bytes.HasSuffix(src, []byte("==")):
		return strings.IndexByte("AQgw", src[n-3]) >= 0
	case bytes.HasSuffix(src, []byte("=")):
		return strings.IndexByte("AEIMQUYcgkosw048", src[n-2]) >= 0
	}
	return true
}

// decode64 decodes src into dst, which has the size of it. It is the only place that knows who decodes.
func decode64(dst, src []byte) bool {
	n, err := base64.StdEncoding.Decode(dst, src)
	return err == nil && n == len(dst)
}
