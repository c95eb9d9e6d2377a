package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shardlane/shardlane/consumer"
)

func TestStoryEndsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := settings{stream: "orders", shards: 4, customers: 50, orders: 5000, rate: 500, failures: 0.1}
		if err := run(t.Context(), s, &out); err != nil {
			t.Errorf("%v\n%s", err, &out)
		}
		for _, row := range []string{
			"produced          5000", "handled           5000", "violations           0", "5 shards",
			"split shardId-000000000000", "has handled all of shardId-000000000000", "reads shardId-000000000004", "reads shardId-000000000005",
			"merged shardId-", "reads shardId-000000000006",
		} {
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

// The rate is that of the last second, not of the time since the last line; busy lanes are a mean, not what one moment shows.
func TestScreenTellsTheTruth(t *testing.T) {
	var out bytes.Buffer
	sc := newScreen(settings{orders: 9000}, &out)
	began := sc.shown
	for i := 1; i <= 400; i++ { // 2 s: nothing at first, then 1,000 orders in the last second; a lane is busy for a fifth of the time
		st := consumer.Status{Shards: []consumer.ShardStatus{{Shard: "a", State: consumer.Running}}}
		if i%5 == 0 {
			st.Shards[0].LanesBusy = 1
		}
		sc.look(began.Add(time.Duration(i)*5*time.Millisecond), st, max(0, i-200)*5)
	}
	if want := "   1000 of 9000 orders    1000/s  1 shards   0.2 lanes busy"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in\n%s", want, &out)
	}
}

// The first interrupt ends the context, the second one the program, though that waits.
func TestSecondInterruptEnds(t *testing.T) {
	if os.Getenv("ORDERS_WAIT") != "" {
		ctx := interruptible()
		fmt.Println("begun")
		<-ctx.Done()
		fmt.Println("stopping")
		select {}
	}
	if runtime.GOOS == "windows" {
		t.Skip("a program cannot send an interrupt there")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestSecondInterruptEnds$")
	cmd.Env = append(os.Environ(), "ORDERS_WAIT=1")
	out, err := cmd.StdoutPipe()
	if err = errors.Join(err, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	lines := bufio.NewScanner(out)
	for _, want := range []string{"begun", "stopping"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("it says %q, want %q", lines.Text(), want)
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan string, 1)
	go func() {
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		ended <- cmd.ProcessState.String()
	}()
	tick, late := time.NewTicker(20*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for {
		select {
		case how := <-ended:
			if how != "signal: interrupt" {
				t.Errorf("it ended by %s", how)
			}
			return
		case <-tick.C: // the second one may have come before the first had its effect
			_ = cmd.Process.Signal(os.Interrupt)
		case <-late:
			t.Fatal("it still runs")
		}
	}
}
