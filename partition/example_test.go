package partition_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/shardlane/shardlane/partition"
)

func ExampleHash() {
	const lanes = 16
	fmt.Println(partition.Hash("alice")%lanes, partition.Hash("bob")%lanes)
	// Output: 9 11
}

type posting struct {
	line            int64
	account, amount string
}

func account(p posting) string { return p.account }

// Lanes post a journal, eight accounts at a time and in order within an account. The Watermark tells the line up to
// which everything is posted, also after an error.
func ExampleLanes() {
	const journal = "alice 5\nbob 7\nalice -2\ncarol\nbob 1\nalice 4\n"
	var mu sync.Mutex
	posted := make(map[string][]string)
	var mark partition.Watermark
	lanes := partition.NewLanes(8, account, func(_ context.Context, _ int, ps []posting) error {
		for _, p := range ps {
			if p.amount == "" {
				return fmt.Errorf("line %d: no amount", p.line+1)
			}
			mu.Lock()
			posted[p.account] = append(posted[p.account], p.amount)
			mu.Unlock()
			mark.Done(p.line)
		}
		return nil
	})
	var err error
	for s := bufio.NewScanner(strings.NewReader(journal)); err == nil && s.Scan(); {
		name, amount, _ := strings.Cut(s.Text(), " ")
		err = lanes.Submit(context.Background(), posting{mark.Begin(1), name, amount})
	}
	if drained := lanes.Drain(context.Background()); err == nil {
		err = drained
	}
	fmt.Println("posted up to line", mark.Mark())
	fmt.Println(err)
	// Output:
	// posted up to line 3
	// line 4: no amount
}

// A key stops at its first error; the others go on.
func ExampleEach() {
	orders := []string{"alice: espresso", "bob: tea", "alice: ???", "carol: water", "alice: latte"}
	customer := func(order string) string {
		name, _, _ := strings.Cut(order, ":")
		return name
	}
	errs := partition.Each(context.Background(), 16, orders, customer, func(_ context.Context, order string) error {
		if strings.HasSuffix(order, "???") {
			return errors.New("cannot read the order")
		}
		return nil
	})
	for i, err := range errs {
		fmt.Println(orders[i], "-", err)
	}
	// Output:
	// alice: espresso - <nil>
	// bob: tea - <nil>
	// alice: ??? - cannot read the order
	// carol: water - <nil>
	// alice: latte - partition: item skipped
}

// Positions are begun in the order in which work arrives and done in any order.
func ExampleWatermark() {
	var w partition.Watermark
	first := w.Begin(4)
	w.Done(first+2, first)
	fmt.Println(w.Mark(), "of", w.Begun())
	w.Done(first + 1)
	fmt.Println(w.Mark(), "of", w.Begun())
	// Output:
	// 1 of 4
	// 3 of 4
}
