package consumer_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/shardlane/shardlane/consumer"
)

// features are what a seed switches on beyond reading and handing over. The zero features have no retry; noFeatures are
// those of a consumer without options.
type features struct {
	form        string // of the handler: "whole", "partial", "json" or "window"
	serial      bool   // of the JSON form: its calls must not overlap
	reports     bool   // its item failures count
	bisect      bool
	retries     int           // -1: no limit
	maxAge      time.Duration // 0: no limit
	destination string        // "" for none, "accepts", or "mixed"
	patterns    []int         // of filterPatterns
	aggregates  float64       // share of records that are aggregates
	deaggregate bool
	concurrency int // 0: no limit
	timeout     time.Duration
	payload     int // 0: the default
	tumbling    time.Duration
	idle        time.Duration // of a window
	backoff     time.Duration // 0: the default
	poison      float64       // share of records that always fail
	heal        time.Duration // from then on nothing is poison; 0: never
	throttles   bool
	large       bool // there are records above the payload limit
}

var noFeatures = features{form: "whole", retries: -1}

// drawFeatures draws from a source of its own, so that the rest of a seed stays what it is.
func (p *plan) drawFeatures() {
	r := rand.New(rand.NewPCG(p.seed, 0xfea7))
	p.features = noFeatures
	f := &p.features
	if r.IntN(6) == 0 {
		return // as without any of it
	}
	one := func(in int) bool { return r.IntN(in) == 0 }
	f.form = pick(r, "whole", "partial", "partial", "json", "window")
	f.reports = f.form == "partial" || f.form == "window" || f.form == "json" && !one(3)
	f.serial = f.form == "json" && one(2)
	f.bisect = one(2)
	f.retries = pick(r, -1, -1, 0, 1, 3)
	if f.form == "window" || f.form == "json" && one(3) {
		f.tumbling = time.Duration(1+r.IntN(4)) * time.Second
		f.idle = time.Duration(1+r.IntN(3)) * time.Second
		p.factor = 1
	} else if one(3) {
		f.patterns = []int{r.IntN(len(filterPatterns))}
		if one(3) {
			f.patterns = append(f.patterns, r.IntN(len(filterPatterns)))
		}
	}
	if one(5) {
		f.maxAge, p.start = 60*time.Second, consumer.TrimHorizon()
	}
	f.destination = pick(r, "", "accepts", "mixed", "mixed")
	if f.maxAge > 0 && f.destination == "" {
		f.destination = "mixed" // else nobody outside knows what is given up
	}
	if one(3) {
		f.aggregates, f.deaggregate = pick(r, 0.1, 0.4), !one(4)
	}
	if one(4) {
		f.concurrency = 2 + r.IntN(6)
	}
	if one(3) {
		f.timeout = time.Duration(200+r.IntN(400)) * time.Millisecond
	}
	if one(3) {
		f.payload = pick(r, 4096, 8192)
		f.large = f.retries >= 0 && f.destination != ""
	}
	if !one(4) {
		f.backoff = pick(r, 5*time.Millisecond, 30*time.Millisecond)
	}
	f.poison = pick(r, 0, 0.01, 0.03)
	if f.retries < 0 {
		f.heal = p.length() / 2
	}
	if f.backoff == 0 && (f.poison > 0 || f.tumbling > 0 || f.aggregates > 0 || p.batchSize < 10) {
		f.backoff = 30 * time.Millisecond // else some lanes do little but wait
	}
	if f.aggregates > 0 {
		p.rate *= 2
	}
	if f.tumbling > 0 {
		p.rate *= 2
	}
	if p.batchSize < 10 && (f.poison > 0 || f.timeout > 0) {
		p.rate *= 2
	}
	f.throttles = one(3)
	if f.serial || f.concurrency > 0 || f.tumbling > 0 {
		p.handling = min(p.handling, 3*time.Millisecond) // else there is more to do than can be done
	}
}

// A payload is what the data of a record says.
type payload struct {
	P    int    `json:"p"` // producer
	N    int    `json:"n"`
	I    int    `json:"i"`
	Kind string `json:"kind"`
	Pad  string `json:"pad,omitempty"`
}

// filterPatterns are patterns, and what they mean.
var filterPatterns = []struct {
	text  string
	match func(key string, d *payload) bool // d is nil if the data is no such JSON
}{
	{`{"data":{"kind":["a","b"]}}`, func(_ string, d *payload) bool { return d != nil && (d.Kind == "a" || d.Kind == "b") }},
	{`{"partitionKey":[{"prefix":"key-1"}]}`, func(key string, _ *payload) bool { return strings.HasPrefix(key, "key-1") }},
	{`{"data":{"n":[{"numeric":[">",20]}],"kind":[{"anything-but":["c"]}]}}`, func(_ string, d *payload) bool { return d != nil && d.N > 20 && d.Kind != "c" }},
	{`{"data":{"pad":[{"exists":false}]},"partitionKey":[{"suffix":"3"},{"suffix":"4"},{"wildcard":"*-*1"}]}`, func(key string, d *payload) bool {
		return d != nil && d.Pad == "" && strings.ContainsAny(key[len(key)-1:], "134")
	}},
}

// matches reports whether a record passes the filters.
func (f *features) matches(key string, data []byte) bool {
	if len(f.patterns) == 0 {
		return true
	}
	d := new(payload)
	if json.Unmarshal(data, d) != nil {
		d = nil
	}
	for _, i := range f.patterns {
		if filterPatterns[i].match(key, d) {
			return true
		}
	}
	return false
}

// options are those that the features need.
func (f *features) options() (opts []consumer.Option) {
	add := func(on bool, o consumer.Option) {
		if on {
			opts = append(opts, o)
		}
	}
	add(f.bisect, consumer.WithBisectOnError(true))
	add(f.retries >= 0, consumer.WithMaxRetryAttempts(f.retries))
	add(f.maxAge > 0, consumer.WithMaxRecordAge(f.maxAge))
	add(f.tumbling > 0, consumer.Options(consumer.WithTumblingWindow(f.tumbling), consumer.WithWindowIdle(f.idle)))
	add(f.deaggregate, consumer.WithDeaggregation(true))
	add(f.concurrency > 0, consumer.WithMaxConcurrency(f.concurrency))
	add(f.timeout > 0, consumer.WithHandlerTimeout(f.timeout))
	add(f.payload > 0, consumer.WithPayloadLimit(f.payload))
	add(f.backoff > 0, consumer.WithBackoff(f.backoff, 2, 20*f.backoff))
	add(f.form == "json" && f.reports, consumer.WithReportBatchItemFailures(true))
	var patterns []string
	for _, i := range f.patterns {
		patterns = append(patterns, filterPatterns[i].text)
	}
	add(len(patterns) > 0, consumer.WithFilter(patterns...))
	return opts
}

func (f *features) String() string {
	return fmt.Sprintf("form %s (serial %v, reports %v), bisect %v, retries %d, max age %v, destination %q, patterns %v, "+
		"aggregates %.1f (split %v), concurrency %d, timeout %v, payload %d (large %v), tumbling %v (idle %v), backoff %v, "+
		"poison %.2f until %v, throttles %v", f.form, f.serial, f.reports, f.bisect, f.retries, f.maxAge, f.destination, f.patterns,
		f.aggregates, f.deaggregate, f.concurrency, f.timeout, f.payload, f.large, f.tumbling, f.idle, f.backoff, f.poison, f.heal, f.throttles)
}
