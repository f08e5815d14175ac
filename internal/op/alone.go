package op

import (
	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/store"
)

// alone hands a client an access token for itself: nobody is signed in, so there is no ID token and nothing for
// userinfo, and no refresh token, for the client can ask again (RFC 6749 4.4). It has a grant like any other, so
// that revocation and introspection find it.
func (a *API) alone(c *call, client oauth.Client, signer keys.Signer) (reply, error) {
	if !client.Confidential() {
		return reply{}, &oauth.Error{Code: oauth.UnauthorizedClient, Description: "The grant type 'client_credentials' is for clients that can prove who they are."}
	}
	scopes, err := c.realm.GrantableAlone(client, c.params["scope"])
	if err != nil {
		return reply{}, err
	}
	ctx, now := c.Context(), a.Now().UTC()
	grant := oauth.Grant{ID: oauth.NewGrantID(ident.NewID("")), Server: c.realm.ID, Client: client.ID, Scopes: scopes, Created: now}
	grant.Expires = ends(c.realm.Server, grant, now)
	err = a.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.AddGrant(ctx, grant); err != nil {
			return err
		}
		return tx.Record(ctx, a.about(c, audit.TokensIssued, true, grant, "for itself"))
	})
	if err != nil {
		return reply{}, err
	}
	return a.issue(c, signer, issuance{grant: grant, scopes: scopes, now: now})
}
