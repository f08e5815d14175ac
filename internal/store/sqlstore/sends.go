package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"time"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// HoldSends locks number and user, in an order that is the same for everybody, so that two of them
// cannot wait for each other.
func (t *tx) HoldSends(ctx context.Context, number secret.Digest, u ident.UserID) error {
	if t.db.dialect.Hold == "" {
		return t.ready(nil)
	}
	a, b := lockOf("sends number", number[:]), lockOf("sends user", []byte(u))
	for _, lock := range []int64{min(a, b), max(a, b)} {
		if err := t.each(ctx, t.db.dialect.Hold, args{lock}, func(*sql.Rows) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

// lockOf is the number of a lock. Two things with one number would only wait for each other now and then.
func lockOf(kind string, thing []byte) int64 {
	sum := sha256.Sum256(append([]byte(kind+"\x00"), thing...))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

func (t *tx) LastSend(ctx context.Context, number secret.Digest) (time.Time, error) {
	var last time.Time
	err := t.one(ctx, `SELECT sent FROM sends WHERE number = $1 ORDER BY sent DESC LIMIT 1`, args{number[:]}, timeInto{&last})
	if err == store.ErrNotFound {
		err = nil
	}
	return last, err
}

func (t *tx) CountSends(ctx context.Context, q store.SendQuery) (int, error) {
	query, a := `SELECT count(*) FROM sends WHERE sent > $1`, args{micros(q.Since)}
	if q.Numbers {
		query = `SELECT count(DISTINCT number) FROM sends WHERE sent > $1`
	}
	if !q.Number.IsZero() {
		query, a = query+` AND number = $2`, append(a, q.Number[:])
	} else {
		query, a = query+` AND user_id = $2`, append(a, string(q.User))
	}
	if q.Open {
		query += ` AND cleared = FALSE`
	}
	if q.Unproved {
		query += ` AND proved = FALSE`
	}
	n := 0
	err := t.one(ctx, query, a, &n)
	return n, err
}

func (t *tx) AddSend(ctx context.Context, s store.Send) error {
	return added(t.exec(ctx, `INSERT INTO sends (id, number, user_id, sent, proved, cleared)
		VALUES ($1, $2, $3, $4, $5, FALSE) ON CONFLICT DO NOTHING`,
		args{s.ID, s.Number[:], string(s.User), micros(s.At), s.Proved}))
}

func (t *tx) ClearSends(ctx context.Context, number secret.Digest) error {
	_, err := t.exec(ctx, `UPDATE sends SET cleared = TRUE WHERE number = $1 AND cleared = FALSE`, args{number[:]})
	return err
}

func (t *tx) DropSend(ctx context.Context, id string) error {
	_, err := t.exec(ctx, `DELETE FROM sends WHERE id = $1`, args{id})
	return err
}
