package reader

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/checkpoint"
)

// gaps are the times from each call to the next.
func gaps(calls []time.Duration) (all []time.Duration) {
	for i := range calls[1:] {
		all = append(all, calls[i+1]-calls[i])
	}
	return all
}

// slowly is reply after a while.
func slowly(d time.Duration, reply func() (*kinesis.GetRecordsOutput, error)) func() (*kinesis.GetRecordsOutput, error) {
	return func() (*kinesis.GetRecordsOutput, error) { time.Sleep(d); return reply() }
}

// Calls are even: every 200 ms, and a fifth of what a call takes. So none has to wait for the reply to the fifth before it.
func TestPollerIsEven(t *testing.T) {
	t.Attr("rule", "L16")
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		for range 20 {
			s.replies = append(s.replies, slowly(100*ms, reply("a", 0)))
		}
		poll(t, s, &log{}, checkpoint.TrimHorizon, 4*time.Second)
		equal(t, "gaps", gaps(s.calls)[:15], slices.Repeat([]time.Duration{220 * ms}, 15))
	})
}

// A throttle behind the first 5 s says that others read the shard: reading slows down, says so, and comes back.
func TestPollerSharesTheShard(t *testing.T) {
	t.Attr("rule", "L16")
	throttle := refuse("ProvisionedThroughputExceededException")
	for _, tt := range []struct {
		name  string
		fault func() (*kinesis.GetRecordsOutput, error)
		times int
		slow  time.Duration // the first gap of calls that are served
	}{
		{"a throttle", throttle, 1, 375 * ms},
		{"two in a row", throttle, 2, 750 * ms},
		{"never more than a second", throttle, 5, 937500 * time.Microsecond},
		{"another failure", refuse("InternalFailure"), 1, 200 * ms},
		{"the stream's key", refuse("KMSThrottlingException"), 1, 200 * ms},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{}
				for range 26 { // 5 s
					s.replies = append(s.replies, reply("a", 9))
				}
				for range tt.times {
					s.replies = append(s.replies, tt.fault)
				}
				for range 100 {
					s.replies = append(s.replies, reply("a", 9))
				}
				l := &log{}
				poll(t, s, l, checkpoint.TrimHorizon, time.Minute)
				served := gaps(s.calls)[26+tt.times:]
				if served[0] != tt.slow {
					t.Errorf("%d calls in 1 s, then %v; want %v", len(s.calls), served[:5], tt.slow)
				}
				back := slices.Index(served, 200*ms)
				if back < 0 || back > 30 || !slices.IsSortedFunc(served[:back], func(a, b time.Duration) int { return int(b - a) }) {
					t.Errorf("it comes back after %d calls: %v", back, served)
				}
				told := slices.ContainsFunc(l.details, func(d string) bool { return strings.HasPrefix(d, "others read the shard, too: reads of it now come ") })
				if told != (tt.slow > 200*ms) {
					t.Errorf("told: %q", l.details)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // the owner before may have spent the calls
		s := &script{replies: replies{throttle, throttle, reply("a", 9), reply("a", 9)}}
		poll(t, s, &log{}, checkpoint.TrimHorizon, 2*time.Second)
		equal(t, "gaps", gaps(s.calls)[:4], []time.Duration{200 * ms, 200 * ms, 200 * ms, 200 * ms})
	})
}

// Calls of GetShardIterator have a limit of their own: five a second, counted by replies.
func TestPollerCountsIterators(t *testing.T) {
	t.Attr("rule", "L16")
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		for range 50 { // each page asks for another iterator
			s.replies = append(s.replies, refuse("ExpiredIteratorException"))
		}
		var at []time.Duration
		s.locate = func(*kinesis.GetShardIteratorInput) error {
			at = append(at, time.Since(s.began))
			time.Sleep(time.Duration(len(at)*37%150) * ms)
			return nil
		}
		poll(t, s, &log{}, checkpoint.TrimHorizon, 10*time.Second)
		for name, at := range map[string][]time.Duration{"iterators": at, "pages": s.calls} {
			for i := range at[5:] {
				if at[i+5]-at[i] < time.Second {
					t.Fatalf("%s: six calls from %v to %v", name, at[i], at[i+5])
				}
			}
			if len(at) < 30 {
				t.Errorf("%s: %d calls in 10 s", name, len(at))
			}
		}
	})
}

// An interval of its own holds at the tip, with records or without, and not behind it.
func TestPollerInterval(t *testing.T) {
	t.Attr("rule", "L16")
	synctest.Test(t, func(t *testing.T) {
		s := &script{replies: replies{reply("a", 9, "1"), reply("a", 9), reply("a", 0, "2"), reply("a", 0), untold("a"), untold("a", "3"), reply("a", 0)}}
		s.began = time.Now()
		p := poller(s, &log{}, checkpoint.TrimHorizon)
		p.Interval = 700 * ms
		src := p.On(scheduled(t))
		src.Wake()
		time.Sleep(10 * time.Second)
		<-src.Stop()
		equal(t, "gaps", gaps(s.calls)[:8], []time.Duration{200 * ms, 200 * ms, 700 * ms, 700 * ms, 200 * ms, 200 * ms, 700 * ms, 700 * ms})
	})
}

// A shard whose end turns out to be a read error pays for the page all the same.
func TestPollerPaysForPages(t *testing.T) {
	t.Attr("rule", "L16")
	synctest.Test(t, func(t *testing.T) {
		s := &script{replies: replies{func() (*kinesis.GetRecordsOutput, error) {
			out, err := reply("", 9, "1")()
			out.Records[0].PartitionKey, out.Records[0].Data = aws.String(strings.Repeat("k", 256)), make([]byte, 9_999_744)
			return out, err
		}}}
		poll(t, s, &log{}, checkpoint.TrimHorizon, 20*time.Second)
		if s.calls[1] != 5*time.Second {
			t.Errorf("calls at %v, want the second one 5 s behind a page of 10 MB", fmt.Sprint(s.calls[:3]))
		}
	})
}

// What a call takes of the CPU is the time before its request and behind the headers of its reply, not the wait between them. A
// client that shows nothing of that is not charged for it.
func TestCallCountsWhatItSpends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{serve: func(ctx context.Context, _ int) (io.Reader, error) {
			time.Sleep(50 * ms)
			return &drip{ctx: ctx, text: `{"NextShardIterator": "i", "MillisBehindLatest": 0, "Records": []}`, every: 3 * ms, length: true}, nil
		}}
		o := sdk(l).Options()
		signs := o.Credentials
		o.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			time.Sleep(2 * ms)
			return signs.Retrieve(ctx)
		})
		for client, want := range map[Client]time.Duration{kinesis.New(o): 5 * ms, &script{}: 0} {
			spent := time.Duration(-1)
			p := poller(client, &log{}, checkpoint.TrimHorizon)
			p.idle = func(_ bool, d time.Duration) time.Duration { spent = d; return time.Second }
			p.poll(t.Context())
			if spent != want {
				t.Errorf("%T: %v were spent, want %v", client, spent, want)
			}
		}
	})
}
