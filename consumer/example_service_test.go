package consumer_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// TestExampleService runs the program as in production: what is charged shows in /metrics, /healthz is well, SIGTERM ends
// it with nil, and a second life charges only what came since.
func TestExampleService(t *testing.T) {
	srv := kinesistest.NewServer("orders", 1)
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "checkpoints")
	life := func(invoked string) {
		t.Helper()
		want := regexp.MustCompile(`(?m)^InvokedEventCount +billing +orders +\S+ +\S+ +` + invoked + ` `)
		web, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		get := func(path string) (int, string) {
			resp, err := http.Get("http://" + web.Addr().String() + path)
			if err != nil {
				return 0, ""
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			return resp.StatusCode, string(body)
		}
		ended := make(chan error, 1)
		go func() { ended <- bill(t.Context(), srv.Client(), file, web) }()

		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		late := time.After(20 * time.Second)
		for done := false; !done; {
			select {
			case err := <-ended:
				t.Fatalf("ended before SIGTERM: %v", err)
			case <-late:
				_, body := get("/metrics")
				t.Fatalf("no %s in\n%s", want, body)
			case <-tick.C:
				_, body := get("/metrics")
				done = want.MatchString(body)
			}
		}
		if code, body := get("/healthz"); code != http.StatusOK || !strings.HasPrefix(body, "1 shards") {
			t.Errorf("healthz: %d %q", code, body)
		}
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Signal(syscall.SIGTERM)
		}
		if err = errors.Join(err, <-ended); err != nil {
			t.Fatal(err)
		}
	}
	srv.Put("orders", "alice", []byte(`{"customer":1,"cents":350}`))
	srv.Put("orders", "bob", []byte(`{"customer":2,"cents":280}`))
	life("2")
	srv.Put("orders", "alice", []byte(`{"customer":1,"cents":120}`))
	life("1")
}
