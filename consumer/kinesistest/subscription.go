package kinesistest

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

const (
	pushOp        = "SubscribeToShardEvent" // an event, as faults and calls name it
	pushEvery     = 200 * time.Millisecond  // between two events, unless more is waiting than one holds
	pushIdle      = 3 * time.Second         // of nothing, then an event without records
	pushFor       = 5 * time.Minute
	maxEventBytes = 2 << 20 // of data and keys of an event's records, and per second with read limits on
)

// subscription is one consumer's reading of one shard. It changes under the server's lock only.
type subscription struct {
	stream   *streamState
	consumer *streamConsumer
	shard    *shard
	began    time.Time     // by this process's clock, as all of its times
	ahead    time.Duration // what the service's clock was ahead then
	at       iterator
	next     time.Time // no event comes earlier
	quiet    time.Time // an event comes now, records or not
}

// stir wakes the subscriptions of a shard.
func (sh *shard) stir() {
	if sh.news != nil {
		close(sh.news)
		sh.news = nil
	}
}

func (st *streamState) stir() {
	for _, sh := range st.shards {
		sh.stir()
	}
}

// push sends the events of a subscription until it ends.
func (s *Server) push(ctx context.Context, w http.ResponseWriter, sub *subscription) {
	// A reader that does not read cannot make it last longer.
	out := http.NewResponseController(w)
	_ = out.SetWriteDeadline(sub.began.Add(pushFor + time.Second))
	defer func() { _ = out.SetWriteDeadline(time.Time{}) }()
	for s.await(ctx, sub) && s.pushEvent(ctx, w, sub) {
	}
}

// await waits until an event is due, and reports false when the five minutes are over.
func (s *Server) await(ctx context.Context, sub *subscription) bool {
	for {
		s.mu.Lock()
		at, now := s.now(), time.Now()
		s.settle(at)
		ends, due := sub.began.Add(pushFor-max(0, s.settings.offset-sub.ahead)), sub.quiet // by the service's clock
		if s.over(sub) != nil {
			due = now
		} else if sub.at.Index < len(sub.shard.records) || !sub.shard.closed.IsZero() {
			due = sub.next
		}
		wait := min(due.Sub(now), ends.Sub(now))
		if sub.stream.status != active { // then something may happen that nobody tells of
			wait = min(wait, max(sub.stream.changeAt.Sub(at), time.Millisecond))
		}
		if sub.shard.news == nil {
			sub.shard.news = make(chan struct{})
		}
		news, latency := sub.shard.news, s.settings.latency
		s.mu.Unlock()
		switch {
		case !now.Before(ends):
			return false
		case !now.Before(due):
			return true
		}
		if s.pause(ctx, wait, news) {
			s.pause(ctx, latency(pushOp), nil)
		}
	}
}

// pause waits, and reports whether news ended it. It ends the connection if the server is closed or the caller gives up.
func (s *Server) pause(ctx context.Context, d time.Duration, news <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return false
	case <-news:
		return true
	case <-s.done:
	case <-ctx.Done():
	}
	panic(http.ErrAbortHandler)
}

// over tells why a subscription cannot go on.
func (s *Server) over(sub *subscription) error {
	st, sc := sub.stream, sub.consumer
	switch {
	case s.streams[st.name] != st || st.status == deleting:
		return notFound(st.name)
	case st.consumers[sc.name] != sc || sc.status == deleting:
		return refuse("ResourceNotFoundException", "Consumer %s under stream %s, account %s not found.", sc.name, st.name, account)
	case sc.subscribed[sub.shard] != sub:
		return anotherSubscription(consumerARN(st.name, sc.name, sc.created))
	}
	return nil
}

// pushEvent sends an event, or the exception that there is instead, and reports whether another one comes.
func (s *Server) pushEvent(ctx context.Context, w http.ResponseWriter, sub *subscription) bool {
	c := &call{Request: Request{Op: pushOp, Stream: sub.stream.name, Shard: sub.shard.id, Time: time.Now()}}
	s.inject(c)
	if c.faults.hang {
		s.hang(ctx)
	}
	s.pause(ctx, c.faults.delay, nil)
	s.mu.Lock()
	c.Time = s.now()
	s.settle(c.Time)
	err := c.faults.before
	if err == nil {
		err = s.over(sub)
	}
	var e event
	if err == nil {
		e = s.event(c, sub)
	}
	s.noteLocked(c, err)
	s.mu.Unlock()
	if err == nil {
		body, failed := omit(e.encode(), c.faults.omit)
		if failed != nil {
			panic(http.ErrAbortHandler)
		}
		b := eventFrame(pushOp, body)
		if c.faults.corrupt {
			b[len(b)-1] ^= 1
		}
		s.sendAll(ctx, w, &c.faults, b)
		err = c.faults.after
	}
	if errors.Is(err, errDropped) {
		flush(w)
		panic(http.ErrAbortHandler)
	}
	var refused *apiError
	if errors.As(err, &refused) {
		s.sendAll(ctx, w, &c.faults, exceptionFrame(refused))
	}
	flush(w)
	return err == nil && !e.last() && !c.faults.endEarly
}

func flush(w http.ResponseWriter) {
	if http.NewResponseController(w).Flush() != nil {
		panic(http.ErrAbortHandler)
	}
}

// event is a page that is pushed.
type event struct {
	page
	continuation string // where to subscribe again; "" at the shard's end
}

func (e event) last() bool { return e.next == (iterator{}) }

// event reads the next page of a subscription.
func (s *Server) event(c *call, sub *subscription) event {
	sh, from := sub.shard, sub.at.Index
	e := event{page: s.page(c, sh, sub.at, maxReadPage, maxEventBytes)}
	if !e.last() {
		e.continuation = s.settings.prefix + sub.stream.continuation(sh, from, e.end, c)
	}
	sub.at = e.next
	now := time.Now()
	sub.next, sub.quiet = now.Add(pushEvery), now.Add(pushIdle)
	if c.records > 0 && e.end < len(sh.records) && !c.faults.repeat {
		sub.next = now
	}
	if paid := now.Add(time.Duration(c.bytes) * time.Second / maxEventBytes); s.settings.readLimits && paid.After(sub.next) {
		sub.next = paid
	}
	return e
}

// continuation returns the sequence number after which a subscription goes on that has read so far: that of the last
// record, or at the tip of an open shard a new one, so that a shard without records gets on, too.
func (st *streamState) continuation(sh *shard, from, end int, c *call) string {
	switch {
	case c.faults.oldContinuation:
		end = from
	case c.records == 0 && end == len(sh.records) && sh.closed.IsZero():
		return st.next(sh, c.Time)
	}
	if end == 0 {
		return sh.first
	}
	return sh.records[end-1].SequenceNumber
}

func (e event) encode() []byte {
	b := e.appendJSON([]byte{'{'})
	if e.continuation != "" {
		b = append(b, `,"ContinuationSequenceNumber":`...)
		b = strconv.AppendQuote(b, e.continuation)
	}
	return append(b, '}')
}
