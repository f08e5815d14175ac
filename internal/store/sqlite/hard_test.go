package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlstore"
	"latchkey.dev/internal/store/storetest"
)

func modeOf(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestS70_FilesAreOurs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "for us")
	for range 2 { // made so, and made so again
		db, err := Open(ctx, dir, storetest.Key(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		if mode := modeOf(t, dir); mode != 0o700 {
			t.Errorf("the directory is %s", mode)
		}
		files, err := os.ReadDir(dir)
		if err != nil || len(files) < 4 {
			t.Fatalf("%d files, error %v", len(files), err)
		}
		for _, f := range files {
			if mode := modeOf(t, filepath.Join(dir, f.Name())); mode != 0o600 {
				t.Errorf("%s is %s", f.Name(), mode)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		for path, mode := range map[string]fs.FileMode{dir: 0o755, filepath.Join(dir, File): 0o644} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestS70_ADirectoryOfEverybodysIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if db, err := Open(ctx, dir, storetest.Key(t, 1)); err == nil {
		db.Close()
		t.Error("it was accepted")
	}
	if mode := modeOf(t, dir); mode != 0o777 {
		t.Errorf("its mode was changed to %s", mode)
	}
}

func TestS75_Settings(t *testing.T) {
	e := begin(t, time.Second)
	want := map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "1000"}
	for name, run := range map[string]func(context.Context, func(sqlstore.Querier) error) error{"update": e.Update, "view": e.View} {
		for pragma, value := range want {
			if err := run(ctx, func(q sqlstore.Querier) error {
				got, err := ask(q, `PRAGMA `+pragma)
				if got != value {
					t.Errorf("%s: %s is %s, want %s", name, pragma, got, value)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func ask(q sqlstore.Querier, query string) (value string, err error) {
	rows, err := q.Query(ctx, query)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&value); err != nil {
			return "", err
		}
	}
	return value, rows.Err()
}

func begin(t *testing.T, busy time.Duration) *engine {
	t.Helper()
	e, err := open(ctx, t.TempDir(), busy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// over is the contract on an engine that a test can spoil.
func over(t *testing.T, e *engine) store.DB {
	t.Helper()
	db, err := sqlstore.New(ctx, e, dialect, storetest.Key(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func put(db store.DB, name, value string) error {
	return db.Update(ctx, func(tx store.Tx) error { return tx.PutSetting(ctx, name, value) })
}

func has(t *testing.T, db store.DB, name string) bool {
	t.Helper()
	err := db.View(ctx, func(tx store.Tx) error { _, err := tx.Setting(ctx, name); return err })
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// spoil runs a statement on the connection that writes.
func spoil(t *testing.T, e *engine, statement string) {
	t.Helper()
	if err := e.Update(ctx, func(q sqlstore.Querier) error { _, err := ask(q, statement); return err }); err != nil {
		t.Fatal(err)
	}
}

func TestS77_DiskFull(t *testing.T) {
	e := begin(t, time.Second)
	db := over(t, e)
	spoil(t, e, `PRAGMA max_page_count = 1`) // which SQLite takes for: no more than there are
	err := db.Update(ctx, func(tx store.Tx) error {
		if err := tx.PutSetting(ctx, "small", "1"); err != nil {
			return err
		}
		return tx.PutSetting(ctx, "large", strings.Repeat("x", 1<<20))
	})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got error %v", err)
	}
	if has(t, db, "small") || has(t, db, "large") {
		t.Error("half of it was done")
	}
	if err := put(db, "after", strings.Repeat("x", 1<<20)); err != nil {
		t.Errorf("it does not recover: %v", err)
	}
}

func TestS77_DiskFullForACrowd(t *testing.T) {
	e := begin(t, time.Second)
	db := over(t, e)
	spoil(t, e, `PRAGMA max_page_count = 1`)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			name := fmt.Sprint("n", i)
			err := put(db, name, strings.Repeat("x", 1<<14))
			if err != nil && !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("got error %v", err)
			}
			if told := err == nil; told != has(t, db, name) {
				t.Errorf("%s is there: %t, and its writer was told %v", name, !told, err)
			}
		})
	}
	all.Wait()
}

func TestS77_ReadOnly(t *testing.T) {
	e := begin(t, time.Second)
	db := over(t, e)
	spoil(t, e, `PRAGMA query_only = ON`)
	if err := put(db, "a", "1"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got error %v", err)
	}
	if err := put(db, "a", "1"); err != nil {
		t.Errorf("it does not recover: %v", err)
	}
}

func TestS77_LockHeldByAnother(t *testing.T) {
	e := begin(t, 50*time.Millisecond)
	db := over(t, e)
	other, err := sql.Open("sqlite", dsn(pathOf(t, e), time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.SetMaxOpenConns(1)
	if _, err := other.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	if err := put(db, "a", "1"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got error %v", err)
	}
	if has(t, db, "a") {
		t.Error("it was written all the same") // and reading goes on
	}
	if _, err := other.ExecContext(ctx, `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if err := put(db, "a", "1"); err != nil {
		t.Errorf("it does not recover: %v", err)
	}
}

func TestS77_ACrowdWaitsForALockTogether(t *testing.T) {
	e := begin(t, 500*time.Millisecond)
	db := over(t, e)
	other, err := sql.Open("sqlite", dsn(pathOf(t, e), time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.SetMaxOpenConns(1)
	if _, err := other.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	// One after the other they would take 50 s, and most of them 20 s and more.
	short, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			err := db.Update(short, func(tx store.Tx) error { return tx.PutSetting(ctx, fmt.Sprint(i), "1") })
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("got error %v", err)
			}
		})
	}
	all.Wait()
	if _, err := other.ExecContext(ctx, `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if err := put(db, "a", "1"); err != nil {
		t.Errorf("it does not recover: %v", err)
	}
}

func pathOf(t *testing.T, e *engine) (path string) {
	t.Helper()
	if err := e.db.QueryRowContext(ctx, `SELECT file FROM pragma_database_list WHERE name = 'main'`).Scan(&path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAQueueIsLeftAtOnce(t *testing.T) {
	e := begin(t, time.Second)
	inside, leave := make(chan struct{}), make(chan struct{})
	var first sync.WaitGroup
	first.Go(func() {
		if err := e.Update(ctx, func(sqlstore.Querier) error { close(inside); <-leave; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-inside
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	err := e.Update(short, func(sqlstore.Querier) error { t.Error("it ran"); return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v", err)
	}
	close(leave) // only now: who gave up did not wait for it
	first.Wait()
}

func TestACrowdSharesCommits(t *testing.T) {
	e := begin(t, time.Second)
	db := over(t, e)
	inside, leave := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		if err := e.Update(ctx, func(sqlstore.Querier) error { close(inside); <-leave; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-inside
	const crowd = 40
	for i := range crowd {
		all.Go(func() {
			if err := db.Update(ctx, func(tx store.Tx) error { return tx.PutSetting(ctx, fmt.Sprint(i), "1") }); err != nil {
				t.Error(err)
			}
		})
	}
	for waiting := 0; waiting < crowd; time.Sleep(time.Millisecond) {
		e.writer.mu.Lock()
		waiting = len(e.writer.queue)
		e.writer.mu.Unlock()
	}
	before := frames(t, e)
	close(leave)
	all.Wait()
	// Alone each would write a page or more. Forty small rows fit into a few.
	if wrote := frames(t, e) - before; wrote <= 0 || wrote > crowd/2 {
		t.Errorf("%d updates wrote %d pages", crowd, wrote)
	}
}

// frames counts the pages in the write-ahead log.
func frames(t *testing.T, e *engine) int64 {
	t.Helper()
	info, err := os.Stat(pathOf(t, e) + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	return info.Size() / 4096
}
