package kinesistest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// streamConsumer is one registered consumer of a stream. It changes under the server's lock only.
type streamConsumer struct {
	name    string
	created time.Time // in whole seconds, as its ARN has them

	// status is CREATING or DELETING until changeAt; then it is ACTIVE, or the consumer is gone. settle does so.
	status   string
	changeAt time.Time

	subscribed map[*shard]*subscription // the last one of each shard, also when it has ended
	asked      map[*shard]time.Time     // the last SubscribeToShard that was within the limit of calls
}

// SetConsumerLimit sets how many consumers a stream may have registered: 20, or 50 in an account with On-demand Advantage.
// A call that would exceed it gets LimitExceededException. Defaults to 20.
func (s *Server) SetConsumerLimit(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings.consumerLimit = n
}

func consumerARN(stream, name string, created time.Time) string {
	return fmt.Sprintf("%s/consumer/%s:%d", arn(stream), name, created.Unix())
}

// parseConsumerARN takes an ARN of this account and region apart.
func parseConsumerARN(s string) (stream, name string, created time.Time, ok bool) {
	rest, ok := strings.CutPrefix(s, arn(""))
	if !ok {
		return "", "", created, false
	}
	stream, rest, _ = strings.Cut(rest, "/consumer/")
	name, seconds, _ := strings.Cut(rest, ":")
	at, err := strconv.ParseUint(seconds, 10, 63)
	created = time.Unix(int64(at), 0).UTC()
	// One that says the same in another way, as with a zero before the seconds, is none of ours.
	return stream, name, created, err == nil && consumerARN(stream, name, created) == s
}

// consumerARN checks the form of an ARN that was given.
func (v *validation) consumerARN(s string) {
	_, rest, _ := strings.Cut(s, ":stream/")
	_, rest, consumer := strings.Cut(rest, "/consumer/")
	_, seconds, _ := strings.Cut(rest, ":")
	v.check(strings.HasPrefix(s, "arn:aws") && consumer && seconds != "" && strings.Trim(seconds, "0123456789") == "", "consumerARN", s,
		`satisfy regular expression pattern: ^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+`)
}

// consumerRef is how an operation names a consumer: by its ARN, or by its stream's ARN and its name.
type consumerRef struct {
	ConsumerARN  *string
	StreamARN    *string
	ConsumerName *string
}

func (r *consumerRef) reference() *streamRef {
	if r.ConsumerARN == nil {
		return &streamRef{StreamARN: r.StreamARN}
	}
	name := streamName(*r.ConsumerARN)
	return &streamRef{StreamName: &name}
}

// consumer returns the consumer that is meant, and its stream, whatever their status.
func (s *Server) consumer(r *consumerRef) (*streamState, *streamConsumer, error) {
	var v validation
	if r.ConsumerName != nil {
		v.name("consumerName", *r.ConsumerName)
	}
	if r.ConsumerARN != nil {
		v.consumerARN(*r.ConsumerARN)
	}
	if err := v.err(); err != nil {
		return nil, nil, err
	}
	if r.ConsumerARN == nil {
		if r.StreamARN == nil || r.ConsumerName == nil {
			return nil, nil, invalid("Either ConsumerARN or both StreamARN and ConsumerName must be specified.")
		}
		st, err := s.stream(&streamRef{StreamARN: r.StreamARN})
		if err != nil {
			return nil, nil, err
		}
		if sc := st.consumers[*r.ConsumerName]; sc != nil {
			return st, sc, nil
		}
		return nil, nil, refuse("ResourceNotFoundException", "Consumer %s under stream %s, account %s not found.", *r.ConsumerName, st.name, account)
	}
	stream, name, created, ok := parseConsumerARN(*r.ConsumerARN)
	if ok && (r.StreamARN != nil && *r.StreamARN != arn(stream) || r.ConsumerName != nil && *r.ConsumerName != name) {
		return nil, nil, invalid("ConsumerARN %s, StreamARN and ConsumerName do not name the same consumer.", *r.ConsumerARN)
	}
	if st := s.streams[stream]; ok && st != nil {
		if sc := st.consumers[name]; sc != nil && sc.created.Equal(created) {
			return st, sc, nil
		}
	}
	return nil, nil, refuse("ResourceNotFoundException", "Consumer %s not found.", *r.ConsumerARN)
}

// consumerBody is a consumer as calls tell it.
type consumerBody struct {
	ConsumerName              string
	ConsumerARN               string
	ConsumerStatus            string
	ConsumerCreationTimestamp timestamp
}

func (st *streamState) consumerBody(sc *streamConsumer) consumerBody {
	return consumerBody{sc.name, consumerARN(st.name, sc.name, sc.created), sc.status, timestamp(sc.created)}
}

// listed returns the consumers in the order of their names.
func (st *streamState) listed() []*streamConsumer {
	all := make([]*streamConsumer, 0, len(st.consumers))
	for _, sc := range st.consumers {
		all = append(all, sc)
	}
	slices.SortFunc(all, func(a, b *streamConsumer) int { return cmp.Compare(a.name, b.name) })
	return all
}

// register adds a consumer that is CREATING. One of a name that was deregistered in the same second counts as created in
// the next: the service takes longer, and the ARNs have to differ.
func (s *Server) register(st *streamState, name string, at time.Time) *streamConsumer {
	created := at.Truncate(time.Second)
	if created.Before(st.created) {
		created = st.created.Truncate(time.Second)
	}
	if last := st.registered[name]; !created.After(last) {
		created = last.Add(time.Second)
	}
	sc := &streamConsumer{
		name: name, created: created,
		subscribed: make(map[*shard]*subscription), asked: make(map[*shard]time.Time),
	}
	st.consumers[name], st.registered[name] = sc, created
	s.duringConsumer(st, sc, creating, at)
	return sc
}

// duringConsumer gives a consumer a status for the transition's time; with no transition time it changes at once.
func (s *Server) duringConsumer(st *streamState, sc *streamConsumer, status string, at time.Time) {
	sc.status, sc.changeAt = status, at.Add(s.settings.transition)
	st.settleConsumers(at)
	st.stir()
}

// settleConsumers makes the changes of consumers that are due.
func (st *streamState) settleConsumers(at time.Time) {
	for name, sc := range st.consumers {
		if sc.status == active || at.Before(sc.changeAt) {
			continue
		}
		if sc.status == deleting {
			delete(st.consumers, name)
		} else {
			sc.status = active
		}
	}
}
