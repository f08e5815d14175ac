package latchkeytest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"database/sql"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/postgres"
	"latchkey.dev/internal/store/sqlite"
)

// An opener opens the database of one test, the same one each time.
type opener func(context.Context, *secret.Keys, *slog.Logger) (store.DB, error)

func inDir(dir string) opener {
	return func(ctx context.Context, keys *secret.Keys, _ *slog.Logger) (store.DB, error) {
		return sqlite.Open(ctx, dir, keys)
	}
}

// PostgresEnv names the PostgreSQL that [Postgres] uses when it is not told one.
const PostgresEnv = "LATCHKEY_TEST_POSTGRES"

// Postgres makes the server keep its data in a PostgreSQL instead of SQLite, in a schema that goes away with
// the test. An empty dsn is the one that the environment names ([PostgresEnv]); where it names none the test
// skips, and fails with CI=true.
func Postgres(t testing.TB, dsn string) Option {
	t.Helper()
	if dsn == "" {
		dsn = os.Getenv(PostgresEnv)
	}
	if dsn == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("latchkeytest: %s is not set, and this is CI", PostgresEnv)
		}
		t.Skipf("latchkeytest: %s is not set", PostgresEnv)
	}
	own := schema(t, dsn)
	return func(o *options) {
		o.open = func(ctx context.Context, keys *secret.Keys, log *slog.Logger) (store.DB, error) {
			return postgres.Open(ctx, own, keys, log)
		}
	}
}

// schema makes a schema for t and returns a DSN that works in it.
func schema(t testing.TB, dsn string) string {
	t.Helper()
	where, err := url.Parse(dsn)
	if err != nil {
		t.Fatal("latchkeytest: the DSN is a URL, postgres://...:", err)
	}
	pool, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal("latchkeytest:", err)
	}
	name := "t" + strings.ToLower(ident.NewID(""))
	if _, err := pool.ExecContext(t.Context(), `CREATE SCHEMA `+name); err != nil {
		t.Fatal("latchkeytest:", err)
	}
	t.Cleanup(func() {
		defer pool.Close()
		if _, err := pool.ExecContext(context.WithoutCancel(t.Context()), `DROP SCHEMA `+name+` CASCADE`); err != nil {
			t.Error("latchkeytest:", err)
		}
	})
	q := where.Query()
	q.Set("search_path", name)
	where.RawQuery = q.Encode()
	return where.String()
}

// lendKey gives an empty database the signing key that all servers of this process share: making one takes
// longer than everything else a start does.
func lendKey(ctx context.Context, db store.DB, now time.Time) error {
	return db.Update(ctx, func(tx store.Tx) error {
		have, err := tx.SigningKeys(ctx)
		if err != nil || len(have) > 0 {
			return err
		}
		return tx.AddSigningKey(ctx, store.SigningKey{ID: "latchkeytest", Alg: "RS256", Private: sharedKey(), Created: now, From: now})
	})
}

var sharedKey = sync.OnceValue(func() []byte {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	data, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return data
})
