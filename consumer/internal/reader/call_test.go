package reader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/shardmap"
)

// A line is the HTTP client of the SDK's client. Its calls of GetRecords go to serve; bodies come as they are.
type line struct {
	serve func(ctx context.Context, call int) (io.Reader, error)
	calls int
	date  func() time.Time // of replies; nil: none
}

func (l *line) Do(r *http.Request) (*http.Response, error) {
	var body io.Reader = strings.NewReader(`{"ShardIterator": "i"}`)
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "GetRecords") {
		l.calls++
		var err error
		if body, err = l.serve(r.Context(), l.calls); err != nil {
			return nil, err
		}
	}
	head, length := http.Header{"Content-Type": {"application/x-amz-json-1.1"}}, int64(-1)
	if l.date != nil {
		head.Set("Date", l.date().UTC().Format(http.TimeFormat))
	}
	if d, ok := body.(*drip); ok && d.length {
		length = int64(len(d.text))
	}
	return &http.Response{StatusCode: http.StatusOK, Header: head, Body: io.NopCloser(body), ContentLength: length, Request: r}, nil
}

// A drip is a body that comes in pieces of 100 bytes, every so often.
type drip struct {
	ctx    context.Context
	text   string
	every  time.Duration
	end    time.Duration // from the last piece
	length bool          // known from its header
	sent   int
}

func (d *drip) Read(p []byte) (int, error) {
	wait := d.every
	switch {
	case d.text == "":
		wait, d.end = d.end, 0
	case d.sent%100 > 0: // the rest of a piece
		wait = 0
	}
	select {
	case <-time.After(wait):
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
	if d.text == "" {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 100-d.sent%100)], d.text)
	d.text, d.sent = d.text[n:], d.sent+n
	return n, nil
}

// noted is a Sink that notes when calls failed and pages came.
type noted struct {
	log
	began time.Time
	told  []string
}

func (n *noted) Take(r Read) bool {
	n.note(len(seqs(r.Page)))
	return n.log.Take(r)
}

func (n *noted) note(what any) {
	n.told = append(n.told, fmt.Sprint(time.Since(n.began).Round(time.Second), " ", what))
}

func TestCallIsLimitedBySilence(t *testing.T) {
	page := `{"NextShardIterator": "i", "MillisBehindLatest": 1, "Records": [{"SequenceNumber": "1", "PartitionKey": "k", "Data": "` + strings.Repeat("AAAA", 225) + `"}]}` // 10 pieces
	for name, tt := range map[string]struct {
		serve        func(ctx context.Context, call int) (io.Reader, error)
		want         string
		silent, slow bool // what Long is told
	}{
		"a long reply": {func(ctx context.Context, _ int) (io.Reader, error) {
			return &drip{ctx: ctx, text: page, every: 14 * time.Second}, nil
		}, "2m34s 1", true, true},
		"a reply that comes evenly": {func(ctx context.Context, _ int) (io.Reader, error) {
			return &drip{ctx: ctx, text: page, every: 900 * ms}, nil
		}, "10s 1", false, true},
		"no headers": {func(ctx context.Context, _ int) (io.Reader, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, "15s nothing of the reply came for 15s: context deadline exceeded", true, true},
		"a reply that falls silent": {func(ctx context.Context, _ int) (io.Reader, error) {
			return &drip{ctx: ctx, text: page[:200], every: 10 * time.Second, end: time.Hour}, nil
		}, "35s nothing of the reply came for 15s: context deadline exceeded", true, true},
		"a drop now and then": {func(ctx context.Context, _ int) (io.Reader, error) {
			return &drip{ctx: ctx, text: strings.Repeat(" ", 20_000) + page, every: 14 * time.Second}, nil
		}, "30m0s the reply was not complete after 30m0s: context deadline exceeded", true, true},
		"nothing more to come": {func(ctx context.Context, _ int) (io.Reader, error) {
			return &drip{ctx: ctx, text: page, end: 1900 * ms, length: true}, nil
		}, "2s 1", false, false},
		"at once": {func(ctx context.Context, _ int) (io.Reader, error) { return strings.NewReader(page), nil }, "0s 1", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sink := &noted{began: time.Now()}
				l := &line{serve: tt.serve}
				var silent, slow atomic.Bool
				sink.failed = func(err error) { sink.note(err) }
				p := poller(sdk(l), sink, checkpoint.TrimHorizon)
				p.long = func(quiet bool) {
					if quiet {
						silent.Store(true)
					} else {
						slow.Store(true)
					}
				}
				p.poll(t.Context())
				if got := fmt.Sprint(sink.told); got != "["+tt.want+"]" {
					t.Errorf("told %s, want %s", got, tt.want)
				}
				pages := int64(len(sink.reads))
				if fast, _ := p.Wire.Counts(); fast != pages {
					t.Errorf("%d of %d pages came through the decoder", fast, pages)
				}
				if silent.Load() != tt.silent || slow.Load() != tt.slow {
					t.Errorf("silent %v, slow %v, want %v and %v", silent.Load(), slow.Load(), tt.silent, tt.slow)
				}
			})
		})
	}
}

// sdk is the SDK's client on a line.
func sdk(l *line) *kinesis.Client {
	return kinesis.New(kinesis.Options{
		Region: "eu-west-1", HTTPClient: l,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
	})
}

