package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"slices"
	"time"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// HoldSends locks what a message is counted by, in an order that is the same for everybody, so that two of
// them cannot wait for each other.
func (t *tx) HoldSends(ctx context.Context, s store.Send) error {
	if t.db.dialect.Hold == "" {
		return t.ready(nil)
	}
	locks := []int64{lockOf("sends number", s.Number[:]), lockOf("sends user", []byte(s.User))}
	if !s.Block.IsZero() {
		locks = append(locks, lockOf("sends block", s.Block[:]))
	}
	if !s.Address.IsZero() {
		locks = append(locks, lockOf("sends address", s.Address[:]))
	}
	slices.Sort(locks)
	for _, lock := range locks {
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

func (t *tx) LastSend(ctx context.Context, number secret.Digest) (store.Send, error) {
	last := store.Send{Number: number}
	err := t.one(ctx, `SELECT sent, CASE WHEN cleared THEN '' ELSE gateway END FROM sends WHERE number = $1 ORDER BY sent DESC LIMIT 1`,
		args{number[:]}, timeInto{&last.At}, &last.Gateway)
	if err == store.ErrNotFound {
		return store.Send{}, nil
	}
	return last, err
}

func (t *tx) CountSends(ctx context.Context, q store.SendQuery) (int, error) {
	query, a := `SELECT count(*) FROM sends WHERE sent > $1`, args{micros(q.Since)}
	if q.Numbers {
		query = `SELECT count(DISTINCT number) FROM sends WHERE sent > $1`
	}
	switch {
	case !q.Number.IsZero():
		query, a = query+` AND number = $2`, append(a, q.Number[:])
	case !q.Block.IsZero():
		query, a = query+` AND block = $2`, append(a, q.Block[:])
	case !q.Address.IsZero():
		query, a = query+` AND address = $2`, append(a, q.Address[:])
	default:
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
	return added(t.exec(ctx, `INSERT INTO sends (id, number, block, address, user_id, country, sent, proved, cost, gateway, cleared)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, FALSE) ON CONFLICT DO NOTHING`,
		args{s.ID, s.Number[:], orNull(s.Block), orNull(s.Address), string(s.User), s.Country, micros(s.At), s.Proved, s.Cost, s.Gateway}))
}

func (t *tx) ClearSends(ctx context.Context, number secret.Digest) error {
	_, err := t.exec(ctx, `UPDATE sends SET cleared = TRUE WHERE number = $1 AND cleared = FALSE`, args{number[:]})
	return err
}

func (t *tx) DropSend(ctx context.Context, id string) error {
	var country string
	var at time.Time
	var cost int64
	err := t.one(ctx, `DELETE FROM sends WHERE id = $1 RETURNING country, sent, cost`, args{id}, &country, timeInto{&at}, &cost)
	switch {
	case err == store.ErrNotFound:
		return nil
	case err != nil:
		return err
	}
	return t.giveBack(ctx, country, at, cost)
}

func (t *tx) SentBy(ctx context.Context, id, gateway string) error {
	_, err := t.exec(ctx, `UPDATE sends SET gateway = $2 WHERE id = $1`, args{id, gateway})
	return err
}

func (t *tx) Conversion(ctx context.Context, q store.ConversionQuery) (sent, verified int, err error) {
	which, what := `country = $1`, any(q.Country)
	if q.Country == "" {
		which, what = `block = $1`, q.Block[:]
	}
	err = t.one(ctx, `SELECT count(*), CAST(coalesce(sum(CASE WHEN cleared THEN 1 ELSE 0 END), 0) AS BIGINT) FROM
		(SELECT cleared FROM sends WHERE `+which+` AND sent > $2 AND (cleared OR sent <= $3) AND proved = FALSE AND lost = FALSE
		ORDER BY sent DESC LIMIT $4) AS latest`,
		args{what, micros(q.Since), micros(q.Settled), int64(q.Last)}, &sent, &verified)
	return sent, verified, err
}

func (t *tx) Pause(ctx context.Context, scope string, now, until time.Time) (bool, error) {
	n, err := t.exec(ctx, `INSERT INTO pauses (scope, ends) VALUES ($1, $2)
		ON CONFLICT (scope) DO UPDATE SET ends = excluded.ends WHERE pauses.ends <= $3`, args{scope, micros(until), micros(now)})
	return n == 1, err
}

func (t *tx) Paused(ctx context.Context, scope string) (time.Time, error) {
	var until time.Time
	err := t.one(ctx, `SELECT ends FROM pauses WHERE scope = $1`, args{scope}, timeInto{&until})
	if err == store.ErrNotFound {
		err = nil
	}
	return until, err
}
