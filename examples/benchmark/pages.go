package main

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/shardlane/shardlane/batch/kpl"
)

// A page is the records of one reply, as JSON. The first i of them end at ends[i].
type page struct {
	json []byte
	ends []int
}

// slice is the JSON of some records of the page.
func (p *page) slice(from, to int) []byte {
	if from >= to {
		return nil
	}
	start := p.ends[from]
	if from > 0 {
		start++ // the comma
	}
	return p.json[start:p.ends[to]]
}

// A library has the pages that were asked for. Its zero value is empty.
type library struct {
	mu    sync.Mutex
	pages map[string]func() *page
}

// page is the n-th page of a shard. All shards have the same ones, but for aggregates, whose keys are those of the shard.
func (lib *library) page(l load, shard, n int) *page {
	if l.User == 0 {
		shard = 0
	}
	key := fmt.Sprintf("%s/%d/%d", l.stream(), shard, n)
	lib.mu.Lock()
	if lib.pages == nil {
		lib.pages = map[string]func() *page{}
	}
	if lib.pages[key] == nil {
		lib.pages[key] = sync.OnceValue(func() *page { return newPage(l, shard, n) })
	}
	made := lib.pages[key]
	lib.mu.Unlock()
	return made()
}

// newPage writes a page as the service does, with fields in its order and times in its form. The data is random.
func newPage(l load, shard, n int) *page {
	rnd := rand.New(rand.NewPCG(uint64(shard), uint64(n)))
	p := &page{ends: []int{0}}
	data := make([]byte, l.Size)
	arrived := time.Now().UnixMilli()
	var keys []string
	if l.User > 0 {
		keys = ownKeys(l.Shards, shard, 500)
	}
	for i := range l.Records {
		if i > 0 {
			p.json = append(p.json, ',')
		}
		key, blob := fmt.Sprintf("customer-%08d", rnd.IntN(1e6)), data
		if l.User > 0 {
			key = keys[i%len(keys)]
			blob = aggregate(rnd, keys, l.User, l.Size)
		} else {
			fill(rnd, blob)
		}
		p.json = append(p.json, `{"ApproximateArrivalTimestamp":`...)
		p.json = fmt.Appendf(p.json, "%d.%012dE9", arrived/1e12, arrived%1e12)
		p.json = append(p.json, `,"Data":"`...)
		p.json = base64.StdEncoding.AppendEncode(p.json, blob)
		p.json = fmt.Appendf(p.json, `","PartitionKey":"%s","SequenceNumber":"4965%052d"}`, key, n*l.Records+i)
		p.ends = append(p.ends, len(p.json))
	}
	return p
}

func aggregate(rnd *rand.Rand, keys []string, records, size int) []byte {
	user := make([]kpl.UserRecord, records)
	for i := range user {
		user[i] = kpl.UserRecord{PartitionKey: keys[rnd.IntN(len(keys))], Data: make([]byte, size)}
		fill(rnd, user[i].Data)
	}
	return kpl.Encode(user...)
}

func fill(rnd *rand.Rand, data []byte) {
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
}

// ownKeys are partition keys whose hash is of the shard.
func ownKeys(shards, shard, n int) (keys []string) {
	from, to := hashRange(shards, shard)
	r, err := kpl.ParseHashRange(from, to)
	if err != nil {
		panic(err) // hashRange is wrong
	}
	for i := 0; len(keys) < n; i++ {
		if key := "customer-" + strconv.Itoa(i); r.Contains(kpl.UserRecord{PartitionKey: key}) {
			keys = append(keys, key)
		}
	}
	return keys
}

// hashRange is a shard's part of the hash keys, as decimals, both included.
func hashRange(shards, shard int) (from, to string) {
	all := new(big.Int).Lsh(big.NewInt(1), 128)
	border := func(i int) *big.Int {
		b := new(big.Int).Mul(all, big.NewInt(int64(i)))
		return b.Div(b, big.NewInt(int64(shards)))
	}
	last := border(shard + 1)
	return border(shard).String(), last.Sub(last, big.NewInt(1)).String()
}
