package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/config"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/postgres"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/store/sqlstore"
)

// whenMigrating says what a server does about a schema that is older than the program. Commands leave it as it is.
func whenMigrating(d config.Database) []sqlstore.Option {
	if d.MigratesAtStart() {
		return nil
	}
	return []sqlstore.Option{sqlstore.LeaveSchema}
}

// onDatabase runs a migration on the database that the configuration names.
func onDatabase(ctx context.Context, c config.Config, run sqlstore.Migration) ([]string, error) {
	if c.Database.Postgres != nil {
		return postgres.Migrate(ctx, c.Database.Postgres.URL.Text().Reveal(), run)
	}
	return sqlite.Migrate(ctx, c.Data, run)
}

// intoDatabase restores a backup into the database that the configuration names.
func intoDatabase(ctx context.Context, c config.Config, keys *secret.Keys, from io.ReadSeeker, o store.Restore) (store.BackupInfo, error) {
	if c.Database.Postgres != nil {
		return postgres.Restore(ctx, c.Database.Postgres.URL.Text().Reveal(), keys, from, o)
	}
	return sqlite.Restore(ctx, c.Data, keys, from, o)
}

// prompt is the log of a command that somebody waits for: what must not be overlooked.
func prompt() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// atPrompt is an event of whoever runs a command, as the system knows them.
func atPrompt(t audit.Type) audit.Event {
	name := fmt.Sprint("uid ", os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return audit.Event{Type: t, At: time.Now().UTC(), OK: true, Actor: "prompt:" + name}
}
