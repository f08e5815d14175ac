package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// A tx is the contract's transaction. Its methods are in the files named after the contract's parts.
type tx struct {
	db     *DB
	q      Querier
	sick   error // a statement failed, or all is over: nothing more is done
	events int   // audit events recorded so far
	watch  *watch
}

var _ store.Tx = (*tx)(nil)

var (
	errOver = errors.New("sqlstore: the transaction is over")
	// errText: PostgreSQL keeps no such text, SQLite would. Nobody has a name with it, on either.
	errText = errors.New("sqlstore: text with NUL or invalid UTF-8")
)

// args are a statement's arguments.
type args []any

// exec runs a statement and counts the rows it touched.
func (t *tx) exec(ctx context.Context, query string, a args) (int64, error) {
	if err := t.ready(a); err != nil {
		return 0, err
	}
	n, err := t.q.Exec(ctx, query, a...)
	if err != nil {
		return 0, t.fail(err)
	}
	return n, nil
}

// one reads the one row that a statement returns, or [store.ErrNotFound].
func (t *tx) one(ctx context.Context, query string, a args, dest ...any) error {
	found := false
	err := t.each(ctx, query, a, func(rows *sql.Rows) error {
		if found {
			return nil
		}
		found = true
		return rows.Scan(dest...)
	})
	if errors.Is(err, errText) || err == nil && !found {
		return store.ErrNotFound
	}
	return err
}

// each calls read for every row that a statement returns. The rows are closed before it returns, so read
// must not run another statement: a connection holds one conversation at a time.
func (t *tx) each(ctx context.Context, query string, a args, read func(*sql.Rows) error) error {
	if err := t.ready(a); err != nil {
		return err
	}
	rows, err := t.q.Query(ctx, query, a...)
	if err != nil {
		return t.fail(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := read(rows); err != nil {
			return t.fail(err)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return t.fail(err)
	}
	return nil
}

func (t *tx) ready(a args) error {
	if t.sick != nil {
		return t.sick
	}
	for _, v := range a {
		if s, ok := v.(string); ok && (!utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0) {
			return errText
		}
	}
	return nil
}

// fail ends the transaction for good: PostgreSQL would refuse every further statement, and SQLite may
// have rolled back on its own and would run them outside of any transaction.
func (t *tx) fail(err error) error {
	t.sick = t.db.failure(err)
	return t.sick
}

// micros is how a time is stored: microseconds, 0 for none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// mark is micros for what must not look unused, whatever clock the caller has.
func mark(t time.Time) int64 {
	if m := micros(t); m != 0 {
		return m
	}
	return 1
}

// moment reverses micros.
func moment(m int64) time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMicro(m).UTC()
}

// timeInto scans a stored time.
type timeInto struct{ t *time.Time }

func (d timeInto) Scan(src any) error {
	m, ok := src.(int64)
	if !ok {
		return fmt.Errorf("sqlstore: a time stored as %T", src)
	}
	*d.t = moment(m)
	return nil
}

// digestInto scans a stored digest; NULL is the zero one.
type digestInto struct{ d *secret.Digest }

func (d digestInto) Scan(src any) error {
	switch b := src.(type) {
	case nil:
		*d.d = secret.Digest{}
		return nil
	case []byte:
		if len(b) == len(d.d) {
			copy(d.d[:], b)
			return nil
		}
	}
	return errors.New("sqlstore: a digest of another length")
}

// orNull keeps digests that are not there out of a unique index.
func orNull(d secret.Digest) any {
	if d.IsZero() {
		return nil
	}
	return d[:]
}

// docInto scans JSON.
type docInto struct{ v any }

func (d docInto) Scan(src any) error {
	switch s := src.(type) {
	case string:
		return json.Unmarshal([]byte(s), d.v)
	case []byte:
		return json.Unmarshal(s, d.v)
	}
	return fmt.Errorf("sqlstore: JSON stored as %T", src)
}

// doc is the JSON of one of the row structs, which always have one.
func doc(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("sqlstore: a row that is not JSON: " + err.Error()) // a programming error, found by any test
	}
	return string(b)
}
