// Fleet starts three workers, each a process of its own, which share the 8 shards of a stream through one store. It shows in
// the terminal who owns which shard, while one worker is killed by kill -9 and replaced. At the end it prints how many
// records were put and handled, how many of them twice, and how long the shards stood still.
//
//	go run -C examples/fleet .
//	go run -C examples/fleet . -store postgres -dsn 'postgres://postgres@127.0.0.1/postgres'
//
// The stream is an in-process Kinesis of this program, which the workers call over TCP. The store is a temporary SQLite
// file, or any other that -store and -dsn name. Ctrl-C ends it with what was done so far, a second Ctrl-C at once.
//
// With -soak it is a test: five workers are killed, made to stand still for 15 s, and restarted, shards are split and merged,
// and some records fail for seconds, for as long as you like. Every worker keeps a history. At the end the histories are
// compared: every record must have been handled, in the order of its key; none again after a worker that stopped when asked;
// and no two workers may have handled a shard at once, but for those that stood still. Otherwise the exit status is 1.
//
//	go run -C examples/fleet . -soak 1m
//
// With -trials it measures: three workers, one of which is killed and replaced, and then one that is stopped and replaced, as
// often as you like. The table at the end says how long the shards stood still each time. The histories are compared as after
// a soak.
//
//	go run -C examples/fleet . -trials 30
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"os"
	"os/signal"
	"time"
)

// settings are what the flags say.
type settings struct {
	store           location
	workers, shards int
	lasts           time.Duration
	trials          int // of a crash and a stop each, instead of a time; 0: none
	unlucky         int // one in so many records of a key fails at first; 0: none
	seed            uint64
	live            bool // draw in one place
}

func main() {
	if is, err := work(); is {
		if err != nil {
			log.Fatal(err)
		}
		return
	}
	var s settings
	flag.StringVar(&s.store.Kind, "store", "sqlite", "`kind` of store: sqlite, postgres, mariadb, redis or dynamodb")
	flag.StringVar(&s.store.DSN, "dsn", "", "where the store is: the driver's data source `name`; host:port of a Redis; URL of a DynamoDB; a file for SQLite, by default a temporary one")
	flag.IntVar(&s.workers, "workers", 0, "worker processes (default 3, or 5 with -soak)")
	flag.IntVar(&s.shards, "shards", 8, "shards of the stream")
	flag.DurationVar(&s.lasts, "for", 40*time.Second, "how long the show goes on")
	long := flag.Duration("soak", 0, "how long to soak, in rounds of about 40 s, instead of the show")
	flag.IntVar(&s.trials, "trials", 0, "how often to kill a worker, and to stop one, instead of the show")
	flag.Uint64Var(&s.seed, "seed", uint64(time.Now().UnixNano()), "`number` that chooses whom the soak or a trial strikes")
	flag.Parse()
	if info, err := os.Stdout.Stat(); err == nil {
		s.live = info.Mode()&os.ModeCharDevice != 0
	}
	if err := run(interruptible(), s, *long); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, s settings, long time.Duration) error {
	soaks := long > 0
	if s.workers == 0 {
		s.workers = 3
		if soaks {
			s.workers = 5
		}
	}
	if s.workers < 1 || s.shards < 1 {
		return errors.New("want a worker and a shard")
	}
	if soaks && s.trials > 0 {
		return errors.New("want -soak or -trials, not both")
	}
	if s.trials > 0 {
		return soak(ctx, s, os.Stdout)
	}
	if soaks {
		s.lasts, s.unlucky = long, 9600/min(s.shards, 8) // few lanes wait then, also in a shard that has most of the keys
		return soak(ctx, s, os.Stdout)
	}
	return show(ctx, s, os.Stdout)
}

// interruptible returns a context that the first Ctrl-C ends. A second one ends the program.
func interruptible() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop)
	return ctx
}
