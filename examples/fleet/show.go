package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// show lets workers share the shards, kills one when they have done so and replaces it a little later, and tells what
// came of it.
func show(ctx context.Context, s settings, out io.Writer) error {
	f, err := newFleet(ctx, s)
	if err != nil {
		return err
	}
	err = f.story(ctx, &screen{out: out, live: s.live})
	if err == nil {
		err = f.result(out, nil)
	}
	return errors.Join(err, f.close(false))
}

func (f *fleet) story(ctx context.Context, sc *screen) error {
	for i := range f.workers {
		if err := f.start(fmt.Sprint("worker-", i+1)); err != nil {
			return err
		}
	}
	producing, stop := context.WithCancel(ctx)
	produced := make(chan struct{})
	go func() { defer close(produced); f.produce(producing) }()
	defer func() { stop(); <-produced }()

	steps := []struct {
		at time.Duration
		do func() error
	}{
		{f.lasts * 3 / 8, func() error {
			sc.sayf(f, "kill -9 %s", f.processes[0].name)
			return f.processes[0].kill()
		}},
		{f.lasts*3/8 + 2*time.Second, func() error {
			sc.sayf(f, "a new worker-1 starts")
			return f.start("worker-1")
		}},
	}
	for wait(ctx, 100*time.Millisecond) && time.Since(f.began) < f.lasts {
		if err := f.read(); err != nil {
			return err
		}
		if len(steps) > 0 && time.Since(f.began) >= steps[0].at {
			if err := steps[0].do(); err != nil {
				return err
			}
			steps = steps[1:]
		}
		sc.show(f)
	}
	stop()
	<-produced
	sc.sayf(f, "the workers stop")
	return f.finish(context.WithoutCancel(ctx), time.Minute)
}

// result tells what the workers did. It returns an error if that was not right.
func (f *fleet) result(out io.Writer, events []event) error {
	byKey, all := f.produced()
	trails := f.trails()
	v := judge(byKey, trails)
	fmt.Fprintf(out, "\n%d records put, %d handled\n", all, v.handled)
	fmt.Fprintf(out, "handled again after a kill: %d, after a pause: %d, after a stop: %d\n", v.duplicates[killed], v.duplicates[paused], v.duplicates[stop])
	fmt.Fprintf(out, "two workers at one shard because one had stood still: %d times\n", v.across)
	measure(trails, events).report(out)
	for i, sentence := range v.wrong {
		if i == 20 {
			fmt.Fprintf(out, "and %d more\n", len(v.wrong)-i)
			break
		}
		fmt.Fprintln(out, "WRONG:", sentence)
	}
	if len(v.wrong) > 0 {
		return fmt.Errorf("%d violations", len(v.wrong))
	}
	return nil
}
