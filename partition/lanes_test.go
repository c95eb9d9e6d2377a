package partition

import (
	"context"
	"strconv"
	"testing"
)

func TestSmoke(t *testing.T) {
	got := make([][]int, 3)
	l := NewLanes(3, strconv.Itoa, func(_ context.Context, lane int, items []int) error {
		got[lane] = append(got[lane], items...)
		return nil
	})
	for i := range 10 {
		if err := l.Submit(t.Context(), i, i, i+1, i, i, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Log(got, Hash(""), Hash("a") == 0xd24ec4f1a98c6e5b, Hash("abc") == 0x44bc2cf5ad770999)
}
