package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

// The counts of all windows add up to what was put, in virtual time.
func TestWindows(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	stdout := os.Stdout
	os.Stdout = out
	synctest.Test(t, func(*testing.T) { main() })
	os.Stdout = stdout

	printed, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	lines, sum := strings.Split(strings.TrimSpace(string(printed)), "\n"), 0
	for _, line := range lines {
		var shard, start string
		var n int
		if _, err := fmt.Sscanf(line, "%s %s %d orders", &shard, &start, &n); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		sum += n
	}
	if sum != 50 || len(lines) < 5 || len(lines) > 7 {
		t.Errorf("the windows have %d orders, want 50 in 5 to 7 windows:\n%s", sum, printed)
	}
}
