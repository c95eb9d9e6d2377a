package desttest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	"github.com/shardlane/shardlane/batch"
)

// A Case is a kind of destination and its service.
type Case struct {
	New      func(cfg aws.Config) batch.Destination
	Handler  func() http.Handler                               // takes a call
	Document func(body string) string                          // of a call
	Want     func(f *batch.Failure) []byte                     // what Document gives
	Refuse   func(w http.ResponseWriter, status int, c string) // replies with an error of code c
	Throttle int                                               // the status of an error that is a throttle
	Code     string                                            // and its code
}

// Faults runs the destination of c through the faults of its service, in virtual time: it delivers once what can be
// delivered, with the retries of the client and no others (C23), gives the error of what cannot, and never mixes what it
// sends.
func Faults(t *testing.T, c Case) {
	reply := func(n, status int, code string) []http.HandlerFunc {
		return slices.Repeat([]http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) { c.Refuse(w, status, code) }}, n)
	}
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	const attempts = 3 // of the client, by default
	for name, tt := range map[string]struct {
		faults []http.HandlerFunc
		lost   int
		calls  int
		code   string // of the error; empty: delivered
		err    error
	}{
		"none":                {calls: 1},
		"throttled once":      {faults: reply(1, c.Throttle, c.Code), calls: 2},
		"throttled twice":     {faults: reply(2, c.Throttle, c.Code), calls: 3},
		"always throttled":    {faults: reply(9, c.Throttle, c.Code), calls: attempts, code: c.Code},
		"broken, then well":   {faults: reply(2, http.StatusInternalServerError, "InternalError"), calls: 3},
		"broken":              {faults: reply(9, http.StatusServiceUnavailable, "ServiceUnavailable"), calls: attempts, code: "ServiceUnavailable"},
		"denied":              {faults: reply(9, http.StatusForbidden, "AccessDenied"), calls: 1, code: "AccessDenied"},
		"the reply is lost":   {lost: 1, calls: 2},
		"slow":                {faults: []http.HandlerFunc{hang}, calls: 1, err: context.DeadlineExceeded},
		"slow after throttle": {faults: append(reply(1, c.Throttle, c.Code), hang), calls: 2, err: context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Attr("rule", "C23")
			synctest.Test(t, func(t *testing.T) {
				s := &Service{Handler: c.Handler(), Faults: tt.faults, Lost: tt.lost}
				f := Failure()
				const limit = 30 * time.Second
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				start := time.Now()
				err := c.New(Config("http://service.example", s)).Deliver(ctx, f)
				var of smithy.APIError
				switch {
				case tt.code != "":
					if !errors.As(err, &of) || of.ErrorCode() != tt.code {
						t.Errorf("error %v, want the code %s", err, tt.code)
					}
				case !errors.Is(err, tt.err):
					t.Errorf("error %v, want %v", err, tt.err)
				}
				if took := time.Since(start); took > limit || tt.err != nil && took != limit {
					t.Errorf("took %v of %v", took, limit)
				}
				if len(s.Bodies) != tt.calls {
					t.Errorf("%d calls, want %d", len(s.Bodies), tt.calls)
				}
				for _, body := range s.Bodies {
					if got, want := c.Document(body), string(c.Want(f)); got != want {
						t.Errorf("sent\n%s\nwant\n%s", got, want)
					}
				}
			})
		})
	}
	t.Run("stopped", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			s := &Service{Handler: c.Handler(), Faults: reply(1, c.Throttle, c.Code)}
			cancel()
			if err := c.New(Config("http://service.example", s)).Deliver(ctx, Failure()); !errors.Is(err, context.Canceled) || len(s.Bodies) > 1 {
				t.Errorf("error %v after %d calls", err, len(s.Bodies))
			}
		})
	})
	t.Run("down", func(t *testing.T) { // nobody listens on port 1
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := c.New(Config("http://127.0.0.1:1", Plain{})).Deliver(ctx, Failure()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("error %v, want %v", err, syscall.ECONNREFUSED)
		}
	})
}

// Validate checks that d says of itself what want has, a part of each of its lines, and nothing if want is empty (L11).
func Validate(t *testing.T, d interface{ Validate() error }, want ...string) {
	t.Helper()
	var got []string
	if err := d.Validate(); err != nil {
		joined, _ := err.(interface{ Unwrap() []error })
		for _, err := range joined.Unwrap() {
			got = append(got, err.Error())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("Validate: %q, want %q", got, want)
	}
}
