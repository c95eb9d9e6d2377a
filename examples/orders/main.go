// Orders lets 500 customers place 100,000 orders on a stream of 4 shards. A handler that fails now and then books them in
// parallel lanes, in order for each customer. A third of the way through, a shard is split; at two thirds, two are merged.
// The program says so as it happens, and prints how it goes every 2 seconds. The table at the end says how many orders were
// produced, handled and handled twice, and how often a customer's orders came in the wrong order: never.
//
// It runs on the in-process Kinesis. With -endpoint, -stream and -region it runs on any other. A stream that does not exist
// is created, and deleted at the end; only such a stream is split and merged. Credentials come from AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.
//
// Ctrl-C ends it with the table of what was done so far, and a second Ctrl-C ends it at once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// settings are what the flags say.
type settings struct {
	endpoint, stream, region string

	shards, customers, orders int
	rate                      int     // orders per second
	failures                  float64 // share of batches that fail
	live                      bool    // rewrite the progress line instead of adding lines
}

func main() {
	var s settings
	flag.StringVar(&s.endpoint, "endpoint", "", "`URL` of a Kinesis; empty: in-process, or AWS if -region is given")
	flag.StringVar(&s.stream, "stream", "orders", "`name` of the stream")
	flag.StringVar(&s.region, "region", "", "AWS `region`")
	flag.IntVar(&s.shards, "shards", 4, "shards of a stream that is created")
	flag.IntVar(&s.customers, "customers", 500, "customers, at most 500")
	flag.IntVar(&s.orders, "orders", 100_000, "orders of all customers together")
	flag.IntVar(&s.rate, "rate", 10_000, "orders per second")
	flag.Float64Var(&s.failures, "failures", 0.02, "`share` of batches that the handler fails in the middle of")
	flag.Parse()
	if info, err := os.Stdout.Stat(); err == nil {
		s.live = info.Mode()&os.ModeCharDevice != 0
	}
	if err := run(interruptible(), s, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// interruptible returns a context that the first Ctrl-C ends. A second one ends the program.
func interruptible() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop)
	return ctx
}

// run produces and consumes the orders. It returns an error if that could not be done, or did not end well.
func run(ctx context.Context, s settings, out io.Writer) error {
	if s.customers < 1 || s.customers > 500 || s.orders < s.customers || s.rate < s.customers || s.shards < 1 {
		return errors.New("want 1 to 500 customers, at least as many orders, as many per second, and a shard")
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	if client == nil {
		srv := kinesistest.NewServer(s.stream, s.shards)
		defer srv.Close()
		client = srv.Client()
	}
	own, err := ensure(ctx, client, s.stream, s.shards, s.endpoint == "" && s.region == "")
	if err != nil {
		return err
	}
	if own {
		defer func() {
			_, _ = client.DeleteStream(context.WithoutCancel(ctx), &kinesis.DeleteStreamInput{StreamName: &s.stream})
		}()
	}

	books := newLedger(s.failures)
	start := consumer.TrimHorizon()
	if !own {
		start = consumer.Latest()
	}
	c, err := consumer.New(client, s.stream, books.handle,
		consumer.WithStartingPosition(start),
		consumer.WithBatchSize(200), consumer.WithParallelizationFactor(4),
		consumer.WithLogger(slog.New(slog.DiscardHandler))) // the table counts the failures
	if err != nil {
		return err
	}
	consuming, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- c.Run(consuming) }()

	p := &producer{client: client, settings: s, run: books.run, reshard: own, says: make(chan string)}
	produced := make(chan error, 1)
	go func() { produced <- p.produce(consuming, c) }()
	err = watch(ctx, newScreen(s, out), c, p, books, produced, ended)
	stop()
	err = errors.Join(err, <-ended)
	report := books.report(out, p.made.Load())
	if ctx.Err() != nil { // it cut off whatever was under way
		return errors.New("interrupted")
	}
	return errors.Join(err, report)
}

// watch shows what happens until every order is handled.
func watch(ctx context.Context, sc *screen, c *consumer.Consumer, p *producer, books *ledger, produced <-chan error, ended chan error) error {
	defer sc.end()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	done := false
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			ended <- nil
			return fmt.Errorf("the consumer ended early: %w", err)
		case err := <-produced:
			if err != nil {
				return fmt.Errorf("the producer: %w", err)
			}
			done, produced = true, nil
		case what := <-p.says:
			sc.say(what)
		case <-look.C:
			handled := books.handled()
			sc.look(time.Now(), c.Status(), handled)
			if done && handled >= int(p.made.Load()) {
				sc.show()
				return nil
			}
		}
	}
}
