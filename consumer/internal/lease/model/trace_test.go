package model

import "fmt"

// act is a kind of step.
type act uint8

const (
	actTick act = iota
	actStart
	actCrash
	actFreeze
	actFreezeChecked // between a handler's check of validity and its start
	actWake
	actDelete // a member row, by hand
	actCollect
	actRetire
	actRead  // the own member row
	actWrite // what op says
	actReadBack
	actEnter
	actFinish
	actArrive
	actAnswer
	actGiveUp
	actDrop
)

// fate is what becomes of a write.
type fate uint8

const (
	fine       fate = iota
	unanswered      // applied, and the answer is lost
	late            // the sender gives up waiting; it may arrive later
	slow            // it is under way, and the sender waits
	gone            // it never arrives
)

// step says what was done, for a trace.
type step struct {
	act  act
	op   op
	fate fate
	w    uint8 // whose
	to   uint8 // the row
}

func (st step) String() string {
	what := [...]string{
		"tick", "start", "crash", "freeze", "freeze after checking validity", "wake", "row deleted by hand", "row collected", "retire", "read the own row",
		"", "read back", "handler enters", "handler ends", "arrives", "answered", "given up", "never arrives",
	}[st.act]
	if st.act == actTick {
		return what
	}
	to := fmt.Sprintf("member %d.%d", st.to/lives, st.to%lives)
	if st.to >= members {
		to = fmt.Sprintf("lease %d", st.to-members)
	}
	switch {
	case st.act == actDelete || st.act == actCollect:
		return what + ": " + to
	case st.act == actWrite:
		fate := [...]string{"", ", and the answer is lost", ", given up, still under way", ", under way", ", lost on the way"}[st.fate]
		return fmt.Sprintf("%d: %v %s%s", st.w, st.op, to, fate)
	case st.op != nothing:
		return fmt.Sprintf("%d: %v %s %s", st.w, st.op, to, what)
	case st.to != 0:
		return fmt.Sprintf("%d: %s %s", st.w, what, to)
	}
	return fmt.Sprintf("%d: %s", st.w, what)
}

func (o op) String() string {
	return [...]string{"nothing", "join", "beat", "leave", "fence", "bury", "claim", "checkpoint", "release", "end", "child"}[o]
}

// trace tells the steps to the state of the last link.
func (r rules) trace(links []link) (told []string) {
	var path []int32
	for l := links[len(links)-1]; ; l = links[l.parent] {
		path = append(path, l.nth)
		if l.parent < 0 {
			break
		}
	}
	root := path[len(path)-1]
	at := r.roots()[root]
	told = append(told, [...]string{"nobody is up", "0 and 1 have joined, 0 owns lease 0"}[root])
	for i := len(path) - 2; i >= 0; i-- {
		nth := int32(0)
		var next state
		x := search{rules: r, from: at}
		x.yield = func(st step, s state, _ string) {
			if nth == path[i] {
				next = s
				told = append(told, st.String())
			}
			nth++
		}
		x.all()
		at = next
	}
	return told
}
