package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/consumer"
)

// A strict service refuses requests whose signature has a date that is more than five minutes off its own time, as AWS's
// do, and all of them while wrong is set.
type strict struct {
	next    consumerHTTP
	ahead   atomic.Int64 // of this machine's clock
	wrong   atomic.Bool
	asked   atomic.Int64
	refused atomic.Int64
}

type consumerHTTP interface {
	Do(*http.Request) (*http.Response, error)
}

func (s *strict) Do(r *http.Request) (*http.Response, error) {
	s.asked.Add(1)
	now := time.Now().Add(time.Duration(s.ahead.Load())).UTC()
	signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err == nil && now.Sub(signed).Abs() <= 5*time.Minute && !s.wrong.Load() {
		return s.next.Do(r)
	}
	s.refused.Add(1)
	if r.Body != nil {
		r.Body.Close()
	}
	body := `{"__type":"InvalidSignatureException","message":"Signature not as it should be"}`
	return &http.Response{
		StatusCode: 400, ProtoMajor: 1, ProtoMinor: 1, Request: r, Body: io.NopCloser(bytes.NewBufferString(body)),
		Header: http.Header{"Date": {now.Format(http.TimeFormat)}, "Content-Type": {"application/x-amz-json-1.1"}},
	}, nil
}

// strictly puts a strict service before that of the field, and returns the SDK's client of it.
func strictly(f *field) (*strict, *kinesis.Client) {
	s := new(strict)
	return s, f.srv.Client(func(o *kinesis.Options) { s.next, o.HTTPClient = o.HTTPClient, s })
}

// TestField_F62: on a machine whose clock is off, requests are signed with the service's time, and nobody is told of
// denied access. A clock that is set anew while it runs changes nothing. A secret that is wrong ends Run, after some
// tries, and is told apart as far as it can be.
func TestField_F62(t *testing.T) {
	t.Parallel()
	t.Run("clock", func(t *testing.T) {
		for _, off := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
			inField(t, 2, func(f *field) {
				time.Sleep(time.Hour) // the stream is older than what its clock says then
				service, client := strictly(f)
				set := func(d time.Duration) { f.srv.SetClock(d); service.ahead.Store(int64(d)) }
				set(off)
				c, err := consumer.New(client, "orders", f.handle, f.options())
				if err != nil {
					t.Fatal(err)
				}
				life := &fieldLife{f: f, c: c}
				life.run()
				f.put(shardID(0), "a", 10)
				f.put(shardID(1), "b", 10)
				time.Sleep(10 * time.Second)
				set(0) // as if the clock had been set
				time.Sleep(10 * time.Second)
				set(-off)
				f.put(shardID(0), "a", 10)
				time.Sleep(10 * time.Second)
				if n := service.refused.Load(); n < 1 || n > 20 {
					f.t.Errorf("%d of %d calls were refused, want a few", n, service.asked.Load())
				}
				for _, name := range []string{"ReadFailed", "ReadThrottled"} {
					if n := f.noticed(name); n > 0 {
						f.t.Errorf("%d times %s", n, name)
					}
				}
				if err := c.Status().Err(); err != nil {
					f.t.Error(err)
				}
				f.once()
				life.stop()
			})
		}
	})
	t.Run("secret", func(t *testing.T) {
		inField(t, 1, func(f *field) {
			service, client := strictly(f)
			service.wrong.Store(true)
			began := time.Now()
			err := consumer.Run(context.Background(), client, "orders", f.handle, f.options())
			took := time.Since(began)
			var e *consumer.Error
			if !errors.Is(err, consumer.ErrAccessDenied) || !errors.As(err, &e) || !strings.Contains(e.Hint, "secret") || !strings.Contains(e.Hint, "clock") {
				f.t.Errorf("Run returned %v, want ErrAccessDenied, and a hint at secret and clock", err)
			}
			if took < time.Second || took > time.Minute || service.asked.Load() < 5 {
				f.t.Errorf("after %v and %d calls, want some tries", took, service.asked.Load())
			}
		})
	})
	t.Run("both", func(t *testing.T) { // the clock is off, and nothing helps until the secret is right
		inField(t, 1, func(f *field) {
			service, client := strictly(f)
			service.wrong.Store(true)
			service.ahead.Store(int64(time.Hour))
			f.srv.SetClock(time.Hour)
			f.put(shardID(0), "a", 1)
			c, err := consumer.New(client, "orders", f.handle, f.options())
			if err != nil {
				t.Fatal(err)
			}
			life := &fieldLife{f: f, c: c}
			life.run()
			time.Sleep(5 * time.Minute)
			if err := c.Status().Err(); !errors.Is(err, consumer.ErrAccessDenied) || !strings.Contains(err.Error(), "off the service's") {
				f.t.Errorf("the health check says %v, want that the clock is off", err)
			}
			service.wrong.Store(false)
			time.Sleep(time.Minute)
			if err := c.Status().Err(); err != nil {
				f.t.Error(err)
			}
			life.stop()
		})
	})
}
