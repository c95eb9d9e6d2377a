package bound_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/shardlane/shardlane/consumer/internal/bound"
)

// A Memory gives what it has. One that has too little lets those wait that can, and returns them in their order once there is room.
func TestMemory(t *testing.T) {
	const all = 512 << 20 // as tests have no GOMEMLIMIT
	m := bound.NewMemory[string]()
	reserve := func(k string, want, least, got int64, ok bool) {
		t.Helper()
		if g, o := m.Reserve(k, want, least); g != got || o != ok {
			t.Errorf("%s wants %d, at least %d, and gets %d, %t; want %d, %t", k, want, least, g, o, got, ok)
		}
	}
	reserve("a", all-10, all-10, all-10, true)
	reserve("b", 20, 5, 10, true)
	reserve("c", 1, 1, 0, false)
	reserve("d", 1, 0, 0, true)
	m.Charge(5) // what d has got
	for i := range 20 {
		reserve(fmt.Sprint(i), 1, 1, 0, false)
	}
	reserve("c", 1, 1, 0, false) // a second time
	if got := m.Charge(-5); got != nil {
		t.Errorf("%v may go on without room", got)
	}
	if got := m.Leave("0", 1); len(got) != 16 || got[0] != "c" || got[1] != "1" || got[15] != "15" {
		t.Errorf("%v may go on, want c and 1 to 15", got)
	}
	reserve("1", 2, 1, 1, true)
	reserve("2", 1, 1, 0, false)
	if got := m.Charge(-all); !slices.Equal(got, []string{"16", "17", "18", "19", "2"}) {
		t.Errorf("%v may go on", got)
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
