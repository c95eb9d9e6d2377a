package kinesistest

import "time"

type retentionInput struct {
	streamRef
	RetentionPeriodHours *int
}

// apiIncreaseRetention raises the retention, to 8,760 hours at most; a lower one than there is refused
// (InvalidArgumentException).
func (s *Server) apiIncreaseRetention(c *call, in *retentionInput) (any, error) {
	return s.retain(c, in, func(now, wanted int) error {
		if wanted < now {
			return invalid("Requested retention period (%d hours) for stream %s can not be shorter than existing retention period (%d hours). Use DecreaseRetentionPeriod API.", wanted, in.name(), now)
		}
		return nil
	})
}

// apiDecreaseRetention lowers the retention, to 24 hours at least; a higher one than there is refused
// (InvalidArgumentException).
func (s *Server) apiDecreaseRetention(c *call, in *retentionInput) (any, error) {
	return s.retain(c, in, func(now, wanted int) error {
		if wanted > now {
			return invalid("Requested retention period (%d hours) for stream %s can not be longer than existing retention period (%d hours). Use IncreaseRetentionPeriod API.", wanted, in.name(), now)
		}
		return nil
	})
}

// retain makes the stream UPDATING and changes its retention at the end of the transition time. Records that were
// trimmed before do not come back.
func (s *Server) retain(c *call, in *retentionInput, check func(now, wanted int) error) (any, error) {
	var v validation
	v.check(in.RetentionPeriodHours != nil, "retentionPeriodHours", "null", "not be null")
	if err := v.err(); err != nil {
		return nil, err
	}
	wanted := *in.RetentionPeriodHours
	switch {
	case wanted < 24:
		return nil, invalid("Minimum allowed retention period is 24 hours. Requested retention period (%d hours) is too short.", wanted)
	case wanted > 8760:
		return nil, invalid("Maximum allowed retention period is 8760 hours. Requested retention period (%d hours) is too long.", wanted)
	}
	st, err := s.changeable(&in.streamRef)
	if err != nil {
		return nil, err
	}
	if err := check(int(st.retention.Hours()), wanted); err != nil {
		return nil, err
	}
	s.during(st, updating, c.Time, func(time.Time) { st.retention = time.Duration(wanted) * time.Hour })
	return nil, nil
}
