// Package postgres keeps everything in PostgreSQL, for as many processes as there are.
//
// [Open] migrates, one process at a time, and checks the key. Nodes keep nothing: whatever limits, binds or
// is used once is decided in the database, so a sign-in may change node at every step.
//
// Transactions that write run at READ COMMITTED. That is enough, because no rule rests on an earlier read:
// each is the condition of one UPDATE or INSERT, and there PostgreSQL waits for whoever holds the row and
// judges the condition again on what they left. It is also needed: who has waited for a lock in HoldSends
// must then see what the one before it added, and a snapshot taken at the start of the transaction would
// hide just that. Transactions that only read run at REPEATABLE READ, over one snapshot.
package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3/database"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlstore"
)

const (
	connections = 32 // at most, for each node that says nothing else; PostgreSQL allows 100 in all unless told otherwise
	attempts    = 6  // the first and five more (S-80)
)

// Open opens the database that dsn names, a URL or key=value pairs. Warnings about it go to log.
func Open(ctx context.Context, dsn string, keys *secret.Keys, log *slog.Logger, with ...sqlstore.Option) (*sqlstore.DB, error) {
	return OpenAtMost(ctx, 0, dsn, keys, log, with...)
}

// OpenAtMost is Open with that many connections at most; zero is the default.
func OpenAtMost(ctx context.Context, most int, dsn string, keys *secret.Keys, log *slog.Logger, with ...sqlstore.Option) (*sqlstore.DB, error) {
	pool, err := connect(dsn)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	if most > 0 {
		pool.SetMaxOpenConns(most)
		pool.SetMaxIdleConns(most)
	}
	db, err := open(ctx, pool, keys, log, with...)
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("postgres: %w", err)
	}
	return db, nil
}

func open(ctx context.Context, pool *sql.DB, keys *secret.Keys, log *slog.Logger, with ...sqlstore.Option) (*sqlstore.DB, error) {
	d := dialect(0)
	turns, err := inTurn()
	if err != nil {
		return nil, err
	}
	done, err := sqlstore.Prepare(ctx, pool, d, with, turns)
	if err != nil {
		return nil, err
	}
	if len(done) > 0 {
		log.InfoContext(ctx, "migrated the database", "migrations", done)
	}
	if err := durable(ctx, pool, log); err != nil {
		return nil, err
	}
	base, err := auditBase(ctx, pool)
	if err != nil {
		return nil, fmt.Errorf("placing the audit log: %w", err)
	}
	return sqlstore.New(ctx, &engine{pool: pool}, dialect(base), keys)
}

func connect(dsn string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err // pgx leaves the password out of it
	}
	// What a vanished node held must not wait for the end of its TCP connection, which can be hours.
	limits := map[string]string{"idle_in_transaction_session_timeout": "10s", "lock_timeout": "5s"}
	for name := range config.RuntimeParams {
		delete(limits, name) // the operator knows better
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = patience // for each of several hosts
	}
	if config.ValidateConnect == nil {
		// Of several hosts the one that takes writes, and of one host nothing else: a standby would say of a
		// sign-in that began a moment ago that nobody knows it (S-80).
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	var pool *sql.DB
	pool = stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		for name, value := range limits {
			if _, err := c.Exec(ctx, `SELECT set_config($1, $2, FALSE)`, name, value); err != nil {
				return err
			}
		}
		return nil
	}), stdlib.OptionShouldPing(func(ctx context.Context, p stdlib.ShouldPingParams) bool {
		if p.IdleDuration > time.Second && !alive(ctx, p.Conn) {
			forget(pool)
		}
		return p.Conn.IsClosed() // a ping of pgx's own then finds out at once that it is no good
	}))
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	pool.SetConnMaxLifetime(time.Hour)
	return pool, nil
}

// How long a server may take to answer to its name, before it counts as away: a machine that lost its power,
// or its network, does not say so.
const patience = 3 * time.Second

// alive looks whether the server behind an idle connection is still there, within a time of its own: the
// caller's would be used up by a machine that is gone. A connection that does not answer is closed by that.
func alive(ctx context.Context, c *pgx.Conn) bool {
	ctx, done := context.WithTimeout(ctx, patience)
	defer done()
	return c.Ping(ctx) == nil
}

