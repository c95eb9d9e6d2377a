package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// The program finds its service by the environment, gets ready, charges, says so, and ends well on SIGTERM.
func TestService(t *testing.T) {
	srv := kinesistest.NewServer("orders", 2)
	defer srv.Close()
	t.Setenv("AWS_ENDPOINT_URL", srv.URL())
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	srv.Put("orders", "alice", []byte(`{"customer":1,"cents":350}`))
	ended := make(chan error, 1)
	go func() { ended <- run(t.Context(), "orders", filepath.Join(t.TempDir(), "checkpoints"), address) }()

	get := func(path string) (code int, body string) {
		resp, err := http.Get("http://" + address + path)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	charged := func() bool {
		code, _ := get("/readyz")
		_, stats := get("/metrics")
		return code == http.StatusOK && strings.Contains(stats, "InvokedEventCount")
	}
	for limit := time.Now().Add(20 * time.Second); !charged(); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-ended:
			t.Fatalf("ended before SIGTERM: %v", err)
		default:
		}
		if time.Now().After(limit) {
			_, why := get("/readyz")
			t.Fatalf("not ready: %s", why)
		}
	}
	if code, body := get("/healthz"); code != http.StatusOK {
		t.Errorf("healthz: %d %s", code, body)
	}
	var status struct {
		Shards []struct{ State string }
		Err    *string
	}
	_, body := get("/status")
	if err := json.Unmarshal([]byte(body), &status); err != nil || len(status.Shards) != 2 || status.Err != nil {
		t.Errorf("status: %v in %s", err, body)
	}
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Signal(syscall.SIGTERM)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
