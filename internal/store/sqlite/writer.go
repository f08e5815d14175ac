package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
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

// A writer owns the one connection that writes. Whoever comes to it while nobody writes leads: it begins a
// transaction, does its own work in it, then lets those who came meanwhile do theirs, each behind a
// savepoint, and one commit makes it all durable. Then the next in the queue leads. So who is alone waits
// for nobody, not even for another goroutine to wake up, and a crowd shares its commits.
//
// Everybody's function runs in its own goroutine, the connection goes round: a panic is its maker's alone.
type writer struct {
	db    *sql.DB
	s     *session // the leader's; nil: to be opened, the last one was no good
	doubt bool     // the leader's; s has met a failure that may be its own
	mu    sync.Mutex
	led   bool
	shut  bool
	quiet sync.Cond // led became false
	queue []*turn
}

// A turn is the place of one who waits.
type turn struct {
	call   chan call  // what it was waiting for
	end    chan error // what its function said
	commit chan error // what became of the transaction it was in
}

// A call is to lead, or to use the leader's connection, or that there is none.
type call struct {
	lead bool
	s    *session
	err  error
}

var (
	errAbandoned = errors.New("sqlite: the function of an update did not return")
	errAgain     = fmt.Errorf("%w: another's failure took this turn with it", store.ErrUnavailable)
)

func newWriter(db *sql.DB) *writer {
	w := &writer{db: db}
	w.quiet.L = &w.mu
	return w
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
	if err := ctx.Err(); err != nil {
		return err
	}
	t, err := w.enter()
	if err != nil {
		return err
	}
	if t == nil {
		return w.lead(f)
	}
	var c call
	select {
	case c = <-t.call:
	case <-ctx.Done():
		if w.leave(t) {
			return ctx.Err()
		}
		c = <-t.call // too late: it was called, and somebody waits for it
	}
	switch {
	case c.lead:
		return w.lead(f)
	case c.err != nil:
		return c.err
	}
	refused := t.follow(f, c.s)
	// A refusal waits for the commit as well: it may rest on what another turn of the group wrote ("used up
	// already"), and that is not so before it is durable.
	if err := <-t.commit; err != nil {
		return err
	}
	return refused
}

// enter returns a place in the queue, or nil if the caller is to lead.
func (w *writer) enter() (*turn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.shut:
		return nil, errClosed
	case !w.led:
		w.led = true
		return nil, nil
	}
	t := &turn{call: make(chan call, 1), end: make(chan error, 1), commit: make(chan error, 1)}
	w.queue = append(w.queue, t)
	return t, nil
}

// leave gives up a place, if it is still one.
func (w *writer) leave(t *turn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.queue, t)
	if i >= 0 {
		w.queue = slices.Delete(w.queue, i, i+1)
	}
	return i >= 0
}

// next takes the first out of the queue, or returns nil.
func (w *writer) next() *turn {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		return nil
	}
	t := w.queue[0]
	w.queue = slices.Delete(w.queue, 0, 1)
	return t
}

// lead runs one group and passes the lead on, however it ends.
func (w *writer) lead(f func(sqlstore.Querier) error) error {
	defer w.pass()
	if err := w.begin(); err != nil {
		w.refuse(err)
		return err
	}
	// The leader needs no savepoint: with nobody before it, its failure may undo everything.
	if err := w.own(f); err != nil {
		return err
	}
	group, err := w.others()
	if err != nil {
		w.discard()
		tell(group, errAgain)
		return errAgain
	}
	err = w.s.do(`COMMIT`)
	if err != nil || w.doubt {
		w.discard()
	}
	tell(group, err)
	return err
}

// refuse sends away who has come meanwhile. They have waited for the same lock or the same disk, and for each
// of them to try in turn would make the last one wait that many times as long (S-77).
func (w *writer) refuse(err error) {
	for t := w.next(); t != nil; t = w.next() {
		t.call <- call{err: err}
	}
}

func (w *writer) pass() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		w.led = false
		w.quiet.Broadcast()
		return
	}
	w.queue[0].call <- call{lead: true}
	w.queue = slices.Delete(w.queue, 0, 1)
}

func (w *writer) begin() error {
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

// own runs the leader's function. Whatever ends it, a panic or a test's FailNow too, leaves no transaction.
func (w *writer) own(f func(sqlstore.Querier) error) error {
	err := errAbandoned
	defer func() {
		if err != nil {
			w.rollback(err)
		}
	}()
	err = f(w.s)
	return err
}

// others lets those in the queue write in the leader's transaction, and returns who is to be told of its
// end. An error is one of the connection: the transaction is lost, and everybody's work in it.
func (w *writer) others() (group []*turn, err error) {
	for began := (time.Time{}); len(group) < groupSize; {
		t := w.next()
		if t == nil {
			break
		}
		if began.IsZero() {
			began = time.Now()
		}
		heard, err := w.let(t)
		if heard {
			group = append(group, t)
		}
		if err != nil {
			return group, err
		}
		if time.Since(began) > groupTime {
			break
		}
	}
	return group, nil
}

// let has one other write; heard says that it did and waits for the commit.
func (w *writer) let(t *turn) (heard bool, err error) {
	if err := w.s.do(`SAVEPOINT turn`); err != nil {
		t.call <- call{err: err}
		return false, err
	}
	t.call <- call{s: w.s}
	if err := <-t.end; err != nil {
		w.doubt = w.doubt || fault(err) == sqlstore.Unavailable
		// Fails if SQLite has rolled back the whole transaction on its own, as it does when the disk is full.
		return true, errors.Join(w.s.do(`ROLLBACK TO turn`), w.s.do(`RELEASE turn`))
	}
	return true, w.s.do(`RELEASE turn`)
}

// follow runs f on the leader's connection and gives that back, however f ends.
func (t *turn) follow(f func(sqlstore.Querier) error, s *session) error {
	err := errAbandoned
	defer func() { t.end <- err }()
	err = f(s)
	return err
}

func tell(group []*turn, err error) {
	for _, t := range group {
		t.commit <- err
	}
}

// rollback undoes everything after err. A connection that may be the cause of it, or cannot even do that, is
// not used again.
func (w *writer) rollback(err error) {
	if w.s.do(`ROLLBACK`) != nil || fault(err) == sqlstore.Unavailable {
		w.discard()
	}
}

// discard closes the connection, which rolls back. The next leader opens a new one: what was wrong with the
// disk may have passed (S-77).
func (w *writer) discard() {
	w.s.close()
	w.s, w.doubt = nil, false
}

// close lets in nobody else, and waits for who is there.
func (w *writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shut = true
	for w.led {
		w.quiet.Wait()
	}
	if w.s != nil {
		w.discard()
	}
}
