package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// settingNeeds names the oldest schema whose binary may work on the database. A migration that takes
// something away raises it; until then binaries of two versions share one database (S-84).
const settingNeeds = "schema.needs"

// ErrNewerSchema refuses a database that has moved on without this binary.
var ErrNewerSchema = errors.New("sqlstore: the database needs a newer version of this program")

// ErrOlderSchema refuses a database that has to be migrated first, by whoever decides when.
var ErrOlderSchema = errors.New("sqlstore: the database has to be migrated: run latchkey migrate")

// An Option changes how a database is opened.
type Option func(*opening)

type opening struct{ leave bool }

// A Migration is one of [Upgrade], [Pending] and [Rehearse]. Each database room can run them.
type Migration func(ctx context.Context, db *sql.DB, d Dialect, more ...goose.ProviderOption) ([]string, error)

// LeaveSchema opens no database whose schema is older than this binary, instead of migrating it. An empty one gets
// its schema all the same.
func LeaveSchema(o *opening) { o.leave = true }

// Prepare brings the schema to where New wants it and reports what it did; nothing if it was there. More are
// goose's options, for a lock.
func Prepare(ctx context.Context, db *sql.DB, d Dialect, with []Option, more ...goose.ProviderOption) ([]string, error) {
	var o opening
	for _, option := range with {
		option(&o)
	}
	p, err := provider(db, d, more...)
	if err != nil {
		return nil, err
	}
	if err := fits(ctx, db, p); err != nil {
		return nil, err
	}
	if o.leave {
		current, known, err := p.GetVersions(ctx)
		if err != nil {
			return nil, fmt.Errorf("sqlstore: reading the schema's version: %w", err)
		}
		if current > 0 && current < known {
			return nil, fmt.Errorf("%w: its schema is %d, this program's is %d", ErrOlderSchema, current, known)
		}
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

// Upgrade is Prepare for an operator who has decided.
func Upgrade(ctx context.Context, db *sql.DB, d Dialect, more ...goose.ProviderOption) ([]string, error) {
	return Prepare(ctx, db, d, nil, more...)
}

// Pending returns the migrations that a database has not seen, as files and in their order.
func Pending(ctx context.Context, db *sql.DB, d Dialect, more ...goose.ProviderOption) ([]string, error) {
	p, err := provider(db, d, more...)
	if err != nil {
		return nil, err
	}
	if err := db.PingContext(ctx); err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	var names []string
	if _, err := db.ExecContext(ctx, `SELECT 1 FROM goose_db_version LIMIT 1`); err != nil { // it has seen nothing, and is not touched
		for _, m := range p.ListSources() {
			names = append(names, m.Path)
		}
		return names, nil
	}
	if err := fits(ctx, db, p); err != nil {
		return nil, err
	}
	all, err := p.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: reading what the database has seen: %w", err)
	}
	for _, m := range all {
		if m.State == goose.StatePending {
			names = append(names, m.Source.Path)
		}
	}
	return names, nil
}

// Rehearse runs the pending migrations in one transaction, on the data that is there, and takes all of it back.
// Who writes meanwhile waits for it.
func Rehearse(ctx context.Context, db *sql.DB, d Dialect, more ...goose.ProviderOption) ([]string, error) {
	names, err := Pending(ctx, db, d, more...)
	if err != nil || len(names) == 0 {
		return names, err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	for _, name := range names {
		text, err := fs.ReadFile(migrations, "migrations/"+name)
		if err != nil {
			return nil, err
		}
		for _, statement := range statements(string(text)) {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return names, fmt.Errorf("sqlstore: %s would fail: %w", name, err)
			}
		}
	}
	return names, nil
}

// statements are those of a migration, one by one. Our migrations are plain: no semicolon and no dashes stand
// within a text.
func statements(migration string) (all []string) {
	_, up, _ := strings.Cut(migration, "-- +goose Up")
	var plain strings.Builder
	for line := range strings.Lines(up) {
		line, _, comment := strings.Cut(line, "--")
		plain.WriteString(line)
		if comment {
			plain.WriteByte('\n')
		}
	}
	for one := range strings.SplitSeq(plain.String(), ";") {
		if one = strings.TrimSpace(one); one != "" {
			all = append(all, one)
		}
	}
	return all
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
