package op

import (
	"context"
	"errors"
	"strings"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/store"
)

var errTarget = &oauth.Error{Code: oauth.InvalidTarget, Description: "There is no authorization server with that audience that this client may use."}

// exchange gives a service an access token to go on with in place of the one that it was called with (RFC 8693): narrower,
// for another audience perhaps, with the service in it as the one who acts. It has to be a token of this server; whose
// it was is no matter, for that is what services are called with. That they may do it is what their grant type says, and
// the rules of the server that issues the new token.
func (a *API) exchange(c *call, client oauth.Client, signer keys.Signer) (reply, error) {
	if !client.Confidential() {
		return reply{}, &oauth.Error{Code: oauth.UnauthorizedClient, Description: "A public client cannot act for others: it proves nothing."}
	}
	subject, err := a.subject(c)
	if err != nil {
		return reply{}, err
	}
	target, err := a.target(c)
	if err != nil {
		return reply{}, err
	}
	scopes, err := target.Narrower(subject, client, c.params["scope"])
	if err != nil {
		return reply{}, err
	}
	for _, server := range []*realm{c.realm, target} {
		if server.Permits(client.ID, oauth.TokenExchange, scopes) != nil {
			return reply{}, errTarget
		}
	}
	access, err := a.exchanged(c, client, subject, target, scopes)
	if err != nil {
		return reply{}, err
	}
	answer := struct {
		Access  string `json:"access_token"`
		Issued  string `json:"issued_token_type"`
		Type    string `json:"token_type"`
		Expires int64  `json:"expires_in"`
		Scope   string `json:"scope"`
	}{Issued: oauth.AccessTokenType, Type: "Bearer", Expires: access.Expires - access.Issued, Scope: strings.Join(scopes, " ")}
	if c.key != "" {
		answer.Type = string(byDPoP)
	}
	if answer.Access, err = signer.Sign(access); err != nil {
		return reply{}, err // nothing is lost but a line in the log: nothing was used up
	}
	return jsonReply(answer), nil
}

// subject reads the token that is to be exchanged, and judges it by itself. What is wrong with it is invalid_request
// (RFC 8693 2.2.2), and not said more precisely than that.
func (a *API) subject(c *call) (oauth.AccessToken, error) {
	p := c.params
	value, err := p.need("subject_token")
	if err != nil {
		return oauth.AccessToken{}, err
	}
	kind, err := p.need("subject_token_type")
	switch {
	case err != nil:
		return oauth.AccessToken{}, err
	case kind != oauth.AccessTokenType:
		return oauth.AccessToken{}, invalidRequest("The only 'subject_token_type' is " + oauth.AccessTokenType + ".")
	case p["requested_token_type"] != "" && p["requested_token_type"] != oauth.AccessTokenType:
		return oauth.AccessToken{}, invalidRequest("The only 'requested_token_type' is " + oauth.AccessTokenType + ".")
	case p["actor_token"] != "" || p["actor_token_type"] != "":
		return oauth.AccessToken{}, invalidRequest("An 'actor_token' is not supported: the client itself is the actor.")
	}
	token, err := a.access(c, value)
	// A token that is bound to a key is worth nothing to whoever overhears it; one that anybody may bear must not come out of it.
	if err == error(errToken) || err == nil && token.Key() != "" {
		err = errSubject
	}
	return token, err
}

var errSubject = invalidRequest("The 'subject_token' is invalid, has expired or was revoked.")

// target finds the server that is to issue the token: this one, or the one whose audience was asked for.
func (a *API) target(c *call) (*realm, error) {
	audience := c.params["audience"]
	switch {
	case c.params["resource"] != "":
		return nil, &oauth.Error{Code: oauth.InvalidTarget, Description: "Name the 'audience' of an authorization server in place of a 'resource'."}
	case audience == "" || audience == c.realm.Audience:
		return c.realm, nil
	}
	return a.realms.forAudience(c.Context(), audience)
}

// exchanged judges the subject's token by what has happened since it was issued, makes the claims of the new one, and
// records it.
func (a *API) exchanged(c *call, client oauth.Client, subject oauth.AccessToken, target *realm, scopes []string) (access oauth.AccessToken, err error) {
	ctx := c.Context()
	id, _ := subject.Grant()
	if err = a.inUse(c, subject.Client); errors.Is(err, store.ErrNotFound) {
		return access, errSubject
	} else if err != nil {
		return access, err
	}
	err = a.Store.Update(ctx, func(tx store.Tx) error {
		user, err := tx.TokenHolder(ctx, subject.User, id, subject.ID)
		if err != nil {
			return err
		}
		grant, err := tx.Grant(ctx, id)
		if err != nil {
			return err
		}
		if user.Status != ident.Active {
			return errSubject
		}
		groups, err := groupsOf(ctx, tx, user.ID, target.SaysGroups(scopes))
		if err != nil {
			return err
		}
		access, err = oauth.Issue{
			Server: target.Server, Issuer: target.issuer, Org: target.org, Grant: grant, Scopes: scopes, User: user, Groups: groups,
			Unique: ident.NewID(""), Now: a.Now().UTC(), Key: c.key,
		}.Exchanged(subject, client.ID)
		if err != nil {
			return err
		}
		return tx.Record(ctx, a.event(c, audit.TokensExchanged, true, audit.Event{
			User: string(user.ID), Client: string(client.ID), GrantID: string(id), Reason: "issued to " + string(subject.Client) + ", for " + target.Audience,
		}))
	})
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrSpent) {
		err = errSubject
	}
	return access, err
}

// forAudience finds the one server with an audience. Where several have it, nobody can say which one was meant.
func (rs *realms) forAudience(ctx context.Context, audience string) (found *realm, err error) {
	now := rs.held.Load()
	if now == nil { // forgotten a moment ago
		if now, err = rs.read(ctx); err != nil {
			return nil, err
		}
	}
	for _, r := range now.byID {
		if r.Audience != audience {
			continue
		}
		if found != nil {
			return nil, errTarget
		}
		found = r
	}
	if found == nil {
		return nil, errTarget
	}
	return found, nil
}
