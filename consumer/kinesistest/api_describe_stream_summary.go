package kinesistest

type describeStreamSummaryInput struct{ streamRef }

// apiDescribeStreamSummary tells a stream in any status, without its shards, and who chooses the shards of its records.
func (s *Server) apiDescribeStreamSummary(_ *call, in *describeStreamSummaryInput) (any, error) {
	st, err := s.stream(&in.streamRef)
	if err != nil {
		return nil, err
	}
	type summary struct {
		streamBody
		OpenShardCount int
		ConsumerCount  int

		// Of streams on demand only. The lowest release of the SDK that we build with has no field for it.
		RecordDistributionStrategy Distribution `json:",omitempty"`
	}
	sum := summary{streamBody: st.body(), OpenShardCount: len(st.open), ConsumerCount: len(st.consumers)}
	if st.onDemand {
		sum.RecordDistributionStrategy = st.distribution
	}
	return struct{ StreamDescriptionSummary summary }{sum}, nil
}
