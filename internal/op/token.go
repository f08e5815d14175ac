package op

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// token hands out tokens for a code or a refresh token.
//
// What is spent and what is granted land in one commit; signing comes after it, for a signature takes a
// millisecond that no lock should wait for, and a code cannot be looked at without spending it. So that a
// spent code is not lost to a database that is away, the signing key is fetched first; should signing
// fail nevertheless, the grant is taken back in the open (see [API.lost]).
func (a *API) token(c *call) (reply, error) {
	asked, err := c.params.need("grant_type")
	if err != nil {
		return reply{}, err
	}
	grant, ok := map[oauth.GrantType]func(*call, oauth.Client, keys.Signer) (reply, error){
		oauth.InteractionCode:   interactionCodes.redeemedBy(a),
		oauth.AuthorizationCode: authorizationCodes.redeemedBy(a),
		oauth.RefreshToken:      a.refresh,
		oauth.ClientCredentials: a.alone,
		oauth.DeviceCode:        a.redeemDevice,
		oauth.TokenExchange:     a.exchange,
	}[oauth.GrantType(asked)]
	if !ok {
		return reply{}, errGrantType
	}
	client, err := a.client(c)
	if err != nil {
		return reply{}, err
	}
	if !client.May(oauth.GrantType(asked)) {
		return reply{}, &oauth.Error{Code: oauth.UnauthorizedClient, Description: "The client may not use this grant type."}
	}
	if err := c.realm.Permits(client.ID, oauth.GrantType(asked), nil); err != nil {
		return reply{}, err
	}
	if c.key, err = a.proof(c, ""); err != nil {
		return reply{}, err
	}
	if c.key == "" && client.BindsTokens {
		return reply{}, badProof("is missing: the tokens of this client are bound to a key")
	}
	signer, err := a.Keys.Signer(c.Context())
	if err != nil {
		return reply{}, err
	}
	return grant(c, client, signer)
}

// A codeKind is a kind of code: how it is sent, and what is said of one that is not good.
type codeKind struct {
	grant     oauth.GrantType
	parameter string
	purpose   secret.Purpose
	repeats   bool // the redirect URI that it went to is sent again (RFC 6749 4.1.3)
	bad       *oauth.Error
}

// Where the application itself asked for a code there was no redirect whose address could be another one, and
// half of the clients leave it out; where a browser carried the code, it is required.
var (
	interactionCodes   = codeKind{oauth.InteractionCode, "interaction_code", secret.InteractionCode, false, oauth.ErrCode}
	authorizationCodes = codeKind{oauth.AuthorizationCode, "code", secret.AuthorizationCode, true, oauth.ErrAuthCode}
)

func (k codeKind) redeemedBy(a *API) func(*call, oauth.Client, keys.Signer) (reply, error) {
	return func(c *call, client oauth.Client, signer keys.Signer) (reply, error) {
		return a.redeem(c, k, client, signer)
	}
}

// redeem changes a code into tokens. Whatever is wrong with the request, the code is burnt: who shows it
// without the verifier has it from somewhere else (S-55, S-56).
func (a *API) redeem(c *call, kind codeKind, client oauth.Client, signer keys.Signer) (reply, error) {
	ctx, now := c.Context(), a.Now().UTC()
	value, err := c.params.need(kind.parameter)
	if err != nil {
		return reply{}, err
	}
	digest := secret.DigestOf(kind.purpose, value)
	refresh := secret.Random()
	var (
		code   store.Code
		user   ident.User
		grant  oauth.Grant
		groups []string
		refuse *oauth.Error
	)
	err = a.Store.Update(ctx, func(tx store.Tx) (err error) {
		if code, err = tx.SpendCode(ctx, digest, now); err != nil {
			return err
		}
		grant = code.Grant
		if refuse = kind.judge(c, client, code, now); refuse == nil {
			grant.Scopes, refuse = left(c, client, grant, kind.grant)
		}
		if refuse != nil {
			return tx.Record(ctx, a.about(c, audit.TokenRefused, false, grant, refuse.Description))
		}
		if user, err = tx.User(ctx, grant.User); err != nil {
			return err
		}
		if user.Status != ident.Active {
			refuse = kind.bad
			return tx.Record(ctx, a.about(c, audit.TokenRefused, false, grant, "the user is not active"))
		}
		if groups, err = groupsOf(ctx, tx, user.ID, c.realm.SaysGroups(grant.Scopes)); err != nil {
			return err
		}
		grant.Created, grant.Expires, grant.Key = now, ends(c.realm.Server, grant, now), c.binding(client)
		if err := tx.AddGrant(ctx, grant); err != nil {
			return err
		}
		if grant.Refreshable() {
			if err := tx.AddRefresh(ctx, newRefresh(c.realm.Server, grant, refresh, now)); err != nil {
				return err
			}
		}
		return tx.Record(ctx, a.about(c, audit.TokensIssued, true, grant, ""))
	})
	switch {
	case errors.Is(err, store.ErrSpent):
		return reply{}, a.revokeFamily(c, code.Grant, audit.CodeReplayed, kind.bad)
	case errors.Is(err, store.ErrNotFound):
		return reply{}, kind.bad
	case err != nil:
		return reply{}, err
	case refuse != nil:
		return reply{}, refuse
	}
	return a.issue(c, signer, issuance{grant: grant, scopes: grant.Scopes, user: user, groups: groups, refresh: refresh, now: now, first: true})
}

