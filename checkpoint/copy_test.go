package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

// A tapped store is a Memory whose calls can be disturbed. What before returns is the error of the call, which then does not
// happen; what after returns is the error of one that has.
type tapped struct {
	checkpoint.Memory
	exclusive     bool
	before, after func(op, key string) error
	stale         []checkpoint.Entry // what List returns, if it is not nil
	writes        []string           // keys
}

func (s *tapped) Exclusive() bool { return s.exclusive }

func (s *tapped) do(op, key string, call func() error) error {
	if s.before != nil {
		if err := s.before(op, key); err != nil {
			return err
		}
	}
	err := call()
	if err == nil && s.after != nil {
		err = s.after(op, key)
	}
	return err
}

func (s *tapped) List(ctx context.Context, prefix string) (list []checkpoint.Entry, err error) {
	err = s.do("list", prefix, func() error { list, err = s.Memory.List(ctx, prefix); return err })
	if s.stale != nil {
		list = nil
		for _, e := range s.stale {
			if strings.HasPrefix(e.Key, prefix) {
				list = append(list, e)
			}
		}
	}
	return list, err
}

func (s *tapped) Get(ctx context.Context, key string) (e checkpoint.Entry, err error) {
	err = s.do("get", key, func() error { e, err = s.Memory.Get(ctx, key); return err })
	return e, err
}

func (s *tapped) Swap(ctx context.Context, e checkpoint.Entry) (out checkpoint.Entry, err error) {
	err = s.do("swap", e.Key, func() error { out, err = s.Memory.Swap(ctx, e); return err })
	s.writes = append(s.writes, e.Key)
	return out, err
}

// put writes rows "key=value" whatever was there.
func put(t *testing.T, st checkpoint.Store, rows ...string) {
	t.Helper()
	for _, row := range rows {
		key, value, _ := strings.Cut(row, "=")
		e, err := st.Get(t.Context(), key)
		if err == nil {
			e.Value = []byte(value)
			_, err = st.Swap(t.Context(), e)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// holds checks that a store has these rows and no others.
func holds(t *testing.T, st checkpoint.Store, rows ...string) {
	t.Helper()
	list, err := st.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		got = append(got, e.Key+"="+string(e.Value))
	}
	slices.Sort(got)
	slices.Sort(rows)
	if !slices.Equal(got, rows) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(rows, "\n"))
	}
}

// group returns the rows of a group with one stream. What follows the group's own name is as package lease writes it.
func group(name string) []string {
	return []string{
		name + "/stream/1:orders:7=anchor", name + "/lease/1:orders:7/shard-0=at 5", name + "/lease/1:orders:7/shard-1=END",
		name + "/lease/1:orders:7/shard-2=\x00\xff",
	}
}

func TestCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, dst := &tapped{}, &tapped{}
		put(t, src, group("a%2Fb")...)
		put(t, src, group("a")...)
		put(t, src, "a%2Fb/member/w/1=DEAD", "a%2Fb/other/x=y", "a%2Fb=z")
		put(t, dst, group("c")...)
		dst.writes = nil
		began := time.Now()
		if n, err := checkpoint.Copy(t.Context(), dst, src, "a/b"); n != 4 || err != nil {
			t.Fatal(n, err)
		}
		if d := time.Since(began); d != 10*time.Second {
			t.Errorf("took %v beside the row of a worker", d)
		}
		holds(t, dst, append(group("a%2Fb"), group("c")...)...)
		if !strings.Contains(dst.writes[0], "/stream/") {
			t.Errorf("wrote %q: rows of streams come first", dst.writes)
		}
		if n, err := checkpoint.Copy(t.Context(), dst, src, "a/b"); n != 0 || err != nil {
			t.Errorf("once more: %d, %v", n, err)
		}
		began = time.Now()
		if n, err := checkpoint.Copy(t.Context(), dst, src, "a"); n != 4 || err != nil {
			t.Error(n, err)
		}
		if n, err := checkpoint.Copy(t.Context(), dst, src, "nobody's"); n != 0 || err != nil {
			t.Error(n, err)
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("took %v without workers", d)
		}
	})
}

