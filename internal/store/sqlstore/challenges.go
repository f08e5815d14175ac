package sqlstore

import (
	"context"
	"fmt"
	"time"

	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

func (t *tx) AddChallenge(ctx context.Context, c store.Challenge) error {
	n, err := t.exec(ctx, `INSERT INTO challenges (id, flow, user_id, kind, method, number, nonce, created, expires, tries, used)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING`,
		args{string(c.ID), c.Flow[:], string(c.User), string(c.Kind), string(c.Method),
			t.seal(challengeNumber, string(c.ID), []byte(c.Number)), c.Nonce[:],
			micros(c.Created), micros(c.Expires), int64(c.Tries), micros(c.Used)})
	return added(n, err)
}

// added judges an INSERT … ON CONFLICT DO NOTHING.
func added(n int64, err error) error {
	if err == nil && n == 0 {
		return store.ErrExists
	}
	return err
}

const challengeColumns = `flow, user_id, kind, method, number, nonce, created, expires, tries, used`

func (t *tx) Challenge(ctx context.Context, id flow.ChallengeID) (store.Challenge, error) {
	return t.challenge(ctx, id, `SELECT `+challengeColumns+` FROM challenges WHERE id = $1`, args{string(id)})
}

func (t *tx) challenge(ctx context.Context, id flow.ChallengeID, query string, a args) (store.Challenge, error) {
	c := store.Challenge{ID: id}
	var number, nonce []byte
	err := t.one(ctx, query, a, digestInto{&c.Flow}, (*string)(&c.User), (*string)(&c.Kind), (*string)(&c.Method),
		&number, &nonce, timeInto{&c.Created}, timeInto{&c.Expires}, &c.Tries, timeInto{&c.Used})
	if err != nil {
		return store.Challenge{}, err
	}
	if len(nonce) != len(c.Nonce) {
		return store.Challenge{}, t.fail(fmt.Errorf("sqlstore: challenge %s: a nonce of %d bytes", id, len(nonce)))
	}
	copy(c.Nonce[:], nonce)
	plain, err := t.unseal(challengeNumber, string(id), number)
	c.Number = secret.Text(plain)
	return c, err
}

// CountTry is the statement of S-11: the condition and the count are one, so that parallel guesses
// cannot all read the same number of tries.
func (t *tx) CountTry(ctx context.Context, id flow.ChallengeID, max int) (store.Challenge, error) {
	c, err := t.challenge(ctx, id, `UPDATE challenges SET tries = tries + 1 WHERE id = $1 AND tries < $2 AND used = 0
		RETURNING `+challengeColumns, args{string(id), int64(max)})
	if err != store.ErrNotFound {
		return c, err
	}
	if c, err = t.Challenge(ctx, id); err != nil {
		return c, err
	}
	return c, store.ErrSpent
}

func (t *tx) SpendChallenge(ctx context.Context, id flow.ChallengeID, at time.Time) error {
	n, err := t.exec(ctx, `UPDATE challenges SET used = $2 WHERE id = $1 AND used = 0`, args{string(id), mark(at)})
	if err != nil || n == 1 {
		return err
	}
	if _, err := t.Challenge(ctx, id); err != nil {
		return err
	}
	return store.ErrSpent
}

// CountFailure counts by one conditional statement, which also locks the row until the commit; the
// suspension that the new number asks for is written by whoever got it, so none is skipped (S-10).
func (t *tx) CountFailure(ctx context.Context, u ident.UserID, k ident.Kind, now time.Time, l limit.Codes) (int, time.Time, error) {
	var failures int
	err := t.one(ctx, `INSERT INTO failures (user_id, kind, failed, suspended) VALUES ($1, $2, 1, 0)
		ON CONFLICT (user_id, kind) DO UPDATE SET failed = failures.failed + 1 WHERE failures.suspended <= $3
		RETURNING failed`, args{string(u), string(k), micros(now)}, &failures)
	if err == store.ErrNotFound {
		return t.failures(ctx, u, k)
	}
	rest := l.Suspension(failures)
	if err != nil || rest <= 0 {
		return failures, time.Time{}, err
	}
	_, err = t.exec(ctx, `UPDATE failures SET suspended = $3 WHERE user_id = $1 AND kind = $2`, args{string(u), string(k), micros(now.Add(rest))})
	return failures, time.Time{}, err
}

func (t *tx) failures(ctx context.Context, u ident.UserID, k ident.Kind) (n int, suspended time.Time, err error) {
	err = t.one(ctx, `SELECT failed, suspended FROM failures WHERE user_id = $1 AND kind = $2`,
		args{string(u), string(k)}, &n, timeInto{&suspended})
	return n, suspended, err
}

func (t *tx) ClearFailures(ctx context.Context, u ident.UserID, k ident.Kind) error {
	_, err := t.exec(ctx, `DELETE FROM failures WHERE user_id = $1 AND kind = $2`, args{string(u), string(k)})
	return err
}

func (t *tx) Suspended(ctx context.Context, u ident.UserID, k ident.Kind) (time.Time, error) {
	_, until, err := t.failures(ctx, u, k)
	if err == store.ErrNotFound {
		err = nil
	}
	return until, err
}
