package consumer_test

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/shardlane/shardlane/batch/kpl"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// produce puts records until the world is over.
func (w *world) produce(producer int) {
	r := rand.New(rand.NewPCG(w.plan.seed+w.plan.salt, uint64(producer)))
	key := 0
	for {
		many := 1
		if r.IntN(50) == 0 {
			many = 40
		}
		for range many {
			if r.IntN(2) == 0 { // else the key comes again, and shows whether the record before it was left out
				key = int(float64(w.plan.keys) * r.Float64() * r.Float64()) // some keys are hotter
			}
			w.put(key, producer)
		}
		timer := time.NewTimer(time.Duration(r.ExpFloat64() * float64(w.plan.rate)))
		select {
		case <-timer.C:
		case <-w.over:
			timer.Stop()
			return
		}
	}
}

// reshard splits and merges as planned.
func (w *world) reshard() {
	for _, x := range w.plan.reshard {
		timer := time.NewTimer(time.Until(w.began.Add(x.at)))
		select {
		case <-timer.C:
			w.split(x)
		case <-w.over:
			timer.Stop()
			return
		}
	}
}

// split splits a shard, or merges two, as long as there are not too many or too few.
func (w *world) split(x reshard) {
	var open []kinesistest.ShardInfo
	for _, sh := range w.srv.Shards(stream) {
		if !sh.Closed {
			open = append(open, sh)
		}
	}
	i := int(x.pick * float64(len(open)))
	if (x.merge || len(open) > scenarioShards+4) && len(open) > scenarioShards/2 {
		for _, b := range open {
			if a := open[i]; adjacent(a, b) {
				w.srv.Merge(stream, a.ID, b.ID)
				w.sometimes("merge")
				return
			}
		}
		return
	}
	if len(open) <= scenarioShards+4 {
		w.srv.Split(stream, open[i].ID)
		w.sometimes("split")
	}
}

// ageing is how long before everything else some records are put, so that they reach the maximum age early.
func (p *plan) ageing() time.Duration {
	if !p.aged {
		return 0
	}
	return maxAge - p.warmup + 2*time.Second
}

// age puts these records.
func (w *world) age() {
	if w.plan.ageing() == 0 {
		return
	}
	for n := range 120 {
		w.put(n%w.plan.keys, producers)
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(time.Until(w.began.Add(-w.plan.warmup)))
}

// put puts the next record of a producer: one of its own, or an aggregate.
func (w *world) put(key, producer int) {
	w.puts[producer]++ // a producer's own
	put := w.puts[producer]
	f, about := &w.plan.features, fmt.Sprint(producer)
	name := fmt.Sprintf("key-%d", key)
	if w.plan.roll("aggregate", about, put) < f.aggregates {
		w.aggregate(name, producer, put)
		return
	}
	w.placing.Lock()
	defer w.placing.Unlock()
	if w.auto && w.plan.roll("keyless", about, put) < 0.1 {
		w.sometimes("record without a key")
		name = ""
	}
	w.srv.Put(stream, name, w.data(producer, put, 0))
}

// distribute lets the service place records, or the keys again, as planned.
func (w *world) distribute() {
	for _, at := range []time.Duration{w.plan.autoFrom, w.plan.autoTo} {
		if at == never || at == -never {
			continue
		}
		timer := time.NewTimer(time.Until(w.began.Add(at)))
		select {
		case <-timer.C:
		case <-w.over:
			timer.Stop()
			return
		}
		w.placing.Lock()
		w.auto = at == w.plan.autoFrom
		way := kinesistest.UserPartitionKey
		if w.auto {
			way = kinesistest.Auto
		}
		w.srv.SetDistribution(stream, way)
		w.mu.Lock()
		w.switched = append(w.switched, w.served(w.now()))
		w.mu.Unlock()
		w.placing.Unlock()
		w.sometimes("distribution " + string(way))
	}
}

// line makes the line slow for some time.
func (w *world) line() {
	if !w.plan.slow {
		return
	}
	for _, bytes := range []int{10_000, 0, 3_000, 0} {
		timer := time.NewTimer(w.plan.length() / 6)
		select {
		case <-timer.C:
		case <-w.over:
			timer.Stop()
			bytes = 0
		}
		w.srv.SetBandwidth(bytes)
		if isClosed(w.over) {
			return
		}
		w.sometimes("slow line")
	}
}

// flood puts more at once to a shard than fits into a page.
func (w *world) flood() {
	timer := time.NewTimer(w.plan.length() * 2 / 3)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.over:
		return
	}
	if !w.plan.huge {
		return
	}
	w.placing.Lock()
	defer w.placing.Unlock()
	for i := range 14 {
		data, err := json.Marshal(payload{P: producers + 1, N: i, Kind: "a", Pad: strings.Repeat("x", 800_000)})
		if err != nil {
			panic(err)
		}
		w.srv.Put(stream, "huge", data)
	}
	w.sometimes("10 MB page")
}

