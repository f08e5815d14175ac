package org

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// Applications may register themselves (RFC 7591) if an operator gave them a token for it. They are held to what a file
// is held to, and to less: they get no grant that needs no person, and the policy is not theirs to choose. Of what they
// were given they may drop some later (RFC 7592), and add nothing but addresses.

// ErrRegistrationToken does not say whether a token was unknown, over, used up or another application's.
var ErrRegistrationToken = errors.New("org: this token registers nothing")

// MaxRegistrationLife is how long a token may be good for registering.
const MaxRegistrationLife = 90 * 24 * time.Hour

// NewRegistrationToken makes a token with which applications register themselves. It is shown once.
func (o *Org) NewRegistrationToken(ctx context.Context, life time.Duration, uses int) (secret.Text, store.Registration, error) {
	var found flaws
	if life < time.Minute || life > MaxRegistrationLife {
		found.at("for", "%s is not between 1m and %s", Span(life), Span(MaxRegistrationLife))
	}
	if uses < 1 || uses > 1000 {
		found.at("uses", "%d is not between 1 and 1000", uses)
	}
	if err := found.err(); err != nil {
		return "", store.Registration{}, err
	}
	value, now := secret.Random(), o.Now().UTC()
	r := store.Registration{Digest: secret.DigestOf(secret.RegistrationToken, value.Reveal()), Created: now, Expires: now.Add(life), Uses: uses}
	return value, r, o.update(ctx, func(tx store.Tx) ([]audit.Event, error) {
		return o.one(ctx, audit.RegistrationOpened, audit.Event{Reason: Span(life).String()}), tx.AddRegistration(ctx, r)
	})
}

// ofThemselves are the grants that an application may register itself for: those that a person takes part in.
var ofThemselves = []oauth.GrantType{oauth.InteractionCode, oauth.AuthorizationCode, oauth.RefreshToken, oauth.DeviceCode}

// A Registered is an application that has just registered itself. Both secrets are shown once.
type Registered struct {
	oauth.Client
	Secret secret.Text // of its own; or empty
	Access secret.Text // to what is registered of it
}

// Register adds an application that brings a token for it. One that authenticates by its keys alone gets no secret.
func (o *Org) Register(ctx context.Context, token secret.Text, a App, keysAlone bool) (Registered, error) {
	a = a.whole()
	a.Policy = Policy{Require: []ident.Kind{ident.Password, ident.Phone}}
	r := Registered{Access: secret.Random()}
	if a.Type == Confidential && !keysAlone {
		r.Secret = secret.Random()
	}
	err := o.update(ctx, func(tx store.Tx) ([]audit.Event, error) {
		if err := o.turn(ctx, tx); err != nil {
			return nil, err
		}
		err := tx.SpendRegistration(ctx, secret.DigestOf(secret.RegistrationToken, token.Reveal()), o.Now())
		if errors.Is(err, store.ErrNotFound) {
			return nil, ErrRegistrationToken
		}
		if err != nil {
			return nil, err
		}
		if err := o.fitsItself(ctx, tx, a); err != nil {
			return nil, err
		}
		c := a.onto(oauth.Client{ID: oauth.ClientID(ident.NewID("0oa")), Created: o.Now().UTC()})
		c.Registration = secret.DigestOf(secret.RegistrationToken, r.Access.Reveal())
		if r.Secret != "" {
			c.SecretDigests = []secret.Digest{secret.DigestOf(secret.ClientSecret, r.Secret.Reveal())}
		}
		r.Client = c
		e := audit.Event{Client: string(c.ID), Target: "app " + c.Label, Reason: "registered itself"}
		return o.one(ctx, audit.AppCreated, e), tx.PutClient(ctx, c)
	})
	return r, err
}

func (o *Org) fitsItself(ctx context.Context, tx store.Tx, a App) error {
	for _, g := range a.GrantTypes {
		if !slices.Contains(ofThemselves, g) {
			return refuse("grant_types: %s is for applications that an operator adds", g)
		}
	}
	if err := plainName(a.Name); err != nil {
		return err
	}
	if err := ownPage(a); err != nil {
		return err
	}
	return o.fits(ctx, tx, oauth.Client{}, a)
}

// address is what a phone would make a link of: anything with a slash, and a dot in the middle of a word, also one of those
// that stand for a dot in a domain name.
var address = regexp.MustCompile(`[/\\]|[\pL\pN-][.\x{3002}\x{FF0E}\x{FF61}]\pL|\d[.\x{3002}\x{FF0E}\x{FF61}]\d+[.\x{3002}\x{FF0E}\x{FF61}]\d`)

// plainName keeps links out of the name that a stranger gives an application: it stands in the text messages that we send,
// in which nobody should find a link (S-15).
func plainName(name string) error {
	if address.MatchString(name) {
		return refuse("client_name: looks like an address, which has no place in a text message")
	}
	return nil
}

