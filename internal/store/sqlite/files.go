package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
)

// lockFile is what processes that open the same database at once take turns by. It stays empty.
const lockFile = "latchkey.lock"

// migrating is how long another process may take to migrate before we give up.
const migrating = time.Minute

// alone waits until no other process is opening the database. The lock is SQLite's own, on a file beside the
// database, so that the system drops it with the process, on every platform that SQLite runs on.
func alone(ctx context.Context, dir string) (done func(), err error) {
	path, err := filepath.Abs(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, err
	}
	connector, err := sqlite.NewConnector(location(path, fmt.Sprintf("busy_timeout(%d)", migrating.Milliseconds())))
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1) // the transaction below is in the connection
	if _, err := db.ExecContext(ctx, `BEGIN EXCLUSIVE`); err != nil {
		db.Close()
		return nil, fmt.Errorf("waiting for another process to open the database: %w", err)
	}
	return func() { db.Close() }, nil
}

// secure makes the data directory and the database file, or closes them to others (S-70). A directory that
// anybody may write to is refused and left as it is: it is nobody's data directory, and may be /tmp.
func secure(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("the data directory %s can be written by anybody: give a directory of its own", dir)
	}
	if err := tighten(dir, info, 0o700); err != nil {
		return err
	}
	// SQLite gives its other files the mode of these.
	for _, name := range []string{File, lockFile} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	for _, name := range []string{File, File + "-wal", File + "-shm", lockFile} {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := tighten(path, info, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func tighten(path string, info fs.FileInfo, mode fs.FileMode) error {
	if info.Mode().Perm()&^mode == 0 {
		return nil
	}
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("%s is open to others (%s) and cannot be closed: %w", path, info.Mode().Perm(), err)
	}
	return nil
}
