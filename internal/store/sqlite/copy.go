package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"modernc.org/sqlite"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlstore"
)

// What the database says of its tables.
const (
	columns = `SELECT m.name, p.name, p.type FROM sqlite_master m JOIN pragma_table_info(m.name) p
		WHERE m.type = 'table' ORDER BY m.name, p.cid`
	references = `SELECT m.name, f."table" FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table'`
)

// Snapshot has a connection of its own, so that a copy of everything takes none from those who sign in. It holds
// up nobody; the log beside the file grows for as long as it reads.
func (e *engine) Snapshot(ctx context.Context, f func(sqlstore.Querier) error) error {
	s, err := openSession(e.db, true)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.do(`BEGIN`); err != nil {
		return err
	}
	defer s.do(`ROLLBACK`) // nothing was written
	return f(s)
}

// Restore puts a backup into the database of a data directory, making both if need be.
func Restore(ctx context.Context, dir string, keys *secret.Keys, from io.ReadSeeker, o store.Restore) (store.BackupInfo, error) {
	db, done, err := raw(ctx, dir, 5*time.Second)
	if err != nil {
		return store.BackupInfo{}, fmt.Errorf("sqlite: %w", err)
	}
	defer done()
	defer db.Close()
	info, err := sqlstore.Restore(ctx, db, dialect, keys, from, o)
	if err != nil {
		return info, fmt.Errorf("sqlite: %s: %w", filepath.Join(dir, File), err)
	}
	return info, nil
}

// Migrate runs a migration on the database of a data directory, without its keys.
func Migrate(ctx context.Context, dir string, run sqlstore.Migration) ([]string, error) {
	db, done, err := raw(ctx, dir, 5*time.Second)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	defer done()
	defer db.Close()
	names, err := run(ctx, db, dialect)
	if err != nil {
		return names, fmt.Errorf("sqlite: %s: %w", filepath.Join(dir, File), err)
	}
	return names, nil
}

// raw opens the file and nothing else. Until done is called nobody else opens it.
func raw(ctx context.Context, dir string, busy time.Duration) (db *sql.DB, done func(), err error) {
	if err := secure(dir); err != nil {
		return nil, nil, err
	}
	path, err := filepath.Abs(filepath.Join(dir, File))
	if err != nil {
		return nil, nil, err
	}
	connector, err := sqlite.NewConnector(dsn(path, busy))
	if err != nil {
		return nil, nil, err
	}
	done, err = alone(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	return sql.OpenDB(connector), done, nil
}
