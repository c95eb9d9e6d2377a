//go:build linux || darwin

package checkpoint

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary runs itself again as another process that does one of these.
const (
	roleVariable = "CHECKPOINT_TEST_ROLE"
	pathVariable = "CHECKPOINT_TEST_PATH"
)

func TestMain(m *testing.M) {
	path := os.Getenv(pathVariable)
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case "hold":
		hold(path)
	case "write":
		keepWriting(path)
	case "limit":
		limit(path)
	case "nobody":
		nobody(path)
	}
}

// A process is the test binary in a role.
type process struct {
	*exec.Cmd
	lines *bufio.Scanner
	stdin io.Closer
}

func start(t *testing.T, role, path string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role, pathVariable+"="+path)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return &process{cmd, bufio.NewScanner(stdout), stdin}
}

// line returns the next line that the process prints, or "" after the last one.
func (p *process) line() string {
	p.lines.Scan()
	return p.lines.Text()
}

// hold opens the store and keeps it until its input ends.
func hold(path string) {
	f, err := OpenFile(path)
	fmt.Println(errors.Is(err, ErrLocked), err)
	io.Copy(io.Discard, os.Stdin)
	if err == nil {
		f.Close()
	}
}

func TestFileLockedByProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%s is open in another process: %d on host %s, since 2", path, os.Getpid(), host)
	if line := start(t, "hold", path).line(); !strings.HasPrefix(line, "true checkpoint: ") || !strings.Contains(line, want) {
		t.Errorf("a second process is told: %s", line)
	}
	before := time.Now().Add(-time.Second)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"close", "kill"} {
		p := start(t, "hold", path)
		if line := p.line(); line != "false <nil>" {
			t.Fatalf("a process alone is told: %s", line)
		}
		var locked *LockedError
		if _, err := OpenFile(path); !errors.Is(err, ErrLocked) || !errors.As(err, &locked) {
			t.Errorf("while another process has it: got %v", err)
		} else if locked.Path != path || locked.Host != host || locked.PID != p.Process.Pid || locked.Since.Before(before) || locked.Since.After(time.Now()) {
			t.Errorf("while another process has it: got %+v", locked)
		}
		if end == "close" {
			p.stdin.Close()
		} else {
			p.Process.Kill()
		}
		p.Wait()
		f, err := OpenFile(path)
		if err != nil {
			t.Fatalf("after %s of the other process: %v", end, err)
		}
		f.Close()
	}
}

// TestFileWaitsForProcess waits for another process, which is killed.
func TestFileWaitsForProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	p := start(t, "hold", path)
	if line := p.line(); line != "false <nil>" {
		t.Fatal(line)
	}
	result := make(chan error, 1)
	go func() {
		f, err := OpenFileContext(t.Context(), path)
		if err == nil {
			err = f.Close()
		}
		result <- err
	}()
	p.Process.Kill()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// keepWriting writes one row for ever, and prints each number once it is acknowledged.
func keepWriting(path string) {
	f, err := openFile(osDisk{}, path, 2000)
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := f.Get(context.Background(), "k")
	n := 0
	fmt.Sscan(string(e.Value), &n)
	for err == nil {
		n++
		e.Value = fmt.Append(nil, n)
		if e, err = f.Swap(context.Background(), e); err == nil {
			fmt.Println(n)
		}
	}
	fmt.Println(err)
}

// TestFileKilled kills a process that writes, again and again.
func TestFileKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	acked := 0
	for round := range 10 {
		p := start(t, "write", path)
		for range 20 + 13*round {
			if line := p.line(); line != fmt.Sprint(acked+1) {
				t.Fatalf("acknowledged %d, then %s", acked, line)
			}
			acked++
		}
		p.Process.Kill()
		for line := p.line(); line != ""; line = p.line() {
			fmt.Sscan(line, &acked)
		}
		p.Wait()
		f, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		e, err := f.Get(t.Context(), "k")
		n := 0
		fmt.Sscan(string(e.Value), &n)
		if err != nil || n < acked || n > acked+1 {
			t.Fatalf("acknowledged %d, and the row is %v, %v", acked, e, err)
		}
		acked = n
		f.Close()
	}
}