// ownPage judges the address of the page that a browser loads when somebody signs out: it is on an origin that the
// application can be sent codes to (Front-Channel Logout 1.0, 2).
func ownPage(a App) error {
	origin := func(uri string) string {
		u, err := url.Parse(uri)
		if err != nil {
			return ""
		}
		return strings.ToLower(u.Scheme + "://" + u.Host)
	}
	page := origin(a.FrontChannelLogout)
	if a.FrontChannelLogout != "" && !slices.ContainsFunc(a.RedirectURIs, func(uri string) bool { return origin(uri) == page }) {
		return refuse("frontchannel_logout_uri: is of another origin than all redirect_uris")
	}
	return nil
}

// Registration finds an application that shows the token to what is registered of it.
func (o *Org) Registration(ctx context.Context, id oauth.ClientID, access secret.Text) (c oauth.Client, err error) {
	err = o.Store.View(ctx, func(tx store.Tx) error {
		c, err = registered(ctx, tx, id, access)
		return err
	})
	return c, err
}

func registered(ctx context.Context, tx store.Tx, id oauth.ClientID, access secret.Text) (oauth.Client, error) {
	c, err := tx.Client(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return oauth.Client{}, ErrRegistrationToken
	case err != nil:
		return oauth.Client{}, err
	case c.Disabled || c.Registration.IsZero() || !c.Registration.Equal(secret.DigestOf(secret.RegistrationToken, access.Reveal())):
		return oauth.Client{}, ErrRegistrationToken
	}
	return c, nil
}

// ChangeRegistration replaces what is registered of an application, by itself. What an operator decides about (policy,
// origins) stays, and so do its type and its secret. What makes it safer can be added and not given up, for the operator
// may be who asked for it.
func (o *Org) ChangeRegistration(ctx context.Context, id oauth.ClientID, access secret.Text, a App) (done oauth.Client, err error) {
	a = a.whole()
	err = o.update(ctx, func(tx store.Tx) ([]audit.Event, error) {
		if err := o.turn(ctx, tx); err != nil {
			return nil, err
		}
		c, err := registered(ctx, tx, id, access)
		if err != nil {
			return nil, err
		}
		have := AppOf(c)
		if a.Type != have.Type {
			return nil, refuse("token_endpoint_auth_method: an application stays %s", have.Type)
		}
		if a.Keys != have.Keys {
			return nil, refuse("jwks: cannot be changed; register again")
		}
		for _, g := range a.GrantTypes {
			if !slices.Contains(have.GrantTypes, g) {
				return nil, refuse("grant_types: %s was not registered; grants can be given up, not added", g)
			}
		}
		for _, s := range a.Scopes {
			if !slices.Contains(have.Scopes, s) {
				return nil, refuse("scope: %s was not registered; scopes can be given up, not added", s)
			}
		}
		switch {
		case have.BindTokens && !a.BindTokens:
			return nil, refuse("dpop_bound_access_tokens: cannot be given up; register again")
		case have.RequirePushed && !a.RequirePushed:
			return nil, refuse("require_pushed_authorization_requests: cannot be given up; register again")
		case a.Name != have.Name:
			if err := plainName(a.Name); err != nil {
				return nil, err
			}
		}
		if a.FrontChannelLogout != have.FrontChannelLogout || !slices.Equal(a.RedirectURIs, have.RedirectURIs) {
			if err := ownPage(a); err != nil {
				return nil, err
			}
		}
		want := have
		want.Name, want.GrantTypes, want.Scopes, want.RedirectURIs, want.PostLogoutURIs = a.Name, a.GrantTypes, a.Scopes, a.RedirectURIs, a.PostLogoutURIs
		want.BindTokens, want.RequirePushed, want.FrontChannelLogout = a.BindTokens, a.RequirePushed, a.FrontChannelLogout
		if done = c; len(compare(have, want)) == 0 {
			return nil, nil
		}
		if err := o.fits(ctx, tx, c, want); err != nil {
			return nil, err
		}
		done = want.onto(c)
		e := audit.Event{Client: string(c.ID), Target: "app " + done.Label, Reason: fieldNames(Change{Action: Alter, Fields: compare(have, want)})}
		return o.one(ctx, audit.AppChanged, e), tx.AlterClient(ctx, done)
	})
	return done, err
}

// EndRegistration removes an application, by itself, with all that was granted to it. One that an operator's rule names
// is switched off instead, and is for the operator to delete after the rule (see DeleteApp).
func (o *Org) EndRegistration(ctx context.Context, id oauth.ClientID, access secret.Text) error {
	return o.update(ctx, func(tx store.Tx) ([]audit.Event, error) {
		if err := o.turn(ctx, tx); err != nil {
			return nil, err
		}
		c, err := registered(ctx, tx, id, access)
		if err != nil {
			return nil, err
		}
		servers, err := tx.Servers(ctx)
		if err != nil {
			return nil, err
		}
		e := audit.Event{Client: string(c.ID), Target: "app " + c.Label, Reason: "by itself"}
		if !slices.ContainsFunc(servers, ruledBy(c.ID)) {
			return o.one(ctx, audit.AppDeleted, e), dropApp(ctx, tx, c.ID)
		}
		if _, err := tx.RevokeGrantsOf(ctx, "", c.ID); err != nil {
			return nil, err
		}
		c.Disabled = true
		e.Reason = "disabled by itself, and kept for the rules that name it"
		return o.one(ctx, audit.AppChanged, e), tx.AlterClient(ctx, c)
	})
}
