package postgres

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

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

// A process opens as many connections as it was told to, and works with one.
func TestConnectionsAtMost(t *testing.T) {
	keys, err := secret.NewKeys([secret.KeySize]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	for most, want := range map[int]int{0: connections, 1: 1, 3: 3} {
		// They are idle in transactions for as long as it takes until all are there.
		dsn := with(t, schema(t), "idle_in_transaction_session_timeout", "2min")
		db, err := OpenAtMost(ctx, most, dsn, keys, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		hold := make(chan struct{})
		for range connections + 8 {
			all.Go(func() {
				err := db.View(ctx, func(tx store.Tx) error {
					if _, err := tx.Clients(ctx); err != nil {
						return err
					}
					<-hold
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		if got := settled(t, dsn, want); got != want {
			t.Errorf("told %d, it opened %d connections, want %d", most, got, want)
		}
		close(hold)
		all.Wait()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// settled waits until there are as many connections of this test, and a little longer for one too many.
func settled(t *testing.T, dsn string, want int) (n int) {
	t.Helper()
	pool, err := connect(with(t, dsn, "application_name", "observer"))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err := pool.QueryRowContext(ctx, `SELECT count(*) FROM pg_stat_activity WHERE application_name = $1`, t.Name()).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == want {
			deadline = time.Now()
		}
	}
	time.Sleep(200 * time.Millisecond)
	if err := pool.QueryRowContext(ctx, `SELECT count(*) FROM pg_stat_activity WHERE application_name = $1`, t.Name()).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
