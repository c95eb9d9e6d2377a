package checkpointtest

import (
	"testing"

	"pgregory.net/rapid"
)

func TestLinearizable(t *testing.T) {
	for _, test := range []struct {
		name string
		want bool
		ops  []op
	}{
		{"nothing", true, nil},
		{"one after the other", true, []op{{1, 2, written, "", "a"}, {3, 4, read, "", "a"}, {5, 6, written, "a", "b"}, {7, 8, conflict, "a", "c"}}},
		{"read of the past", false, []op{{1, 2, written, "", "a"}, {3, 4, read, "", ""}}},
		{"read during a write", true, []op{{1, 4, written, "", "a"}, {2, 3, read, "", ""}}},
		{"new, then old", false, []op{{1, 6, written, "", "a"}, {2, 3, read, "", "a"}, {4, 5, read, "", ""}}},
		{"old, then new", true, []op{{1, 6, written, "", "a"}, {2, 3, read, "", ""}, {4, 5, read, "", "a"}}},
		{"two winners", false, []op{{1, 3, written, "", "a"}, {2, 4, written, "", "b"}}},
		{"two winners around a delete", true, []op{{1, 5, written, "", "a"}, {2, 6, written, "", "b"}, {3, 4, written, "a", ""}}},
		{"false conflict", false, []op{{1, 2, written, "", "a"}, {3, 4, conflict, "a", "b"}, {5, 6, read, "", "a"}}},
		{"conflict with a write under way", true, []op{{1, 4, written, "", "a"}, {2, 3, conflict, "", "b"}}},
		{"unknown, applied", true, []op{{1, 2, unknown, "", "a"}, {3, 4, read, "", "a"}}},
		{"unknown, not applied", true, []op{{1, 2, unknown, "", "a"}, {3, 4, read, "", ""}}},
		{"unknown, applied late", true, []op{{1, 2, unknown, "", "a"}, {3, 4, read, "", ""}, {5, 6, read, "", "a"}}},
		{"unknown, seen before the call", false, []op{{1, 2, read, "", "a"}, {3, 4, unknown, "", "a"}}},
		{"unknown, applied and gone", false, []op{{1, 2, unknown, "", "a"}, {3, 4, read, "", "a"}, {5, 6, read, "", ""}}},
	} {
		if got := linearizable(test.ops); got != test.want {
			t.Errorf("%s: got %v", test.name, got)
		}
	}
}

// TestLinearizableNaive holds the search against one that tries every order.
func TestLinearizableNaive(t *testing.T) {
	value := rapid.SampledFrom([]string{"", "a", "b"})
	both := make(map[bool]int)
	rapid.Check(t, func(t *rapid.T) {
		var history []op
		for range rapid.IntRange(1, 6).Draw(t, "ops") {
			call := rapid.Int64Range(0, 12).Draw(t, "call")
			history = append(history, op{
				call, call + rapid.Int64Range(0, 6).Draw(t, "length"), kind(rapid.IntRange(0, 3).Draw(t, "kind")),
				value.Draw(t, "from"), value.Draw(t, "to"),
			})
		}
		want := naive(history, nil, "")
		if got := linearizable(history); got != want {
			t.Fatalf("got %v, want %v: %v", got, want, history)
		}
		both[want]++
	})
	if both[true] == 0 || both[false] == 0 {
		t.Errorf("only one kind of history was tried: %v", both)
	}
}

// naive appends each of the ops that are left to the order so far, and may leave out unknown ones.
func naive(left, order []op, value string) bool {
	if len(left) == 0 {
		return true
	}
	for i, o := range left {
		rest := append(append([]op(nil), left[:i]...), left[i+1:]...)
		if o.kind == unknown && naive(rest, order, value) {
			return true
		}
		early := false
		for _, before := range order {
			early = early || o.kind != unknown && o.ret < before.call
		}
		next := value
		switch {
		case early, o.kind == read && value != o.to, o.kind == conflict && value == o.from:
			continue
		case o.kind == written || o.kind == unknown:
			if value != o.from {
				continue
			}
			next = o.to
		}
		if naive(rest, append(order, o), next) {
			return true
		}
	}
	return false
}
