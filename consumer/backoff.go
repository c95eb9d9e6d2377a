package consumer

import (
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// A random source is where jitter, request IDs and incarnations come from. A worker has one, and whoever draws beside others
// has a part of it: what it draws does not depend on who else has drawn.
type random struct {
	high, low uint64

	mu  sync.Mutex
	src rand.PCG
}

func newRandom() *random { return seeded(rand.Uint64(), rand.Uint64()) }

func seeded(high, low uint64) *random {
	return &random{high: high, low: low, src: *rand.NewPCG(high, low)}
}

// part returns a source that depends on r and on a name, and not on what r has drawn.
func (r *random) part(name string) *random {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return seeded(r.high, r.low^h.Sum64())
}

func (r *random) uint64() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.src.Uint64()
}

// jitter lengthens d by 0 to 20 % (C9).
func (r *random) jitter(d time.Duration) time.Duration {
	return d + time.Duration(float64(d)*0.2*float64(r.uint64()>>11)/(1<<53))
}

// uuid returns a random (version 4) UUID.
func (r *random) uuid() string {
	a, b := r.uint64(), r.uint64()
	a = a&^0xf000 | 0x4000
	b = b&^(0xc<<60) | 0x8<<60
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], a)
	binary.BigEndian.PutUint64(raw[8:], b)
	return uuidOf(raw)
}

// nameUUID returns the name-based (version 5) UUID of name, which is the same wherever it is made (C12).
func nameUUID(name string) string {
	const space = "\x6b\xa7\xb8\x11\x9d\xad\x11\xd1\x80\xb4\x00\xc0\x4f\xd4\x30\xc8" // of URLs
	b := sha1.Sum([]byte(space + "shardlane:" + name))
	b[6], b[8] = b[6]&0x0f|0x50, b[8]&0x3f|0x80
	return uuidOf([16]byte(b[:]))
}

// uuidOf is the text of a UUID.
func uuidOf(raw [16]byte) string {
	var b [36]byte
	to := b[:0]
	for i, part := range [][]byte{raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:]} {
		if i > 0 {
			to = append(to, '-')
		}
		to = hex.AppendEncode(to, part)
	}
	return string(to)
}

// incarnation returns 128 random bits.
func (r *random) incarnation() string {
	return fmt.Sprintf("%016x%016x", r.uint64(), r.uint64())
}

// backoff is behind every retry loop but that of a slice, whose law is [batch.Backoff]: it doubles from initial to
// limit, without end, with jitter after the cap. A loop has one of its own.
func (r *random) backoff(initial, limit time.Duration) backoff.BackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.MaxElapsedTime = initial, limit, 0
	b.Multiplier, b.RandomizationFactor = 2, 0
	b.Reset()
	return &jittered{b, r}
}

type jittered struct {
	backoff.BackOff
	r *random
}

func (j *jittered) NextBackOff() time.Duration { return j.r.jitter(j.BackOff.NextBackOff()) }
