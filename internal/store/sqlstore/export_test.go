package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"slices"

	"github.com/pressly/goose/v3"

	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/store"
)

// What a test needs to play another version of this binary.
var (
	EncodeState = encodeState
	StateFormat = stateFormat
)

// SealedColumns names all of them, as table.column.
func SealedColumns() (all []string) {
	for _, c := range sealedColumns {
		all = append(all, string(c.column))
	}
	return all
}

// A SealedValue is one as it stands in the database, and its place.
type SealedValue struct {
	Column, Row, Place string
	Value              []byte
}

// SealedValues reads all of them.
func SealedValues(ctx context.Context, stx store.Tx) (all []SealedValue, err error) {
	for _, c := range sealedColumns {
		query := `SELECT ` + c.key + `, ` + c.name() + ` FROM ` + c.table() + ` WHERE ` + c.name() + ` IS NOT NULL ORDER BY ` + c.key
		if err := stx.(*tx).each(ctx, query, nil, func(rows *sql.Rows) error {
			v := SealedValue{Column: string(c.column)}
			var key []byte
			err := rows.Scan(&key, &v.Value)
			v.Row = c.row(key)
			v.Place = c.place(v.Row)
			all = append(all, v)
			return err
		}); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// PutSealedValue writes one into the database as it is.
func PutSealedValue(ctx context.Context, stx store.Tx, v SealedValue) error {
	for _, c := range sealedColumns {
		if string(c.column) != v.Column {
			continue
		}
		key := []byte(v.Row)
		if c.digest {
			var err error
			if key, err = hex.DecodeString(v.Row); err != nil {
				return err
			}
		}
		return present(stx.(*tx).exec(ctx, `UPDATE `+c.table()+` SET `+c.name()+` = $2 WHERE `+c.key+` = $1`, args{c.arg(key), v.Value}))
	}
	return store.ErrNotFound
}

// ParseRow reverses the name of a row whose key is a digest.
func ParseRow(row string) (d [32]byte, err error) {
	_, err = hex.Decode(d[:], []byte(row))
	return d, err
}

// Migrations are the files, Statements what is in one.
var (
	Migrations = migrations
	Statements = statements
)

// Tables are all that the migrations make.
var Tables = ours

// AfterRestore says what becomes of a table when a backup is restored.
func AfterRestore(table string) (in []string) {
	for name, class := range map[string]map[string]bool{"voided": voided, "granted": granted, "lasting": lasting, "transient": transient} {
		if class[table] {
			in = append(in, name)
		}
	}
	return in
}

// UpTo is Upgrade that is broken off.
func UpTo(version int64) Migration {
	return func(ctx context.Context, db *sql.DB, d Dialect, more ...goose.ProviderOption) (done []string, err error) {
		p, err := provider(db, d, more...)
		if err != nil {
			return nil, err
		}
		results, err := p.UpTo(ctx, version)
		for _, r := range results {
			done = append(done, r.Source.Path)
		}
		return done, err
	}
}

// RawState returns a flow's state as it is written, opened.
func RawState(ctx context.Context, stx store.Tx, h flow.Handle) ([]byte, error) {
	_, plain, err := stx.(*tx).rawFlow(ctx, `SELECT `+flowColumns+` FROM flows WHERE handle = $1`, h[:])
	return plain, err
}

// PutRawState writes a state as a binary of that format would.
func PutRawState(ctx context.Context, stx store.Tx, h flow.Handle, format int, plain []byte) error {
	t := stx.(*tx)
	return present(t.exec(ctx, `UPDATE flows SET format = $2, state = $3 WHERE handle = $1`,
		args{h[:], int64(format), t.sealState(h, plain)}))
}

// PlanOf is what SQLite would do to find the rows of a table that have ended.
func PlanOf(ctx context.Context, stx store.Tx, table string) (plan string, err error) {
	i := slices.IndexFunc(swept, func(s sweeping) bool { return s.table == table })
	err = stx.(*tx).each(ctx, `EXPLAIN QUERY PLAN `+swept[i].find(), args{int64(1), int64(1)}, func(rows *sql.Rows) error {
		var id, parent, unused int
		var detail string
		err := rows.Scan(&id, &parent, &unused, &detail)
		plan += detail + "\n"
		return err
	})
	return plan, err
}
