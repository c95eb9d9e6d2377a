package kinesistest

type deregisterStreamConsumerInput struct{ consumerRef }

// apiDeregisterStreamConsumer makes a consumer DELETING, and gone after the transition time. Its subscriptions end with a
// ResourceNotFoundException. One that is DELETING stays so.
func (s *Server) apiDeregisterStreamConsumer(c *call, in *deregisterStreamConsumerInput) (any, error) {
	st, sc, err := s.consumer(&in.consumerRef)
	if err != nil {
		return nil, err
	}
	if sc.status != deleting {
		s.duringConsumer(st, sc, deleting, c.Time)
	}
	return nil, nil
}
