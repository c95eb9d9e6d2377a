package kinesistest

type registerStreamConsumerInput struct {
	StreamARN    *string
	ConsumerName *string
}

func (in *registerStreamConsumerInput) reference() *streamRef {
	return &streamRef{StreamARN: in.StreamARN}
}

// apiRegisterStreamConsumer makes a consumer that is CREATING, and ACTIVE after the transition time. It refuses a name
// that the stream has, also while DELETING, and a stream that is not ACTIVE (ResourceInUseException), and a sixth consumer
// that is CREATING, in all streams together, or one above what a stream may have (LimitExceededException).
func (s *Server) apiRegisterStreamConsumer(c *call, in *registerStreamConsumerInput) (any, error) {
	var v validation
	v.required("streamARN", in.StreamARN)
	v.required("consumerName", in.ConsumerName)
	if in.ConsumerName != nil {
		v.name("consumerName", *in.ConsumerName)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	st, err := s.changeable(in.reference())
	if err != nil {
		return nil, err
	}
	if st.consumers[*in.ConsumerName] != nil {
		return nil, refuse("ResourceInUseException", "Consumer %s under stream %s, account %s already exists.", *in.ConsumerName, st.name, account)
	}
	if limit := s.settings.consumerLimit; len(st.consumers) >= limit {
		return nil, refuse("LimitExceededException", "Stream %s under account %s already has %d consumers registered. Limit: %d.", st.name, account, len(st.consumers), limit)
	}
	if s.creatingConsumers() >= 5 {
		return nil, refuse("LimitExceededException", "Only 5 consumers can be CREATING at a time under account %s.", account)
	}
	sc := s.register(st, *in.ConsumerName, c.Time)
	return struct{ Consumer consumerBody }{st.consumerBody(sc)}, nil
}

func (s *Server) creatingConsumers() (n int) {
	for _, st := range s.streams {
		for _, sc := range st.consumers {
			if sc.status == creating {
				n++
			}
		}
	}
	return n
}
