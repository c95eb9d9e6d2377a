package checkpoint_test

import (
	"testing"

	"github.com/shardlane/shardlane/checkpoint"
	"github.com/shardlane/shardlane/checkpoint/checkpointtest"
)

func TestMemory(t *testing.T) {
	checkpointtest.Run(t, func(*testing.T) (a, b checkpoint.Store) {
		m := new(checkpoint.Memory)
		return m, m
	})
}