// The time to the headers is not the page's, and the time between two replies is that of the service's clock, if a host slept.
func TestCallTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &log{kept: 30 * time.Hour}
		slept := time.Duration(0)
		l := &line{date: func() time.Time { return time.Now().Add(slept) }}
		l.serve = func(context.Context, int) (io.Reader, error) {
			time.Sleep(12 * time.Second)
			return strings.NewReader(`{"NextShardIterator": "i", "MillisBehindLatest": 0, "Records": [{"SequenceNumber": "1"}, {"SequenceNumber": "2"}]}`), nil
		}
		p := poller(sdk(l), sink, checkpoint.TrimHorizon)
		p.poll(t.Context())
		if n := p.fit.limit(); n != 10_000 {
			t.Errorf("%d records are asked for", n)
		}
		slept = 30 * time.Hour
		time.Sleep(time.Second)
		p.poll(t.Context())
		equal(t, "told", sink.entries, []string{"RetentionLost reading was 30h0m13s behind, and records are kept for 30h0m0s: some may be lost"})
	})
}

// What a client does behind the back of a call that is over is not the next one's.
func TestCallIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Poller{silence: time.NewTimer(time.Hour)}
		c, err := p.call(t.Context(), time.Second, func(context.Context, func(*kinesis.Options)) error { return errors.New("given up") })
		if err == nil || c.broken {
			t.Errorf("%v, broken %v", err, c.broken)
		}
		p.silence.Stop()
		c.heard(1)
		c.begin(true, 1)
		time.Sleep(time.Minute)
		select {
		case <-p.silence.C:
			t.Error("a call that is over moves the timer of the next")
		default:
		}
	})
}

// A page that does not come through is asked for in smaller ones, which grow again.
func TestPageSizeOfBlindClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		for range 9 {
			s.replies = append(s.replies, nil) // hangs
		}
		one := 0
		for range 50 {
			s.replies = append(s.replies, func() (*kinesis.GetRecordsOutput, error) {
				var seqs []string
				for range s.limits[len(s.limits)-1] {
					one++
					seqs = append(seqs, fmt.Sprint(one))
				}
				return reply("a", 9, seqs...)()
			})
		}
		poll(t, s, &log{}, checkpoint.TrimHorizon, 30*time.Minute)
		equal(t, "limits", s.limits[:11], []int32{10_000, 2500, 625, 156, 39, 9, 2, 1, 1, 1, 1})
		equal(t, "grown", []int32{s.limits[9], s.limits[17], s.limits[25], s.limits[33], s.limits[41]}, []int32{1, 2, 4, 8, 16})
		for i, want := range []int{15, 15, 15, 15, 15, 15, 15, 15, 30} {
			if got := s.calls[i+1] - s.calls[i]; got != time.Duration(want)*time.Second+400*ms {
				t.Errorf("call %d took %v, want %v s", i, got-400*ms, want)
			}
		}
	})
}

func TestFit(t *testing.T) {
	var f fit
	broken := &call{broken: true, watched: true}
	f.failed(f.limit(), &call{watched: true}) // for another reason
	if f.limit() != 10_000 || f.patience() != 15*time.Second {
		t.Errorf("%d records, %v", f.limit(), f.patience())
	}
	for range 20 {
		f.failed(f.limit(), broken)
	}
	if f.limit() != 1 || f.patience() != 15*time.Second {
		t.Errorf("after failures: %d records, %v", f.limit(), f.patience())
	}
	for range 20 {
		f.failed(f.limit(), &call{broken: true})
	}
	if f.patience() != 5*time.Minute {
		t.Errorf("blind: %v", f.patience())
	}
	f.came(1, 100*time.Second)
	if f.limit() != 1 || f.patience() != 5*time.Minute {
		t.Errorf("a single record that took long: %d records, %v", f.limit(), f.patience())
	}
	for range 7 {
		f.came(1, time.Second)
		f.came(0, time.Second)
		f.came(1, 5*time.Second)
	}
	if f.limit() != 1 || f.patience() != 15*time.Second {
		t.Errorf("too early: %d records, %v", f.limit(), f.patience())
	}
	for range 8 * 15 {
		f.came(f.limit(), time.Second)
	}
	if f.limit() != 10_000 {
		t.Errorf("grown: %d records", f.limit())
	}
	f.came(10, 28*time.Second)
	if f.limit() != 5 {
		t.Errorf("after a page of 10 records that took long: %d", f.limit())
	}
	for range 20 {
		f.came(3, time.Second)
	}
	f.came(0, time.Minute)
	if f.limit() != 5 {
		t.Errorf("after an empty page: %d", f.limit())
	}
}

// A slowSink takes its time.
type slowSink struct {
	log
	children, page time.Duration
}

func (s *slowSink) Children(ctx context.Context, shard string) ([]shardmap.Shard, error) {
	time.Sleep(s.children)
	return s.log.Children(ctx, shard)
}

func (s *slowSink) Take(r Read) bool { time.Sleep(s.page); return s.log.Take(r) }

// What the oracle asks the service for may hang, too. What the sink does is work.
func TestPollerTellsOfWhatHangs(t *testing.T) {
	for _, tt := range []struct {
		sink   slowSink
		silent bool
	}{{slowSink{children: 3 * time.Second}, true}, {slowSink{page: 3 * time.Second}, false}} {
		synctest.Test(t, func(t *testing.T) {
			var silent atomic.Bool
			p := poller(&script{replies: replies{reply("", 0, "1")}}, &tt.sink, checkpoint.TrimHorizon)
			p.long = func(quiet bool) { silent.Store(silent.Load() || quiet) }
			tt.sink.log.children = []shardmap.Shard{{}}
			p.poll(t.Context())
			if silent.Load() != tt.silent {
				t.Errorf("%+v: told %v", tt.sink, silent.Load())
			}
		})
	}
}
