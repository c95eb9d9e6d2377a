package kinesistest

type describeStreamSummaryInput struct{ streamRef }

// apiDescribeStreamSummary tells a stream in any status, without its shards.
func (s *Server) apiDescribeStreamSummary(_ *call, in *describeStreamSummaryInput) (any, error) {
	st, err := s.stream(&in.streamRef)
	if err != nil {
		return nil, err
	}
	type summary struct {
		streamBody
		OpenShardCount int
		ConsumerCount  int
	}
	return struct{ StreamDescriptionSummary summary }{summary{streamBody: st.body(), OpenShardCount: len(st.open)}}, nil
}
