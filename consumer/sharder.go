package consumer

import (
	"errors"
	"time"

	"github.com/shardlane/shardlane/consumer/internal/page"
	"github.com/shardlane/shardlane/consumer/internal/tell"
	"github.com/shardlane/shardlane/metrics"
	"github.com/shardlane/shardlane/partition"
)

// submit hands items to their lanes, in order. It returns false once the lanes take nothing more. The function of
// WithSharder, which says what lane is whose, may panic: the items then wait until it does not, and nothing is read
// behind them, since no other lane keeps their order.
func (sh *shard) submit(items []page.Item) (ok bool) {
	err := sh.sort(items)
	if err == nil || errors.Is(err, partition.ErrClosed) {
		return err == nil
	}
	sh.unsorted.Store(true)
	sh.f.pool.spawn(func() {
		pause := sh.rnd.backoff(200*time.Millisecond, time.Minute)
		for err != nil && !errors.Is(err, partition.ErrClosed) {
			_ = sh.tell.Fail(metrics.ReadFailed, tell.Failure{
				Op: "sharder", Err: err, Hint: "correct the function of WithSharder; its shard is not read on until it returns for these records",
			})
			if !sleep(sh.handlers, sh.halted, pause.NextBackOff()) {
				return // the records come again at the next start
			}
			err = sh.sort(items)
		}
		sh.tell.Mend("sharder")
		sh.unsorted.Store(false)
		sh.source.Wake()
	})
	return true
}

// sort submits items, all or none of them.
func (sh *shard) sort(items []page.Item) error {
	if sh.f.cfg.sharder == nil {
		return sh.lanes.Submit(items)
	}
	_, err := contained("the function of WithSharder", func() (struct{}, error) { return struct{}{}, sh.lanes.Submit(items) })
	return err
}