// limit writes until the system takes no more, has the limit lifted, and writes on.
func limit(path string) {
	err := func() error {
		signal.Ignore(syscall.SIGXFSZ)
		f, err := OpenFile(path)
		if err != nil {
			return err
		}
		var old syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			return err
		}
		low := old
		low.Cur = 10_000
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &low); err != nil {
			return err
		}
		ctx := context.Background()
		e := Entry{Key: "k"}
		acked := 0
		for {
			next := e
			next.Value = fmt.Appendf(nil, "%0500d", acked+1)
			if next, err = f.Swap(ctx, next); err != nil {
				break
			}
			e = next
			acked++
		}
		for range 3 {
			if !errors.Is(err, syscall.EFBIG) || !errors.Is(err, ErrNotApplied) || errors.Is(err, ErrConflict) || acked < 10 {
				return fmt.Errorf("after %d writes: %w", acked, err)
			}
			if got, err := f.Get(ctx, "k"); err != nil || got.Revision != e.Revision {
				return fmt.Errorf("after %d writes: got %v, %w", acked, got, err)
			}
			_, err = f.Swap(ctx, e)
		}
		if _, err := f.Swap(ctx, Entry{Key: "k", Revision: "another"}); !errors.Is(err, ErrConflict) {
			return fmt.Errorf("a conflict on a full disk: %w", err)
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			return err
		}
		e.Value = []byte("there is room")
		if e, err = f.Swap(ctx, e); err != nil {
			return fmt.Errorf("there is room: %w", err)
		}
		if err := f.Close(); err != nil {
			return err
		}
		if f, err = OpenFile(path); err != nil {
			return err
		}
		got, err := f.Get(ctx, "k")
		if err != nil || got.Revision != e.Revision || string(got.Value) != string(e.Value) {
			return fmt.Errorf("opened again: got %v, %w", got, err)
		}
		if err := f.Close(); err != nil {
			return err
		}
		low.Cur = 0 // no byte more, not even in the lock file
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &low); err != nil {
			return err
		}
		if f, err = OpenFile(path); err != nil {
			return fmt.Errorf("opened without room: %w", err)
		}
		if _, err := OpenFile(path); !errors.Is(err, ErrLocked) {
			return fmt.Errorf("opened without room, and once more: %w", err)
		}
		if got, err = f.Get(ctx, "k"); err != nil || got.Revision != e.Revision {
			return fmt.Errorf("opened without room: got %v, %w", got, err)
		}
		if _, err := f.Swap(ctx, e); !errors.Is(err, syscall.EFBIG) || !errors.Is(err, ErrNotApplied) {
			return fmt.Errorf("written without room: %w", err)
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			return err
		}
		if _, err = f.Swap(ctx, e); err != nil {
			return fmt.Errorf("there is room again: %w", err)
		}
		return f.Close()
	}()
	fmt.Println(err)
}

func TestFileLimit(t *testing.T) {
	if line := start(t, "limit", filepath.Join(t.TempDir(), "store")).line(); line != "<nil>" {
		t.Error(line)
	}
}

// nobody opens the store as a user who may not.
func nobody(path string) {
	if os.Geteuid() == 0 {
		if err := syscall.Setuid(65534); err != nil {
			fmt.Println(err)
			return
		}
	}
	_, err := OpenFile(path)
	fmt.Println(errors.Is(err, fs.ErrPermission), err)
}

func TestFilePermission(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store")
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if line := start(t, "nobody", path).line(); !strings.HasPrefix(line, "true checkpoint: ") || !strings.Contains(line, path) {
		t.Errorf("in a folder that is not writable: %s", line)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o000); err != nil {
		t.Fatal(err)
	}
	if line := start(t, "nobody", path).line(); !strings.HasPrefix(line, "true checkpoint: ") || !strings.Contains(line, path) {
		t.Errorf("with a file that is not readable: %s", line)
	}
}