// forget closes all connections that nobody uses. Where one does not answer the others will not either, and to
// find that out one by one would take as many times as long.
func forget(pool *sql.DB) {
	most := pool.Stats().MaxOpenConnections
	pool.SetMaxIdleConns(-1)
	pool.SetMaxIdleConns(most)
}

// durable warns if what is acknowledged could be lost (S-75). It does not refuse: a test's database may be
// quick on purpose.
func durable(ctx context.Context, pool *sql.DB, log *slog.Logger) error {
	for name, good := range map[string][]string{"synchronous_commit": {"on", "remote_apply"}, "fsync": {"on"}, "full_page_writes": {"on"}} {
		var value string
		if err := pool.QueryRowContext(ctx, `SELECT current_setting($1)`, name).Scan(&value); err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		if !slices.Contains(good, value) {
			log.WarnContext(ctx, "PostgreSQL may lose what was acknowledged", "setting", name, "value", value, "safe", good)
		}
	}
	return nil
}

// The locks that are ours alone among all that are taken in the database.
const (
	migrating = 0x1a7c_4e70 + iota
	placing
)

// The place of an audit event is made of its transaction's number, because a sequence would number the
// events of a slow transaction below those that a reader has seen already. Below the oldest transaction
// still running nothing can appear any more. A database that was dumped and loaded elsewhere counts its
// transactions anew: the base lifts the places above those that came with it.
func dialect(base int64) sqlstore.Dialect {
	return sqlstore.Dialect{
		Migrations: database.DialectPostgres,
		Hold:       `SELECT pg_advisory_xact_lock($1)`,
		Locks:      true,
		SkipLocked: ` FOR UPDATE SKIP LOCKED`,
		Position:   fmt.Sprintf(`(pg_current_xact_id()::text::bigint << 16) + $1 + %d`, base),
		Settled:    fmt.Sprintf(`(pg_snapshot_xmin(pg_current_snapshot())::text::bigint << 16) + %d`, base),
		Columns:    columns,
		References: references,
		Fault:      fault,
	}
}

