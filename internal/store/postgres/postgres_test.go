package postgres

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/store/storetest"
)

var ctx = context.Background()

func TestMain(m *testing.M) {
	if dsn := os.Getenv(storetest.WorkerEnv); dsn != "" {
		fmt.Fprintln(os.Stderr, work(dsn)) // until it is killed
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func work(dsn string) error {
	keys, err := secret.NewKeys([secret.KeySize]byte{1})
	if err != nil {
		return err
	}
	db, err := Open(ctx, dsn, keys, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return storetest.Work(db)
}

// schema is a schema of the test's own, whose connections can be told from other tests'.
func schema(t testing.TB) string {
	t.Helper()
	return with(t, storetest.Schema(t), "application_name", t.Name())
}

func home(dsn string) storetest.Home {
	return storetest.Home{
		Open: func(keys *secret.Keys) (store.DB, error) {
			db, err := Open(ctx, dsn, keys, slog.New(slog.DiscardHandler))
			if err != nil {
				return nil, err
			}
			return db, nil
		},
		Restore: func(keys *secret.Keys, from io.ReadSeeker, o store.Restore) (store.BackupInfo, error) {
			return Restore(ctx, dsn, keys, from, o)
		},
		Dump: func(t *testing.T) []byte { return dump(t, dsn) },
	}
}

// dump returns every value of every table, as it is stored.
func dump(t *testing.T, dsn string) (all []byte) {
	t.Helper()
	pool, err := connect(dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	names, err := pool.QueryContext(ctx, `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()`)
	if err != nil {
		t.Fatal(err)
	}
	var tables []string
	for names.Next() {
		var name string
		if err := names.Scan(&name); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, name)
	}
	if err := names.Err(); err != nil || len(tables) == 0 {
		t.Fatal("no tables", err)
	}
	for _, table := range tables {
		rows, err := pool.QueryContext(ctx, `SELECT * FROM `+table)
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		values, dest := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			dest[i] = &values[i]
		}
		for rows.Next() {
			if err := rows.Scan(dest...); err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				if b, ok := v.([]byte); ok {
					all = append(all, b...)
				} else {
					all = fmt.Append(all, v)
				}
				all = append(all, '\n')
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Home { return home(schema(t)) })
}

// One machine becomes several, and back.
func TestS83_BetweenSQLiteAndPostgreSQL(t *testing.T) {
	lite := func(t *testing.T) storetest.Home {
		dir := t.TempDir()
		return storetest.Home{
			Open: func(keys *secret.Keys) (store.DB, error) { return sqlite.Open(ctx, dir, keys) },
			Restore: func(keys *secret.Keys, from io.ReadSeeker, o store.Restore) (store.BackupInfo, error) {
				return sqlite.Restore(ctx, dir, keys, from, o)
			},
		}
	}
	t.Run("SQLite to PostgreSQL", func(t *testing.T) { storetest.Move(t, lite(t), home(schema(t))) })
	t.Run("PostgreSQL to SQLite", func(t *testing.T) { storetest.Move(t, home(schema(t)), lite(t)) })
}

func TestS75_KilledAtAnyTime(t *testing.T) {
	dsn := schema(t)
	storetest.Crash(t, home(dsn), dsn, 2)
}

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, func(tb testing.TB) storetest.Home { return home(schema(tb)) })
}
