package sqlstore

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"time"
)

const (
	leastPool = 4                // connections of a limited pool of which a Reserved store keeps one
	lineIdle  = 30 * time.Second // without a call, until a kept connection goes back to the pool
	lockWait  = 5 * time.Second  // for a lock of SQLite
)

// pooled returns a connection of the pool. One that waits there and has broken is replaced, as database/sql does it:
// nothing that matters has been sent by then.
func pooled(ctx context.Context, db *sql.DB) (*sql.Conn, func(error), error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	return c, func(error) { c.Close() }, nil
}

// whileLocked repeats a call to SQLite that found the file locked by another connection, which SQLite answers when it has
// changed nothing, for a while or until ctx ends. It asks more often than SQLite does by itself, so that it comes between
// the writes of others that are busy all the time.
func (s *Store) whileLocked(ctx context.Context, call func() error) error {
	for start := time.Now(); ; {
		err := call()
		if s.dialect != SQLite || s.dialect.fault(err) != locked || time.Since(start) > lockWait {
			return err
		}
		pause := time.NewTimer(time.Millisecond + rand.N(4*time.Millisecond))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

// A gate lets one call in at a time. A nil gate lets in all.
type gate chan struct{}

func (g gate) enter(ctx context.Context) error {
	if g == nil {
		return nil
	}
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g gate) leave() {
	if g != nil {
		<-g
	}
}

// A line is one connection that is kept for calls that must not wait for others. They take turns. After an error, and after
// a call whose context has ended, for which a driver may have closed it, the next call takes a new one. When nobody has called for a while, it goes back to the pool, so that closing the pool closes it.
type line struct {
	db   *sql.DB
	turn gate        // entered while a call, or rest, has the connection
	conn *sql.Conn   // nil: none is kept; guarded by turn
	idle *time.Timer // nil: none was kept yet; guarded by turn
}

func newLine(db *sql.DB) *line { return &line{db: db, turn: make(gate, 1)} }

// take returns the connection for one call. A pool that has hardly any keeps them all.
func (l *line) take(ctx context.Context) (*sql.Conn, func(error), error) {
	if n := l.db.Stats().MaxOpenConnections; n > 0 && n < leastPool {
		return pooled(ctx, l.db)
	}
	if err := l.turn.enter(ctx); err != nil {
		return nil, nil, err
	}
	if l.conn == nil {
		c, err := l.db.Conn(ctx)
		if err != nil {
			l.turn.leave()
			return nil, nil, err
		}
		l.conn = c
	}
	return l.conn, func(err error) { l.done(err == nil && ctx.Err() == nil) }, nil
}

func (l *line) done(good bool) {
	switch {
	case !good:
		l.conn.Close()
		l.conn = nil
	case l.idle == nil:
		l.idle = time.AfterFunc(lineIdle, l.rest)
	default:
		l.idle.Reset(lineIdle)
	}
	l.turn.leave()
}

// rest gives the connection back. If a call has it, that call sets the timer again.
func (l *line) rest() {
	select {
	case l.turn <- struct{}{}:
		if l.conn != nil {
			l.conn.Close()
			l.conn = nil
		}
		l.turn.leave()
	default:
	}
}
