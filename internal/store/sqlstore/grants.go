package sqlstore

import (
	"context"
	"errors"
	"time"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

func (t *tx) AddCode(ctx context.Context, c store.Code) error {
	return added(t.exec(ctx, `INSERT INTO codes (digest, redirect, pkce, expires, gives, used, user_id, client_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
		args{c.Digest[:], c.Redirect, c.PKCE, micros(c.Expires), doc(grantRowOf(c.Grant)), micros(c.Used),
			string(c.Grant.User), string(c.Grant.Client)}))
}

const codeColumns = `redirect, pkce, expires, gives, used`

// SpendCode is the one place where a code is redeemed: of any number of requests at once, the database
// lets one see it unused (S-56).
func (t *tx) SpendCode(ctx context.Context, d secret.Digest, at time.Time) (store.Code, error) {
	c, err := t.code(ctx, d, `UPDATE codes SET used = $2 WHERE digest = $1 AND used = 0 RETURNING `+codeColumns, args{d[:], mark(at)})
	if err != store.ErrNotFound {
		return c, err
	}
	if c, err = t.code(ctx, d, `SELECT `+codeColumns+` FROM codes WHERE digest = $1`, args{d[:]}); err != nil {
		return c, err
	}
	return c, store.ErrSpent
}

func (t *tx) code(ctx context.Context, d secret.Digest, query string, a args) (store.Code, error) {
	c := store.Code{Digest: d}
	var g grantRow
	err := t.one(ctx, query, a, &c.Redirect, &c.PKCE, timeInto{&c.Expires}, docInto{&g}, timeInto{&c.Used})
	if err != nil {
		return store.Code{}, err
	}
	c.Grant = g.grant()
	return c, nil
}

// grantRow is a grant as it is stored, in its own row and in the code that gives it.
type grantRow struct {
	ID       oauth.GrantID  `json:"id"`
	Server   string         `json:"server"`
	Client   oauth.ClientID `json:"client"`
	User     ident.UserID   `json:"user"`
	Scopes   []string       `json:"scopes,omitempty"`
	Nonce    string         `json:"nonce,omitempty"`
	AuthTime instant        `json:"auth_time"`
	AMR      []string       `json:"amr,omitempty"`
	ACR      string         `json:"acr,omitempty"`
	Session  string         `json:"session,omitempty"`
	Key      string         `json:"key,omitempty"`
	Created  instant        `json:"created"`
	Expires  instant        `json:"expires"`
	Revoked  bool           `json:"revoked,omitempty"`
}

func grantRowOf(g oauth.Grant) grantRow {
	return grantRow{g.ID, g.Server, g.Client, g.User, g.Scopes, g.Nonce, instant(g.AuthTime), g.AMR, g.ACR, g.Session, g.Key,
		instant(g.Created), instant(g.Expires), g.Revoked}
}

func (r grantRow) grant() oauth.Grant {
	return oauth.Grant{ID: r.ID, Server: r.Server, Client: r.Client, User: r.User, Scopes: r.Scopes, Nonce: r.Nonce,
		AuthTime: time.Time(r.AuthTime), AMR: r.AMR, ACR: r.ACR, Session: r.Session, Key: r.Key, Created: time.Time(r.Created), Expires: time.Time(r.Expires), Revoked: r.Revoked}
}

// AddGrant fills the row of a grant that was revoked before it was there; it stays revoked.
func (t *tx) AddGrant(ctx context.Context, g oauth.Grant) error {
	return added(t.exec(ctx, `INSERT INTO grants (id, revoked, expires, doc, user_id, client_id) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (id) DO UPDATE SET expires = excluded.expires, doc = excluded.doc, user_id = excluded.user_id,
		client_id = excluded.client_id WHERE grants.expires = 0`,
		args{string(g.ID), g.Revoked, mark(g.Expires), doc(grantRowOf(g)), string(g.User), string(g.Client)}))
}

func (t *tx) Grant(ctx context.Context, id oauth.GrantID) (oauth.Grant, error) {
	var r grantRow
	var revoked bool
	if err := t.one(ctx, `SELECT revoked, doc FROM grants WHERE id = $1 AND expires <> 0`, args{string(id)}, &revoked, docInto{&r}); err != nil {
		return oauth.Grant{}, err
	}
	g := r.grant()
	g.Revoked = revoked
	return g, nil
}

// RevokeGrant leaves a mark where there is no grant yet: a code that is replayed while it is being
// redeemed must end what the redemption is about to make (S-56).
func (t *tx) RevokeGrant(ctx context.Context, id oauth.GrantID) error {
	_, err := t.exec(ctx, `INSERT INTO grants (id, revoked, expires, doc) VALUES ($1, TRUE, 0, '')
		ON CONFLICT (id) DO UPDATE SET revoked = TRUE`, args{string(id)})
	return err
}

// RevokeGrantsOf removes codes that nobody redeemed, so that they are like those that nobody made.
func (t *tx) RevokeGrantsOf(ctx context.Context, u ident.UserID, c oauth.ClientID) (int, error) {
	column, whose := "user_id", string(u)
	if u == "" {
		column, whose = "client_id", string(c)
	}
	if whose == "" {
		return 0, errors.New("sqlstore: revoking the grants of nobody")
	}
	if _, err := t.exec(ctx, `DELETE FROM codes WHERE `+column+` = $1 AND used = 0`, args{whose}); err != nil {
		return 0, err
	}
	if _, err := t.exec(ctx, `DELETE FROM devices WHERE `+column+` = $1 AND used = 0`, args{whose}); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, `UPDATE grants SET revoked = TRUE WHERE `+column+` = $1 AND NOT revoked`, args{whose})
	return int(n), err
}

func (t *tx) AddRefresh(ctx context.Context, r store.Refresh) error {
	return added(t.exec(ctx, `INSERT INTO refreshes (digest, grant_id, created, expires, used) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT DO NOTHING`, args{r.Digest[:], string(r.Grant), micros(r.Created), micros(r.Expires), micros(r.Used)}))
}

const refreshColumns = `grant_id, created, expires, used`

func (t *tx) Refresh(ctx context.Context, d secret.Digest) (store.Refresh, error) {
	return t.refresh(ctx, d, `SELECT `+refreshColumns+` FROM refreshes WHERE digest = $1`, args{d[:]})
}

// SpendRefresh lets one of any number of requests use the token (S-60).
func (t *tx) SpendRefresh(ctx context.Context, d secret.Digest, at time.Time) (store.Refresh, error) {
	r, err := t.refresh(ctx, d, `UPDATE refreshes SET used = $2 WHERE digest = $1 AND used = 0 RETURNING `+refreshColumns, args{d[:], mark(at)})
	if err != store.ErrNotFound {
		return r, err
	}
	if r, err = t.Refresh(ctx, d); err != nil {
		return r, err
	}
	return r, store.ErrSpent
}

func (t *tx) refresh(ctx context.Context, d secret.Digest, query string, a args) (store.Refresh, error) {
	r := store.Refresh{Digest: d}
	err := t.one(ctx, query, a, (*string)(&r.Grant), timeInto{&r.Created}, timeInto{&r.Expires}, timeInto{&r.Used})
	if err != nil {
		return store.Refresh{}, err
	}
	return r, nil
}

func (t *tx) RevokeToken(ctx context.Context, jti string, expires time.Time) error {
	_, err := t.exec(ctx, `INSERT INTO revoked_tokens (jti, expires) VALUES ($1, $2) ON CONFLICT DO NOTHING`, args{jti, mark(expires)})
	return err
}

// over tells of a token ($3) and its grant ($2) whether either was revoked. A grant that is not there counts as
// revoked: no token outlives its grant, so somebody removed it. One of somebody else than the token says ($1) is not
// there either.
const over = `coalesce((SELECT revoked FROM grants WHERE id = $2 AND user_id = $1), TRUE) OR EXISTS (SELECT 1 FROM revoked_tokens WHERE jti = $3)`

// TokenHolder is one statement, because it stands in the way of every userinfo request.
func (t *tx) TokenHolder(ctx context.Context, u ident.UserID, g oauth.GrantID, jti string) (ident.User, error) {
	return t.tokenHolder(ctx, u, g, jti, ``, ``)
}

func (t *tx) TokenHolderAndPhone(ctx context.Context, u ident.UserID, g oauth.GrantID, jti string) (ident.User, secret.Text, error) {
	var id string
	var sealed []byte
	holder, err := t.tokenHolder(ctx, u, g, jti, `, coalesce(phone_id, ''), phone`,
		` LEFT JOIN (SELECT id AS phone_id, user_id AS phone_of, secret AS phone FROM enrollments WHERE kind = 'phone') AS phones ON phone_of = id`,
		&id, &sealed)
	if err != nil || id == "" {
		return holder, "", err
	}
	number, err := t.unseal(enrollmentSecret, id, sealed)
	return holder, secret.Text(number), err
}

// tokenHolder reads more of the user's, from what is joined to users, if there is a user.
func (t *tx) tokenHolder(ctx context.Context, u ident.UserID, g oauth.GrantID, jti string, more, from string, into ...any) (ident.User, error) {
	var holder ident.User
	var refused bool
	a := args{string(u), string(g), jti}
	var err error
	if u == "" {
		err = t.one(ctx, `SELECT `+over, a, &refused)
	} else {
		err = t.one(ctx, `SELECT `+userColumns+`, `+over+more+` FROM users`+from+` WHERE id = $1`, a, append(append(userInto(&holder), &refused), into...)...)
	}
	if err == nil && refused {
		err = store.ErrSpent
	}
	if err != nil {
		return ident.User{}, err
	}
	return holder, nil
}
