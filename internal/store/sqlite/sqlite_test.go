package sqlite

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/storetest"
)

var ctx = context.Background()

func TestMain(m *testing.M) {
	if dir := os.Getenv(storetest.WorkerEnv); dir != "" {
		fmt.Fprintln(os.Stderr, work(dir)) // until it is killed
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func work(dir string) error {
	keys, err := secret.NewKeys([secret.KeySize]byte{1})
	if err != nil {
		return err
	}
	db, err := Open(ctx, dir, keys)
	if err != nil {
		return err
	}
	return storetest.Work(db)
}

func home(dir string) storetest.Home {
	return storetest.Home{
		Open: func(keys *secret.Keys) (store.DB, error) {
			db, err := Open(ctx, dir, keys)
			if err != nil {
				return nil, err
			}
			return db, nil
		},
		Restore: func(keys *secret.Keys, from io.ReadSeeker, o store.Restore) (store.BackupInfo, error) {
			return Restore(ctx, dir, keys, from, o)
		},
		Dump: func(t *testing.T) (all []byte) {
			files, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil || len(files) == 0 {
				t.Fatal("no files", err)
			}
			for _, name := range files {
				b, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, b...)
			}
			return all
		},
	}
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Home { return home(t.TempDir()) })
}

func TestS75_KilledAtAnyTime(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	dir := t.TempDir()
	storetest.Crash(t, home(dir), dir, rounds)
	e, err := open(ctx, dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var verdict string
	if err := e.db.QueryRowContext(ctx, `PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity: %s, error %v", verdict, err)
	}
}

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, func(tb testing.TB) storetest.Home { return home(tb.TempDir()) })
}
