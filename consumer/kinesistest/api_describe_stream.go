package kinesistest

type describeStreamInput struct {
	streamRef
	Limit                 *int
	ExclusiveStartShardId *string
}

// streamBody is what DescribeStream and DescribeStreamSummary both tell.
type streamBody struct {
	StreamName              string
	StreamARN               string
	StreamStatus            string
	StreamModeDetails       map[string]string
	StreamCreationTimestamp timestamp
	RetentionPeriodHours    int
	EnhancedMonitoring      []map[string][]string
	EncryptionType          string
}

func (st *streamState) body() streamBody {
	mode := "PROVISIONED"
	if st.onDemand {
		mode = "ON_DEMAND"
	}
	return streamBody{
		StreamName: st.name, StreamARN: arn(st.name), StreamStatus: st.status,
		StreamModeDetails:       map[string]string{"StreamMode": mode},
		StreamCreationTimestamp: timestamp(st.created),
		RetentionPeriodHours:    int(st.retention.Hours()),
		EnhancedMonitoring:      []map[string][]string{{"ShardLevelMetrics": {}}},
		EncryptionType:          "NONE",
	}
}

// apiDescribeStream tells a stream in any status, with at most Limit of its shards (1 to 10,000, by default 100) after
// ExclusiveStartShardId. Shards past retention are left out.
func (s *Server) apiDescribeStream(_ *call, in *describeStreamInput) (any, error) {
	var v validation
	v.within("limit", in.Limit, 1, 10_000)
	if err := v.err(); err != nil {
		return nil, err
	}
	st, err := s.stream(&in.streamRef)
	if err != nil {
		return nil, err
	}
	limit := 100
	if in.Limit != nil {
		limit = *in.Limit
	}
	type description struct {
		streamBody
		Shards        []shardBody
		HasMoreShards bool
	}
	d := description{streamBody: st.body(), Shards: []shardBody{}}
	for _, sh := range st.shards {
		if sh.expired || sh.id <= deref(in.ExclusiveStartShardId) {
			continue
		}
		if len(d.Shards) == limit {
			d.HasMoreShards = true
			break
		}
		d.Shards = append(d.Shards, sh.body(s.settings.prefix))
	}
	return struct{ StreamDescription description }{d}, nil
}
