package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// A process is one that runs a worker, as its parent sees it: this program once more, with another environment.
type process struct {
	trail
	cmd    *exec.Cmd
	stdin  io.Closer // its end asks the worker to stop
	reader *reader

	exited chan struct{} // closed when it is gone; the fields below are set then
	at     time.Time
	err    error
}

// A span is from one moment to another.
type span struct{ from, to time.Time }

// A trail is what is known of a process when it is gone.
type trail struct {
	*past
	name          string
	killed, ended time.Time // zero if it was not
	stops         []span    // in which it stood still; the last one may go on
}

// launch starts a worker. Files with its history and its log are in dir.
func launch(dir string, w *worker, n int) (*process, error) {
	base := filepath.Join(dir, fmt.Sprintf("%s.%d", w.Name, n))
	w.History = base + ".history"
	if err := os.WriteFile(w.History, nil, 0o600); err != nil {
		return nil, err
	}
	follow, err := followHistory(w.History)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(base + ".log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{trail: trail{past: &follow.past, name: w.Name}, cmd: exec.CommandContext(context.Background(), self), reader: follow, exited: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = w.environment(), log, log
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		p.at = time.Now()
		close(p.exited)
	}()
	return p, nil
}

// gone tells whether the process has ended.
func (p *process) gone() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// kill ends the process at once, as kill -9 does.
func (p *process) kill() error {
	p.killed = time.Now()
	err := p.cmd.Process.Kill()
	<-p.exited
	return err
}

// stop asks the worker to stop, and waits until it has.
func (p *process) stop() error {
	err := p.stdin.Close()
	<-p.exited
	return errors.Join(err, p.err)
}
