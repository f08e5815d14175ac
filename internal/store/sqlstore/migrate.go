package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// settingNeeds names the oldest schema whose binary may work on the database. A migration that takes
// something away raises it; until then binaries of two versions share one database (S-84).
const settingNeeds = "schema.needs"

// ErrNewerSchema refuses a database that has moved on without this binary.
var ErrNewerSchema = errors.New("sqlstore: the database needs a newer version of this program")

// Migrate brings the schema up to date and reports what it did; nothing if it was. Options are goose's,
// for a lock.
func Migrate(ctx context.Context, db *sql.DB, d Dialect, options ...goose.ProviderOption) ([]string, error) {
	p, err := provider(db, d, options...)
	if err != nil {
		return nil, err
	}
	if err := fits(ctx, db, p); err != nil {
		return nil, err
	}
	results, err := p.Up(ctx)
	var done []string
	for _, r := range results {
		done = append(done, r.Source.Path)
	}
	if err != nil {
		return done, fmt.Errorf("sqlstore: migrating: %w", err)
	}
	return done, nil
}

func provider(db *sql.DB, d Dialect, options ...goose.ProviderOption) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	p, err := goose.NewProvider(d.Migrations, db, dir, append(options, goose.WithDisableGlobalRegistry(true))...)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: migrations: %w", err)
	}
	return p, nil
}

// fits refuses a schema that this binary is too old for.
func fits(ctx context.Context, db *sql.DB, p *goose.Provider) error {
	current, known, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("sqlstore: reading the schema's version: %w", err)
	}
	if current <= known {
		return nil
	}
	var needs string
	if err := db.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = $1`, settingNeeds).Scan(&needs); err != nil {
		return fmt.Errorf("sqlstore: reading what the schema needs: %w", err)
	}
	n, err := strconv.ParseInt(needs, 10, 64)
	if err != nil || n > known {
		return fmt.Errorf("%w: it needs schema %s, this one knows %d", ErrNewerSchema, needs, known)
	}
	return nil
}
