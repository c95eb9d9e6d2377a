package consumer

import (
	"encoding/json"
	"time"
)

// MarshalJSON writes the fields under their names, and what Err, Ready and Behind return as Err, Ready and Behind. An error
// is its text, with the hint, and null if there is none; a duration is text as [time.ParseDuration] reads it, "1m30s" say,
// in whole milliseconds.
func (s Status) MarshalJSON() ([]byte, error) {
	type fields Status
	s.Shards = append([]ShardStatus{}, s.Shards...) // never null
	return json.Marshal(struct {
		fields
		Behind     string
		Ready, Err *string
	}{fields(s), ageText(s.behind), errorText(s.ready), errorText(s.err)})
}

// MarshalJSON writes the fields under their names, durations and Err as in the JSON of a [Status].
func (s ShardStatus) MarshalJSON() ([]byte, error) {
	type fields ShardStatus
	return json.Marshal(struct {
		fields
		HeadAge, ReadAge, QueueAge, CheckpointAge string
		Err                                       *string
	}{fields(s), ageText(s.HeadAge), ageText(s.ReadAge), ageText(s.QueueAge), ageText(s.CheckpointAge), errorText(s.Err)})
}

// MarshalJSON writes the fields under their names, and Err as its text, or null.
func (n Notice) MarshalJSON() ([]byte, error) {
	type fields Notice
	return json.Marshal(struct {
		fields
		Err *string
	}{fields(n), errorText(n.Err)})
}

func ageText(d time.Duration) string { return d.Round(time.Millisecond).String() }

func errorText(err error) *string {
	if err == nil {
		return nil
	}
	s := err.Error()
	return &s
}
