package sqlite

import (
	"context"
	"database/sql"
	"sync"

	"latchkey.dev/internal/store/sqlstore"
)

// A pool holds the connections that read. They are opened when they are first needed, and no more of them
// than ever read at once: an idle one has a page cache of its own.
type pool struct {
	db     *sql.DB
	idle   chan *session
	unborn chan struct{} // one for each connection that may still be opened
	stop   chan struct{}
	once   sync.Once
}

func newPool(db *sql.DB, n int) *pool {
	p := &pool{db: db, idle: make(chan *session, n), unborn: make(chan struct{}, n), stop: make(chan struct{})}
	for range n {
		p.unborn <- struct{}{}
	}
	return p
}

// view runs f over the snapshot that its first read sees.
func (p *pool) view(ctx context.Context, f func(sqlstore.Querier) error) error {
	s, err := p.take(ctx)
	if err != nil {
		return err
	}
	good := false // stays so if f panics
	defer func() { p.put(s, good) }()
	if err := s.do(`BEGIN`); err != nil {
		return err
	}
	err = f(s)
	good = s.do(`ROLLBACK`) == nil // nothing was written
	return err
}

// viewOnce is view without a transaction, which is a quarter of what reading one row costs.
func (p *pool) viewOnce(ctx context.Context, f func(sqlstore.Querier) error) error {
	s, err := p.take(ctx)
	if err != nil {
		return err
	}
	good := false // stays so if f panics
	defer func() { p.put(s, good) }()
	err = f(s)
	good = true // a statement that failed leaves nothing open
	return err
}

func (p *pool) take(ctx context.Context) (*session, error) {
	select {
	case <-p.stop:
		return nil, errClosed
	default:
	}
	select {
	case s := <-p.idle:
		return s, nil
	default:
	}
	select {
	case s := <-p.idle:
		return s, nil
	case <-p.unborn:
		s, err := openSession(p.db, true)
		if err != nil {
			p.unborn <- struct{}{}
		}
		return s, err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.stop:
		return nil, errClosed
	}
}

// put takes a connection back; one that may not be good is closed.
func (p *pool) put(s *session, good bool) {
	if good {
		p.idle <- s
		return
	}
	s.close()
	p.unborn <- struct{}{}
}

// close waits for who is reading.
func (p *pool) close() {
	p.once.Do(func() {
		close(p.stop)
		for range cap(p.idle) {
			select {
			case s := <-p.idle:
				s.close()
			case <-p.unborn:
			}
		}
	})
}
