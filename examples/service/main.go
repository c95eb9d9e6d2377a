// Service is a production program of one process, for ECS or Kubernetes with a volume: progress in a file, /healthz,
// /readyz, /status and /metrics on port 8080. On SIGTERM it stops reading, lets running charges finish, checkpoints, and
// exits with status 0.
//
// Region, credentials and endpoint are those of the AWS SDK: AWS_REGION, AWS_PROFILE, a role, AWS_ENDPOINT_URL.
//
//	go run -C examples/service . -stream orders -checkpoints /var/lib/billing/checkpoints
package main

import (
	"context"
	"encoding/json"
	"flag"
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
	"github.com/aws/aws-sdk-go-v2/config"
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

func run(ctx context.Context, stream, file, address string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process

	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	store, err := checkpoint.OpenFile(file) // survives a restart; a second process is refused
	if err != nil {
		return err
	}
	defer store.Close()

	var stats metrics.Snapshot
	c, err := consumer.New(kinesis.NewFromConfig(cfg), stream, batch.Each(charge),
		consumer.WithGroup("billing"), consumer.WithCheckpointer(store),
		consumer.WithBatchSize(500), consumer.WithBatchingWindow(time.Second),
		consumer.WithParallelizationFactor(10),
		consumer.WithMetrics(&stats),
		consumer.WithDrainTimeout(20*time.Second)) // ECS and Kubernetes kill 30 s after SIGTERM
	if err != nil {
		return err // every option that is wrong, a line for each
	}

	web, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: pages(c, &stats), ReadHeaderTimeout: time.Second}
	defer srv.Close()
	go func() { slog.Info("http", "end", srv.Serve(web)) }()

	return c.Run(ctx) // nil after a clean drain
}

// pages are what a platform and its operators ask for.
func pages(c *consumer.Consumer, stats *metrics.Snapshot) http.Handler {
	check := func(of func(consumer.Status) error) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if err := of(c.Status()); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
			}
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", check(consumer.Status.Err))  // restart the process if this lasts
	mux.HandleFunc("/readyz", check(consumer.Status.Ready)) // go on with a rolling deploy once this is well
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { _, _ = stats.WriteTo(w) })
	mux.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(c.Status()) })
	return mux
}

func main() {
	stream := flag.String("stream", "orders", "name or ARN of the stream")
	file := flag.String("checkpoints", "checkpoints", "file that holds the progress")
	address := flag.String("http", ":8080", "where health, readiness, status and metrics are served")
	flag.Parse()
	if err := run(context.Background(), *stream, *file, *address); err != nil {
		log.Fatal(err) // it ends with what can be done about it
	}
}
