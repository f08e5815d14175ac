package sqlstore

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// transient are the tables that no backup needs: who is working on the database right now.
var transient = map[string]bool{"nodes": true}

// voided are the tables whose rows are void after a restore, because a mark of use may be younger than the backup
// (S-83): a code that was redeemed after it must not be good again.
var voided = map[string]bool{
	"flows": true, "challenges": true, "codes": true, "messages": true, "logouts": true, // sign-ins, their codes, and what is told of either
	"pushed_requests": true, "devices": true, "registrations": true,
}

// granted are those that are void unless the operator says otherwise: refresh tokens, the grants that they and all
// access tokens hang on, and browser sessions.
var granted = map[string]bool{"refreshes": true, "grants": true, "sessions": true, "session_clients": true, "inherited_clients": true, "heirs": true}

// lasting are all others. Limits and locks go on counting from where they were.
var lasting = map[string]bool{
	"settings": true, "users": true, "enrollments": true, "authenticators": true, "clients": true, "servers": true,
	"user_groups": true, "members": true, "signing_keys": true, "master_keys": true, "revoked_tokens": true,
	"failures": true, "sends": true, "pauses": true, "budgets": true, "charges": true,
	"password_failures": true, "source_failures": true, "known_devices": true, "request_counts": true,
	"audit_events": true, "audit_seals": true, "certificates": true, "spent_proofs": true,
}

// The settings of a restored database.
const (
	settingEpoch    = "epoch"            // another one after each restore
	settingRestored = "restore.recorded" // the event, until the log can be written

	settingRestoredAt = "restore.at" // when, as a stamp
)

// The refusals of a restore.
var (
	ErrNotEmpty = errors.New("sqlstore: the database is not empty")
	ErrInUse    = errors.New("sqlstore: a server is working on the database")
)

// Restore puts a backup into a database that nobody works on. The database is empty, or o.Replace says that all
// that is in it may go; that happens in one transaction with the loading, so a restore that breaks off leaves
// what was there. Schemas move forward only: a backup is loaded into the schema it was made of, which is
// then brought up to date.
func Restore(ctx context.Context, db *sql.DB, d Dialect, keys *secret.Keys, from io.ReadSeeker, o store.Restore,
	options ...goose.ProviderOption) (store.BackupInfo, error) {
	info, err := Verify(from, keys)
	if err != nil {
		return info, err
	}
	p, err := provider(db, d, options...)
	if err != nil {
		return info, err
	}
	if err := ready(ctx, db, d, p, info, o); err != nil {
		return info, err
	}
	if _, err := p.UpTo(ctx, info.Schema); err != nil {
		return info, fmt.Errorf("sqlstore: making the schema of the backup: %w", err)
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return info, err
	}
	again, err := readBackup(from)
	if err != nil {
		return info, err
	}
	if err := inOne(ctx, db, func(q Querier) error { return load(ctx, q, d, again, o) }); err != nil {
		return info, fmt.Errorf("sqlstore: restoring: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return info, fmt.Errorf("sqlstore: the backup is restored, but its schema is not up to date: %w", err)
	}
	return info, nil
}

// ready makes sure that the database can take the backup: that this binary knows its schema, that nobody works
// on it, and that nothing is lost that may not be.
func ready(ctx context.Context, db *sql.DB, d Dialect, p *goose.Provider, info store.BackupInfo, o store.Restore) error {
	current, known, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("sqlstore: reading the schema's version: %w", err)
	}
	if info.Schema > known {
		return fmt.Errorf("%w: the backup has schema %d, this program knows %d", ErrNewerSchema, info.Schema, known)
	}
	if current == 0 {
		return nil
	}
	return inOne(ctx, db, func(q Querier) error {
		tables, err := catalog(ctx, q, d)
		if err != nil {
			return err
		}
		alive, full, err := occupied(ctx, q, tables)
		switch {
		case err != nil:
			return err
		case alive != "":
			return fmt.Errorf("%w: one that calls itself %s was there within the last minute: stop it, and wait a minute if it was killed", ErrInUse, alive)
		case full && !o.Replace:
			return fmt.Errorf("%w: restore into another one, or say --replace to lose all that is in it", ErrNotEmpty)
		case current == info.Schema:
			return nil
		case full:
			return fmt.Errorf("%w, its schema is %d and the backup's is %d: restore into an empty one", ErrNotEmpty, current, info.Schema)
		}
		for _, t := range slices.Backward(tables) { // an empty schema of another version
			if _, err := q.Exec(ctx, `DROP TABLE `+t.name); err != nil {
				return err
			}
		}
		_, err = q.Exec(ctx, `DELETE FROM goose_db_version WHERE version_id > 0`)
		return err
	})
}