// TestCopyInUse lets a worker of source or destination show up at every moment.
func TestCopyInUse(t *testing.T) {
	const worker = "g/member/host/1"
	for name, tt := range map[string]struct {
		at        time.Duration // when the row of the worker is written
		row       string        // the one that is there before
		exclusive bool
		want      error
		copied    int
	}{
		"heartbeat":              {9999 * time.Millisecond, worker, false, checkpoint.ErrInUse, 0},
		"stale list":             {5 * time.Second, worker, false, checkpoint.ErrInUse, 0},
		"other worker":           {5 * time.Second, "g/member/host/2", false, checkpoint.ErrInUse, 0},
		"other group":            {5 * time.Second, "g2/member/host/1", false, nil, 4},
		"dead":                   {time.Hour, worker, false, nil, 4},
		"nobody else can":        {5 * time.Second, worker, true, nil, 4},
		"comes while rows go":    {2500 * time.Millisecond, "", false, checkpoint.ErrInUse, 4},
		"was there, comes again": {11 * time.Second, worker, false, checkpoint.ErrInUse, 4},
	} {
		for _, where := range []string{"source", "destination"} {
			t.Run(name+", "+where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					src, dst := &tapped{exclusive: tt.exclusive}, &tapped{exclusive: tt.exclusive}
					put(t, src, group("g")...)
					at := map[string]*tapped{"source": src, "destination": dst}[where]
					if tt.row != "" {
						put(t, at, tt.row+"=ALIVE")
					}
					if name == "stale list" {
						list, err := at.Memory.List(t.Context(), "")
						if err != nil {
							t.Fatal(err)
						}
						at.stale = list
					}
					dst.before = func(op, _ string) error {
						if op == "swap" {
							time.Sleep(time.Second)
						}
						return nil
					}
					come := worker
					if name == "other group" {
						come = tt.row
					}
					defer time.AfterFunc(tt.at, func() { put(t, &at.Memory, come+"=ALIVE") }).Stop()
					n, err := checkpoint.Copy(t.Context(), dst, src, "g")
					if n != tt.copied || !errors.Is(err, tt.want) {
						t.Fatalf("got %d, %v, want %d, %v", n, err, tt.copied, tt.want)
					}
					if err != nil && (!strings.Contains(err.Error(), worker) || !strings.Contains(err.Error(), where)) {
						t.Errorf("%v does not name the worker", err)
					}
				})
			})
		}
	}
}

// TestCopyOccupied copies to where there are rows of the group already.
func TestCopyOccupied(t *testing.T) {
	src := new(checkpoint.Memory)
	put(t, src, group("g")...)
	for row, want := range map[string]error{
		"g/lease/1:orders:7/shard-0=at 5": nil,
		"g/lease/1:orders:7/shard-0=at 6": checkpoint.ErrOccupied,
		"g/lease/1:orders:7/shard-9=at 5": checkpoint.ErrOccupied,
		"g/stream/1:orders:7=anchor":      nil,
		"g/stream/1:orders:7=":            checkpoint.ErrOccupied,
		"g/stream/1:orders:8=anchor":      checkpoint.ErrOccupied,
		"g/lease=at 6":                    nil,
		"G/lease/1:orders:7/shard-0=at 6": nil,
	} {
		dst := &tapped{stale: []checkpoint.Entry{}}
		put(t, dst, row)
		dst.writes = nil
		key, _, _ := strings.Cut(row, "=")
		if strings.HasSuffix(key, "9") || strings.HasSuffix(key, "8") { // only the list can tell
			dst.stale = nil
		}
		n, err := checkpoint.Copy(t.Context(), dst, src, "g")
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", row, err, want)
		}
		if want != nil && (n != 0 || len(dst.writes) != 0 || !strings.Contains(err.Error(), key)) {
			t.Errorf("%s: wrote %q, %v", row, dst.writes, err)
		}
	}
}

// TestCopyLists checks that a row is read by itself: a list may show one that has changed or is gone.
func TestCopyLists(t *testing.T) {
	src := &tapped{}
	put(t, src, group("g")...)
	list, err := src.Memory.List(t.Context(), "g/lease/")
	if err != nil {
		t.Fatal(err)
	}
	gone := checkpoint.Entry{Key: "g/lease/1:orders:7/gone", Value: []byte("at 1"), Revision: "r"}
	src.stale = slices.Concat(list, []checkpoint.Entry{gone, {Key: "g/stream/1:orders:7", Value: []byte("old"), Revision: "r"}})
	put(t, src, "g/lease/1:orders:7/shard-0=at 6")
	dst := new(checkpoint.Memory)
	if n, err := checkpoint.Copy(t.Context(), dst, src, "g"); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	rows := group("g")
	rows[1] = "g/lease/1:orders:7/shard-0=at 6"
	holds(t, dst, rows...)
}