// judge compares a code that was just spent with the request that shows it.
func (k codeKind) judge(c *call, client oauth.Client, code store.Code, now time.Time) *oauth.Error {
	redirect := c.params["redirect_uri"]
	switch {
	case code.Grant.Client != client.ID, code.Grant.Server != c.realm.ID, !now.Before(code.Expires):
		return k.bad
	case k.repeats && redirect == "" && code.Redirect != "":
		return &oauth.Error{Code: oauth.InvalidRequest, Description: "The parameter 'redirect_uri' is missing."}
	case redirect != "" && redirect != code.Redirect:
		return &oauth.Error{Code: oauth.InvalidGrant, Description: "The 'redirect_uri' is not the one that the sign-in began with."}
	case !oauth.Proves(c.params["code_verifier"], code.PKCE):
		return oauth.ErrPKCE
	case code.Grant.Key != "" && code.Grant.Key != c.key:
		return errKey("code")
	}
	return nil
}

// left are the scopes that are given for a code. The scopes of the client and of the server, and its rules, may have
// changed since the person signed in.
func left(c *call, client oauth.Client, g oauth.Grant, by oauth.GrantType) (scopes []string, refuse *oauth.Error) {
	scopes, err := c.realm.Left(g, client)
	if err == nil {
		err = c.realm.Permits(client.ID, by, scopes)
	}
	errors.As(err, &refuse)
	return scopes, refuse
}

// refresh changes a refresh token into new tokens, itself included (S-60). A used one tells that two hold
// what one should: nobody can say which of them is the thief, so the whole family ends. Within the grace
// period it may also be an answer that was lost: then the very same successor is given again, as long as that
// has not been used itself, for whoever used it had the answer.
func (a *API) refresh(c *call, client oauth.Client, signer keys.Signer) (reply, error) {
	ctx, now := c.Context(), a.Now().UTC()
	value, err := c.params.need("refresh_token")
	if err != nil {
		return reply{}, err
	}
	digest := secret.DigestOf(secret.RefreshToken, value)
	next := a.Secrets.Token(secret.MACRefresh, value)
	var (
		old    store.Refresh
		grant  oauth.Grant
		user   ident.User
		groups []string
		scopes []string
	)
	err = a.Store.Update(ctx, func(tx store.Tx) (err error) {
		old, err = tx.SpendRefresh(ctx, digest, now) // first, for all who come at once to be told apart
		used := errors.Is(err, store.ErrSpent)
		if err != nil && !used {
			return err
		}
		if grant, err = tx.Grant(ctx, old.Grant); err != nil {
			return err
		}
		if grant.Client != client.ID || grant.Server != c.realm.ID {
			return oauth.ErrRefresh
		}
		again := ""
		if used {
			if again, err = "given again", a.forgive(c, tx, old, next, now); err != nil {
				return err
			}
		}
		if grant.Key != "" && grant.Key != c.key {
			return errKey("refresh token") // and nothing is spent: who found it cannot take it from who has the key
		}
		if grant.Revoked || !now.Before(old.Expires) || !now.Before(grant.Expires) {
			return oauth.ErrRefresh
		}
		if scopes, err = c.realm.Narrow(grant, client, c.params["scope"]); err != nil {
			return err
		}
		if err := c.realm.Permits(client.ID, oauth.RefreshToken, scopes); err != nil { // rules may have changed since
			return err
		}
		if user, err = tx.User(ctx, grant.User); err != nil {
			return err
		}
		if user.Status != ident.Active {
			return oauth.ErrRefresh
		}
		if groups, err = groupsOf(ctx, tx, user.ID, c.realm.SaysGroups(scopes)); err != nil {
			return err
		}
		if !used {
			if err := tx.AddRefresh(ctx, newRefresh(c.realm.Server, grant, next, now)); err != nil {
				return err
			}
		}
		return tx.Record(ctx, a.about(c, audit.TokensRefreshed, true, grant, again))
	})
	switch {
	case errors.Is(err, store.ErrSpent):
		return reply{}, a.revokeFamily(c, grant, audit.RefreshReused, oauth.ErrRefresh)
	case errors.Is(err, store.ErrNotFound):
		return reply{}, oauth.ErrRefresh
	case err != nil:
		return reply{}, err
	}
	return a.issue(c, signer, issuance{grant: grant, scopes: scopes, user: user, groups: groups, refresh: next, now: now})
}

