package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// titles are how the table names the subjects.
var titles = map[string]string{
	"shardlane": "shardlane",
	"sdk":       "the SDK in a bare loop",
	"harlow":    "harlow/kinesis-consumer v0.3.5",
	"vmware":    "vmware-go-kcl-v2 v1.0.0",
}

// writeTable writes the table of the README: CPU time of pages as multiples of the bare loop's, with the least and the most of
// all rounds, allocations, and what an idle shard holds.
func writeTable(w io.Writer, rows []row) {
	type column struct{ page, transport, title string }
	var columns []column
	for _, page := range []string{"a", "b", "c", "d"} {
		columns = append(columns, column{page, "plain", page})
	}
	for _, page := range []string{"a", "b", "c", "d"} {
		columns = append(columns, column{page, "tls", page + ", TLS"})
	}
	columns = slices.DeleteFunc(columns, func(c column) bool {
		return !slices.ContainsFunc(rows, func(r row) bool { return r.Page == c.page && r.Transport == c.transport })
	})
	find := func(page, transport, subject string, batch int) *row {
		i := slices.IndexFunc(rows, func(r row) bool {
			return r.Page == page && r.Transport == transport && r.Subject == subject && (r.Batch == batch || page == "e")
		})
		if i < 0 {
			return nil
		}
		return &rows[i]
	}
	fmt.Fprint(w, "| CPU time per record")
	for _, c := range columns {
		fmt.Fprint(w, " | ", c.title)
	}
	fmt.Fprintln(w, " | allocations (a) | an idle shard |")
	fmt.Fprintln(w, strings.Repeat("|---", len(columns)+3)+"|")
	for _, s := range subjects {
		for _, batch := range s.batches {
			title := titles[s.name]
			if len(s.batches) > 1 {
				title += fmt.Sprintf(", batches of %d", batch)
			}
			fmt.Fprint(w, "| ", title)
			for _, c := range columns {
				fmt.Fprint(w, " | ", cell(find(c.page, c.transport, s.name, batch)))
			}
			allocs, memory := "–", "–"
			if r := find("a", "plain", s.name, batch); r != nil {
				allocs = fmt.Sprintf("%.2g", r.Allocs)
			}
			if r := find("e", "plain", s.name, batch); r != nil {
				memory = fmt.Sprintf("%.1f KB", r.Heap/1000)
			}
			fmt.Fprintf(w, " | %s | %s |\n", allocs, memory)
		}
	}
}

func cell(r *row) string {
	switch {
	case r == nil:
		return "–"
	case r.Subject == "sdk":
		return "1 = " + perRecord(r.CPU)
	default:
		return fmt.Sprintf("%.2f (%.2f–%.2f)", r.Ratio, r.RatioMin, r.RatioMax)
	}
}

// perRecord is nanoseconds with two digits that count.
func perRecord(ns float64) string {
	d := time.Duration(ns)
	return strings.Replace(d.Round(max(1, magnitude(d)/10)).String(), "µs", " µs", 1)
}

// magnitude is the largest power of ten that is not above d.
func magnitude(d time.Duration) time.Duration {
	m := time.Duration(1)
	for m*10 <= d {
		m *= 10
	}
	return m
}

// writeIdle writes what shards cost that have nothing.
func writeIdle(w io.Writer, rows []row) {
	fmt.Fprintln(w, "| idle shards | memory of each | goroutines | calls/s | CPU of a call | of one core | dials/s |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|")
	for _, r := range rows {
		if r.Page == "e" {
			fmt.Fprintf(w, "| %d, %s | %.1f KB | %.0f | %.0f | %s | %.1f %% | %.1f |\n", r.Shards, titles[r.Subject],
				r.Heap/1000, r.Goroutines, r.Calls, perRecord(r.CPU), 100*r.Load, r.Dials)
		}
	}
}
