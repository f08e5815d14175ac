package op

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// userinfo tells an application about the person behind its access token.
func (a *API) userinfo(c *call) (reply, error) {
	way, value, err := presented(c)
	if err != nil {
		return reply{}, err
	}
	token, err := a.access(c, value)
	if err != nil {
		return reply{}, way.challenged(err)
	}
	if way, err = a.accompanied(c, way, value, token); err != nil {
		return reply{}, way.challenged(err)
	}
	if !token.Has(oauth.ScopeOpenID) {
		return reply{}, way.challenged(&oauth.Error{Code: oauth.InsufficientScope, Description: "The access token was not issued with the scope 'openid'."})
	}
	who, err := a.holder(c, token)
	if err != nil {
		return reply{}, way.challenged(err)
	}
	info := oauth.NewUserInfo(who.user, who.phone, token.Scopes)
	info.Groups = who.groups
	return jsonReply(info), nil
}

// A scheme is how an access token is shown.
type scheme string

const (
	byBearer scheme = "Bearer"
	byDPoP   scheme = "DPoP"
)

// presented takes the token as whichever scheme has it.
func presented(c *call) (scheme, string, error) {
	way, value, _ := strings.Cut(c.Header.Get("Authorization"), " ")
	if !strings.EqualFold(way, string(byDPoP)) || strings.TrimSpace(value) == "" {
		value, err := bearer(c)
		return byBearer, value, err
	}
	if c.params["access_token"] != "" {
		return byDPoP, "", byDPoP.challenged(invalidRequest("The access token was sent in two ways at once."))
	}
	return byDPoP, strings.TrimSpace(value), nil
}

// accompanied judges whether a token that is bound to a key comes with a proof by that key, in the scheme for it,
// and one that is not does not pretend to be (RFC 9449 7). It returns the scheme to challenge with.
func (a *API) accompanied(c *call, way scheme, value string, token oauth.AccessToken) (scheme, error) {
	bound := token.Key()
	if (way == byDPoP) != (bound != "") {
		return byDPoP, errToken
	}
	key, err := a.proof(c, value)
	switch {
	case err != nil:
		return byDPoP, err
	case key == "" && bound != "":
		return byDPoP, badProof("is missing")
	case key != bound:
		return byDPoP, errToken
	}
	return way, nil
}

// bearer takes the token from the header or from the body of a POST, never from the URL (RFC 6750 2, S-61).
func bearer(c *call) (string, error) {
	header, inParams := c.Header.Get("Authorization"), c.params["access_token"]
	scheme, value, _ := strings.Cut(header, " ")
	switch {
	case inParams != "" && c.Method != http.MethodPost:
		return "", challenged(invalidRequest("The access token does not belong in the URL."))
	case inParams != "" && header != "":
		return "", challenged(invalidRequest("The access token was sent in two ways at once."))
	case inParams != "":
		return inParams, nil
	case strings.EqualFold(scheme, "Bearer") && value != "":
		return strings.TrimSpace(value), nil
	}
	// Without a token there is no error to tell, just what is wanted (RFC 6750 3.1).
	missing := &oauth.Error{Code: oauth.InvalidToken, Description: "The access token is missing."}
	return "", &refusal{said: missing, challenge: "Bearer"}
}

// challenged adds what RFC 6750 3 wants in the header; okta-auth-js reads the error from there and not from the body.
func challenged(err error) error { return byBearer.challenged(err) }

func (s scheme) challenged(err error) error {
	var e *oauth.Error
	if !errors.As(err, &e) {
		return err
	}
	r := &refusal{said: e, challenge: string(s) + ` error="` + string(e.Code) + `", error_description="` + e.Description + `"`}
	if s == byDPoP {
		r.challenge += `, algs="` + strings.Join(keys.ProofAlgorithms(), " ") + `"` // RFC 9449 7.1
	}
	if e.Code == oauth.InvalidDPoPProof {
		r.status = http.StatusUnauthorized
	}
	return r
}

// errToken does not say which of the reasons it was: whoever shows a token that is none learns nothing.
var errToken = &oauth.Error{Code: oauth.InvalidToken, Description: "The access token is invalid, has expired or was revoked."}

// access judges an access token by itself: its signature, and that it is ours, of this server and not over.
func (a *API) access(c *call, value string) (oauth.AccessToken, error) {
	token, err := keys.Verify[oauth.AccessToken](c.Context(), a.Keys, value)
	if errors.Is(err, keys.ErrInvalid) || err == nil && !token.Good(c.realm.issuer, c.realm.Audience, a.Now()) {
		return oauth.AccessToken{}, errToken
	}
	return token, err
}

// A holder is the person behind a token.
type holder struct {
	user   ident.User
	phone  string   // if the token is good for it
	groups []string // likewise
}

// holder judges an access token by what has happened since it was issued: revocation, and the end of
// the user or the client.
func (a *API) holder(c *call, token oauth.AccessToken) (h holder, err error) {
	if token.User == "" {
		return h, errToken // there is nobody to tell of
	}
	ctx := c.Context()
	grant, _ := token.Grant()
	err = a.Store.ViewOnce(ctx, func(tx store.Tx) (err error) {
		if token.Has(oauth.ScopePhone) {
			var number secret.Text
			h.user, number, err = tx.TokenHolderAndPhone(ctx, token.User, grant, token.ID)
			h.phone = number.Reveal()
		} else {
			h.user, err = tx.TokenHolder(ctx, token.User, grant, token.ID)
		}
		return err
	})
	if err == nil {
		err = a.inUse(c, token.Client)
	}
	if err == nil && token.Has(oauth.ScopeGroups) {
		err = a.Store.ViewOnce(ctx, func(tx store.Tx) (err error) {
			h.groups, err = groupsOf(ctx, tx, token.User, true)
			return err
		})
	}
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrSpent):
		return holder{}, errToken
	case err != nil:
		return holder{}, err
	case h.user.Status != ident.Active:
		return holder{}, errToken
	}
	return h, nil
}

// groupsOf names the groups of a user, if they are to be told.
func groupsOf(ctx context.Context, tx store.Tx, u ident.UserID, told bool) (names []string, err error) {
	if !told {
		return nil, nil
	}
	all, err := tx.GroupsOf(ctx, u)
	for _, g := range all {
		names = append(names, g.Name)
	}
	return names, err
}

// inUse is [store.ErrNotFound] for a client that is gone or disabled. A good word is remembered until the
// servers are read again: a page asks userinfo more often than an operator disables a client (S-79).
func (a *API) inUse(c *call, id oauth.ClientID) error {
	if _, known := c.realm.clients.Load(id); known {
		return nil
	}
	var client oauth.Client
	err := a.Store.ViewOnce(c.Context(), func(tx store.Tx) (err error) {
		client, err = tx.Client(c.Context(), id)
		return err
	})
	if err != nil {
		return err
	}
	if client.Disabled {
		return store.ErrNotFound
	}
	c.realm.clients.Store(id, client)
	return nil
}
