package op

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/store"
)

// logout ends what there is to end and sends the browser back to the application (OpenID Connect
// RP-Initiated Logout). An application with its own sign-in pages has no session here; it is sent back all
// the same. The way back is open only to a client that is known by its ID token or its id, and only to an
// address that it registered; all others stay on a plain page (S-65).
func (a *API) logout(c *call) (reply, error) {
	hint, err := a.hinted(c)
	if err != nil {
		return reply{}, err
	}
	if hint != nil {
		if err := a.loggedOut(c, hint); err != nil {
			return reply{}, err
		}
	}
	back := c.params["post_logout_redirect_uri"]
	if back == "" {
		return signedOut(http.StatusOK, ""), nil
	}
	client, err := a.leaving(c, hint)
	if err != nil {
		return reply{}, err
	}
	if !client.AllowsPostLogout(back) {
		return signedOut(http.StatusBadRequest, "The application asked to take you back to an address that is not registered for it, so you stay here."), nil
	}
	return redirect(c, back, url.Values{"state": {c.params["state"]}}), nil
}

// hinted reads the ID token that says who is leaving. It may be over, but must be ours; any other is as none.
func (a *API) hinted(c *call) (*oauth.IDToken, error) {
	value := c.params["id_token_hint"]
	if value == "" {
		return nil, nil
	}
	token, err := keys.Verify[oauth.IDToken](c.Context(), a.Keys, value)
	if errors.Is(err, keys.ErrInvalid) || err == nil && !token.Good(c.realm.issuer) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &token, nil
}

// leaving returns the client that sent the browser here; nobody, if it is not known or names itself in two ways.
func (a *API) leaving(c *call, hint *oauth.IDToken) (oauth.Client, error) {
	id := oauth.ClientID(c.params["client_id"])
	switch {
	case hint == nil && (id == "" || c.params["id_token_hint"] != ""):
		return oauth.Client{}, nil
	case hint != nil && id != "" && id != hint.Audience:
		return oauth.Client{}, nil
	case hint != nil:
		id = hint.Audience
	}
	client, err := a.find(c, claim{id: id})
	return client, ours(err)
}

func (a *API) loggedOut(c *call, hint *oauth.IDToken) error {
	return a.Store.Update(c.Context(), func(tx store.Tx) error {
		return tx.Record(c.Context(), a.event(c, audit.LoggedOut, true, audit.Event{User: string(hint.Subject), Client: string(hint.Audience)}))
	})
}

// redirect sends a browser to a registered address with parameters added; empty ones are left out.
func redirect(c *call, to string, add url.Values) reply {
	for name, values := range add {
		if values[0] == "" {
			add.Del(name)
		}
	}
	if len(add) > 0 {
		separator := "?"
		if strings.Contains(to, "?") {
			separator = "&"
		}
		to += separator + add.Encode()
	}
	status := http.StatusFound
	if c.Method == http.MethodPost {
		status = http.StatusSeeOther
	}
	return reply{status: status, to: to}
}