// TestCopyFaults lets each call of a Copy fail in turn, before and after it is done. What was written is right, and the next
// Copy writes the rest.
func TestCopyFaults(t *testing.T) {
	refused := fmt.Errorf("throttled: %w", checkpoint.ErrNotApplied)
	for _, side := range []string{"source", "destination"} {
		for _, applied := range []bool{false, true} {
			for _, fault := range []error{io.ErrUnexpectedEOF, refused} {
				for failing := 0; ; failing++ {
					src, dst := &tapped{}, &tapped{}
					put(t, src, group("g")...)
					calls, hit, swap := 0, false, false
					tap := func(op, _ string) error {
						if calls++; calls == failing+1 {
							hit, swap = true, op == "swap"
							return fault
						}
						return nil
					}
					at := map[string]*tapped{"source": src, "destination": dst}[side]
					if applied {
						at.after = tap
					} else {
						at.before = tap
					}
					n, err := checkpoint.Copy(t.Context(), dst, src, "g")
					if !hit {
						if failing < 5 || n != 4 || err != nil {
							t.Errorf("%s: %d, %v after %d calls", side, n, err, calls)
						}
						break
					}
					// Only a write that was done is no failure; one that says it was not is taken for somebody else's.
					if lost := applied && swap; lost != (err == nil) || err != nil && !errors.Is(err, fault) {
						t.Errorf("%s, call %d, applied %t: got %v", side, failing, applied, err)
					}
					list, _ := dst.Memory.List(t.Context(), "")
					want := len(list)
					if applied && swap && errors.Is(fault, checkpoint.ErrNotApplied) {
						want--
					}
					if n != want {
						t.Errorf("%s, call %d, applied %t: counted %d, wrote %d", side, failing, applied, n, len(list))
					}
					if len(list) > 0 && !strings.Contains(list[len(list)-1].Key, "/stream/") {
						t.Errorf("%s, call %d: %v without the row of the stream", side, failing, list)
					}
					if again, err := checkpoint.Copy(t.Context(), dst, src, "g"); err != nil || again != 4-len(list) {
						t.Errorf("%s, call %d, applied %t: again %d, %v", side, failing, applied, again, err)
					}
					holds(t, &dst.Memory, group("g")...)
				}
			}
		}
	}
}

// TestCopyRaces lets somebody else put a row just before Copy does.
func TestCopyRaces(t *testing.T) {
	for value, want := range map[string]error{"at 5": nil, "at 6": checkpoint.ErrOccupied} {
		src, dst := new(checkpoint.Memory), &tapped{}
		put(t, src, group("g")...)
		dst.before = func(op, key string) error {
			if op == "swap" && strings.HasSuffix(key, "shard-0") {
				put(t, &dst.Memory, key+"="+value)
			}
			return nil
		}
		n, err := checkpoint.Copy(t.Context(), dst, src, "g")
		if !errors.Is(err, want) || err == nil && n != 3 || err != nil && n != 1 {
			t.Errorf("%s: got %d, %v", value, n, err)
		}
	}
}

// TestCopyEnds ends the ctx while Copy waits.
func TestCopyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, dst := new(checkpoint.Memory), new(checkpoint.Memory)
		put(t, src, group("g")...)
		put(t, src, "g/member/host/1=ALIVE")
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		n, err := checkpoint.Copy(ctx, dst, src, "g")
		if n != 0 || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("got %d, %v after %v", n, err, time.Since(began))
		}
		holds(t, dst)
	})
}

// TestCopyFile copies from a file and back into one.
func TestCopyFile(t *testing.T) {
	file, other := openFile(t, filepath.Join(t.TempDir(), "a")), openFile(t, filepath.Join(t.TempDir(), "b"))
	memory := new(checkpoint.Memory)
	put(t, file, group("g")...)
	for _, to := range []checkpoint.Store{memory, other} {
		if n, err := checkpoint.Copy(t.Context(), to, file, "g"); n != 4 || err != nil {
			t.Fatal(n, err)
		}
		holds(t, to, group("g")...)
	}
	if n, err := checkpoint.Copy(t.Context(), file, memory, "g"); n != 0 || err != nil {
		t.Fatal(n, err)
	}
}
