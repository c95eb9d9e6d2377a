package consumer

// WithSeed lets all that a Run draws follow from a seed. Memory that replies may have again is overwritten when it is given back.
func WithSeed(seed uint64) Option {
	return func(c *config) {
		c.random = func() *random { return seeded(seed, seed) }
		c.spoil = func(b []byte) {
			for i := range b {
				b[i] = 0xdb
			}
		}
	}
}

// WithSpoil has a function called with memory that replies may have again, when it is given back.
func WithSpoil(spoil func([]byte)) Option { return func(c *config) { c.spoil = spoil } }
