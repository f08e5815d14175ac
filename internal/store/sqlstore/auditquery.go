package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/store"
)

// lateness is how much later than the seal before it an event may have been stamped by a clock that is behind.
const lateness = 10 * time.Minute

func (t *tx) Search(ctx context.Context, q store.AuditQuery, n int) (all []audit.Entry, err error) {
	text, a := t.db.find(q, n)
	err = t.each(ctx, text, a, func(rows *sql.Rows) error {
		var seq int64
		var r eventRow
		err := rows.Scan(&seq, docInto{&r})
		all = append(all, audit.Entry{Seq: seq, Event: r.event()})
		return err
	})
	if errors.Is(err, errText) {
		return nil, nil // nobody is called that
	}
	if q.Last {
		slices.Reverse(all)
	}
	return all, err
}

// find writes the statement of a query. There are few enough different ones that preparing each is no matter.
func (db *DB) find(q store.AuditQuery, n int) (string, args) {
	w := where{a: args{q.After}}
	if q.User != "" {
		w.and(`user_id = % AND user_id <> ''`, q.User) // the second half lets SQLite use the index
	}
	if q.Source != "" {
		w.and(`source = % AND source <> ''`, q.Source)
	}
	if q.Client != "" {
		w.and(`client = %`, q.Client)
	}
	if family, ok := strings.CutSuffix(string(q.Type), "."); ok {
		w.and(`type >= %`, family+".")
		w.and(`type < %`, family+"/") // the letter after the dot
	} else if q.Type != "" {
		w.and(`type = %`, string(q.Type))
	}
	if !q.Since.IsZero() {
		// Places grow with time, and seals tell where in the log a time is: no index on times is needed.
		w.and(`seq > coalesce((SELECT max(seq) FROM audit_seals WHERE at < %), -1)`, micros(q.Since.Add(-lateness)))
		w.and(`at >= %`, micros(q.Since))
	}
	if !q.Until.IsZero() {
		w.and(`at < %`, micros(q.Until))
	}
	order := `seq`
	if q.Last {
		order = `seq DESC`
	}
	w.a = append(w.a, int64(min(n, math.MaxInt32)))
	return fmt.Sprintf(`SELECT seq, doc FROM audit_events WHERE seq > $1 AND seq < %s%s ORDER BY %s LIMIT $%d`,
		db.dialect.Settled, w.text.String(), order, len(w.a)), w.a
}

// where collects conditions and their arguments.
type where struct {
	text strings.Builder
	a    args
}

// and adds a condition; % is its argument.
func (w *where) and(condition string, v any) {
	w.a = append(w.a, v)
	w.text.WriteString(` AND ` + strings.ReplaceAll(condition, `%`, fmt.Sprintf(`$%d`, len(w.a))))
}

func (t *tx) AddSeal(ctx context.Context, s audit.Seal) error {
	_, err := t.exec(ctx, `INSERT INTO audit_seals (seq, events, hash, at, mac, trimmed) VALUES ($1, $2, $3, $4, $5, FALSE) ON CONFLICT (seq) DO NOTHING`,
		args{s.Seq, s.Events, s.Hash[:], micros(s.At), s.MAC[:]})
	return err
}

const sealColumns = `SELECT seq, events, hash, at, mac FROM audit_seals WHERE `

func (t *tx) Seal(ctx context.Context, seq int64) (audit.Seal, error) {
	return t.sealBy(ctx, sealColumns+`seq <= $1 ORDER BY seq DESC LIMIT 1`, seq)
}

func (t *tx) SealBefore(ctx context.Context, at time.Time) (audit.Seal, error) {
	return t.sealBy(ctx, sealColumns+`at < $1 ORDER BY at DESC, seq DESC LIMIT 1`, micros(at))
}

func (t *tx) sealBy(ctx context.Context, query string, by int64) (s audit.Seal, err error) {
	err = t.one(ctx, query, args{by}, &s.Seq, &s.Events, hashInto{&s.Hash}, timeInto{&s.At}, hashInto{&s.MAC})
	if errors.Is(err, store.ErrNotFound) {
		return audit.Seal{}, nil
	}
	return s, err
}

// hashInto scans a stored hash.
type hashInto struct{ h *audit.Hash }

func (d hashInto) Scan(src any) error {
	if b, ok := src.([]byte); ok && len(b) == len(d.h) {
		copy(d.h[:], b)
		return nil
	}
	return errors.New("sqlstore: a hash of another length")
}

func (t *tx) Trimmed(ctx context.Context) (audit.Seal, error) {
	return t.sealBy(ctx, sealColumns+`trimmed AND seq >= $1 ORDER BY seq DESC LIMIT 1`, 0)
}

func (t *tx) TrimAudit(ctx context.Context, seq int64, n int) (int, error) {
	marked, err := t.exec(ctx, `UPDATE audit_seals SET trimmed = TRUE WHERE seq = $1`, args{seq})
	if err != nil {
		return 0, err
	}
	if marked == 0 {
		return 0, store.ErrNotFound
	}
	removed, err := t.exec(ctx, `DELETE FROM audit_events WHERE seq IN (SELECT seq FROM audit_events WHERE seq <= $1 ORDER BY seq LIMIT $2)`,
		args{seq, int64(n)})
	return int(removed), err
}

func (t *tx) Backlogs(ctx context.Context) (b store.Backlogs, err error) {
	var messages, unsealed int64
	err = t.one(ctx, `SELECT (SELECT count(*) FROM messages WHERE status = 'waiting'),
		(SELECT coalesce(min(created), 0) FROM messages WHERE status = 'waiting'),
		(SELECT count(*) FROM audit_events WHERE seq > coalesce((SELECT max(seq) FROM audit_seals), -1))`,
		nil, &messages, timeInto{&b.Oldest}, &unsealed)
	b.Messages, b.Unsealed = int(messages), int(unsealed)
	return b, err
}