// forgive is [store.ErrSpent] for a used refresh token that does not get its successor again.
func (a *API) forgive(c *call, tx store.Tx, old store.Refresh, next secret.Text, now time.Time) error {
	if !c.realm.Forgives(old.Used, now) {
		return store.ErrSpent
	}
	successor, err := tx.Refresh(c.Context(), secret.DigestOf(secret.RefreshToken, next.Reveal()))
	if errors.Is(err, store.ErrNotFound) || err == nil && !successor.Used.IsZero() {
		return store.ErrSpent
	}
	return err
}

// An issuance is what a commit granted and is now to be signed.
type issuance struct {
	grant   oauth.Grant
	scopes  []string
	user    ident.User
	groups  []string
	refresh secret.Text
	now     time.Time
	first   bool
}

// issue signs the tokens and words the answer. It never holds state: okta-auth-js would compare it with nothing.
func (a *API) issue(c *call, signer keys.Signer, i issuance) (reply, error) {
	claims := oauth.Issue{
		Server: c.realm.Server, Issuer: c.realm.issuer, Org: c.realm.org, Grant: i.grant, Scopes: i.scopes, User: i.user, Groups: i.groups,
		Unique: ident.NewID(""), Now: i.now, Key: c.key, First: i.first,
	}
	access := claims.AccessToken()
	answer := struct {
		Type    string `json:"token_type"`
		Expires int64  `json:"expires_in"`
		Access  string `json:"access_token"`
		Scope   string `json:"scope"`
		Refresh string `json:"refresh_token,omitempty"`
		ID      string `json:"id_token,omitempty"`
	}{Type: "Bearer", Expires: access.Expires - access.Issued, Scope: strings.Join(i.scopes, " ")}
	if c.key != "" {
		answer.Type = string(byDPoP)
	}
	var err error
	if answer.Access, err = signer.Sign(access); err != nil {
		return reply{}, a.lost(c, i.grant, err)
	}
	if access.Has(oauth.ScopeOpenID) {
		if answer.ID, err = signer.Sign(claims.IDToken(answer.Access)); err != nil {
			return reply{}, a.lost(c, i.grant, err)
		}
	}
	if i.grant.Refreshable() {
		answer.Refresh = i.refresh.Reveal()
	}
	return jsonReply(answer), nil
}

// lost takes back a grant whose tokens could not be signed: nobody holds them, and nobody shall think so.
func (a *API) lost(c *call, g oauth.Grant, cause error) error {
	cause = fmt.Errorf("op: the code or token is spent, but what it buys could not be signed: %w", cause)
	return a.revokeFamily(c, g, audit.TokenRefused, cause)
}

// revokeFamily ends a grant with all its tokens and records why; then it returns the answer, or what went wrong.
func (a *API) revokeFamily(c *call, g oauth.Grant, why audit.Type, answer error) error {
	ctx := c.Context()
	err := a.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.RevokeGrant(ctx, g.ID); err != nil {
			return err
		}
		return tx.Record(ctx, a.about(c, why, false, g, "the grant is revoked"))
	})
	if err != nil {
		return fmt.Errorf("op: revoking a grant: %w, in place of: %v", err, answer)
	}
	return answer
}

// about describes an event in the life of a grant.
func (a *API) about(c *call, t audit.Type, ok bool, g oauth.Grant, reason string) audit.Event {
	return a.event(c, t, ok, audit.Event{User: string(g.User), Client: string(g.Client), GrantID: string(g.ID), Reason: reason})
}

// ends is how long a grant can live: as long as refreshing can go on, or as its only tokens do.
func ends(s oauth.Server, g oauth.Grant, now time.Time) time.Time {
	if g.Refreshable() {
		return now.Add(s.Absolute)
	}
	return now.Add(max(s.Access, s.IDToken))
}

// newRefresh is the row of a refresh token: idle so long, and never longer than the grant.
func newRefresh(s oauth.Server, g oauth.Grant, value secret.Text, now time.Time) store.Refresh {
	end := now.Add(s.Refresh)
	if g.Expires.Before(end) {
		end = g.Expires
	}
	return store.Refresh{Digest: secret.DigestOf(secret.RefreshToken, value.Reveal()), Grant: g.ID, Created: now, Expires: end}
}
