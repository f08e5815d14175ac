package op

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strings"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

var errClient = &oauth.Error{Code: oauth.InvalidClient, Description: "Client authentication failed."}

// claim is who a caller says it is.
type claim struct {
	id        oauth.ClientID
	secret    secret.Text
	other     secret.Text // the secret as RFC 6749 2.3.1 encodes it, if that reads differently
	assertion string      // or what it signed
}

// proves reports whether the caller does more than say so.
func (w claim) proves() bool { return w.secret != "" || w.assertion != "" }

// claimed reads who the caller says it is, from the Authorization header or from the parameters. A claim
// without an id means that it does not say.
func claimed(c *call) (claim, error) {
	header := c.Header.Get("Authorization")
	in := claim{id: oauth.ClientID(c.params["client_id"]), secret: secret.Text(c.params["client_secret"])}
	if c.params["client_assertion"] != "" || c.params["client_assertion_type"] != "" {
		return asserted(c, in)
	}
	if header == "" {
		return in, nil
	}
	scheme, encoded, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return claim{}, errClient
	}
	plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil || !clean(string(plain)) {
		return claim{}, errClient
	}
	// okta-auth-js sends the id of a public client alone, without a colon.
	id, password, _ := strings.Cut(string(plain), ":")
	basic := claim{id: oauth.ClientID(unescaped(id)), secret: secret.Text(password), other: secret.Text(unescaped(password))}
	switch {
	case in.secret != "":
		return claim{}, invalidRequest("The client authenticated in two ways at once.") // RFC 6749 2.3
	case in.id != "" && in.id != basic.id:
		return claim{}, invalidRequest("The client is one in the header and another in the body.")
	}
	return basic, nil
}

// unescaped undoes the form encoding that RFC 6749 2.3.1 asks for and half of all clients leave out.
func unescaped(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// client finds out who calls and has it prove so: by its secret or its key if it has one. A public client only says
// its name; what it may do with that is for the endpoint to judge.
func (a *API) client(c *call) (oauth.Client, error) {
	who, err := claimed(c)
	if err != nil {
		return oauth.Client{}, err
	}
	client, err := a.find(c, who)
	if err != nil {
		return oauth.Client{}, err
	}
	return client, a.prove(c, client, who)
}

// remembered is client for who asks often and changes nothing. What we know of the client may be as old as what we
// know of the servers (S-79): a gateway introspects far more often than an operator changes a secret. Whom that does
// not satisfy is looked up, so that a new secret is good at once.
func (a *API) remembered(c *call) (oauth.Client, error) {
	who, err := claimed(c)
	if err != nil {
		return oauth.Client{}, err
	}
	if known, ok := c.realm.clients.Load(who.id); ok {
		client := known.(oauth.Client)
		if !client.Confidential() && !who.proves() || who.secret != "" && client.Knows(who.secret) {
			return client, nil
		}
	}
	client, err := a.find(c, who)
	if err != nil {
		return oauth.Client{}, err
	}
	if err := a.prove(c, client, who); err != nil {
		return oauth.Client{}, err
	}
	c.realm.clients.Store(client.ID, client)
	return client, nil
}

// find returns the client that is claimed, if it exists and is in use.
func (a *API) find(c *call, who claim) (client oauth.Client, err error) {
	if who.id == "" {
		return client, &oauth.Error{Code: oauth.InvalidClient, Description: "The client does not say who it is: 'client_id' is missing."}
	}
	err = a.Store.ViewOnce(c.Context(), func(tx store.Tx) error {
		client, err = tx.Client(c.Context(), who.id)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && client.Disabled:
		return oauth.Client{}, errClient
	}
	return client, err
}

// prove checks the secret, or what was signed (S-58). A public client has neither: one that sends something takes
// itself for another.
func (a *API) prove(c *call, client oauth.Client, who claim) error {
	if !client.Confidential() {
		if who.proves() {
			return errClient
		}
		return nil
	}
	if who.assertion != "" {
		if ok, err := a.proved(c, client, who.assertion); ok || err != nil {
			return err
		}
	}
	if who.secret != "" && (client.Knows(who.secret) || who.other != "" && client.Knows(who.other)) {
		return nil
	}
	err := a.Store.Update(c.Context(), func(tx store.Tx) error {
		return tx.Record(c.Context(), a.event(c, audit.TokenRefused, false, audit.Event{
			Client: string(client.ID), Reason: "client authentication failed at " + c.endpoint(),
		}))
	})
	if err != nil {
		return err
	}
	return errClient
}

// event fills in what every event of a call has.
func (a *API) event(c *call, t audit.Type, ok bool, e audit.Event) audit.Event {
	e.Type, e.OK, e.At, e.Source = t, ok, a.Now().UTC(), obs.SourceOf(c.Context())
	return e
}

// endpoint is the last part of the path that was matched: token, revoke.
func (c *call) endpoint() string { return c.Pattern[strings.LastIndexByte(c.Pattern, '/')+1:] }
