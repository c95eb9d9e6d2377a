package reader

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// A refusal is what a Poller knows of a position behind which the service gives no iterator. At the end of a closed shard
// it may refuse that, or answer without one, since nothing can follow; so the record itself is asked for, which shows what
// there is: the record and an end, more records, or neither, because it was trimmed.
type refusal struct {
	seq    string // an iterator AFTER it was refused, and one AT it is asked for
	told   error  // the answer
	unread bool   // the iterator was taken AT seq, and no record has come yet
	empty  int    // answers without an iterator, in a row
	all    bool   // the one AT it was refused, too: reading goes on at the oldest record

	now time.Time // of the last answer, as in a Read
}

var (
	errNoIterator = errors.New("the reply names no iterator")
	errOrder      = errors.New("the records of a reply are not in the order of the shard")
	errUnsure     = errors.New("nobody can tell whether the stream is still the same: the shard waits")
)

// place is the record in or behind which reading goes on: the last one fetched, else the one where reading starts.
func (p *Poller) place() (seq string, whole, ok bool) {
	if p.lastSeq != "" {
		return p.lastSeq, true, true
	}
	seq, _, whole, ok = p.From.Sequence()
	return seq, whole, ok
}

// position is where reading goes on, or starts, as a call has it.
func (p *Poller) position() (kind types.ShardIteratorType, number *string, at *time.Time) {
	seq, whole, ok := p.place()
	t, timed := p.From.Time()
	p.refusal.unread = false
	switch {
	case p.refusal.all:
		return types.ShardIteratorTypeTrimHorizon, nil, nil
	case ok && whole && seq != p.refusal.seq:
		return types.ShardIteratorTypeAfterSequenceNumber, &seq, nil
	case ok: // the rest of an aggregate, or a refused position: the record is read again
		p.refusal.unread = whole
		return types.ShardIteratorTypeAtSequenceNumber, &seq, nil
	case timed:
		return types.ShardIteratorTypeAtTimestamp, nil, &t
	}
	return types.ShardIteratorTypeTrimHorizon, nil, nil
}

// locate gets an iterator: behind the last record fetched, else at the start. One that is missing from the reply stays
// empty.
func (p *Poller) locate(ctx context.Context) error {
	in := &kinesis.GetShardIteratorInput{ShardId: &p.Shard}
	in.StreamName, in.StreamARN = StreamID(p.Stream)
	in.ShardIteratorType, in.StartingSequenceNumber, in.Timestamp = p.position()
	var out *kinesis.GetShardIteratorOutput
	c, err := p.call(ctx, callTimeout, func(ctx context.Context, o func(*kinesis.Options)) (err error) {
		out, err = p.Client.GetShardIterator(ctx, in, o)
		return err
	})
	if err != nil {
		return err
	}
	p.refusal.now = p.clock(out.ResultMetadata, c.began)
	p.iterator = aws.ToString(out.ShardIterator)
	if p.iterator != "" {
		p.refusal.empty = 0
	}
	return nil
}

// refused decides what the refusal of a position means, and returns true if another one is asked for at once. A time is
// never too old: one that is refused is ahead of the service's clock, and is waited for.
func (p *Poller) refused(err error) bool {
	seq, whole, ok := p.place()
	switch {
	case !ok || p.refusal.all:
		return false
	case whole && seq != p.refusal.seq:
		p.refusal.seq, p.refusal.told = seq, err
		return true
	}
	p.trimmed(err)
	p.refusal.all = true
	return false
}

// unlocated decides what a reply without an iterator means. Where nothing follows it is a legal answer: it is the end of
// the shard if it comes twice, for a record that reading has come to as well, and the shard has children.
func (p *Poller) unlocated(ctx context.Context) (next time.Time, ok bool) {
	if p.refusal.empty++; p.refusal.empty == 1 {
		if seq, whole, ok := p.place(); ok && whole {
			p.refusal.seq, p.refusal.told = seq, errNoIterator
		}
		return p.notBefore, true
	}
	p.silence.Reset(hangTime)
	children, err := p.Oracle.Children(ctx, p.Shard)
	p.silence.Stop()
	if err != nil || len(children) == 0 {
		return p.failed(ctx, "GetShardIterator", errors.Join(errNoIterator, err))
	}
	p.deliver(nil, Read{Now: p.refusal.now, End: true, Children: children})
	return p.end()
}

// fresh is rs without the records that have been delivered: a service that serves a page twice must not make a
// duplicate. Only numbers have an order: of other records none is dropped but the one that was asked for itself.
func (p *Poller) fresh(rs []types.Record) []types.Record {
	if p.refusal.unread && len(rs) > 0 {
		p.refusal.unread = false
		if seq := p.refusal.seq; aws.ToString(rs[0].SequenceNumber) == seq {
			p.lastSeq, rs = seq, rs[1:]
		} else {
			p.trimmed(p.refusal.told)
		}
	}
	for len(rs) > 0 && p.lastSeq != "" && !after(aws.ToString(rs[0].SequenceNumber), p.lastSeq) {
		rs = rs[1:]
	}
	return rs
}

// ordered is an error for records that are not in the order of their shard, each there once: whatever made such a page, keys would
// lose their order by it. It is asked for again.
func ordered(rs []types.Record) error {
	for i := 1; i < len(rs); i++ {
		a, b := aws.ToString(rs[i-1].SequenceNumber), aws.ToString(rs[i].SequenceNumber)
		if len(a) == len(b) && a < b {
			continue // of numbers and of words
		}
		if !after(b, a) {
			return fmt.Errorf("%w: %s comes behind %s", errOrder, b, a)
		}
	}
	return nil
}

// after compares sequence numbers as the integers they are (L37), leading zeros or not. What is no number is after
// everything.
func after(a, b string) bool {
	if !number(a) || !number(b) {
		return true
	}
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) > len(b)
	}
	return a > b
}

func number(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
