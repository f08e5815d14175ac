package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/secret"
)

// OrgID is written when the database is claimed, so that reading it is reading only.
func (t *tx) OrgID(ctx context.Context) (string, error) { return t.Setting(ctx, settingOrg) }

// begin writes what every database has from the start, unless another node just did.
func (t *tx) begin(ctx context.Context, root, check, seals string) (int64, error) {
	n, err := t.exec(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING`, args{settingRoot, root})
	if err != nil || n == 0 {
		return n, err
	}
	_, err = t.exec(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2), ($3, $4), ($5, $6) ON CONFLICT DO NOTHING`,
		args{settingKeyCheck, check, settingSeals, seals, settingOrg, ident.NewID("00o")})
	return n, err
}

func (t *tx) Setting(ctx context.Context, name string) (string, error) {
	var value string
	err := t.one(ctx, `SELECT value FROM settings WHERE name = $1`, args{name}, &value)
	return value, err
}

func (t *tx) PutSetting(ctx context.Context, name, value string) error {
	_, err := t.exec(ctx, `INSERT INTO settings (name, value) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`, args{name, value})
	return err
}

func (t *tx) DropSetting(ctx context.Context, name string) error {
	return present(t.exec(ctx, `DELETE FROM settings WHERE name = $1`, args{name}))
}

func (t *tx) PutAuthenticator(ctx context.Context, a ident.Authenticator) error {
	_, err := t.exec(ctx, `INSERT INTO authenticators (id, kind, name, methods, position)
		VALUES ($1, $2, $3, $4, (SELECT coalesce(max(position), 0) + 1 FROM authenticators))
		ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, name = excluded.name, methods = excluded.methods`,
		args{string(a.ID), string(a.Kind), a.Key, doc(a.Methods)})
	return err
}

func (t *tx) Authenticators(ctx context.Context) ([]ident.Authenticator, error) {
	var all []ident.Authenticator
	err := t.each(ctx, `SELECT id, kind, name, methods FROM authenticators ORDER BY position`, nil, func(rows *sql.Rows) error {
		var a ident.Authenticator
		err := rows.Scan((*string)(&a.ID), (*string)(&a.Kind), &a.Key, docInto{&a.Methods})
		all = append(all, a)
		return err
	})
	return all, err
}

func (t *tx) DropAuthenticator(ctx context.Context, id ident.AuthenticatorID) error {
	return present(t.exec(ctx, `DELETE FROM authenticators WHERE id = $1`, args{string(id)}))
}

func (t *tx) PutClient(ctx context.Context, c oauth.Client) error {
	_, err := t.exec(ctx, `INSERT INTO clients (id, created, doc) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET created = excluded.created, doc = excluded.doc`,
		args{string(c.ID), micros(c.Created), doc(clientRowOf(c))})
	return err
}

func (t *tx) AlterClient(ctx context.Context, c oauth.Client) error {
	return present(t.exec(ctx, `UPDATE clients SET created = $2, doc = $3 WHERE id = $1`, args{string(c.ID), micros(c.Created), doc(clientRowOf(c))}))
}

func (t *tx) DropClient(ctx context.Context, id oauth.ClientID) error {
	return present(t.exec(ctx, `DELETE FROM clients WHERE id = $1`, args{string(id)}))
}

func (t *tx) Client(ctx context.Context, id oauth.ClientID) (oauth.Client, error) {
	var r clientRow
	var created time.Time
	if err := t.one(ctx, `SELECT created, doc FROM clients WHERE id = $1`, args{string(id)}, timeInto{&created}, docInto{&r}); err != nil {
		return oauth.Client{}, err
	}
	return r.client(id, created), nil
}

