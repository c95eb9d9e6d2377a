package main

import (
	"context"
	"fmt"
	"io"
	"slices"
)

// A setting is a load that all subjects are measured with in turn.
type setting struct {
	page, transport string
	load            load
	rounds          int
	without         []string // subjects
}

// A row is what was measured of one subject in one setting. Figures are medians over rounds.
type row struct {
	Subject   string `json:"subject"`
	Page      string `json:"page"` // a to e; size or shards, where only that one grows
	Format    string `json:"format"`
	Transport string `json:"transport"`
	Batch     int    `json:"batch"`
	load
	Rounds int `json:"rounds"`

	// Of a record that a handler gets; of page e, of a call.
	CPU    float64 `json:"cpu_ns_per_record"`
	Allocs float64 `json:"allocs_per_record"`
	Bytes  float64 `json:"bytes_per_record"`

	// To the bare loop's CPU time in the same round.
	Ratio    float64 `json:"ratio"`
	RatioMin float64 `json:"ratio_min"`
	RatioMax float64 `json:"ratio_max"`

	// Of page e.
	Heap       float64 `json:"memory_bytes_per_shard,omitempty"`
	Goroutines float64 `json:"goroutines,omitempty"`
	Calls      float64 `json:"calls_per_second,omitempty"`
	Dials      float64 `json:"dials_per_second,omitempty"`
	Load       float64 `json:"cpu_of_one_core,omitempty"`
}

// settings are what is measured: the pages, and then how cost grows with the size of records and the number of shards.
func settings(quick bool) (list []setting) {
	rounds, growth := 5, 3
	if quick {
		rounds, growth = 3, 1
	}
	add := func(page, transport string, l load, rounds int, without ...string) {
		list = append(list, setting{page, transport, l, rounds, without})
	}
	for _, p := range []string{"a", "b", "c", "d"} {
		add(p, "plain", pages[p], rounds)
	}
	for _, p := range []string{"a", "b", "c", "d"} {
		if !quick || p == "a" {
			add(p, "tls", pages[p], rounds)
		}
	}
	e := pages["e"]
	if quick {
		e.Shards = 100
	}
	add("e", "plain", e, growth)
	for _, size := range []int{100, 1000, 10_000, 100_000} {
		add("size", "plain", load{Records: 1_000_000 / size, Size: size, Shards: 16, Pages: 3}, growth)
	}
	for _, l := range []load{{Shards: 1, Pages: 9}, {Shards: 10, Pages: 9}, {Shards: 100, Pages: 2}, {Shards: 1000, Pages: 2}} {
		l.Records, l.Size = 1000, 1000
		switch {
		case l.Shards < 1000:
			add("shards", "plain", l, growth)
		case !quick:
			add("shards", "plain", l, growth, "vmware") // it would list a thousand shards a thousand times to take them
		}
	}
	return list
}

// measureAll measures all settings. The subjects take turns within each round, and another one begins in each.
// Rows are told when a setting is done.
func measureAll(ctx context.Context, at addresses, list []setting, progress io.Writer, tell func(row)) error {
	for i, s := range list {
		fmt.Fprintf(progress, "%d of %d: page %s, %s, %d shards, %d rounds\n", i+1, len(list), s.page, s.transport, s.load.Shards, s.rounds)
		var jobs []job
		for _, sub := range subjects {
			for _, batch := range sub.batches {
				j := job{Subject: sub.name, Batch: batch, Transport: s.transport, Load: s.load, Idle: s.page == "e", Server: at}
				grows := s.page == "size" || s.page == "shards" || s.page == "e"
				if !slices.Contains(s.without, sub.name) && (!grows || batch == sub.batches[0]) {
					jobs = append(jobs, j)
				}
			}
		}
		outcomes := make([][]outcome, len(jobs))
		for round := range s.rounds {
			for k := range jobs {
				n := (k + round) % len(jobs)
				o, err := jobs[n].run(ctx)
				if err != nil {
					return err
				}
				outcomes[n] = append(outcomes[n], o)
			}
		}
		base := outcomes[slices.IndexFunc(jobs, func(j job) bool { return j.Subject == "sdk" })]
		for k, j := range jobs {
			tell(newRow(s, j, outcomes[k], base))
		}
	}
	return nil
}

func newRow(s setting, j job, got, base []outcome) row {
	each := func(of func(i int, o outcome) float64) []float64 {
		var list []float64
		for i, o := range got {
			list = append(list, of(i, o))
		}
		slices.Sort(list)
		return list
	}
	middle := func(of func(o outcome) float64) float64 {
		return median(each(func(_ int, o outcome) float64 { return of(o) }))
	}
	ratios := each(func(i int, o outcome) float64 {
		return o.perUnit(float64(o.CPU)) / base[i].perUnit(float64(base[i].CPU))
	})
	r := row{
		Subject: j.Subject, Page: s.page, Format: "json", Transport: s.transport, Batch: j.Batch, load: s.load, Rounds: s.rounds,
		CPU:    middle(func(o outcome) float64 { return o.perUnit(float64(o.CPU)) }),
		Allocs: middle(func(o outcome) float64 { return o.perUnit(float64(o.Allocs)) }),
		Bytes:  middle(func(o outcome) float64 { return o.perUnit(float64(o.Bytes)) }),
		Ratio:  median(ratios), RatioMin: ratios[0], RatioMax: ratios[len(ratios)-1],
	}
	if j.Idle {
		r.Heap = middle(func(o outcome) float64 { return o.Heap })
		r.Goroutines = middle(func(o outcome) float64 { return o.Workers })
		r.Dials = middle(func(o outcome) float64 { return o.Dials })
		r.Calls = middle(func(o outcome) float64 { return float64(o.Units) / o.Span })
		r.Load = middle(func(o outcome) float64 { return float64(o.CPU) / 1e9 / o.Span })
	}
	return r
}

func (o outcome) perUnit(of float64) float64 { return of / float64(max(1, o.Units)) }

// median is that of a sorted list.
func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