// again puts what belongs elsewhere again, by itself: the aggregator has seen into which shard its aggregate went.
func (w *world) again(shard string, parts []part) {
	sh, known := w.ranges[shard]
	if !known {
		for _, sh := range w.srv.Shards(stream) {
			sh.Records = nil
			w.ranges[sh.ID] = sh
		}
		sh = w.ranges[shard]
	}
	for _, p := range parts {
		var d payload
		if p.within(sh) || json.Unmarshal(p.data, &d) != nil {
			continue
		}
		d.R++
		data, err := json.Marshal(d)
		if err != nil {
			panic(err)
		}
		w.sometimes("put again")
		w.srv.PutHash(stream, p.key, p.hashed().String(), data)
	}
}

// data makes the data of a record: all of them differ.
func (w *world) data(producer, put, i int) []byte {
	f, about := &w.plan.features, fmt.Sprint(producer, i)
	d := payload{P: producer, N: put, I: i, Kind: string('a' + rune(4*w.plan.roll("kind", about, put)))}
	if f.large && w.plan.roll("large", about, put) < 0.01 {
		d.Pad = strings.Repeat("x", f.payload)
	}
	if !f.plain && w.plan.roll("text", about, put) < 0.05 {
		return fmt.Appendf(nil, "text %d.%d.%d", producer, put, i)
	}
	data, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	return data
}

// aggregate puts an aggregate of keys that were in one shard at first, with name as the first, and some that have
// explicit hash keys. Some aggregates are broken. Where shards have been split, user records are out of range.
func (w *world) aggregate(name string, producer, put int) {
	about := fmt.Sprint(producer)
	parts := []part{{key: name, data: w.data(producer, put, 0)}}
	for i := 1; i < 2+int(9*w.plan.roll("parts", about, put)); i++ {
		key, hash := fmt.Sprintf("key-%d", int(float64(w.plan.keys)*w.plan.roll("part", about, 16*put+i))), ""
		if w.plan.roll("explicit", about, 16*put+i) < 0.1 {
			sum := md5.Sum([]byte(key))
			key, hash = "hashed-"+key, new(big.Int).SetBytes(sum[:]).String()
		}
		p := part{key: key, hash: hash, data: w.data(producer, put, i)}
		if !w.plan.onDemand && p.hashed().Rsh(p.hashed(), 125).Cmp(parts[0].hashed().Rsh(parts[0].hashed(), 125)) != 0 {
			p.key, p.hash = name, ""
		}
		parts = append(parts, p)
	}
	users := make([]kpl.UserRecord, len(parts))
	for i, p := range parts {
		users[i] = kpl.UserRecord{PartitionKey: p.key, ExplicitHashKey: p.hash, Data: p.data}
	}
	data := kpl.Encode(users...)
	switch chance := w.plan.roll("broken", about, put); {
	case chance < 0.05:
		data[len(data)-1] ^= 1
		w.sometimes("broken aggregate")
	case chance < 0.08:
		data = bytes.Clone(data[:len(data)/2])
	default:
		w.mu.Lock()
		w.parts[string(data)] = parts
		for i, p := range parts {
			w.places[string(p.data)] = i
		}
		w.mu.Unlock()
	}
	w.placing.Lock()
	defer w.placing.Unlock()
	shard, _ := w.srv.Put(stream, name, data)
	if w.plan.looks {
		w.again(shard, parts)
	}
}
