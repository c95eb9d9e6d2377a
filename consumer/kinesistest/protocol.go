package kinesistest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// apiError is a refusal as the service words it.
type apiError struct {
	code    string
	message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func (e *apiError) status() int {
	switch e.code {
	case "InternalFailure", "InternalServerError", "InternalServerException":
		return http.StatusInternalServerError
	case "ServiceUnavailable", "ServiceUnavailableException":
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

func refuse(code, format string, args ...any) error {
	return &apiError{code, fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return refuse("InvalidArgumentException", format, args...)
}

// operation is one operation of the API.
type operation struct {
	decode func(body []byte) (any, error)
	// run carries out a call under the server's lock. Its output is what to encode, or a func() []byte that encodes it
	// once the lock is free.
	run func(s *Server, c *call, in any) (any, error)
}

// call is one request while it is served.
type call struct {
	Request
	faults  effects
	signed  string // X-Amz-Date
	records int    // records put or read
	bytes   int    // of data and keys of them
	first   string // sequence numbers of the first and the last of them
	last    string

	subscription *subscription // that it began
}

func define[In any](run func(s *Server, c *call, in *In) (any, error)) operation {
	return operation{
		decode: func(body []byte) (any, error) {
			in := new(In)
			if err := json.Unmarshal(body, in); err != nil {
				return nil, refuse("SerializationException", "%v", err)
			}
			return in, nil
		},
		run: func(s *Server, c *call, in any) (any, error) { return run(s, c, in.(*In)) },
	}
}

func operations() map[string]operation {
	return map[string]operation{
		"CreateStream":                  define((*Server).apiCreateStream),
		"DecreaseStreamRetentionPeriod": define((*Server).apiDecreaseRetention),
		"DeleteStream":                  define((*Server).apiDeleteStream),
		"DeregisterStreamConsumer":      define((*Server).apiDeregisterStreamConsumer),
		"DescribeStream":                define((*Server).apiDescribeStream),
		"DescribeStreamConsumer":        define((*Server).apiDescribeStreamConsumer),
		"DescribeStreamSummary":         define((*Server).apiDescribeStreamSummary),
		"GetRecords":                    define((*Server).apiGetRecords),
		"GetShardIterator":              define((*Server).apiGetShardIterator),
		"IncreaseStreamRetentionPeriod": define((*Server).apiIncreaseRetention),
		"ListShards":                    define((*Server).apiListShards),
		"ListStreamConsumers":           define((*Server).apiListStreamConsumers),
		"ListStreams":                   define((*Server).apiListStreams),
		"MergeShards":                   define((*Server).apiMergeShards),
		"PutRecord":                     define((*Server).apiPutRecord),
		"PutRecords":                    define((*Server).apiPutRecords),
		"RegisterStreamConsumer":        define((*Server).apiRegisterStreamConsumer),
		"SplitShard":                    define((*Server).apiSplitShard),
		"SubscribeToShard":              define((*Server).apiSubscribeToShard),
		"UpdateShardCount":              define((*Server).apiUpdateShardCount),

		"UpdateStreamRecordDistributionStrategy": define((*Server).apiUpdateDistribution),
	}
}

// streamRef is how an operation names its stream.
type streamRef struct {
	StreamName *string
	StreamARN  *string
}

func (r *streamRef) reference() *streamRef { return r }

// name returns the name that is meant, of whatever kind and worth.
func (r *streamRef) name() string {
	if r.StreamName != nil {
		return *r.StreamName
	}
	if r.StreamARN != nil {
		_, name, _ := strings.Cut(*r.StreamARN, ":stream/")
		return name
	}
	return ""
}

// stream returns the stream that is meant, whatever its status.
func (s *Server) stream(r *streamRef) (*streamState, error) {
	var v validation
	if r.StreamName != nil {
		v.name("streamName", *r.StreamName)
	}
	if r.StreamARN != nil {
		v.check(strings.HasPrefix(*r.StreamARN, "arn:aws") && strings.Contains(*r.StreamARN, ":stream/"), "streamARN", *r.StreamARN,
			`satisfy regular expression pattern: arn:aws.*:kinesis:.*:\d{12}:stream/\S+`)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	switch {
	case r.StreamName == nil && r.StreamARN == nil:
		return nil, invalid("Either StreamName or StreamARN must be specified.")
	case r.StreamName != nil && r.StreamARN != nil && arn(*r.StreamName) != *r.StreamARN:
		return nil, invalid("StreamName %s and StreamARN %s do not name the same stream.", *r.StreamName, *r.StreamARN)
	}
	st := s.streams[r.name()]
	if st == nil || r.StreamARN != nil && *r.StreamARN != arn(st.name) {
		return nil, notFound(r.name())
	}
	return st, nil
}

// readable returns the stream that is meant if it can be written and read.
func (s *Server) readable(r *streamRef) (*streamState, error) {
	st, err := s.stream(r)
	if err == nil && (st.status == creating || st.status == deleting) {
		return nil, notFound(st.name)
	}
	return st, err
}

// changeable returns the stream that is meant if it is active.
func (s *Server) changeable(r *streamRef) (*streamState, error) {
	st, err := s.stream(r)
	if err == nil && st.status != active {
		return nil, inUse(st)
	}
	return st, err
}

func notFound(name string) error {
	return refuse("ResourceNotFoundException", "Stream %s under account %s not found.", name, account)
}

func inUse(st *streamState) error {
	return refuse("ResourceInUseException", "Stream %s under account %s not ACTIVE, instead in state %s", st.name, account, st.status)
}

func noShard(st *streamState, id string) error {
	return refuse("ResourceNotFoundException", "Shard %s in stream %s under account %s does not exist", id, st.name, account)
}

// validation gathers what the service checks before it looks at its state.
type validation struct{ failed []string }

func (v *validation) check(ok bool, field string, value any, constraint string) {
	if !ok {
		v.failed = append(v.failed, fmt.Sprintf("Value '%v' at '%s' failed to satisfy constraint: Member must %s", value, field, constraint))
	}
}

func (v *validation) name(field, s string) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
	v.check(s != "", field, s, "have length greater than or equal to 1")
	v.check(len(s) <= 128, field, s, "have length less than or equal to 128")
	v.check(strings.Trim(s, letters) == "" || strings.TrimFunc(s, func(r rune) bool { return strings.ContainsRune(letters, r) }) == "",
		field, s, "satisfy regular expression pattern: [a-zA-Z0-9_.-]+")
}

func (v *validation) required(field string, s *string) {
	v.check(s != nil, field, "null", "not be null")
}

func (v *validation) within(field string, n *int, low, high int) {
	if n != nil {
		v.check(*n >= low, field, *n, "have value greater than or equal to "+strconv.Itoa(low))
		v.check(*n <= high, field, *n, "have value less than or equal to "+strconv.Itoa(high))
	}
}

func (v *validation) err() error {
	if len(v.failed) == 0 {
		return nil
	}
	detected := "1 validation error detected: "
	if len(v.failed) > 1 {
		detected = strconv.Itoa(len(v.failed)) + " validation errors detected: "
	}
	return refuse("ValidationException", "%s%s", detected, strings.Join(v.failed, "; "))
}

// timestamp is a time as the protocol has it: seconds, with three decimals.
type timestamp time.Time

func (t timestamp) MarshalJSON() ([]byte, error) { return appendTimestamp(nil, time.Time(t)), nil }

func (t *timestamp) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return errors.New("a timestamp is a number of seconds")
	}
	*t = timestamp(time.UnixMilli(int64(math.Round(f * 1000))).UTC())
	return nil
}

func appendTimestamp(b []byte, t time.Time) []byte {
	return strconv.AppendFloat(b, float64(t.UnixMilli())/1000, 'f', -1, 64)
}

// shardBody is a shard as DescribeStream and ListShards tell it.
type shardBody struct {
	ShardId               string
	ParentShardId         string `json:",omitempty"`
	AdjacentParentShardId string `json:",omitempty"`
	HashKeyRange          rangeBody
	SequenceNumberRange   struct {
		StartingSequenceNumber string
		EndingSequenceNumber   string `json:",omitempty"`
	}
}

type rangeBody struct{ StartingHashKey, EndingHashKey string }

func (sh *shard) hashes() rangeBody { return rangeBody{sh.start.String(), sh.end.String()} }

// body tells a shard, with a prefix before its sequence numbers.
func (sh *shard) body(prefix string) shardBody {
	b := shardBody{ShardId: sh.id, HashKeyRange: sh.hashes()}
	if len(sh.parents) > 0 {
		b.ParentShardId = sh.parents[0]
	}
	if len(sh.parents) > 1 {
		b.AdjacentParentShardId = sh.parents[1]
	}
	b.SequenceNumberRange.StartingSequenceNumber = prefix + sh.first
	if sh.last != "" {
		b.SequenceNumberRange.EndingSequenceNumber = prefix + sh.last
	}
	return b
}
