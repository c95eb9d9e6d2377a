package kinesistest

type describeStreamConsumerInput struct{ consumerRef }

// apiDescribeStreamConsumer tells a consumer in any status.
func (s *Server) apiDescribeStreamConsumer(_ *call, in *describeStreamConsumerInput) (any, error) {
	st, sc, err := s.consumer(&in.consumerRef)
	if err != nil {
		return nil, err
	}
	type description struct {
		consumerBody
		StreamARN string
	}
	return struct{ ConsumerDescription description }{description{st.consumerBody(sc), arn(st.name)}}, nil
}
