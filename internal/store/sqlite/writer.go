package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlstore"
)

// A group ends when it is this large or this old, so that the first in it does not wait for all the world.
const (
	groupSize = 64
	groupTime = 10 * time.Millisecond
)

// A writer owns the one connection that writes. Who wants to write queues for a turn; the turns that were
// asked for meanwhile go into the same transaction, each behind a savepoint, and one commit makes them all
// durable. The function of a turn runs in its caller's goroutine, so that its panics are its own.
type writer struct {
	db    *sql.DB
	queue chan *turn
	stop  chan struct{} // closed: no more turns
	gone  chan struct{} // closed: run has returned
	once  sync.Once
	s     *session // nil: to be opened, the last one is no good
}

// A turn is one caller's time on the connection.
type turn struct {
	begin  chan *session // the connection, or nil and the reason in err
	end    chan error    // what the function said; buffered, nobody waits for the writer to hear it
	commit chan error    // what became of the transaction it was in
	err    error
}

var (
	errAbandoned = errors.New("sqlite: the function of an update did not return")
	errAgain     = fmt.Errorf("%w: another's failure took this turn with it", store.ErrUnavailable)
)

func newWriter(db *sql.DB) *writer {
	return &writer{db: db, queue: make(chan *turn), stop: make(chan struct{}), gone: make(chan struct{})}
}

// update runs f in a turn. A turn that was lost through no fault of its own is taken once more, as the
// contract allows.
func (w *writer) update(ctx context.Context, f func(sqlstore.Querier) error) error {
	err := w.take(ctx, f)
	if errors.Is(err, errAgain) {
		err = w.take(ctx, f)
	}
	return err
}

func (w *writer) take(ctx context.Context, f func(sqlstore.Querier) error) error {
	t := &turn{begin: make(chan *session), end: make(chan error, 1), commit: make(chan error, 1)}
	select {
	case w.queue <- t:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stop:
		return errClosed
	}
	s := <-t.begin
	if s == nil {
		return t.err
	}
	refused := t.call(f, s)
	// A refusal waits for the commit as well: it may rest on what another turn of the group wrote ("used up
	// already"), and that is not so before it is durable.
	if err := <-t.commit; err != nil {
		return err
	}
	return refused
}

// call runs f and tells the writer of its end, be it a panic or a test's FailNow.
func (t *turn) call(f func(sqlstore.Querier) error, s *session) error {
	err := errAbandoned
	defer func() { t.end <- err }()
	err = f(s)
	return err
}

func (w *writer) run() {
	defer close(w.gone)
	for {
		select {
		case t := <-w.queue:
			w.group(t)
		case <-w.stop:
			return
		}
	}
}

// group runs one transaction: the first turn and those that ask while it lasts.
func (w *writer) group(t *turn) {
	if err := w.open(); err != nil {
		t.refuse(err)
		return
	}
	// The first turn needs no savepoint: with nobody before it, its failure may undo everything.
	if err := w.first(t); err != nil {
		w.rollback()
		t.commit <- nil // alone, it saw only what is durable
		return
	}
	group := []*turn{t}
	for started := time.Now(); len(group) < groupSize && time.Since(started) < groupTime; {
		t := w.next()
		if t == nil {
			break
		}
		heard, err := w.later(t)
		if heard {
			group = append(group, t)
		}
		if err != nil {
			w.discard()
			tell(group, errAgain)
			return
		}
	}
	err := w.s.do(`COMMIT`)
	if err != nil {
		w.discard()
	}
	tell(group, err)
}

func (w *writer) open() error {
	var err error
	if w.s == nil {
		if w.s, err = openSession(w.db, false); err != nil {
			w.s = nil
			return err
		}
	}
	if err = w.s.do(`BEGIN IMMEDIATE`); err != nil {
		w.discard()
	}
	return err
}

func (w *writer) first(t *turn) error {
	t.begin <- w.s
	return <-t.end
}

// later runs a turn in a transaction that others have written in; heard says that the turn was taken and
// waits for the commit. An error is one of the connection: the transaction is lost, and everybody's work in it.
func (w *writer) later(t *turn) (heard bool, err error) {
	if err := w.s.do(`SAVEPOINT turn`); err != nil {
		t.refuse(err)
		return false, err
	}
	t.begin <- w.s
	if err := <-t.end; err != nil {
		// Fails if SQLite has rolled back the whole transaction on its own, as it does when the disk is full.
		return true, errors.Join(w.s.do(`ROLLBACK TO turn`), w.s.do(`RELEASE turn`))
	}
	return true, w.s.do(`RELEASE turn`)
}

// next is who asks for a turn now, or nil.
func (w *writer) next() *turn {
	select {
	case t := <-w.queue:
		return t
	default:
		return nil
	}
}

// rollback undoes everything; a connection that cannot even do that is not used again.
func (w *writer) rollback() {
	if err := w.s.do(`ROLLBACK`); err != nil {
		w.discard()
	}
}

// discard closes the connection, which rolls back. The next turn gets a new one: what was wrong with the
// disk may have passed (S-77).
func (w *writer) discard() {
	w.s.close()
	w.s = nil
}

func (t *turn) refuse(err error) {
	t.err = err
	t.begin <- nil
}

func tell(group []*turn, err error) {
	for _, t := range group {
		t.commit <- err
	}
}

// close waits for the group in hand.
func (w *writer) close() {
	w.once.Do(func() {
		close(w.stop)
		<-w.gone
		if w.s != nil {
			w.discard()
		}
	})
}
