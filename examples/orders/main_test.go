package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
)

func TestStoryEndsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := settings{stream: "orders", shards: 4, customers: 50, orders: 5000, rate: 500, failures: 0.1}
		if err := run(t.Context(), s, &out); err != nil {
			t.Errorf("%v\n%s", err, &out)
		}
		for _, row := range []string{"produced          5000", "handled           5000", "violations           0", "5 shards"} {
			if !strings.Contains(out.String(), row) {
				t.Errorf("no %q in\n%s", row, &out)
			}
		}
	})
}

// The ledger is what finds violations, so it must find them.
func TestLedgerSeesWhatIsWrong(t *testing.T) {
	var out bytes.Buffer
	l := newLedger(0)
	for _, n := range []int{1, 2, 2, 1, 4} {
		l.book(order{Customer: 7, Number: n})
	}
	if err := l.report(&out, 4); err == nil || l.duplicates != 2 || l.violations != 1 || l.booked != 3 {
		t.Errorf("error %v, ledger %+v", err, l)
	}
}
