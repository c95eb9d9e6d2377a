package kinesistest

import "time"

type listStreamConsumersInput struct {
	StreamARN               *string
	NextToken               *string
	MaxResults              *int
	StreamCreationTimestamp *timestamp
}

func (in *listStreamConsumersInput) reference() *streamRef {
	return &streamRef{StreamARN: in.StreamARN}
}

// maxConsumers is the size of a page, whatever MaxResults asks for.
const maxConsumers = 100

// apiListStreamConsumers tells the consumers of a stream, in any status, in the order of their names: at most MaxResults
// of them, and 100 whatever it says. A NextToken goes on after the last of its page and lives for 5 minutes
// (ExpiredNextTokenException); with it, StreamCreationTimestamp is refused (InvalidArgumentException), and so is the ARN
// of another stream. A StreamCreationTimestamp that is not the stream's, to the second, is one of a stream that does not
// exist (ResourceNotFoundException). The stream is ACTIVE or UPDATING, else ResourceInUseException.
func (s *Server) apiListStreamConsumers(c *call, in *listStreamConsumersInput) (any, error) {
	var v validation
	v.required("streamARN", in.StreamARN)
	v.within("maxResults", in.MaxResults, 1, 10_000)
	if err := v.err(); err != nil {
		return nil, err
	}
	st, err := s.stream(in.reference())
	if err != nil {
		return nil, err
	}
	var token listToken
	if in.NextToken != nil {
		if in.StreamCreationTimestamp != nil {
			return nil, invalid("NextToken and StreamCreationTimestamp cannot be provided together.")
		}
		if token, err = parseConsumerToken(*in.NextToken); err != nil {
			return nil, invalid("NextToken is invalid.")
		}
		if token.Stream != st.name {
			return nil, invalid("NextToken is not of stream %s.", *in.StreamARN)
		}
		if issued := time.UnixMilli(token.Issued); c.Time.Sub(issued) > expiry {
			return nil, refuse("ExpiredNextTokenException", "NextToken expired. The token was created at time %s while right now it is %s.", issued.UTC(), c.Time)
		}
	}
	if in.StreamCreationTimestamp != nil && time.Time(*in.StreamCreationTimestamp).Unix() != st.created.Unix() ||
		in.NextToken != nil && token.Birth != st.birth {
		return nil, notFound(st.name)
	}
	if st.status == creating || st.status == deleting {
		return nil, inUse(st)
	}
	limit := maxConsumers
	if in.MaxResults != nil {
		limit = min(*in.MaxResults, limit)
	}
	if c.faults.page > 0 {
		limit = min(limit, c.faults.page)
	}
	out := struct {
		Consumers []consumerBody
		NextToken string `json:",omitempty"`
	}{Consumers: []consumerBody{}}
	for _, sc := range st.listed() {
		if sc.name <= token.After {
			continue
		}
		if len(out.Consumers) == limit {
			next := listToken{Stream: st.name, Birth: st.birth, After: out.Consumers[limit-1].ConsumerName, Issued: c.Time.UnixMilli()}
			out.NextToken = seal('c', next)
			break
		}
		out.Consumers = append(out.Consumers, st.consumerBody(sc))
	}
	return out, nil
}
