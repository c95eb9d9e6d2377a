package kinesistest

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// A Distribution is a stream's record distribution strategy: who chooses the shard of a record.
type Distribution string

const (
	// UserPartitionKey leaves the choice to the producer: the partition key, or an explicit hash key, decides. Every
	// record has a key. It is what streams begin with.
	UserPartitionKey Distribution = "USER_PARTITION_KEY"

	// Auto leaves the choice to the service, which ignores partition keys and explicit hash keys. A record may come
	// without a key, and is then read without one; a key that comes is kept. Only streams on demand have it.
	Auto Distribution = "AUTO"
)

// SetDistribution sets who chooses the shards of a stream's records from now on, at once; records that are stored stay
// where they are. [Auto] places records on the open shards in turn, or with [Server.SetSeed] at random, where one seed
// and one order of puts give the same places. It puts the stream on demand. Defaults to [UserPartitionKey]. It panics
// when the stream does not exist, and on any other strategy.
//
//	srv.SetDistribution("orders", kinesistest.Auto)
//	srv.Put("orders", "", []byte("a record without a key"))
func (s *Server) SetDistribution(stream string, d Distribution) {
	s.act("SetDistribution", stream, func(st *streamState, _ time.Time) error {
		var v validation
		d.validate(&v)
		if err := v.err(); err != nil {
			return err
		}
		st.onDemand = st.onDemand || d == Auto
		st.distribution = d
		return nil
	})
}

// CreateOnDemand is [Server.CreateStream] for a stream on demand, with a strategy. Its shards stay as they are until
// they are split or merged. It panics also on a strategy that there is not.
func (s *Server) CreateOnDemand(stream string, shards int, d Distribution) {
	var v validation
	d.validate(&v)
	if err := v.err(); err != nil {
		panic(fmt.Sprintf("kinesistest: CreateOnDemand: %v", err))
	}
	s.createStream("CreateOnDemand", stream, shards, func(st *streamState) { st.onDemand, st.distribution = true, d })
}

func (d Distribution) validate(v *validation) {
	v.check(d == Auto || d == UserPartitionKey, "recordDistributionStrategy", d, "satisfy enum value set: [AUTO, USER_PARTITION_KEY]")
}

type updateDistributionInput struct {
	streamRef
	RecordDistributionStrategy *Distribution
}

// apiUpdateDistribution changes an active stream's strategy, at once. It asks for the ARN (InvalidArgumentException), and
// refuses AUTO on a stream that is not on demand (InvalidArgumentException).
func (s *Server) apiUpdateDistribution(_ *call, in *updateDistributionInput) (any, error) {
	var v validation
	v.required("streamARN", in.StreamARN)
	v.check(in.RecordDistributionStrategy != nil, "recordDistributionStrategy", "null", "not be null")
	if in.RecordDistributionStrategy != nil {
		in.RecordDistributionStrategy.validate(&v)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	st, err := s.changeable(&in.streamRef)
	if err != nil {
		return nil, err
	}
	if *in.RecordDistributionStrategy == Auto && !st.onDemand {
		return nil, autoProvisioned()
	}
	st.distribution = *in.RecordDistributionStrategy
	return nil, nil
}

func autoProvisioned() error {
	return invalid("RecordDistributionStrategy AUTO is supported for streams in ON_DEMAND mode only.")
}

// place returns the open shard that gets a record.
func (s *Server) place(st *streamState, h hash) *shard {
	if st.distribution != Auto {
		return st.route(h)
	}
	st.placed++
	if s.rand == nil {
		return st.open[st.placed%uint64(len(st.open))]
	}
	// A source of its own for each record: streams that are written side by side do not change each other's places.
	return st.open[rand.New(rand.NewPCG(s.seed^uint64(st.birth), st.placed)).IntN(len(st.open))]
}
