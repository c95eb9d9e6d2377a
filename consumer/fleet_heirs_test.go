package consumer_test

import (
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/consumer/internal/lease"
)

// heirs are to whom the shards of a worker go when it leaves, as the plan has it on the rows as they are.
func (f *fleet) heirs(worker string) map[string]string {
	f.t.Helper()
	var peers []lease.Peer
	var leases []lease.Holding
	stream, self := "", ""
	for key, row := range rowsBelow(f.t, f.store, "g/lease/") {
		rest := strings.TrimPrefix(key, "g/lease/")
		at := strings.LastIndex(rest, "/")
		stream = rest[:at]
		leases = append(leases, lease.Holding{Shard: rest[at+1:], Owner: ownerOf(row)})
	}
	for key := range memberRows(f.t, f.store) {
		id := strings.TrimPrefix(key, "g/member/")
		leaves := strings.HasPrefix(id, worker+"/")
		if leaves {
			self = id
		}
		peers = append(peers, lease.Peer{ID: id, Cap: 1, Leaving: leaves, Streams: []string{stream}})
	}
	to := map[string]string{}
	for _, o := range lease.Plan(stream, self, peers, leases, true).Shed {
		to[o.Lease] = o.To
	}
	return to
}

// Of three workers one stops. Each of its shards goes to the one of the others that the plan names, which was announced, and to
// which it was released; the others' shards stay where they are.
func TestFleetHeirs(t *testing.T) {
	inFleet(t, 8, func(f *fleet) {
		store := f.tapped()
		var mu sync.Mutex
		told := map[string]string{} // by the worker that leaves
		store.do(func(op string, e checkpoint.Entry) error {
			var row struct {
				St    string
				Offer []lease.Offer
			}
			if op == "Swap" && strings.HasPrefix(e.Key, "g/member/one/") && json.Unmarshal(e.Value, &row) == nil && row.St == "LEAVING" {
				mu.Lock()
				defer mu.Unlock()
				for _, o := range row.Offer {
					told[o.Lease[strings.LastIndex(o.Lease, "/")+1:]] = o.To
				}
			}
			return nil
		})
		one, two, three := f.start("one"), f.start("two"), f.start("three")
		f.shared([]*replica{one, two, three})
		time.Sleep(10 * time.Second)
		plan, part := f.heirs("one"), one.owned()
		stopped := time.Now()
		if _, err := one.running.stop(); err != nil {
			t.Error(err)
		}
		f.balanced(time.Second, 4, two, three)
		time.Sleep(5 * time.Second)
		released, claimed := map[string]string{}, map[string]string{}
		for _, w := range store.rows("", stopped) {
			switch _, free := released[w.shard]; {
			case w.Owner == "" && w.To != "" && !free:
				released[w.shard] = w.To
			case w.Owner != "" && free && claimed[w.shard] == "":
				claimed[w.shard] = w.Owner
			}
		}
		if len(plan) != part || !maps.Equal(told, plan) || !maps.Equal(released, plan) || !maps.Equal(claimed, plan) {
			t.Errorf("%d shards; by the plan they go to\n%v, they are announced to\n%v, released to\n%v and claimed by\n%v", part, plan, told, released, claimed)
		}
		f.end(two, three)
		f.unrepeated()
		store.forward(t)
		for _, gap := range f.handOvers() {
			if gap > time.Second {
				t.Errorf("a shard was not handled for %v while it changed hands", gap)
			}
		}
	})
}
