package sqlstore

import (
	"context"
	"database/sql"
	"math"
	"time"

	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// account is what stands for a login here. People type passwords where names belong.
func (t *tx) account(login string) []byte {
	d := t.db.keys.MAC(secret.MACLogin, "failures", login)
	return d[:]
}

// Places in a row of failures: the account itself, a source, a device.
const wholeAccount = ""

func sourcePlace(source string) string { return "a " + source }
func devicePlace(device string) string { return "d " + device }

// CountGuess locks in one order: source, place, account. So do the other methods.
func (t *tx) CountGuess(ctx context.Context, g store.Guess, l limit.Passwords) (store.Ruling, error) {
	if g.Device != "" {
		switch n, err := t.countDevice(ctx, g, l); {
		case err != nil:
			return store.Ruling{}, err
		case n > 0:
			return t.countElsewhere(ctx, g, l)
		}
	}
	switch err := t.countSource(ctx, g, l.Source, l.Source.Max); {
	case err == store.ErrNotFound:
		return store.Ruling{Source: true}, store.ErrSpent
	case err != nil:
		return store.Ruling{}, err
	}
	return t.countPlace(ctx, g, l)
}

// countPlace is the statement of S-26: the conditions and the counts are one, for source and account together.
func (t *tx) countPlace(ctx context.Context, g store.Guess, l limit.Passwords) (store.Ruling, error) {
	account := t.account(g.Login)
	counts := map[string]int{}
	err := t.each(ctx, `INSERT INTO password_failures (account, place, failed, until, ends) VALUES ($1, $2, 1, 0, $3), ($1, '', 1, 0, $4)
		ON CONFLICT (account, place) DO UPDATE SET failed = password_failures.failed + 1, ends = excluded.ends
		WHERE CASE WHEN password_failures.place = '' THEN password_failures.failed < $5 ELSE password_failures.until <= $6 END
		RETURNING place, failed`,
		args{account, sourcePlace(g.Source), micros(g.At.Add(limit.SourceMemory)), micros(g.At.Add(limit.AccountMemory)), int64(l.HardStop), micros(g.At)},
		func(rows *sql.Rows) error {
			var place string
			var failed int
			err := rows.Scan(&place, &failed)
			counts[place] = failed
			return err
		})
	switch {
	case err != nil:
		return store.Ruling{}, err
	case len(counts) < 2:
		return store.Ruling{}, store.ErrSpent
	}
	ruling := store.Ruling{Stopped: counts[wholeAccount] == l.HardStop}
	if rest := l.Pause(counts[sourcePlace(g.Source)]); rest > 0 {
		// The row is ours until the commit, so whoever got this number writes the rest that it asks for.
		ruling.Paused = true
		_, err = t.exec(ctx, `UPDATE password_failures SET until = $3 WHERE account = $1 AND place = $2`,
			args{account, sourcePlace(g.Source), micros(g.At.Add(rest))})
	}
	return ruling, err
}

// countDevice takes one from the device's own budget and returns the count; 0 if there is none left.
func (t *tx) countDevice(ctx context.Context, g store.Guess, l limit.Passwords) (failed int, err error) {
	err = t.one(ctx, `INSERT INTO password_failures (account, place, failed, until, ends) VALUES ($1, $2, 1, 0, $3)
		ON CONFLICT (account, place) DO UPDATE SET failed = password_failures.failed + 1, ends = excluded.ends
		WHERE password_failures.failed < $4 RETURNING failed`,
		args{t.account(g.Login), devicePlace(g.Device), micros(g.At.Add(limit.AccountMemory)), int64(l.PerDevice)}, &failed)
	if err == store.ErrNotFound {
		return 0, nil
	}
	return failed, err
}

// countElsewhere counts what a known device tries where it counts but refuses nothing.
func (t *tx) countElsewhere(ctx context.Context, g store.Guess, l limit.Passwords) (store.Ruling, error) {
	if err := t.countSource(ctx, g, l.Source, math.MaxInt32); err != nil {
		return store.Ruling{}, err
	}
	var failed int
	err := t.one(ctx, `INSERT INTO password_failures (account, place, failed, until, ends) VALUES ($1, '', 1, 0, $2)
		ON CONFLICT (account, place) DO UPDATE SET failed = password_failures.failed + 1, ends = excluded.ends
		RETURNING failed`, args{t.account(g.Login), micros(g.At.Add(limit.AccountMemory))}, &failed)
	return store.Ruling{Device: true, Stopped: failed == l.HardStop}, err
}

// inWindow estimates the failures of the window that ends now: those since the present one began, and of
// those before as many as would be in it had they come evenly. $2 is now, $3 how long the window is. So a
// source may exceed the limit once by half, if it knows when to wait, and over time not at all.
const inWindow = `(CASE WHEN $2 < source_failures.since + $3 THEN source_failures.failed + source_failures.earlier * (source_failures.since + $3 - $2 - 1) / $3
	WHEN $2 < source_failures.since + 2 * $3 THEN source_failures.failed * (source_failures.since + 2 * $3 - $2 - 1) / $3
	ELSE 0 END)`

// countSource is ErrNotFound if the source has none left.
func (t *tx) countSource(ctx context.Context, g store.Guess, w limit.Window, most int) error {
	var failed int
	return t.one(ctx, `INSERT INTO source_failures (source, failed, earlier, since, ends) VALUES ($1, 1, 0, $2, $5)
		ON CONFLICT (source) DO UPDATE SET
			earlier = CASE WHEN $2 < source_failures.since + $3 THEN source_failures.earlier WHEN $2 < source_failures.since + 2 * $3 THEN source_failures.failed ELSE 0 END,
			failed = CASE WHEN $2 < source_failures.since + $3 THEN source_failures.failed + 1 ELSE 1 END,
			since = CASE WHEN $2 < source_failures.since + $3 THEN source_failures.since WHEN $2 < source_failures.since + 2 * $3 THEN source_failures.since + $3 ELSE $2 END,
			ends = excluded.ends
		WHERE `+inWindow+` < $4
		RETURNING failed`,
		args{g.Source, micros(g.At), w.Per.Microseconds(), int64(most), micros(g.At.Add(2 * w.Per))}, &failed)
}

func (t *tx) SourceSpent(ctx context.Context, g store.Guess, l limit.Passwords) (bool, error) {
	var failed int
	err := t.one(ctx, `SELECT `+inWindow+` FROM source_failures WHERE source = $1`,
		args{g.Source, micros(g.At), l.Source.Per.Microseconds()}, &failed)
	if err == store.ErrNotFound {
		return false, nil
	}
	return failed >= l.Source.Max, err
}

func (t *tx) CountRefusal(ctx context.Context, g store.Guess, l limit.Passwords) error {
	err := t.countSource(ctx, g, l.Source, l.Source.Max)
	if err == store.ErrNotFound {
		return store.ErrSpent
	}
	return err
}

func (t *tx) ClearGuess(ctx context.Context, g store.Guess, l limit.Passwords) error {
	// Taken back where it was counted: a window that began since does not hold it.
	if _, err := t.exec(ctx, `UPDATE source_failures SET failed = failed - 1 WHERE source = $1 AND failed > 0 AND since <= $2 AND $2 < since + $3`,
		args{g.Source, micros(g.At), l.Source.Per.Microseconds()}); err != nil {
		return err
	}
	place := sourcePlace(g.Source)
	if g.Device != "" {
		place = devicePlace(g.Device)
	}
	for _, p := range []string{place, wholeAccount} {
		if _, err := t.exec(ctx, `DELETE FROM password_failures WHERE account = $1 AND place = $2`, args{t.account(g.Login), p}); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) ForgetGuesses(ctx context.Context, login string) error {
	_, err := t.exec(ctx, `DELETE FROM password_failures WHERE account = $1`, args{t.account(login)})
	return err
}

func (t *tx) KnowsDevice(ctx context.Context, login string, device secret.Digest) (bool, error) {
	var seen time.Time
	err := t.one(ctx, `SELECT seen FROM known_devices WHERE account = $1 AND device = $2`, args{t.account(login), device[:]}, timeInto{&seen})
	if err == store.ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

func (t *tx) RememberDevice(ctx context.Context, login string, device secret.Digest, at time.Time) error {
	_, err := t.exec(ctx, `INSERT INTO known_devices (account, device, seen) VALUES ($1, $2, $3)
		ON CONFLICT (account, device) DO UPDATE SET seen = excluded.seen`, args{t.account(login), device[:], mark(at)})
	return err
}
