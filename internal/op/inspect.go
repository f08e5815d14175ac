package op

import (
	"errors"
	"strings"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// A found is a token that somebody asks about: which one it is, whose, and whether it is good.
type found struct {
	kind    kind
	client  oauth.ClientID
	grant   oauth.GrantID
	user    ident.UserID
	id      string // jti
	subject string
	aud     string
	scopes  []string
	issued  time.Time
	expires time.Time
	refresh secret.Digest
	key     string // that it is bound to
	used    bool   // a refresh token that another one came after: good for nothing but to end the family
}

type kind string

const (
	none    kind = ""
	access  kind = "access_token"
	refresh kind = "refresh_token"
	idToken kind = "id_token"
)

// look finds out what a token is. The hint of RFC 7009 2.1 is not needed: the kinds look different. What
// is no token of this server's, or one that is over, is none; that is no error.
func (a *API) look(c *call, token string) (found, error) {
	if strings.Count(token, ".") != 2 {
		return a.lookRefresh(c, token)
	}
	at, err := a.access(c, token)
	if err == nil {
		grant, _ := at.Grant()
		return found{
			kind: access, client: at.Client, grant: grant, user: at.User, id: at.ID, subject: at.Subject, aud: at.Audience,
			scopes: at.Scopes, issued: time.Unix(at.Issued, 0), expires: time.Unix(at.Expires, 0), key: at.Key(),
		}, nil
	}
	if err != errToken {
		return found{}, err
	}
	id, err := keys.Verify[oauth.IDToken](c.Context(), a.Keys, token)
	if errors.Is(err, keys.ErrInvalid) || err == nil && (!id.Good(c.realm.issuer) || !a.Now().Before(time.Unix(id.Expires, 0))) {
		return found{}, nil
	}
	if err != nil {
		return found{}, err
	}
	grant, _ := id.Grant()
	return found{
		kind: idToken, client: id.Audience, grant: grant, user: id.Subject, id: id.ID, subject: string(id.Subject), aud: string(id.Audience),
		issued: time.Unix(id.Issued, 0), expires: time.Unix(id.Expires, 0),
	}, nil
}

func (a *API) lookRefresh(c *call, token string) (f found, err error) {
	ctx, now := c.Context(), a.Now()
	digest := secret.DigestOf(secret.RefreshToken, token)
	err = a.Store.View(ctx, func(tx store.Tx) error {
		r, err := tx.Refresh(ctx, digest)
		if err != nil {
			return err
		}
		g, err := tx.Grant(ctx, r.Grant)
		if err != nil {
			return err
		}
		f = found{}
		used := !r.Used.IsZero() // then its successor may be younger than it is old
		if !g.Revoked && (used || now.Before(r.Expires)) && now.Before(g.Expires) && g.Server == c.realm.ID {
			f = found{
				kind: refresh, client: g.Client, grant: g.ID, user: g.User, id: string(g.ID), subject: string(g.User),
				aud: c.realm.Audience, scopes: g.Scopes, issued: r.Created, expires: r.Expires, refresh: digest, key: g.Key, used: used,
			}
		}
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return found{}, nil
	}
	return f, err
}

// introspect tells a client about its own tokens (RFC 7662). About anything else it says the one thing
// that is true of it and tells nothing: not active, here, for you (S-63).
func (a *API) introspect(c *call) (reply, error) {
	client, err := a.remembered(c)
	if err != nil {
		return reply{}, err
	}
	value, err := c.params.need("token")
	if err != nil {
		return reply{}, err
	}
	inactive := jsonReply(struct {
		Active bool `json:"active"`
	}{})
	token, err := a.look(c, value)
	if err != nil || token.kind == none || token.used || token.client != client.ID {
		return inactive, err
	}
	user, err := a.alive(c, token)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrSpent) || err == nil && token.user != "" && user.Status != ident.Active {
		return inactive, nil
	}
	if err != nil {
		return reply{}, err
	}
	answer := introspection{
		Active: true, Scope: strings.Join(token.scopes, " "), Client: token.client, Username: user.Login, Subject: token.subject,
		Audience: token.aud, Issuer: c.realm.issuer, ID: token.id, User: token.user, Issued: token.issued.Unix(), Expires: token.expires.Unix(),
		Bound: oauth.BoundTo(token.key),
	}
	if token.kind == access {
		answer.Type = "Bearer"
		if token.key != "" {
			answer.Type = "DPoP"
		}
	}
	return jsonReply(answer), nil
}

// An introspection is what we tell of an active token (RFC 7662 2.2).
type introspection struct {
	Active   bool           `json:"active"`
	Scope    string         `json:"scope,omitempty"`
	Client   oauth.ClientID `json:"client_id"`
	Username string         `json:"username,omitempty"`
	Type     string         `json:"token_type,omitempty"`
	Expires  int64          `json:"exp"`
	Issued   int64          `json:"iat"`
	Subject  string         `json:"sub"`
	Audience string         `json:"aud"`
	Issuer   string         `json:"iss"`
	ID       string         `json:"jti"`
	User     ident.UserID   `json:"uid,omitempty"`
	Bound    *oauth.Bound   `json:"cnf,omitempty"` // RFC 9449 6.2
}

// alive returns the user of a token that was not revoked, if it has one.
func (a *API) alive(c *call, token found) (user ident.User, err error) {
	err = a.Store.ViewOnce(c.Context(), func(tx store.Tx) error {
		user, err = tx.TokenHolder(c.Context(), token.user, token.grant, token.id)
		return err
	})
	return user, err
}

// revoke ends a token: an access token alone, or with a refresh token the whole grant (RFC 7009). The
// answer to a token that is none, or somebody else's, is the same 200, and nothing happens (S-63). A refresh token that
// was used ends its family too: who never had the answer with its successor signs out with what it has.
//
// A caller that does not say who it is gets that answer too, because okta-idx-golang says nothing. If the
// token belongs to a public client it is revoked nevertheless: holding it is all the proof that such a
// client ever has. A confidential client's token is left alone.
func (a *API) revoke(c *call) (reply, error) {
	who, err := claimed(c)
	if err != nil {
		return reply{}, err
	}
	anonymous := who.id == "" && !who.proves()
	if !anonymous {
		if _, err = a.client(c); err != nil {
			return reply{}, err
		}
	}
	value, err := c.params.need("token")
	if err != nil {
		return reply{}, err
	}
	token, err := a.look(c, value)
	if err != nil || token.kind == none || token.kind == idToken {
		return reply{}, err
	}
	if anonymous {
		client, err := a.find(c, claim{id: token.client})
		if err != nil || client.Confidential() {
			return reply{}, ours(err)
		}
	} else if token.client != who.id {
		return reply{}, nil
	}
	return reply{}, a.end(c, token)
}

// ours keeps an error only if it is our own failure: about somebody else's client nothing is said.
func ours(err error) error {
	var e *oauth.Error
	if errors.As(err, &e) {
		return nil
	}
	return err
}

func (a *API) end(c *call, token found) error {
	ctx := c.Context()
	return a.Store.Update(ctx, func(tx store.Tx) (err error) {
		if token.kind == refresh {
			err = tx.RevokeGrant(ctx, token.grant)
		} else {
			err = tx.RevokeToken(ctx, token.id, token.expires)
		}
		if err != nil {
			return err
		}
		return tx.Record(ctx, a.event(c, audit.TokenRevoked, true, audit.Event{
			User: string(token.user), Client: string(token.client), GrantID: string(token.grant), Reason: "revoked by its holder", Target: string(token.kind),
		}))
	})
}
