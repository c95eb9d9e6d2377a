package kinesistest

type deleteStreamInput struct {
	streamRef
	EnforceConsumerDeletion bool
}

// apiDeleteStream makes a stream DELETING, which can be described but neither read nor written, and gone after the
// transition time. It refuses a stream that is CREATING or DELETING (ResourceInUseException).
func (s *Server) apiDeleteStream(c *call, in *deleteStreamInput) (any, error) {
	st, err := s.stream(&in.streamRef)
	if err != nil {
		return nil, err
	}
	if st.status == creating || st.status == deleting {
		return nil, inUse(st)
	}
	s.during(st, deleting, c.Time, nil)
	return nil, nil
}
