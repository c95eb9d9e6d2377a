package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// The environment of a child tells it what to do: roleServer, or a job as JSON.
const (
	roleVariable = "SHARDLANE_BENCHMARK"
	roleServer   = "server"
)

// work does what the environment of a child says. It reports false in the parent.
func work() (bool, error) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		return false, nil
	case roleServer:
		return true, serve()
	default:
		var j job
		if err := json.Unmarshal([]byte(role), &j); err != nil {
			return true, err
		}
		o, err := measure(context.Background(), &j)
		if err != nil {
			return true, err
		}
		return true, json.NewEncoder(os.Stdout).Encode(o)
	}
}

// command is this program once more.
func command(ctx context.Context, role string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd, nil
}

// startServer starts the server's process. It ends with the function that is returned, or with this process.
func startServer(ctx context.Context) (at addresses, end func() error, err error) {
	cmd, err := command(ctx, roleServer)
	if err != nil {
		return at, nil, err
	}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return at, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return at, nil, err
	}
	if err := cmd.Start(); err != nil {
		return at, nil, err
	}
	end = func() error { return errors.Join(in.Close(), cmd.Wait()) }
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &at)
	}
	if err != nil {
		return at, nil, errors.Join(err, end())
	}
	return at, end, nil
}

// run has a child do the job.
func (j *job) run(ctx context.Context) (o outcome, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s with batches of %d, %s, %s: %w", j.Subject, j.Batch, j.Load.stream(), j.Transport, err)
		}
	}()
	role, err := json.Marshal(j)
	if err != nil {
		return o, err
	}
	cmd, err := command(ctx, string(role))
	if err != nil {
		return o, err
	}
	var out, trouble bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &trouble
	if err := cmd.Run(); err != nil {
		return o, fmt.Errorf("%w: %s", err, bytes.TrimSpace(trouble.Bytes()))
	}
	return o, json.Unmarshal(out.Bytes(), &o)
}