func (t *tx) Clients(ctx context.Context) ([]oauth.Client, error) {
	var all []oauth.Client
	err := t.each(ctx, `SELECT id, created, doc FROM clients`, nil, func(rows *sql.Rows) error {
		var r clientRow
		var id oauth.ClientID
		var created time.Time
		err := rows.Scan((*string)(&id), timeInto{&created}, docInto{&r})
		all = append(all, r.client(id, created))
		return err
	})
	// Sorted here, because databases follow their own locale.
	slices.SortFunc(all, func(a, b oauth.Client) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return all, err
}

// clientRow is what is stored of a client beside its key.
type clientRow struct {
	Label         string            `json:"label,omitempty"`
	SecretDigests []digest          `json:"secret_digests,omitempty"`
	Redirects     []string          `json:"redirects,omitempty"`
	PostLogout    []string          `json:"post_logout,omitempty"`
	Origins       []string          `json:"origins,omitempty"`
	AnyLoopback   bool              `json:"any_loopback,omitempty"`
	Grants        []oauth.GrantType `json:"grants,omitempty"`
	Scopes        []string          `json:"scopes,omitempty"`
	Policy        policyRow         `json:"policy"`
	AtInteract    bool              `json:"authenticates_at_interact,omitempty"`
	Keys          string            `json:"keys,omitempty"`
	RequiresPAR   bool              `json:"requires_par,omitempty"`
	BindsTokens   bool              `json:"binds_tokens,omitempty"`
	FrontChannel  string            `json:"front_channel_logout,omitempty"`
	BackChannel   string            `json:"back_channel_logout,omitempty"`
	Registration  digest            `json:"registration,omitzero"`
	Disabled      bool              `json:"disabled,omitempty"`
}

type policyRow struct {
	Require         []ident.Kind `json:"require,omitempty"`
	Offer           []ident.Kind `json:"offer,omitempty"`
	IdentifierFirst bool         `json:"identifier_first,omitempty"`
}

func clientRowOf(c oauth.Client) clientRow {
	r := clientRow{Label: c.Label, Redirects: c.Redirects, PostLogout: c.PostLogout, Origins: c.Origins, AnyLoopback: c.AnyLoopback,
		Grants: c.Grants, Scopes: c.Scopes, Policy: policyRow(c.Policy), AtInteract: c.AuthenticatesAtInteract,
		Keys: c.Keys, RequiresPAR: c.RequiresPAR, BindsTokens: c.BindsTokens, FrontChannel: c.FrontChannelLogout, BackChannel: c.BackChannelLogout,
		Registration: digest(c.Registration), Disabled: c.Disabled}
	for _, d := range c.SecretDigests {
		r.SecretDigests = append(r.SecretDigests, digest(d))
	}
	return r
}

func (r clientRow) client(id oauth.ClientID, created time.Time) oauth.Client {
	c := oauth.Client{ID: id, Label: r.Label, Redirects: r.Redirects, PostLogout: r.PostLogout, Origins: r.Origins, AnyLoopback: r.AnyLoopback,
		Grants: r.Grants, Scopes: r.Scopes, Policy: policy.Policy(r.Policy), AuthenticatesAtInteract: r.AtInteract,
		Keys: r.Keys, RequiresPAR: r.RequiresPAR, BindsTokens: r.BindsTokens, FrontChannelLogout: r.FrontChannel, BackChannelLogout: r.BackChannel,
		Registration: secret.Digest(r.Registration), Disabled: r.Disabled, Created: created}
	for _, d := range r.SecretDigests {
		c.SecretDigests = append(c.SecretDigests, secret.Digest(d))
	}
	return c
}

func (t *tx) PutServer(ctx context.Context, s oauth.Server) error {
	_, err := t.exec(ctx, `INSERT INTO servers (id, doc) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET doc = excluded.doc`,
		args{s.ID, doc(serverRow{s.Audience, span(s.Access), span(s.IDToken), span(s.Refresh), span(s.Absolute), span(s.Grace), s.Scopes,
			listOf(s.Claims, func(c oauth.Claim) claimRow { return claimRow(c) }), listOf(s.Rules, func(r oauth.Rule) ruleRow { return ruleRow(r) })})})
	return err
}

func (t *tx) DropServer(ctx context.Context, id string) error {
	return present(t.exec(ctx, `DELETE FROM servers WHERE id = $1`, args{id}))
}

func (t *tx) Server(ctx context.Context, id string) (oauth.Server, error) {
	var r serverRow
	if err := t.one(ctx, `SELECT doc FROM servers WHERE id = $1`, args{id}, docInto{&r}); err != nil {
		return oauth.Server{}, err
	}
	return r.server(id), nil
}

func (t *tx) Servers(ctx context.Context) ([]oauth.Server, error) {
	var all []oauth.Server
	err := t.each(ctx, `SELECT id, doc FROM servers`, nil, func(rows *sql.Rows) error {
		var r serverRow
		var id string
		err := rows.Scan(&id, docInto{&r})
		all = append(all, r.server(id))
		return err
	})
	slices.SortFunc(all, func(a, b oauth.Server) int { return cmp.Compare(a.ID, b.ID) })
	return all, err
}

// serverRow is what is stored of an authorization server. Lifetimes are written as 15m0s.
type serverRow struct {
	Audience string     `json:"audience"`
	Access   span       `json:"access"`
	IDToken  span       `json:"id_token"`
	Refresh  span       `json:"refresh"`
	Absolute span       `json:"absolute"`
	Grace    span       `json:"grace,omitempty"`
	Scopes   []string   `json:"scopes,omitempty"`
	Claims   []claimRow `json:"claims,omitempty"`
	Rules    []ruleRow  `json:"rules,omitempty"`
}

type claimRow struct {
	Name  string            `json:"name"`
	In    []oauth.TokenKind `json:"in"`
	Scope string            `json:"scope,omitempty"`
	User  oauth.Attribute   `json:"user,omitempty"`
	Text  string            `json:"text,omitempty"`
}

type ruleRow struct {
	Apps       []oauth.ClientID  `json:"apps,omitempty"`
	GrantTypes []oauth.GrantType `json:"grant_types,omitempty"`
	Scopes     []string          `json:"scopes,omitempty"`
}

// listOf turns a list of one type into a list of another; none stays none.
func listOf[A, B any](all []A, row func(A) B) (rows []B) {
	for _, a := range all {
		rows = append(rows, row(a))
	}
	return rows
}

func (r serverRow) server(id string) oauth.Server {
	return oauth.Server{ID: id, Audience: r.Audience, Access: time.Duration(r.Access), IDToken: time.Duration(r.IDToken),
		Refresh: time.Duration(r.Refresh), Absolute: time.Duration(r.Absolute), Grace: time.Duration(r.Grace), Scopes: r.Scopes,
		Claims: listOf(r.Claims, func(c claimRow) oauth.Claim { return oauth.Claim(c) }), Rules: listOf(r.Rules, func(r ruleRow) oauth.Rule { return oauth.Rule(r) })}
}
