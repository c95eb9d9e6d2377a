package consumer

// WithSeed lets all that a Run draws follow from a seed.
func WithSeed(seed uint64) Option {
	return func(c *config) { c.random = func() *random { return seeded(seed, seed) } }
}
