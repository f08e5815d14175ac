// Package sqlstore is the store contract in SQL, once for every database.
//
// A database room brings an [Engine], which knows how its transactions are run, and a [Dialect], the few
// words in which databases differ. All the rest is here: the schema, the statements, and what is sealed on
// the way in and opened on the way out, so that no caller can forget to. Start at [New]; [tx] is what the
// contract's methods hang on, a file for each of its parts.
//
// The statements are PostgreSQL's at READ COMMITTED as much as SQLite's: everything that is limited or
// used once is decided by the condition of one UPDATE or INSERT, never by a read before it.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// A Querier runs statements in one transaction.
type Querier interface {
	Exec(ctx context.Context, query string, args ...any) (rows int64, err error)
	Query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// An Engine runs transactions on one kind of database.
type Engine interface {
	// View runs f over one snapshot, read only.
	View(ctx context.Context, f func(Querier) error) error
	// ViewOnce is View for an f that runs one statement.
	ViewOnce(ctx context.Context, f func(Querier) error) error
	// Update runs f, more than once if it must, and commits durably before it returns nil.
	Update(ctx context.Context, f func(Querier) error) error
	// Snapshot is View for as long as it takes.
	Snapshot(ctx context.Context, f func(Querier) error) error
	Now(ctx context.Context) (time.Time, error)
	Close() error
}

// A DB is a [store.DB] over an engine.
type DB struct {
	engine  Engine
	dialect Dialect
	keys    *secret.Keys
	text    texts
	watcher obs.Watcher // nil tells nobody
}

var (
	_ store.DB       = (*DB)(nil)
	_ store.Sweeper  = (*DB)(nil)
	_ store.Resetter = (*DB)(nil)
)

// New makes a DB of a migrated database. It refuses a master key that does not belong to it.
func New(ctx context.Context, e Engine, d Dialect, keys *secret.Keys) (*DB, error) {
	db := &DB{engine: e, dialect: d, keys: keys, text: d.texts()}
	var c claim
	if err := db.Update(ctx, func(t store.Tx) (err error) { c, err = t.(*tx).claim(ctx); return err }); err != nil {
		return nil, err
	}
	if err := db.adopt(c); err != nil {
		return nil, err
	}
	return db, nil
}

// View implements [store.DB].
func (db *DB) View(ctx context.Context, f func(store.Tx) error) error {
	ctx, w := db.watching(ctx, false)
	return w.ends(db.failure(db.engine.View(ctx, func(q Querier) error { return db.run(q, f, w) })))
}

// ViewOnce implements [store.DB].
func (db *DB) ViewOnce(ctx context.Context, f func(store.Tx) error) error {
	ctx, w := db.watching(ctx, false)
	return w.ends(db.failure(db.engine.ViewOnce(ctx, func(q Querier) error { return db.run(&single{Querier: q}, f, w) })))
}

// A single runs one statement. Another one would see another snapshot.
type single struct {
	Querier
	used bool
}

var errSecond = errors.New("sqlstore: a second statement where one was promised")

func (s *single) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if s.used {
		return nil, errSecond
	}
	s.used = true
	return s.Querier.Query(ctx, query, args...)
}

func (s *single) Exec(context.Context, string, ...any) (int64, error) {
	return 0, errors.New("sqlstore: a write where one read was promised")
}

// Update implements [store.DB].
func (db *DB) Update(ctx context.Context, f func(store.Tx) error) error {
	ctx, w := db.watching(ctx, true)
	return w.ends(db.failure(db.engine.Update(ctx, func(q Querier) error { return db.run(q, f, w) })))
}

// run hands f a transaction and holds it to the contract: once a statement has failed nothing more is
// done in the transaction, and it is not committed even if f thinks that all is well.
func (db *DB) run(q Querier, f func(store.Tx) error, w *watch) error {
	w.begins()
	t := &tx{db: db, q: q, watch: w}
	err := f(t)
	if !errors.Is(err, t.sick) {
		err = errors.Join(err, t.sick)
	}
	t.sick = errOver
	return err
}

// Now implements [store.DB].
func (db *DB) Now(ctx context.Context) (time.Time, error) {
	now, err := db.engine.Now(ctx)
	return now, db.failure(err)
}

// Close implements [store.DB].
func (db *DB) Close() error { return db.engine.Close() }

// failure names what a database said in the contract's words.
func (db *DB) failure(err error) error {
	if err == nil || said(err) {
		return err
	}
	switch db.dialect.Fault(err) {
	case Unavailable:
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	case Taken:
		return fmt.Errorf("%w: %w", store.ErrExists, err)
	case Orphan:
		return fmt.Errorf("%w: %w", store.ErrNotFound, err)
	}
	return err
}

// said reports that err has one of the contract's names already.
func said(err error) bool {
	for _, known := range []error{store.ErrNotFound, store.ErrStale, store.ErrSpent, store.ErrExists, store.ErrUnavailable} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
