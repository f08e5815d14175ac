package main

import (
	"context"
	"fmt"
	"log/slog"

	"latchkey.dev/internal/config"
	"latchkey.dev/internal/keyring"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store/postgres"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/store/sqlstore"
)

// A configured command works on the organisation that latchkey.yaml names.
type configured struct {
	Config string `default:"latchkey.yaml" env:"LATCHKEY_CONFIG" short:"c" help:"The file that says how the server runs." placeholder:"FILE"`
}

// read reads the file.
func (c configured) read() (config.Config, error) { return config.Read(c.Config) }

// open reads the file and opens the organisation that it names, without touching its schema. The caller closes
// the database.
func (c configured) open(ctx context.Context, log *slog.Logger) (config.Config, *secret.Keys, *sqlstore.DB, error) {
	settings, err := c.read()
	if err != nil {
		return settings, nil, nil, err
	}
	keys, err := openKeys(ctx, settings.Keys)
	if err != nil {
		return settings, nil, nil, err
	}
	db, err := openStore(ctx, settings, keys, log, sqlstore.LeaveSchema)
	return settings, keys, db, err
}

// openKeys reads the master keys, newest first.
func openKeys(ctx context.Context, k config.Keys) (*secret.Keys, error) {
	var sources []keyring.Source
	for _, m := range k.Master {
		switch {
		case m.File != "":
			sources = append(sources, keyring.File(m.File))
		case m.Env != "":
			sources = append(sources, keyring.Env(m.Env))
		default:
			sources = append(sources, keyring.Command(m.Command))
		}
	}
	return keyring.Load(ctx, sources...)
}

// openStore opens the configured database.
func openStore(ctx context.Context, c config.Config, keys *secret.Keys, log *slog.Logger, with ...sqlstore.Option) (db *sqlstore.DB, err error) {
	if p := c.Database.Postgres; p != nil {
		db, err = postgres.OpenAtMost(ctx, p.Connections, p.URL.Text().Reveal(), keys, log, with...)
	} else {
		db, err = sqlite.Open(ctx, c.Data, keys, with...)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	return db, nil
}
