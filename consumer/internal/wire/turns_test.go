package wire

import (
	"slices"
	"testing"
	"testing/synctest"
)

// TestTurns holds that so many replies have their turn at once, and that the one that has come furthest is next.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ts turns
		first := make([]turn, atOnce())
		for i := range first {
			first[i].of = &ts
			first[i].take(0)
			first[i].take(0) // it has it
		}
		var order []int
		for _, came := range []int{3, 1, 5, 4} {
			go func() {
				w := turn{of: &ts}
				defer w.give()
				w.take(came)
				order = append(order, came)
				w.give()
			}()
			synctest.Wait()
		}
		if len(order) > 0 {
			t.Errorf("%v have their turn beside %d", order, len(first))
		}
		first[0].give()
		first[0].give() // it has none
		synctest.Wait()
		if want := []int{5, 4, 3, 1}; !slices.Equal(order, want) {
			t.Errorf("%v have their turn, want %v", order, want)
		}
		for i := range first {
			first[i].give()
		}
		if ts.taken != 0 || len(ts.waiting) != 0 {
			t.Errorf("%d have their turn, and %d wait", ts.taken, len(ts.waiting))
		}
	})
}
