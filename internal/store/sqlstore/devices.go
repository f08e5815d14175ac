package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// asksRow is who asks for what.
type asksRow struct {
	Server string         `json:"server"`
	Client oauth.ClientID `json:"client"`
	Scopes []string       `json:"scopes,omitempty"`
}

func (t *tx) userCode(code secret.Text) []byte {
	d := t.db.keys.MAC(secret.MACUserCode, code.Reveal())
	return d[:]
}

func (t *tx) AddDevice(ctx context.Context, d store.Device) error {
	return added(t.exec(ctx, `INSERT INTO devices (digest, user_code, asks, created, expires, wait, polled, hasty, decided, gives, used, user_id, client_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING`,
		args{d.Digest[:], t.userCode(d.UserCode), doc(asksRow{d.Server, d.Client, d.Scopes}), micros(d.Created), micros(d.Expires), d.Wait.Microseconds(),
			micros(d.Polled), d.Hasty, micros(d.Decided), gives(d.Grant), micros(d.Used), string(d.Grant.User), string(d.Client)}))
}

// gives is empty for a grant that there is not.
func gives(g oauth.Grant) any {
	if g.ID == "" {
		return ""
	}
	return doc(grantRowOf(g))
}

const deviceColumns = `digest, asks, created, expires, wait, polled, hasty, decided, gives, used`

func (t *tx) device(ctx context.Context, query string, a args) (d store.Device, err error) {
	var (
		asks  asksRow
		wait  int64
		given string
		grant grantRow
	)
	err = t.each(ctx, query, a, func(rows *sql.Rows) error {
		if err := rows.Scan(digestInto{&d.Digest}, docInto{&asks}, timeInto{&d.Created}, timeInto{&d.Expires}, &wait, timeInto{&d.Polled},
			&d.Hasty, timeInto{&d.Decided}, &given, timeInto{&d.Used}); err != nil || len(given) == 0 {
			return err
		}
		return unmarshalExact([]byte(given), &grant)
	})
	if err == nil && d.Digest.IsZero() {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Device{}, err
	}
	d.Server, d.Client, d.Scopes, d.Wait = asks.Server, asks.Client, asks.Scopes, time.Duration(wait)*time.Microsecond
	if grant.ID != "" {
		d.Grant = grant.grant()
	}
	return d, nil
}

func (t *tx) DeviceByUserCode(ctx context.Context, code secret.Text) (store.Device, error) {
	return t.device(ctx, `SELECT `+deviceColumns+` FROM devices WHERE user_code = $1`, args{t.userCode(code)})
}

// DecideDevice lets one of any number of decisions stand.
func (t *tx) DecideDevice(ctx context.Context, code secret.Text, g oauth.Grant, at time.Time) error {
	n, err := t.exec(ctx, `UPDATE devices SET decided = $2, gives = $3, user_id = $4 WHERE user_code = $1 AND decided = 0 AND expires > $2`,
		args{t.userCode(code), mark(at), gives(g), string(g.User)})
	if err != nil || n > 0 {
		return err
	}
	d, err := t.DeviceByUserCode(ctx, code)
	if err == nil && !d.Decided.IsZero() {
		return store.ErrSpent
	}
	if err == nil {
		err = store.ErrNotFound // over
	}
	return err
}

// PollDevice judges a poll and remembers it in one statement, so that two nodes cannot both find it in time.
func (t *tx) PollDevice(ctx context.Context, d secret.Digest, at time.Time, more time.Duration) (store.Device, error) {
	return t.device(ctx, `UPDATE devices SET
			hasty = $2 < polled + wait,
			wait = CASE WHEN $2 < polled + wait THEN wait + $3 ELSE wait END,
			polled = $2
		WHERE digest = $1 RETURNING `+deviceColumns, args{d[:], mark(at), more.Microseconds()})
}

// SpendDevice is the one place where a device code is redeemed, like SpendCode for codes.
func (t *tx) SpendDevice(ctx context.Context, d secret.Digest, at time.Time) (store.Device, error) {
	got, err := t.device(ctx, `UPDATE devices SET used = $2 WHERE digest = $1 AND used = 0 AND gives <> '' RETURNING `+deviceColumns, args{d[:], mark(at)})
	if err != store.ErrNotFound {
		return got, err
	}
	got, err = t.device(ctx, `SELECT `+deviceColumns+` FROM devices WHERE digest = $1`, args{d[:]})
	switch {
	case err != nil:
		return got, err
	case got.Used.IsZero(): // nobody allowed it
		return store.Device{}, store.ErrNotFound
	}
	return got, store.ErrSpent
}
