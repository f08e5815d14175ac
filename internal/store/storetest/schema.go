package storetest

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"strings"
	"testing"

	"latchkey.dev/internal/ident"
)

// PostgresEnv names a PostgreSQL that tests may make schemas in. tools/with-postgres sets it.
const PostgresEnv = "LATCHKEY_TEST_POSTGRES"

// Schema makes a schema that goes away with the test, and returns a DSN that works in it. Without a
// PostgreSQL the test skips, and in CI it fails. Whoever calls it opens store/postgres, and so brings the driver.
func Schema(t testing.TB) string {
	t.Helper()
	server := os.Getenv(PostgresEnv)
	if server == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not set, and this is CI", PostgresEnv)
		}
		t.Skipf("%s is not set", PostgresEnv)
	}
	pool, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	name := "t" + strings.ToLower(ident.NewID(""))
	if _, err := pool.ExecContext(t.Context(), `CREATE SCHEMA `+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer pool.Close()
		if _, err := pool.ExecContext(context.WithoutCancel(t.Context()), `DROP SCHEMA `+name+` CASCADE`); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String()
}
