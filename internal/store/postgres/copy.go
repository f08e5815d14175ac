package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"io"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlstore"
)

// What the database says of the tables in our schema.
const (
	columns = `SELECT c.relname, a.attname, format_type(a.atttypid, NULL) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
		ORDER BY c.relname, a.attnum`
	references = `SELECT c.relname, f.relname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class f ON f.oid = k.confrelid
		WHERE k.contype = 'f' AND c.relnamespace = current_schema()::regnamespace`
)

// Snapshot is View without an end: a copy of everything takes as long as it takes.
func (e *engine) Snapshot(ctx context.Context, f func(sqlstore.Querier) error) error {
	if e.closed.Load() {
		return errClosed
	}
	tx, err := e.pool.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing was written
	return f(&querier{tx: tx})
}

// Restore puts a backup into the database that dsn names.
func Restore(ctx context.Context, dsn string, keys *secret.Keys, from io.ReadSeeker, o store.Restore) (store.BackupInfo, error) {
	pool, err := connect(dsn)
	if err != nil {
		return store.BackupInfo{}, fmt.Errorf("postgres: %w", err)
	}
	defer pool.Close()
	turns, err := inTurn()
	if err != nil {
		return store.BackupInfo{}, fmt.Errorf("postgres: %w", err)
	}
	info, err := sqlstore.Restore(ctx, pool, dialect(0), keys, from, o, turns)
	if err != nil {
		return info, fmt.Errorf("postgres: %w", err)
	}
	return info, nil
}

// Migrate runs a migration on the database that dsn names, without its keys.
func Migrate(ctx context.Context, dsn string, run sqlstore.Migration) ([]string, error) {
	pool, err := connect(dsn)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	defer pool.Close()
	turns, err := inTurn()
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	names, err := run(ctx, pool, dialect(0), turns)
	if err != nil {
		return names, fmt.Errorf("postgres: %w", err)
	}
	return names, nil
}

// inTurn lets one process migrate at a time.
func inTurn() (goose.ProviderOption, error) {
	turns, err := lock.NewPostgresSessionLocker(lock.WithLockID(int64(migrating)), lock.WithLockTimeout(1, 300))
	return goose.WithSessionLocker(turns), err
}
