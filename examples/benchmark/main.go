// Benchmark measures what a record costs in CPU time until a handler has it: with this library, with the SDK in a bare loop,
// and with other consumers written in Go. It prints the table of the README, and writes a plot of CPU time against the size
// of records and the number of shards. METHOD.md says how it measures, and results has what it printed on some day.
//
//	go run -C examples/benchmark .
//	go run -C examples/benchmark . -quick
//	go run -C examples/benchmark . -json >rows.json
//	go run -C examples/benchmark . -latency
//	go run -C examples/benchmark . -rest
//
// All of it takes about half an hour on two cores, and -quick less than five minutes: fewer rounds, TLS for one page only, and
// fewer shards. With -latency it measures instead how long a record takes from its put until a handler has it, by polling and by
// enhanced fan-out, in some five minutes; with -rest, what 1 to 10,000 shards cost that have little or nothing. It ends with exit status 1 if a subject fails, or gets more or fewer records than the stream has.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
)

func main() {
	if is, err := work(); is {
		if err != nil {
			log.Fatal(err)
		}
		return
	}
	quick := flag.Bool("quick", false, "measure less, in under five minutes")
	asJSON := flag.Bool("json", false, "print an object a line instead of tables")
	late := flag.Bool("latency", false, "measure how long records take from put to handler")
	idle := flag.Bool("rest", false, "measure what shards cost that have little or nothing")
	plot := flag.String("svg", "cpu.svg", "write the plot to this `file`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch {
	case *late:
		err = latencies(ctx, *quick, *asJSON, os.Stdout, os.Stderr)
	case *idle:
		err = atRest(ctx, *quick, *asJSON, os.Stdout, os.Stderr)
	default:
		err = benchmark(ctx, settings(*quick), *asJSON, *plot)
	}
	if err != nil {
		stop()
		log.Fatal(err)
	}
}

func benchmark(ctx context.Context, list []setting, asJSON bool, plot string) error {
	at, end, err := startServer(ctx)
	if err != nil {
		return err
	}
	var rows []row
	lines := json.NewEncoder(os.Stdout)
	err = measureAll(ctx, at, list, os.Stderr, func(r row) {
		rows = append(rows, r)
		if asJSON {
			_ = lines.Encode(r)
		}
	})
	if err := errors.Join(err, end()); err != nil {
		return err
	}
	if !asJSON {
		writeTable(os.Stdout, rows)
		fmt.Println()
		writeIdle(os.Stdout, rows)
	}
	f, err := os.Create(plot)
	if err != nil {
		return err
	}
	writePlot(f, rows)
	return f.Close()
}
