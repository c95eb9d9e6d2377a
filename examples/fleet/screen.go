package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// A screen shows who owns which shard: a row for each worker, a column for each shard. On a terminal it is drawn again and
// again in one place. Elsewhere a frame is added when something has changed.
type screen struct {
	out  io.Writer
	live bool

	last  string // the grid that was shown last
	lines int    // of the frame on the terminal
}

// show shows one moment.
func (sc *screen) show(f *fleet) {
	grid := f.grid()
	if !sc.live && grid == sc.last {
		return
	}
	sc.last = grid
	_, put := f.produced()
	done := 0
	for _, p := range f.processes {
		done += p.done
	}
	frame := fmt.Sprintf("%5.1f s  %d records put, %d handled\n%s", time.Since(f.began).Seconds(), put, done, grid)
	if sc.live {
		if sc.lines > 0 {
			fmt.Fprintf(sc.out, "\033[%dA", sc.lines)
		}
		sc.lines = strings.Count(frame, "\n")
		frame = strings.ReplaceAll(frame, "\n", "\033[K\n") + "\033[J"
	} else {
		frame += "\n"
	}
	fmt.Fprint(sc.out, frame)
}

// sayf prints a line that stays.
func (sc *screen) sayf(f *fleet, format string, args ...any) {
	line := fmt.Sprintf("%5.1f s  %s\n", time.Since(f.began).Seconds(), fmt.Sprintf(format, args...))
	if sc.live && sc.lines > 0 {
		line = fmt.Sprintf("\033[%dA\033[J%s", sc.lines, line)
		sc.lines = 0
	}
	fmt.Fprint(sc.out, line)
}

// grid is the table of workers and shards.
func (f *fleet) grid() string {
	var b strings.Builder
	shards := f.open()
	fmt.Fprintf(&b, "%-20s", "")
	for _, sh := range shards {
		fmt.Fprintf(&b, " %3s", short(*sh.ShardId))
	}
	b.WriteByte('\n')
	owners := f.owners()
	for _, p := range f.processes {
		state := fmt.Sprintf("pid %d", p.cmd.Process.Pid)
		switch {
		case !p.killed.IsZero():
			state = "killed"
		case p.gone():
			state = "stopped"
		}
		fmt.Fprintf(&b, "%-9s %-10s", p.name, state)
		for _, sh := range shards {
			mark := "  ·"
			if owners[*sh.ShardId] == p {
				mark = "  ■"
			}
			b.WriteString(" " + mark)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%-20s", "nobody")
	for _, sh := range shards {
		mark := "   "
		if owners[*sh.ShardId] == nil {
			mark = "  ?"
		}
		b.WriteString(" " + mark)
	}
	return strings.TrimRight(b.String(), " ") + "\n"
}

// short is the number of a shard.
func short(id string) string {
	number := strings.TrimLeft(strings.TrimPrefix(id, "shardId-"), "0")
	if number == "" {
		return "0"
	}
	return number
}
