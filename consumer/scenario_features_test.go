package consumer_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/shardlane/shardlane/consumer"
)

// features are what a seed switches on for all lives beyond reading and handing over.
type features struct {
	plain       bool    // nothing is, and no life has any settings of that kind
	aged        bool    // some records reach the maximum age soon
	aggregates  float64 // share of records that are aggregates
	deaggregate bool
	payload     int           // 0: the default
	large       bool          // there are records above the payload limit
	poison      float64       // share of records that always fail
	heal        time.Duration // from then on nothing is poison; 0: never
	throttles   bool
	onDemand    bool          // its description says how the service places records
	autoFrom    time.Duration // from then on it places them itself, since the first life began; never: it does not
	autoTo      time.Duration // until then
	clock       time.Duration // what the service's clock is ahead
	steps       []tick        // of the service's clock
	retention   time.Duration // 0: the default
	slow        bool          // the line is, for some time
	huge        bool          // there are pages of 10 MB
	looks       bool          // aggregators look where an aggregate went, and put again what does not belong there
}

const never = time.Duration(math.MaxInt64)

// auto reports whether the service places the records that arrive at some time since the first life began by itself.
func (f *features) auto(at time.Duration) bool { return at >= f.autoFrom && at < f.autoTo }

// drawFeatures draws from a source of its own, so that the rest of a seed stays what it is.
func (p *plan) drawFeatures() {
	r := rand.New(rand.NewPCG(p.seed, 0xfea7))
	f := &p.features
	f.autoFrom, f.autoTo = never, never
	if r.IntN(12) == 0 {
		f.plain = true
		return
	}
	one := func(in int) bool { return r.IntN(in) == 0 }
	if f.aged = !one(6); f.aged {
		if p.start = consumer.TrimHorizon(); !one(4) {
			p.start, p.atPast = consumer.Position{}, p.warmup+p.ageing()
		}
	}
	if !one(5) {
		f.aggregates, f.deaggregate = pick(r, 0.1, 0.4), !one(5)
		p.rate *= 2
	}
	if !one(4) {
		f.payload, f.large = pick(r, 4096, 8192), !one(8)
	}
	if f.aggregates > 0 && one(2) {
		f.onDemand, f.looks = true, one(2)
		switch middle := time.Duration(20+r.IntN(20)) * time.Second; r.IntN(4) {
		case 0:
			f.autoFrom = -never
		case 1:
			f.autoFrom = middle
		case 2:
			f.autoFrom, f.autoTo = -never, middle
		}
	}
	ahead := 10 * time.Minute
	f.clock = pick(r, 0, 0, 0, 0, -ahead, ahead, ahead, ahead) // one that is behind hides who begins to read at this machine's time
	f.slow = p.network && one(2)
	f.huge = f.payload == 0 && one(4)
	f.poison = pick(r, 0, 0.01, 0.03, 0.03)
	f.throttles = !one(6)
	switch r.IntN(9) {
	case 0:
		p.drawSteps(r)
	case 1, 2:
		p.drawRetention(r)
	}
}

// A payload is what the data of a record says.
type payload struct {
	P    int    `json:"p"` // producer
	N    int    `json:"n"`
	I    int    `json:"i"`
	R    int    `json:"r,omitempty"` // how often it was put again
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
		return d != nil && d.Pad == "" && key != "" && strings.ContainsAny(key[len(key)-1:], "134")
	}},
}

// matches tells which patterns a record passes.
func matches(key string, data []byte) []bool {
	d := new(payload)
	if json.Unmarshal(data, d) != nil {
		d = nil
	}
	passed := make([]bool, len(filterPatterns))
	for i, p := range filterPatterns {
		passed[i] = p.match(key, d)
	}
	return passed
}

// options are those that the features need.
func (f *features) options() (opts []consumer.Option) {
	if f.deaggregate {
		opts = append(opts, consumer.WithDeaggregation(true))
	}
	if f.payload > 0 {
		opts = append(opts, consumer.WithPayloadLimit(f.payload))
	}
	return opts
}

func (f *features) String() string {
	return fmt.Sprintf("plain %v, aged %v, aggregates %.1f (split %v), payload %d (large %v), poison %.2f until %v, throttles %v, "+
		"on demand %v, placed by the service from %v to %v, aggregators look %v, %s, retention %v, slow line %v, huge pages %v",
		f.plain, f.aged, f.aggregates, f.deaggregate, f.payload, f.large, f.poison, f.heal, f.throttles,
		f.onDemand, f.autoFrom, f.autoTo, f.looks, f.clocks(), f.retention, f.slow, f.huge)
}
