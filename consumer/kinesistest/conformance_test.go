package kinesistest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"

	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// TestConformance makes the same assertions on kinesistest and on the emulators that are configured: what the service is
// documented to do, seen through the SDK's client. SHARDLANE_KINESALITE and SHARDLANE_KINESIS_LOCAL hold the URLs of
// kinesalite 3.3.3 and kinesis-local 0.6.2; with SHARDLANE_REQUIRE_SERVERS=1 both must be there. What a server is known
// to do otherwise stands in deviations.
func TestConformance(t *testing.T) {
	own := kinesistest.NewServer("unused", 1)
	t.Cleanup(own.Close)
	own.SetLatency(2 * time.Millisecond)
	own.SetTransition(20 * time.Millisecond)
	own.SetShardLimit(100)
	targets := []*target{{
		name: "kinesistest", c: dial(t, own.URL()), shardEnds: []func(){func() { own.SetShardEnd(0) }, func() { own.SetShardEnd(2) }},
		aged: func(it string, by time.Duration) (string, func()) {
			own.SetClock(by)
			return it, func() { own.SetClock(0) }
		},
	}}
	for name, env := range map[string]string{"kinesalite": "SHARDLANE_KINESALITE", "kinesis-local": "SHARDLANE_KINESIS_LOCAL"} {
		switch at := os.Getenv(env); {
		case at != "":
			targets = append(targets, &target{name: name, c: dial(t, at), shardEnds: []func(){func() {}}, aged: func(it string, by time.Duration) (string, func()) {
				return forge(t, it, by), func() {}
			}})
		case os.Getenv("SHARDLANE_REQUIRE_SERVERS") == "1":
			t.Errorf("%s is not set, and SHARDLANE_REQUIRE_SERVERS is", env)
		}
	}
	groups := []struct {
		name string
		run  func(*session)
	}{
		{"streams", streams},
		{"lists", lists},
		{"filters", filters},
		{"splits", splits},
		{"merges", merges},
		{"scaling", scaling},
		{"puts", puts},
		{"batches", batches},
		{"iterators", iterators},
		{"refusals", refusals},
		{"pages", pages},
		{"ends", ends},
		{"retention", retention},
		{"deletion", deletion},
	}
	for _, tg := range targets {
		t.Run(tg.name, func(t *testing.T) {
			t.Parallel()
			tg.known, tg.asserted = deviations(tg.name), map[string]bool{}
			complete := true
			for _, g := range groups {
				complete = t.Run(g.name, func(t *testing.T) {
					s := newSession(t, tg)
					defer s.stop()
					g.run(s)
					tg.groups++
				}) && complete
			}
			for name := range tg.known {
				if complete && tg.groups == len(groups) && !tg.asserted[name] {
					t.Errorf("deviation %s: there is no such assertion", name)
				}
			}
		})
	}
}

// A target is a server that the suite runs on.
type target struct {
	name      string
	c         *kinesis.Client
	shardEnds []func()                                                      // the shapes of shard end that it knows, each chosen by a call
	aged      func(it string, by time.Duration) (older string, done func()) // an iterator that was issued earlier
	known     map[string]deviation
	asserted  map[string]bool
	groups    int
	streams   int
}

// A deviation is what a server answers instead of what the service does.
type deviation struct{ got, why string }

// A session is a group of assertions on one target. Its calls share a deadline, and what fails that should not ends it.
type session struct {
	*testing.T
	*target
	ctx  context.Context
	stop context.CancelFunc
}

func newSession(t *testing.T, tg *target) *session {
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	return &session{t, tg, ctx, stop}
}

