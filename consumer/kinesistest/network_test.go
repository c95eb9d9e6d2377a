package kinesistest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func pair(t *testing.T) (client, server net.Conn) {
	l := newMemoryListener()
	accepted := make(chan net.Conn)
	go func() { accepted <- must(l.Accept()) }()
	client = must(l.dial(t.Context()))
	server = <-accepted
	l.Close()
	if _, err := l.dial(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial of a closed listener: %v", err)
	}
	return client, server
}

func TestMemoryConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t)
		large := bytes.Repeat([]byte("0123456789"), 1<<20)
		client.Write(large) // waits for nobody
		got := make([]byte, len(large))
		if _, err := io.ReadFull(server, got); err != nil || !bytes.Equal(got, large) {
			t.Errorf("the server read something else: %v", err)
		}
		written := make(chan error)
		go func() {
			_, err := server.Write(large)
			server.Close()
			written <- err
		}()
		synctest.Wait()
		select {
		case <-written:
			t.Error("the server's write of 10 MB waited for nobody")
		default:
		}
		if got, err := io.ReadAll(client); err != nil || !bytes.Equal(got, large) {
			t.Errorf("the client read %d bytes, %v", len(got), err)
		}
		if err := <-written; err != nil {
			t.Error(err)
		}
		if _, err := client.Write([]byte("x")); err == nil {
			t.Error("a write to a closed peer succeeded")
		}
	})
}

func TestMemoryConnDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t)
		start := time.Now()
		client.SetReadDeadline(start.Add(time.Second))
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("read: %v after %v", err, time.Since(start))
		}
		server.SetDeadline(start.Add(2 * time.Second))
		n, err := server.Write(make([]byte, 1<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || time.Since(start) != 2*time.Second {
			t.Errorf("write: %d bytes, %v after %v", n, err, time.Since(start))
		}
		client.SetReadDeadline(time.Time{})
		if n, err := client.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("read without deadline: %d, %v", n, err)
		}
		ended := make(chan error)
		go func() {
			_, err := io.Copy(io.Discard, client)
			ended <- err
		}()
		synctest.Wait()
		client.SetReadDeadline(start) // in the past: wakes a read that waits
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read under way: %v", err)
		}
		go func() {
			_, err := server.Read(make([]byte, 1))
			ended <- err
		}()
		server.SetDeadline(time.Time{})
		synctest.Wait()
		server.Close()
		if err := <-ended; err == nil {
			t.Error("a read outlived its connection")
		}
		client.Close()
	})
}
