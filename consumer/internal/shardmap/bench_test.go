package shardmap

import (
	"fmt"
	"math/big"
	"testing"
)

// BenchmarkLook looks at a stream of 10,000 shards after each was split once.
func BenchmarkLook(b *testing.B) {
	const n = 10_000
	size := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(n))
	known, listed := make(map[string]State), []Shard(nil)
	for i := range n {
		from := new(big.Int).Mul(size, big.NewInt(int64(i)))
		s := Shard{ID: fmt.Sprintf("shardId-%012d", i), HashStart: from.String(), HashEnd: from.Add(from, size).String()}
		listed = append(listed, s)
		known[s.ID] = State{Shard: s, Root: true, Started: true}
		for c := range 2 {
			child := s
			child.ID, child.Parents = fmt.Sprintf("shardId-%012d", n+2*i+c), []string{s.ID}
			listed = append(listed, child)
			known[child.ID] = State{Shard: child}
		}
	}
	b.Run("Missing", func(b *testing.B) {
		for b.Loop() {
			Missing(listed, known)
		}
	})
	b.Run("Startable", func(b *testing.B) {
		for b.Loop() {
			Startable(listed, known)
		}
	})
}
