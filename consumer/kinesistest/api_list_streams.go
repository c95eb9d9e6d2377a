package kinesistest

import (
	"maps"
	"slices"
)

type listStreamsInput struct {
	Limit                    *int
	ExclusiveStartStreamName *string
	NextToken                *string
}

// apiListStreams tells the streams of every status in the order of their names, at most Limit of them (1 to 10,000, by
// default 100), from NextToken or after ExclusiveStartStreamName.
func (s *Server) apiListStreams(_ *call, in *listStreamsInput) (any, error) {
	var v validation
	v.within("limit", in.Limit, 1, 10_000)
	if err := v.err(); err != nil {
		return nil, err
	}
	type summary struct {
		StreamName              string
		StreamARN               string
		StreamStatus            string
		StreamModeDetails       map[string]string
		StreamCreationTimestamp timestamp
	}
	out := struct {
		StreamNames     []string
		StreamSummaries []summary
		HasMoreStreams  bool
		NextToken       string `json:",omitempty"`
	}{StreamNames: []string{}}
	limit := 100
	if in.Limit != nil {
		limit = *in.Limit
	}
	after := deref(in.ExclusiveStartStreamName)
	if in.NextToken != nil {
		token, err := parseListToken(*in.NextToken)
		if err != nil {
			return nil, invalid("Invalid NextToken.")
		}
		after = token.After
	}
	for _, name := range slices.Sorted(maps.Keys(s.streams)) {
		if name <= after {
			continue
		}
		if len(out.StreamNames) == limit {
			out.HasMoreStreams = true
			out.NextToken = listToken{After: out.StreamNames[limit-1]}.String()
			break
		}
		b := s.streams[name].body()
		out.StreamNames = append(out.StreamNames, name)
		out.StreamSummaries = append(out.StreamSummaries, summary{b.StreamName, b.StreamARN, b.StreamStatus, b.StreamModeDetails, b.StreamCreationTimestamp})
	}
	return out, nil
}
