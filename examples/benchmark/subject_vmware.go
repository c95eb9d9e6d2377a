package main

import (
	"context"
	"sync"

	"github.com/vmware/vmware-go-kcl-v2/clientlibrary/checkpoint"
	"github.com/vmware/vmware-go-kcl-v2/clientlibrary/config"
	"github.com/vmware/vmware-go-kcl-v2/clientlibrary/interfaces"
	"github.com/vmware/vmware-go-kcl-v2/clientlibrary/partition"
	"github.com/vmware/vmware-go-kcl-v2/clientlibrary/worker"
	"github.com/vmware/vmware-go-kcl-v2/logger"
)

// consumeVMware is vmware-go-kcl-v2 with its defaults and a table in memory. It takes one shard at a time, by default a
// minute after the other; here it takes them quickly.
func consumeVMware(ctx context.Context, j *job, stream string, m *meter) error {
	cfg := config.NewKinesisClientLibConfig("benchmark", stream, "us-east-1", "worker").
		WithInitialPositionInStream(config.TRIM_HORIZON).
		WithMaxRecords(10_000).
		WithMaxLeasesForWorker(j.Load.Shards + 1).
		WithShardSyncIntervalMillis(2).
		WithLogger(quiet{})
	l, err := parseLoad(stream)
	if err != nil {
		return err
	}
	t := &table{cfg: cfg, shards: l.Shards}
	w := worker.NewWorker(processors{m}, cfg).WithKinesis(j.client()).WithCheckpointer(t)
	if err := w.Start(); err != nil {
		return err
	}
	<-ctx.Done()
	w.Shutdown()
	return nil
}

// processors make handlers, of which each has a shard.
type processors struct{ m *meter }

func (p processors) CreateProcessor() interfaces.IRecordProcessor { return processor(p) }

type processor struct{ m *meter }

func (processor) Initialize(*interfaces.InitializationInput) {}

func (p processor) ProcessRecords(in *interfaces.ProcessRecordsInput) {
	_ = p.m.take(in.Records, false) // they are split already
	if n := len(in.Records); n > 0 {
		_ = in.Checkpointer.Checkpoint(in.Records[n-1].SequenceNumber)
	}
}

func (processor) Shutdown(*interfaces.ShutdownInput) {}

// A table is where the worker keeps leases and checkpoints: there is one worker, so all shards are its own.
type table struct {
	cfg    *config.KinesisClientLibConfiguration
	shards int
	mu     sync.Mutex
	taken  map[string]bool
}

func (t *table) Init() error {
	t.taken = map[string]bool{}
	return nil
}

// GetLease takes a shard. The worker's loop calls it until all are taken, and the renewals of leases from a minute later on.
func (t *table) GetLease(s *partition.ShardStatus, owner string) error {
	s.SetLeaseOwner(owner)
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.taken[s.ID] {
		if t.taken[s.ID] = true; len(t.taken) == t.shards {
			t.cfg.ShardSyncIntervalMillis = config.DefaultShardSyncIntervalMillis
		}
	}
	return nil
}

func (*table) FetchCheckpoint(*partition.ShardStatus) error    { return checkpoint.ErrSequenceIDNotFound }
func (*table) CheckpointSequence(*partition.ShardStatus) error { return nil }
func (*table) RemoveLeaseInfo(string) error                    { return nil }
func (*table) RemoveLeaseOwner(string) error                   { return nil }
func (*table) GetLeaseOwner(string) (string, error)            { return "", nil }
func (*table) ClaimShard(*partition.ShardStatus, string) error { return nil }

func (*table) ListActiveWorkers(map[string]*partition.ShardStatus) (map[string][]*partition.ShardStatus, error) {
	return map[string][]*partition.ShardStatus{}, nil
}

// quiet is a log that nobody reads.
type quiet struct{}

func (quiet) Debugf(string, ...any) {}
func (quiet) Infof(string, ...any)  {}
func (quiet) Warnf(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}

func (quiet) Fatalf(format string, args ...any) { quiet{}.Panicf(format, args...) }
func (quiet) Panicf(format string, _ ...any)    { panic(format) }

func (q quiet) WithFields(logger.Fields) logger.Logger { return q }
