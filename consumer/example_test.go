package consumer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/shardlane/shardlane/batch"
	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/metrics"
)

func charge(ctx context.Context, r events.KinesisEventRecord) error {
	var order struct{ Customer, Cents int }
	if err := json.Unmarshal(r.Kinesis.Data, &order); err != nil {
		return fmt.Errorf("order %s: %w", r.EventID, err) // comes again, after a backoff
	}
	slog.InfoContext(ctx, "charged", "customer", order.Customer, "cents", order.Cents)
	return nil
}

// bill runs until SIGTERM. Then it stops reading, lets running charges finish, checkpoints, and returns nil.
func bill(ctx context.Context, client consumer.Client, file string, web net.Listener) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop)            // a second signal ends the process
	store, err := checkpoint.OpenFile(file) // survives a restart; a second process is refused
	if err != nil {
		return err
	}
	defer store.Close()

	var stats metrics.Snapshot
	c, err := consumer.New(client, "orders", batch.Each(charge),
		consumer.WithGroup("billing"), consumer.WithCheckpointer(store),
		consumer.WithBatchSize(500), consumer.WithBatchingWindow(time.Second),
		consumer.WithParallelizationFactor(10),
		consumer.WithMetrics(&stats),
		consumer.WithDrainTimeout(25*time.Second)) // ECS kills 30 s after SIGTERM
	if err != nil {
		return err // every option that is wrong, joined
	}

	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { _, _ = stats.WriteTo(w) })
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		s := c.Status()
		if err := s.Err(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "%d shards, %s behind\n", len(s.Shards), s.Behind())
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	defer srv.Close()
	go func() { slog.Info("http", "end", srv.Serve(web)) }()

	return c.Run(ctx)
}

// A production program of one process: progress in a file, metrics and health over HTTP, a clean stop on SIGTERM.
func Example_service() {
	client := kinesis.New(kinesis.Options{Region: "eu-central-1"}) // with aws/config: kinesis.NewFromConfig(cfg)
	web, err := net.Listen("tcp", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	if err := bill(context.Background(), client, "/var/lib/billing/checkpoints", web); err != nil {
		log.Fatal(err)
	}
}
