package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/consumer"
)

// A worker is what one of the processes does. Its parent writes it into the environment.
type worker struct {
	Name, Group string
	Kinesis     string // URL
	Store       location
	History     string // path
	Unlucky     int    // one in so many records of a key fails at first; 0: none

	history *history
	calls   atomic.Int64
}

// workerVariable is set for processes that are workers.
const workerVariable = "SHARDLANE_FLEET_WORKER"

// stream is the only one that there is.
const stream = "orders"

// work runs the worker that the environment asks for, until the parent closes its standard input, or is gone. It reports
// false in a process that is none.
func work() (bool, error) {
	text, ok := os.LookupEnv(workerVariable)
	if !ok {
		return false, nil
	}
	var w worker
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return true, err
	}
	signal.Ignore(os.Interrupt) // a Ctrl-C is for the parent
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); stop() }()
	return true, w.run(ctx)
}

func (w *worker) run(ctx context.Context) (err error) {
	if w.history, err = openHistory(w.History); err != nil {
		return err
	}
	store, err := w.Store.shelf()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.close()) }()
	c, err := consumer.New(client(w.Kinesis), stream, w.handle,
		consumer.WithGroup(w.Group), consumer.WithCheckpointer(counted{store.Store, w.history}), consumer.WithWorker(w.Name),
		consumer.WithParallelizationFactor(4), consumer.WithDrainTimeout(20*time.Second))
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for owned := []string(nil); ; {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
			if now := running(c.Status()); !slices.Equal(now, owned) {
				owned = now
				w.history.write("owns", words(owned)...)
			}
		}
	}
}

// running names the shards that a worker runs.
func running(st consumer.Status) (shards []string) {
	for _, sh := range st.Shards {
		if sh.State == consumer.Running || sh.State == consumer.Ending {
			shards = append(shards, sh.Shard)
		}
	}
	return shards
}

var errUnlucky = errors.New("out of luck")

// handle takes 10 ms, as if it wrote to a database. What it would write stands in the history.
func (w *worker) handle(ctx context.Context, ev events.KinesisEvent) (err error) {
	inv, _ := batch.InvocationFrom(ctx)
	id := w.calls.Add(1)
	fields := []any{id, inv.Shard, inv.Epoch}
	for _, r := range ev.Records {
		fields = append(fields, r.Kinesis.PartitionKey+":"+string(r.Kinesis.Data))
	}
	w.history.write("begin", fields...)
	select {
	case <-time.After(10 * time.Millisecond):
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil && w.Unlucky > 0 && inv.Attempt <= 5 && slices.ContainsFunc(ev.Records, w.unlucky) {
		err = errUnlucky
	}
	outcome := "ok"
	if err != nil {
		outcome = "failed"
	}
	w.history.write("end", id, outcome)
	return err
}

// unlucky records fail five times. With the backoffs, they hold up their lane for 6 s.
func (w *worker) unlucky(r events.KinesisEventRecord) bool {
	var key, n int
	_, _ = fmt.Sscanf(r.Kinesis.PartitionKey+" "+string(r.Kinesis.Data), "key-%d %d", &key, &n)
	return (n+37*key)%w.Unlucky == 0
}

// client calls the Kinesis of the parent, which takes any credentials.
func client(url string) *kinesis.Client {
	return kinesis.New(kinesis.Options{BaseEndpoint: &url, Region: "us-east-1", Credentials: aws.CredentialsProviderFunc(
		func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "any", SecretAccessKey: "any"}, nil
		})})
}

func words(of []string) (fields []any) {
	for _, s := range of {
		fields = append(fields, s)
	}
	return fields
}

// environment is that of a process which is to be this worker.
func (w *worker) environment() []string {
	text, _ := json.Marshal(w)
	return append(os.Environ(), fmt.Sprintf("%s=%s", workerVariable, text))
}
