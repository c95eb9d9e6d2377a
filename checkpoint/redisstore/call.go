package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/shardlane/shardlane/checkpoint"
)

// write runs a script that changes the row of key, and returns nil if it did.
func (s *Store) write(ctx context.Context, name string, sc script, key string, args ...any) error {
	t := &ticket{key: key}
	reply, err := s.call(ctx, sc, t, args...)
	switch {
	case err != nil && (!t.used || refusal(err)):
		return fmt.Errorf("redisstore: %s %q: %w: %w", name, key, checkpoint.ErrNotApplied, err)
	case err != nil:
		return fmt.Errorf("redisstore: %s %q: %w", name, key, err)
	case reply == int64(1):
		return nil
	case reply == int64(0):
		return checkpoint.ErrConflict
	default:
		return fmt.Errorf("redisstore: %s %q: unexpected answer %v", name, key, reply)
	}
}

// call runs a script and returns its result. With a ticket, which is then the first argument, it is sent once.
func (s *Store) call(ctx context.Context, sc script, t *ticket, args ...any) (any, error) {
	if s.unfit != nil {
		return nil, s.unfit
	}
	reply, err := s.send(ctx, "evalsha", sc.hash, t, args)
	if redis.HasErrorPrefix(err, "NOSCRIPT") { // the server was restarted, or has never had it: nothing ran
		return s.send(ctx, "eval", sc.text, t, args)
	}
	return reply, err
}

func (s *Store) send(ctx context.Context, how, sc string, t *ticket, args []any) (any, error) {
	head := []any{how, sc, 2, s.rows, s.index}
	if t != nil {
		head = append(head, t)
	}
	cmd := redis.NewCmd(ctx, slices.Concat(head, args)...)
	cmd.SetFirstKeyPos(3)
	if t != nil {
		t.cmd, t.used = cmd, false
	}
	err := s.client.Process(ctx, cmd)
	if t != nil && t.cause != nil {
		err = t.cause
	}
	return cmd.Val(), err
}

// A ticket is an argument of a command that changes something: the key of the row. go-redis asks for its bytes each time it
// sends the command, and gets them for the first time, and then only if the server has refused it. So a client
// that repeats a command whose answer was lost cannot, and a command that was never sent is known as such.
type ticket struct {
	key   string
	cmd   redis.Cmder
	used  bool
	cause error // for which the command would have been sent again
}

var errRepeated = errors.New("command is not sent a second time")

// MarshalBinary returns the key.
func (t *ticket) MarshalBinary() ([]byte, error) {
	if err := t.cmd.Err(); t.used && !refusal(err) {
		if t.cause == nil {
			t.cause = err
		}
		if t.cause == nil { // go-redis does not say why
			t.cause = errRepeated
		}
		return nil, errRepeated
	}
	t.used = true
	return []byte(t.key), nil
}

// String returns the key, for hooks that log commands.
func (t *ticket) String() string { return t.key }

// refusal reports whether err is an answer of the server which says that it did not do what the command asks for.
func refusal(err error) bool {
	return slices.ContainsFunc([]string{
		"NOSCRIPT", "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "CROSSSLOT", // not here, or not now
		"LOADING", "READONLY", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "BUSY", // in no state for it
		"NOAUTH", "WRONGPASS", "NOPERM", "The user executing the script", "ACL failure in script", // not for this user
		"WRONGTYPE", "unknown command", // never
	}, func(prefix string) bool { return redis.HasErrorPrefix(err, prefix) })
}