// occupied reports whether a server is at work on the database, and whether it is somebody's.
func occupied(ctx context.Context, q Querier, tables []table) (alive string, full bool, err error) {
	has := func(name string) bool {
		return slices.ContainsFunc(tables, func(t table) bool { return t.name == name })
	}
	if has("nodes") {
		err = pairs(ctx, q, `SELECT id, CAST(seen AS TEXT) FROM nodes`, 2, func(v []string) error {
			seen, err := strconv.ParseInt(v[1], 10, 64)
			if time.Since(moment(seen)).Abs() < gone {
				alive = v[0]
			}
			return err
		})
	}
	if err == nil && has("settings") {
		err = pairs(ctx, q, `SELECT value FROM settings WHERE name = '`+settingOrg+`'`, 1, func([]string) error {
			full = true
			return nil
		})
	}
	return alive, full, err
}

// inOne runs f in one transaction of its own, for as long as it takes.
func inOne(ctx context.Context, db *sql.DB, f func(Querier) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit this does nothing
	if err := f(databaseQuerier{tx}); err != nil {
		return err
	}
	return tx.Commit()
}

// A restoring puts the rows of a backup into tables.
type restoring struct {
	ctx    context.Context
	q      Querier
	tables []table
	at     tableLine
	rows   []any // of the table at hand, that wait to be inserted
}

const insertAtOnce = 50

// load replaces all that is in the tables by what the backup holds and what has not ended.
func load(ctx context.Context, q Querier, d Dialect, from *backupReader, o store.Restore) error {
	tables, err := catalog(ctx, q, d)
	if err != nil {
		return err
	}
	for _, t := range slices.Backward(tables) {
		if _, err := q.Exec(ctx, `DELETE FROM `+t.name); err != nil {
			return err
		}
	}
	r := &restoring{ctx: ctx, q: q, tables: tables}
	for from.end == nil {
		row, err := from.next()
		if err != nil {
			return err
		}
		if row == nil {
			break
		}
		if err := r.enter(from.table); err != nil {
			return err
		}
		if void(from.table, row, o) {
			continue
		}
		if r.rows = append(r.rows, row...); len(r.rows) == insertAtOnce*len(row) {
			if err := r.flush(); err != nil {
				return err
			}
		}
	}
	if err := r.flush(); err != nil {
		return err
	}
	_, err = q.Exec(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2), ($3, $4), ($5, $6)`,
		settingEpoch, base64.RawURLEncoding.EncodeToString(secret.Bytes(12)), settingRestored, doc(eventRowOf(o.By)),
		settingRestoredAt, stamp(o.By.At))
	return err
}

// stamp is a time as a setting that databases can compare: digits of one length come in one order everywhere.
func stamp(t time.Time) string { return fmt.Sprintf("%020d", max(0, t.UnixMicro())) }

// void reports whether a row from before the restore counts no more (S-83).
func void(t tableLine, row []any, o store.Restore) bool {
	if t.Table == "settings" {
		name := t.text(row, "name")
		return name == settingEpoch || name == settingRestored || name == settingRestoredAt
	}
	return voided[t.Table] || transient[t.Table] || granted[t.Table] && !o.KeepTokens
}

// enter turns to a table, which must be one of ours, with columns that it has: they become part of statements.
func (r *restoring) enter(t tableLine) error {
	if t.Table == r.at.Table {
		return nil
	}
	if err := r.flush(); err != nil {
		return err
	}
	i := slices.IndexFunc(r.tables, func(ours table) bool { return ours.name == t.Table })
	if i < 0 {
		return fmt.Errorf("%w: there is no table %q", ErrBackup, t.Table)
	}
	for _, c := range t.Columns {
		if !slices.Contains(r.tables[i].columns, c) {
			return fmt.Errorf("%w: %s has no column %q of %s", ErrBackup, t.Table, c.Name, c.Type)
		}
	}
	r.at = t
	return nil
}

func (r *restoring) flush() error {
	if len(r.rows) == 0 {
		return nil
	}
	n := len(r.at.Columns)
	var query strings.Builder
	query.WriteString(`INSERT INTO ` + r.at.Table + ` (` + table{columns: r.at.Columns}.names() + `) VALUES `)
	for i := range r.rows {
		switch {
		case i == 0:
			query.WriteString(`(`)
		case i%n == 0:
			query.WriteString(`), (`)
		default:
			query.WriteString(`, `)
		}
		query.WriteString(`$` + strconv.Itoa(i+1))
	}
	query.WriteString(`)`)
	_, err := r.q.Exec(r.ctx, query.String(), r.rows...)
	r.rows = r.rows[:0]
	return err
}

// recordRestore writes down that this database was restored, when it is opened for the first time: before, the
// places in the log are not known.
func (t *tx) recordRestore(ctx context.Context) error {
	text, err := t.Setting(ctx, settingRestored)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var row eventRow
	if err := json.Unmarshal([]byte(text), &row); err != nil {
		return fmt.Errorf("sqlstore: what is to be recorded of the restore: %w", err)
	}
	n, err := t.exec(ctx, `DELETE FROM settings WHERE name = $1`, args{settingRestored})
	if err != nil || n == 0 { // another node was quicker
		return err
	}
	return t.Record(ctx, row.event())
}

// databaseQuerier runs statements in a transaction of database/sql.
type databaseQuerier struct{ tx *sql.Tx }

func (q databaseQuerier) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	r, err := q.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (q databaseQuerier) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return q.tx.QueryContext(ctx, query, args...)
}
