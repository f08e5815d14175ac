package op

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// Pushed authorization requests (RFC 9126): the client sends its request itself, where it can prove who it is and
// nobody reads along, and the browser brings no more than a name for it.
const (
	requestURI  = "urn:ietf:params:oauth:request_uri:"
	pushedLives = time.Minute // S-59
)

var errRequestURI = &oauth.Error{Code: oauth.InvalidRequestURI, Description: "The 'request_uri' is unknown, has expired or was used before."}

// par takes a request. Whatever authorize would refuse is refused here already, where the client can read why.
func (a *API) par(c *call) (reply, error) {
	client, err := a.client(c)
	if err != nil {
		return reply{}, err
	}
	if err := a.pushing(c, client); err != nil {
		return reply{}, err
	}
	if c.params["request_uri"] != "" {
		return reply{}, invalidRequest("A request that is pushed has no 'request_uri'.") // RFC 9126 2.1
	}
	redirect, err := c.params.need("redirect_uri")
	if err != nil {
		return reply{}, err
	}
	if !client.AllowsRedirect(redirect) {
		return reply{}, invalidRequest("The 'redirect_uri' is not registered for this client.")
	}
	if c.key, err = a.proof(c, ""); err != nil {
		return reply{}, err
	}
	in, err := a.admit(c, client)
	if err != nil {
		return reply{}, err
	}
	kept := maps.Clone(c.params)
	for _, proof := range []string{"client_secret", "client_assertion", "client_assertion_type"} {
		delete(kept, proof)
	}
	kept["client_id"] = string(client.ID)
	if in.Key != "" {
		kept["dpop_jkt"] = in.Key
	}
	ctx, value := c.Context(), secret.Random()
	err = a.Store.Update(ctx, func(tx store.Tx) error {
		return tx.AddPushed(ctx, store.Pushed{
			Digest: secret.DigestOf(secret.RequestURI, value.Reveal()), Server: c.realm.ID, Client: client.ID, Params: kept,
			Expires: a.Now().UTC().Add(pushedLives),
		})
	})
	if err != nil {
		return reply{}, err
	}
	answer := jsonReply(struct {
		URI     string `json:"request_uri"`
		Expires int    `json:"expires_in"`
	}{requestURI + value.Reveal(), int(pushedLives / time.Second)})
	answer.status = http.StatusCreated
	return answer, nil
}

// pushing counts the request. A client that has proved itself pushes for everybody who uses it, from one address:
// counted together, anybody could keep all others out (S-27). So each one is counted whom it says it speaks for; where
// it says nothing, the browser is counted that comes with what was pushed.
func (a *API) pushing(c *call, client oauth.Client) error {
	if client.Confidential() {
		return a.counted(c, client, spokenFor(c))
	}
	return a.within(c, client)
}

// pushed returns the parameters of an authorization request: those that were pushed, if it names some, and else its
// own, unless the client has to push. What was pushed is spent by it, and nothing that stands beside its name
// counts (RFC 9126 4). A name of another client's is as good as none, and stays good for that client.
func (a *API) pushed(c *call, client oauth.Client) (params, error) {
	value, ours := strings.CutPrefix(c.params["request_uri"], requestURI)
	switch {
	case c.params["request_uri"] == "" && client.RequiresPAR:
		return nil, invalidRequest("This client has to push its authorization requests (RFC 9126).")
	case !ours:
		return c.params, nil
	}
	p, err := a.spendPushed(c.Context(), value, c.realm.ID, client.ID)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && !a.Now().Before(p.Expires):
		return nil, errRequestURI
	case err != nil:
		return nil, err
	}
	return p.Params, nil
}

func (a *API) spendPushed(ctx context.Context, value, server string, client oauth.ClientID) (p store.Pushed, err error) {
	digest := secret.DigestOf(secret.RequestURI, value)
	err = a.Store.Update(ctx, func(tx store.Tx) (err error) {
		p, err = tx.SpendPushed(ctx, digest, server, client)
		return err
	})
	return p, err
}
