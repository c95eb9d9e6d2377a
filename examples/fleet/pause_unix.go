//go:build unix

package main

import "syscall"

// pause stops a process in the middle of what it does, and resume lets it go on as if nothing had been.
func (p *process) pause() error  { return p.cmd.Process.Signal(syscall.SIGSTOP) }
func (p *process) resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }
