package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// A rest is what a process with this library costs while its shards have nothing, or a few of them a little.
type rest struct {
	Shards      int     `json:"shards"`
	Busy        int     `json:"busy_shards"`
	Core        float64 `json:"cpu_of_one_core"`
	Calls       float64 `json:"calls_per_second"`
	CPU         float64 `json:"cpu_ns_per_call"`
	Heap        float64 `json:"memory_bytes_per_shard,omitempty"`
	Goroutines  float64 `json:"goroutines"`
	Connections float64 `json:"connections"`
	Dials       float64 `json:"dials_per_second"`
}

// rests measures streams of growing size: idle, and with a tenth of the shards busy, which have 10 records of 100 bytes for
// each call.
func rests(ctx context.Context, at addresses, most int, progress io.Writer, tell func(rest)) error {
	for _, busy := range []int{0, 10} {
		for shards := 1; shards <= most; shards *= 10 {
			l := load{Records: 10, Size: 100, Shards: shards, Pages: 1, Busy: busy}
			fmt.Fprintf(progress, "%d shards, busy is one in %d\n", shards, busy)
			j := job{Subject: "shardlane", Batch: 100, Transport: "plain", Load: l, Idle: true, Server: at}
			o, err := j.run(ctx)
			if err != nil {
				return err
			}
			r := rest{
				Shards: shards, Core: float64(o.CPU) / 1e9 / o.Span, Calls: float64(o.Units) / o.Span, CPU: o.perUnit(float64(o.CPU)),
				Goroutines: o.Workers, Connections: o.Open, Dials: o.Dials,
			}
			if busy > 0 {
				r.Busy = (shards + busy - 1) / busy
			}
			if shards > 1 {
				r.Heap = o.Heap
			}
			tell(r)
		}
	}
	return nil
}

func writeRests(w io.Writer, list []rest) {
	fmt.Fprintln(w, "| shards | busy | of one core | calls/s | CPU of a call | memory of a shard | goroutines | connections | dials/s |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|")
	for _, r := range list {
		memory := "–"
		if r.Heap > 0 {
			memory = fmt.Sprintf("%.1f KB", r.Heap/1000)
		}
		fmt.Fprintf(w, "| %d | %d | %.1f %% | %.0f | %s | %s | %.0f | %.0f | %.1f |\n",
			r.Shards, r.Busy, 100*r.Core, r.Calls, perRecord(r.CPU), memory, r.Goroutines, r.Connections, r.Dials)
	}
}

// atRest measures and prints.
func atRest(ctx context.Context, quick, asJSON bool, out, progress io.Writer) error {
	at, end, err := startServer(ctx)
	if err != nil {
		return err
	}
	most := 10_000
	if quick {
		most = 1000
	}
	var list []rest
	lines := json.NewEncoder(out)
	err = rests(ctx, at, most, progress, func(r rest) {
		if list = append(list, r); asJSON {
			_ = lines.Encode(r)
		}
	})
	if !asJSON {
		writeRests(out, list)
	}
	if stopped := end(); err == nil {
		err = stopped
	}
	return err
}
