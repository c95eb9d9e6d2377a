package kinesistest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const contentType = "application/x-amz-json-1.1"

// ServeHTTP serves one call of the Kinesis API: a POST whose X-Amz-Target names the operation and whose body is JSON. It
// is for programs that bring their own listener; Client and URL need no such thing. It panics with http.ErrAbortHandler
// to cut a connection, as net/http expects.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	c := &call{Request: Request{Time: time.Now(), Body: body}, signed: r.Header.Get("X-Amz-Date")}
	out, err := s.answer(r.Context(), c, r.Header.Get("X-Amz-Target"))
	if errors.Is(err, errDropped) {
		panic(http.ErrAbortHandler)
	}
	if err == nil && c.subscription != nil {
		s.head(w, http.StatusOK, eventStreamType)
		flush(w)
		s.sendAll(r.Context(), w, &c.faults, out)
		flush(w)
		s.push(r.Context(), w, c.subscription)
		return
	}
	s.reply(r.Context(), w, c, out, err)
}

// errDropped says that the connection ends without an answer.
var errDropped = errors.New("kinesistest: connection dropped")

// answer carries a call out, with its latency and its faults.
func (s *Server) answer(ctx context.Context, c *call, target string) (body []byte, err error) {
	prefix, name, _ := strings.Cut(target, ".")
	op, ok := s.ops[name]
	if !ok || prefix != "Kinesis_20131202" {
		return nil, refuse("UnknownOperationException", "")
	}
	c.Op = name
	in, err := op.decode(c.Body)
	if err != nil {
		return nil, err
	}
	c.Stream, c.Shard = s.subject(in)
	s.inject(c)
	if c.faults.hang {
		s.hang(ctx)
	}
	s.mu.Lock()
	latency := s.settings.latency
	s.mu.Unlock()
	wait := latency(name)
	if !s.sleep(wait/2 + c.faults.delay) {
		return nil, errDropped
	}
	var out any
	if err = c.faults.before; err == nil {
		err = s.checkClock(c.signed)
	}
	if err == nil {
		out, err = s.apply(c, op, in)
	} else {
		s.note(c, err)
	}
	if !s.sleep(wait - wait/2) {
		return nil, errDropped
	}
	if err == nil {
		err = c.faults.after
	}
	if err != nil {
		return nil, err
	}
	switch out := out.(type) {
	case nil:
		return nil, nil
	case func() []byte:
		body = out()
		if c.subscription != nil { // no JSON
			return body, nil
		}
	default:
		if body, err = json.Marshal(out); err != nil {
			return nil, err
		}
	}
	return omit(body, c.faults.omit)
}

// omit leaves fields out of an answer.
func omit(body []byte, fields []string) ([]byte, error) {
	if len(fields) == 0 {
		return body, nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var answer any
	if err := d.Decode(&answer); err != nil {
		return nil, err
	}
	var prune func(v any)
	prune = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, f := range fields {
				delete(v, f)
			}
			for _, inner := range v {
				prune(inner)
			}
		case []any:
			for _, inner := range v {
				prune(inner)
			}
		}
	}
	prune(answer)
	return json.Marshal(answer)
}

func (s *Server) apply(c *call, op operation, in any) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Time = s.now()
	s.settle(c.Time)
	out, err := op.run(s, c, in)
	s.noteLocked(c, err)
	return out, err
}

// subject tells which stream and shard an input is about, as far as it says so.
func (s *Server) subject(in any) (stream, shard string) {
	switch in := in.(type) {
	case *getRecordsInput:
		if it, err := parseIterator(deref(in.ShardIterator)); err == nil {
			return it.Stream, it.Shard
		}
	case *listShardsInput:
		if tok, err := parseListToken(deref(in.NextToken)); err == nil {
			return tok.Stream, ""
		}
	}
	if r, ok := in.(interface{ reference() *streamRef }); ok {
		stream = r.reference().name()
	}
	if r, ok := in.(interface{ shardID() string }); ok {
		shard = r.shardID()
	}
	return stream, shard
}

func (s *Server) reply(ctx context.Context, w http.ResponseWriter, c *call, body []byte, err error) {
	status := http.StatusOK
	h := w.Header()
	if err != nil {
		var refused *apiError
		if !errors.As(err, &refused) {
			refused = &apiError{"InternalFailure", err.Error()}
		}
		status = refused.status()
		h.Set("X-Amzn-ErrorType", refused.code)
		body, _ = json.Marshal(struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}{refused.code, refused.message})
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	s.head(w, status, contentType)
	s.sendAll(ctx, w, &c.faults, body)
}

// head writes the status and what every answer has in its header.
func (s *Server) head(w http.ResponseWriter, status int, contentType string) {
	s.mu.Lock()
	s.requests++
	date := time.Now().Add(s.settings.offset)
	id := fmt.Sprintf("00000000-0000-4000-8000-%012x", s.requests)
	s.mu.Unlock()
	h := w.Header()
	h.Set("Date", date.UTC().Format(http.TimeFormat))
	h.Set("Content-Type", contentType)
	h.Set("X-Amzn-RequestId", id)
	w.WriteHeader(status)
}

// hang waits until the caller gives up or the server is closed, and ends the connection.
func (s *Server) hang(ctx context.Context) {
	select {
	case <-s.done:
	case <-ctx.Done():
	}
	panic(http.ErrAbortHandler)
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