// is asserts that something is as the service has it or, for a known deviation, as this server has it. Values are
// compared by how they print.
func (s *session) is(name string, got, want any) {
	s.Helper()
	if s.asserted[name] {
		s.Errorf("two assertions are called %s", name)
	}
	s.asserted[name] = true
	is, should := fmt.Sprint(got), fmt.Sprint(want)
	if known, ok := s.known[name]; ok {
		switch is {
		case known.got:
		case should:
			s.Errorf("%s: the known deviation %q has vanished: got %s, as it should be", name, known.got, is)
		default:
			s.Errorf("%s:\n got %s\nwant %s, or the known deviation\n     %s", name, is, should, known.got)
		}
	} else if is != should {
		s.Errorf("%s:\n got %s\nwant %s", name, is, should)
	}
}

// unasked is what a deviation says of a question that a server does not survive.
const unasked = "not asked"

// may tells whether an assertion can be made on this server.
func (s *session) may(name string) bool {
	if s.known[name].got == unasked {
		s.asserted[name] = true
		return false
	}
	return true
}

// line prints values with a space between them.
func line(values ...any) string { return strings.TrimSpace(fmt.Sprintln(values...)) }

// refuses asserts the code of an error.
func (s *session) refuses(name string, err error, code string) {
	s.Helper()
	s.is(name, codeOf(err), code)
}

func codeOf(err error) string {
	var refused smithy.APIError
	switch {
	case err == nil:
		return "accepted"
	case errors.As(err, &refused):
		return refused.ErrorCode()
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer"
	}
	return err.Error()
}

// ok ends the test if a call fails that the assertions need.
func ok[T any](s *session, out T, err error) T {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
	return out
}

// must is ok for a call as it stands.
func must[T any](out T, err error) func(*session) T {
	return func(s *session) T { s.Helper(); return ok(s, out, err) }
}

// until polls a condition.
func (s *session) until(what string, met func() bool) {
	s.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			s.Fatalf("%s: %v", what, s.ctx.Err())
		}
	}
}

// later waits until clocks in milliseconds show another time.
func (s *session) later() {
	from := time.Now()
	s.until("the clock", func() bool { return time.Since(from) > 5*time.Millisecond })
}

// second waits until clocks in seconds show another time.
func (s *session) second() {
	from := time.Now().Unix()
	s.until("the clock", func() bool { return time.Now().Unix() > from })
}

// unique is a name that no stream had.
func (s *session) unique(what string) string {
	s.streams++
	return fmt.Sprintf("%s-%s-%d", what, strconv.FormatInt(time.Now().UnixNano(), 36), s.streams)
}

// stream creates a stream that lives as long as the test.
func (s *session) stream(what string, shards int32) string {
	s.Helper()
	name := s.unique(what)
	ok(s, 0, s.create(name, shards))
	s.Cleanup(func() {
		_, _ = s.c.DeleteStream(context.Background(), &kinesis.DeleteStreamInput{StreamName: &name})
	})
	s.active(name)
	return name
}

// active waits until a stream has made its change.
func (s *session) active(name string) {
	s.Helper()
	s.until("ACTIVE", func() bool { return s.summary(name).StreamStatus == types.StreamStatusActive })
}

func (s *session) summary(name string) *types.StreamDescriptionSummary {
	s.Helper()
	out, err := s.c.DescribeStreamSummary(s.ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &name})
	return ok(s, out, err).StreamDescriptionSummary
}

// dial returns a client without retries, on a transport whose request bodies show Read and Close only: smithy's body
// answers WriteTo with io.EOF once it is closed, which net/http takes for a failed write.
func dial(t *testing.T, at string) *kinesis.Client {
	u, err := url.Parse(at)
	if err != nil || u.Port() == "" {
		t.Fatalf("server URL %q: %v", at, err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", u.Port()))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return kinesis.New(kinesis.Options{
		Region:       "us-east-1",
		BaseEndpoint: &at,
		HTTPClient:   &http.Client{Transport: plainBody{transport}},
		Retryer:      aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}

type plainBody struct{ http.RoundTripper }

func (p plainBody) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r = r.Clone(r.Context())
		r.Body = struct {
			io.Reader
			io.Closer
		}{r.Body, r.Body}
	}
	return p.RoundTripper.RoundTrip(r)
}
