package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// The workers of a test are this binary once more.
func TestMain(m *testing.M) {
	if is, err := work(); is {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// The show shortly, with real processes: two workers, one of which is killed, and nothing is lost. That its shards have an
// heir takes longer than the show; the records of them are handled at the end.
func TestShow(t *testing.T) {
	var out bytes.Buffer
	s := settings{store: location{Kind: "sqlite"}, workers: 2, shards: 4, lasts: 4 * time.Second}
	if err := show(t.Context(), s, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{"worker-1  pid ", "worker-2  pid ", "■", "kill -9 worker-1", "worker-1  killed", "a new worker-1 starts", "the workers stop"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	var put, handled int
	_, last, _ := strings.Cut(out.String(), "the workers stop\n\n")
	if _, err := fmt.Sscanf(last, "%d records put, %d handled", &put, &handled); err != nil || put < 100 || put != handled {
		t.Errorf("%d put, %d handled, %v in\n%s", put, handled, err, &out)
	}
}

func TestStoreIsNamed(t *testing.T) {
	for _, c := range []struct {
		location
		want string
	}{
		{location{"postgres", ""}, "needs -dsn"},
		{location{"oracle", "x"}, "want sqlite"},
		{location{"redis", "127.0.0.1:1"}, "refused"},
	} {
		if err := c.create(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.location, err, c.want)
		}
	}
}

// A terminal's frame replaces the one before it, and lines that stay are written above it.
func TestScreenDrawsInPlace(t *testing.T) {
	s := settings{store: location{Kind: "sqlite"}, workers: 2, shards: 3}
	f, err := newFleet(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close(false)
	var live, plain bytes.Buffer
	terminal, pipe := screen{out: &live, live: true}, screen{out: &plain}
	for range 2 {
		terminal.show(f)
		pipe.show(f)
	}
	terminal.sayf(f, "hello")
	if n := strings.Count(live.String(), "\033[3A"); n != 2 {
		t.Errorf("goes up %d times in %q", n, &live)
	}
	if n := strings.Count(plain.String(), "nobody"); n != 1 || strings.Contains(plain.String(), "\033") {
		t.Errorf("%d frames in %q", n, &plain)
	}
}
