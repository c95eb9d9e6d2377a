package bound_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/shardlane/shardlane/consumer/internal/bound"
)

// A Memory over its limit admits only those that hold nothing; the others are returned once there is room.
func TestMemory(t *testing.T) {
	m := bound.NewMemory[string]()
	if !m.Admit("a", 1<<40) {
		t.Error("an empty memory admits nobody")
	}
	m.Charge(1 << 40)
	if !m.Admit("b", 0) || m.Admit("a", 1) {
		t.Error("a full memory must admit who holds nothing, and nobody else")
	}
	if woken := m.Charge(-1); len(woken) != 0 {
		t.Errorf("%v woken without room", woken)
	}
	if woken := m.Charge(-1 << 39); len(woken) != 0 {
		t.Errorf("%v woken without room", woken)
	}
	if woken := m.Charge(-1 << 39); !woken["a"] || len(woken) != 1 {
		t.Errorf("%v woken, want a", woken)
	}
}

// A slot that is granted while its lane stops is given back, and while others wait no key has more than half of the slots.
func TestSlots(t *testing.T) {
	t.Attr("rule", "C13")
	synctest.Test(t, func(t *testing.T) {
		s := bound.NewSlots[string](2)
		var order []string
		enter := func(key string, stop chan struct{}) {
			go func() {
				if s.Enter(key, stop) {
					order = append(order, key)
				}
			}()
			synctest.Wait()
		}
		enter("a", nil)
		enter("a", nil)
		stopped := make(chan struct{})
		enter("c", stopped)
		enter("a", nil)
		enter("b", nil)
		close(stopped)
		synctest.Wait()
		s.Leave("a")
		synctest.Wait()
		s.Leave("a")
		synctest.Wait()
		if want := []string{"a", "a", "b", "a"}; !slices.Equal(order, want) {
			t.Errorf("slots went to %v, want %v", order, want)
		}
	})
}

// A slot that is granted to a lane that has stopped already comes back, whichever of the two the lane sees first.
func TestSlotOfStoppedLane(t *testing.T) {
	s := bound.NewSlots[int](2)
	stopped := make(chan struct{})
	close(stopped)
	for range 100 {
		if s.Enter(1, stopped) {
			s.Leave(1)
		}
	}
	if !s.Enter(2, nil) || !s.Enter(3, nil) {
		t.Error("no slot")
	}
}

// However stops and grants race, all slots come back.
func TestSlotsComeBack(t *testing.T) {
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			s := bound.NewSlots[int](1)
			s.Enter(0, nil)
			stop := make(chan struct{})
			for i := range 3 {
				go func() {
					if s.Enter(i, stop) {
						s.Leave(i)
					}
				}()
			}
			synctest.Wait()
			go close(stop)
			s.Leave(0)
			synctest.Wait()
			got := make(chan bool, 1)
			go func() { got <- s.Enter(9, nil) }()
			synctest.Wait()
			select {
			case <-got:
			default:
				t.Fatal("the slot is gone")
			}
		})
	}
}
