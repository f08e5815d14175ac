// Package sqlite keeps everything in one file, for one process that may be killed at any time.
//
// [Open] makes the data directory, migrates and checks the key. All writing goes through one connection,
// whose owner, the writer, puts the transactions that wait for it into one commit: under load a commit to
// disk is shared by many, and nobody is told of success before it. Reading has connections of its own and
// waits for nobody.
package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3/database"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlstore"
)

// File is the database's name within the data directory.
const File = "latchkey.db"

// readers is how many transactions read at once. Each costs a page cache, and one core can feed few.
const readers = 4

var dialect = sqlstore.Dialect{
	Migrations: database.DialectSQLite3,
	Position:   `(SELECT coalesce(max(seq), 0) + 1 FROM audit_events WHERE $1 = $1)`,
	Settled:    `9223372036854775807`, // one writer: what is visible has nothing to come before it
	Columns:    columns,
	References: references,
	Fault:      fault,
}

// Open opens the database in a data directory, making both if need be. It refuses a directory that others
// can write to, and a master key that is not the database's (S-70).
func Open(ctx context.Context, dir string, keys *secret.Keys, with ...sqlstore.Option) (*sqlstore.DB, error) {
	e, err := open(ctx, dir, 5*time.Second, with...)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	db, err := sqlstore.New(ctx, e, dialect, keys)
	if err != nil {
		e.Close()
		return nil, fmt.Errorf("sqlite: %s: %w", filepath.Join(dir, File), err)
	}
	return db, nil
}

// An engine is the file, opened.
type engine struct {
	db     *sql.DB
	writer *writer
	pool   *pool
}

func open(ctx context.Context, dir string, busy time.Duration, with ...sqlstore.Option) (*engine, error) {
	db, done, err := raw(ctx, dir, busy)
	if err != nil {
		return nil, err
	}
	defer done()
	if _, err := sqlstore.Prepare(ctx, db, dialect, with); err != nil {
		db.Close()
		return nil, err
	}
	db.SetMaxIdleConns(0) // from here on connections are kept by who uses them
	e := &engine{db: db, pool: newPool(db, readers), writer: newWriter(db)}
	return e, nil
}

// dsn asks for what S-75 asks for, on every connection.
func dsn(path string, busy time.Duration) string {
	return location(path,
		fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()),
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"foreign_keys(ON)",
		"cache_size(-2048)",            // KiB, for each connection
		"journal_size_limit(67108864)", // a long reader lets the log grow; afterwards it shrinks again
	)
}

func location(path string, pragmas ...string) string {
	u := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": pragmas}.Encode()}
	return u.String()
}

func (e *engine) View(ctx context.Context, f func(sqlstore.Querier) error) error {
	return e.pool.view(ctx, f)
}

func (e *engine) ViewOnce(ctx context.Context, f func(sqlstore.Querier) error) error {
	return e.pool.viewOnce(ctx, f)
}

func (e *engine) Update(ctx context.Context, f func(sqlstore.Querier) error) error {
	return e.writer.update(ctx, f)
}

// Now is this machine's clock: there is no other.
func (e *engine) Now(context.Context) (time.Time, error) { return time.Now().UTC(), nil }

func (e *engine) Close() error {
	e.writer.close()
	e.pool.close()
	return e.db.Close()
}

var errClosed = fmt.Errorf("%w: closed", store.ErrUnavailable)

// fault judges by SQLite's result codes, https://www.sqlite.org/rescode.html.
func fault(err error) sqlstore.Fault {
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return sqlstore.Unavailable
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return sqlstore.Other
	}
	switch e.Code() {
	case lib.SQLITE_CONSTRAINT_UNIQUE, lib.SQLITE_CONSTRAINT_PRIMARYKEY:
		return sqlstore.Taken
	case lib.SQLITE_CONSTRAINT_FOREIGNKEY:
		return sqlstore.Orphan
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_NOMEM, lib.SQLITE_READONLY, lib.SQLITE_IOERR, lib.SQLITE_FULL,
		lib.SQLITE_CANTOPEN, lib.SQLITE_PROTOCOL:
		return sqlstore.Unavailable
	}
	return sqlstore.Other
}
