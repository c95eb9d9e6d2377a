package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"syscall"
	"time"
)

const (
	patience = time.Minute     // for a stream to be consumed
	settle   = time.Second     // between the last record of an idle stream and its measurement
	idling   = 5 * time.Second // how long an idle stream is measured
)

// An outcome is what one job cost.
type outcome struct {
	CPU     int64   `json:"cpu_ns"`
	Allocs  uint64  `json:"allocs"`
	Bytes   uint64  `json:"bytes"`
	Units   int64   `json:"units"` // records, or calls of an idle stream
	Heap    float64 `json:"heap"`  // live heap and stacks per shard, if idle
	Workers float64 `json:"goroutines"`
	Dials   float64 `json:"dials"` // per second
	Open    float64 `json:"open"`  // connections
	Span    float64 `json:"span"`  // seconds

	Waits     []time.Duration `json:"waits,omitempty"` // from a put until a handler had the record
	Throttled int             `json:"throttled,omitempty"`
}

// A reading is what the process has used so far.
type reading struct {
	cpu            time.Duration
	mallocs, bytes uint64
	live           uint64
	at             time.Time
}

func read() (reading, error) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return reading{
		cpu: time.Duration(u.Utime.Nano() + u.Stime.Nano()), mallocs: m.Mallocs, bytes: m.TotalAlloc,
		live: m.HeapAlloc + m.StackInuse, at: time.Now(),
	}, err
}

// A run is one job in this process.
type run struct {
	*job
	consume func(ctx context.Context, j *job, stream string, m *meter) error
}

// measure is the process of a subject.
func measure(ctx context.Context, j *job) (o outcome, err error) {
	i := slices.IndexFunc(subjects, func(s subject) bool { return s.name == j.Subject })
	if i < 0 {
		return o, fmt.Errorf("no subject %q", j.Subject)
	}
	r := run{j, subjects[i].consume}
	switch {
	case j.Puts > 0:
		return r.delay(ctx)
	case j.Idle:
		return r.idle(ctx)
	}
	err = r.do(ctx, j.Load, func(full <-chan struct{}) error {
		from, err := collected()
		if err != nil {
			return err
		}
		if err := j.tell(ctx, pathRelease, nil); err != nil {
			return err
		}
		select {
		case <-full:
		case <-ctx.Done():
			return nil
		}
		to, err := read()
		o = difference(from, to, j.Load.perPage()*int64(j.Load.Pages-1))
		return err
	})
	return o, err
}

// do consumes a stream, and fails unless the handlers get just what the server has. Once the subject is warm, which is when it
// has the first page of each shard, all that follows is measured by a function, which is given a channel that is closed when
// all records are there. When it returns, the subject is stopped.
func (r run) do(ctx context.Context, l load, measured func(full <-chan struct{}) error) error {
	if err := r.tell(ctx, pathHold, nil); err != nil {
		return err
	}
	m := newMeter(l)
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- r.consume(ctx, r.job, l.stream(), m) }()
	finished := make(chan error, 1)
	go func() {
		select {
		case <-m.warm.reached:
			finished <- measured(m.full.reached)
		case <-ctx.Done():
		}
	}()
	var err error
	select {
	case err = <-finished:
	case err := <-done:
		return fmt.Errorf("ended after %d of %d records: %w", m.records.Load(), m.full.at, err)
	case <-ctx.Done():
		return fmt.Errorf("%d of %d records in %s", m.records.Load(), m.full.at, patience)
	}
	stop()
	<-done // what a subject returns when it is stopped is its own affair
	if n, bytes := m.records.Load(), m.bytes.Load(); (n != m.full.at && l.Busy == 0) || bytes != n*int64(l.Size) {
		return fmt.Errorf("got %d records and %d bytes, not %d records of %d bytes", n, bytes, m.full.at, l.Size)
	}
	return err
}

// collected reads behind a collection of garbage.
func collected() (reading, error) {
	runtime.GC()
	runtime.GC()
	return read()
}

func difference(from, to reading, units int64) outcome {
	return outcome{
		CPU: int64(to.cpu - from.cpu), Allocs: to.mallocs - from.mallocs, Bytes: to.bytes - from.bytes,
		Units: units, Span: to.at.Sub(from.at).Seconds(),
	}
}

// idle measures shards of which each has been read and has nothing more: their memory, and the CPU time of a call. What the
// first shard of a process costs is not counted.
func (r run) idle(ctx context.Context) (o outcome, err error) {
	one := load{Records: 1, Size: r.Load.Size, Shards: 1, Pages: 1}
	if err := r.do(ctx, one, func(<-chan struct{}) error { return nil }); err != nil {
		return o, err
	}
	base, err := collected()
	if err != nil {
		return o, err
	}
	err = r.do(ctx, r.Load, func(<-chan struct{}) error {
		if r.Load.Busy > 0 {
			if err := r.tell(ctx, pathRelease, nil); err != nil {
				return err
			}
		}
		if err := wait(ctx, settle); err != nil {
			return err
		}
		var was, is counts
		if err := r.tell(ctx, pathCounts, &was); err != nil {
			return err
		}
		from, err := read()
		if err != nil {
			return err
		}
		if err := wait(ctx, idling); err != nil {
			return err
		}
		to, err := read()
		if err != nil {
			return err
		}
		if err := r.tell(ctx, pathCounts, &is); err != nil {
			return err
		}
		o = difference(from, to, is.Calls-was.Calls)
		o.Dials = float64(is.Connections-was.Connections-1) / idling.Seconds() // one is for pathCounts
		o.Open = float64(is.Open - 1)
		o.Workers = float64(runtime.NumGoroutine())
		live, err := collected()
		o.Heap = (float64(live.live) - float64(base.live)) / float64(max(1, r.Load.Shards-1))
		return err
	})
	return o, err
}

// tell makes a call to the server, over a connection of its own, and reads its counts.
func (j *job) tell(ctx context.Context, path string, c *counts) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, j.Server.Plain+path, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if c == nil {
		return nil
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 1000)).Decode(c)
}