// auditBase reads the base, and raises it if the log holds places that are still to come.
func auditBase(ctx context.Context, pool *sql.DB) (base int64, err error) {
	e := &engine{pool: pool}
	err = e.Update(ctx, func(q sqlstore.Querier) error {
		if _, err := q.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(placing)); err != nil {
			return err
		}
		const name = `'audit.base'`
		var last, here int64
		rows, err := q.Query(ctx, `SELECT coalesce((SELECT value::bigint FROM settings WHERE name = `+name+`), 0),
			coalesce((SELECT max(seq) FROM audit_events), -1), pg_current_xact_id()::text::bigint << 16`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := rows.Scan(&base, &last, &here); err != nil {
				return err
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil || last < base+here {
			return err
		}
		base = last + 1 - here
		_, err = q.Exec(ctx, `INSERT INTO settings (name, value) VALUES (`+name+`, $1::bigint::text)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, base)
		return err
	})
	return base, err
}

// An engine is a pool of connections.
type engine struct {
	pool   *sql.DB
	closed atomic.Bool // database/sql has no name for it
}

var errClosed = fmt.Errorf("%w: closed", store.ErrUnavailable)

func (e *engine) View(ctx context.Context, f func(sqlstore.Querier) error) error {
	return e.again(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}, f)
}

// ViewOnce has its transaction: the answer to BEGIN is how a server that has followed another since, or is gone, is
// told from one that leads.
func (e *engine) ViewOnce(ctx context.Context, f func(sqlstore.Querier) error) error {
	return e.View(ctx, f)
}

func (e *engine) Update(ctx context.Context, f func(sqlstore.Querier) error) error {
	return e.again(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted}, f)
}

// again runs f until it meets no conflict. A commit whose answer was lost is not tried again: it may have
// happened.
func (e *engine) again(ctx context.Context, o *sql.TxOptions, f func(sqlstore.Querier) error) error {
	for n := 1; ; n++ {
		if e.closed.Load() {
			return errClosed
		}
		conflict, err := e.once(ctx, o, f)
		if err == nil || !conflict || n == attempts {
			return err
		}
		pause := time.NewTimer(time.Duration(rand.Int64N(int64(5*time.Millisecond) << n)))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

// longest bounds a transaction that nobody ends: one whose server has stopped answering.
const longest = 30 * time.Second

// once runs f in one transaction. The caller's context ends the wait for a connection and each statement of
// f, but not the commit: broken off half way, nobody could say whether it happened.
func (e *engine) once(ctx context.Context, o *sql.TxOptions, f func(sqlstore.Querier) error) (conflict bool, err error) {
	whole, end := context.WithTimeout(context.WithoutCancel(ctx), longest)
	defer end()
	conn, tx, err := e.begin(ctx, whole, o)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	defer tx.Rollback() // after a commit this does nothing
	q := &querier{tx: tx}
	if err := f(q); err != nil {
		return q.conflict || conflicts(err), err // pgx tells of some only when their rows are read
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err = tx.Commit(); err != nil && whole.Err() != nil {
		err = fmt.Errorf("%w: %w", store.ErrUnavailable, err) // nobody gave up but we
	}
	return conflicts(err), err
}

// begin opens a transaction on a connection that is good. Those that a failover has spoilt show here, one after
// the other, and are thrown away. Nothing was done on them yet, so nothing is done twice; and when there is
// no server to connect to, that ends it.
func (e *engine) begin(ctx, whole context.Context, o *sql.TxOptions) (*sql.Conn, *sql.Tx, error) {
	for {
		conn, err := e.pool.Conn(ctx)
		if err != nil {
			return nil, nil, err
		}
		tx, err := beginTx(whole, conn, o)
		if errors.Is(err, errSilent) {
			forget(e.pool)
		}
		if err == nil {
			if err = conn.Raw(leads); err == nil {
				return conn, tx, nil
			}
			_ = tx.Rollback()
		}
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // closes it
		_ = conn.Close()
		if ctx.Err() != nil || whole.Err() != nil || fault(err) != sqlstore.Unavailable {
			return nil, nil, err
		}
	}
}

// errSilent is of a server that did not answer to BEGIN, which it answers without looking at anything.
var errSilent = fmt.Errorf("%w: it does not answer", store.ErrUnavailable)

// beginTx is conn.BeginTx, but waits for the first answer only as long as is reasonable.
func beginTx(whole context.Context, conn *sql.Conn, o *sql.TxOptions) (*sql.Tx, error) {
	ctx, give := context.WithCancel(whole)
	late := time.AfterFunc(patience, give)
	tx, err := conn.BeginTx(ctx, o)
	if late.Stop() || whole.Err() != nil {
		context.AfterFunc(whole, give) // the transaction ends with it
		return tx, err
	}
	if err == nil {
		_ = tx.Rollback() // it came when we had given it up
	}
	return nil, errSilent
}

// errFollows is of a server that was the primary when we connected to it.
var errFollows = fmt.Errorf("%w: it takes no writes any more", store.ErrUnavailable)

// leads judges by what PostgreSQL (14 and later) has said of itself on the connection, the answer to BEGIN
// included: it costs nothing to ask. What a server that no longer leads would answer is of yesterday.
func leads(conn any) error {
	c := conn.(*stdlib.Conn).Conn().PgConn()
	if c.ParameterStatus("in_hot_standby") == "on" || c.ParameterStatus("default_transaction_read_only") == "on" {
		return errFollows
	}
	return nil
}

func (e *engine) Now(ctx context.Context) (time.Time, error) {
	var now time.Time
	err := e.pool.QueryRowContext(ctx, `SELECT clock_timestamp()`).Scan(&now)
	return now.UTC(), err
}

func (e *engine) Close() error {
	e.closed.Store(true)
	return e.pool.Close()
}

// A querier remembers that a statement met a conflict: what f makes of the error is f's business.
type querier struct {
	tx       *sql.Tx
	conflict bool
}

func (q *querier) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	r, err := q.tx.ExecContext(ctx, query, args...)
	if err != nil {
		q.conflict = q.conflict || conflicts(err)
		return 0, err
	}
	return r.RowsAffected()
}

func (q *querier) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := q.tx.QueryContext(ctx, query, args...)
	q.conflict = q.conflict || conflicts(err)
	return rows, err
}

// conflicts reports a serialization failure or a deadlock.
func conflicts(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01")
}
