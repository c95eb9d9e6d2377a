package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// An order is the payload of a record. A customer's orders are numbered from 1.
type order struct {
	Run      int64 `json:"run"` // orders of other runs on the same stream are ignored
	Customer int   `json:"customer"`
	Number   int   `json:"number"`
}

// A ledger books orders and watches their order.
type ledger struct {
	run      int64
	failures float64

	mu         sync.Mutex
	last       map[int]int // by customer: the number booked last
	booked     int
	duplicates int // booked before
	violations int // a number was left out
	failed     int // batches
}

var errDown = errors.New("the ledger is down")

func newLedger(failures float64) *ledger {
	return &ledger{run: time.Now().UnixNano(), failures: failures, last: map[int]int{}}
}

// handle could be given to lambda.Start as well. Now and then it fails in the middle of a batch, which comes again.
func (l *ledger) handle(_ context.Context, ev events.KinesisEvent) error {
	time.Sleep(2 * time.Millisecond) // what a database takes
	until := len(ev.Records)
	if rand.Float64() < l.failures {
		until = rand.IntN(len(ev.Records))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range ev.Records[:until] {
		var o order
		if err := json.Unmarshal(r.Kinesis.Data, &o); err != nil || o.Run != l.run {
			continue // not an order of this run
		}
		l.book(o)
	}
	if until < len(ev.Records) {
		l.failed++
		return errDown
	}
	return nil
}

func (l *ledger) book(o order) {
	switch last := l.last[o.Customer]; {
	case o.Number <= last:
		l.duplicates++
		return
	case o.Number > last+1:
		l.violations++
	}
	l.last[o.Customer] = o.Number
	l.booked++
}

func (l *ledger) handled() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.booked
}

// report prints the table. It returns an error unless every order was booked, in order.
func (l *ledger) report(out io.Writer, produced int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, row := range []struct {
		what string
		n    int
	}{
		{"produced", int(produced)},
		{"handled", l.booked},
		{"failed batches", l.failed},
		{"duplicates", l.duplicates},
		{"violations", l.violations},
	} {
		fmt.Fprintf(out, "%-14s %7d\n", row.what, row.n)
	}
	if l.violations > 0 || l.booked != int(produced) {
		return fmt.Errorf("%d of %d orders booked, %d out of order", l.booked, produced, l.violations)
	}
	return nil
}
