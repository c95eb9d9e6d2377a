package kinesistest

type deleteStreamInput struct {
	streamRef
	EnforceConsumerDeletion bool
}

// apiDeleteStream makes a stream DELETING, which can be described but neither read nor written, and gone after the
// transition time. It refuses a stream that is CREATING or DELETING, or has consumers unless EnforceConsumerDeletion says
// that they go, too (ResourceInUseException).
func (s *Server) apiDeleteStream(c *call, in *deleteStreamInput) (any, error) {
	st, err := s.stream(&in.streamRef)
	if err != nil {
		return nil, err
	}
	if st.status == creating || st.status == deleting {
		return nil, inUse(st)
	}
	if len(st.consumers) > 0 && !in.EnforceConsumerDeletion {
		return nil, refuse("ResourceInUseException", "Stream %s under account %s has %d consumers registered.", st.name, account, len(st.consumers))
	}
	s.during(st, deleting, c.Time, nil)
	return nil, nil
}
