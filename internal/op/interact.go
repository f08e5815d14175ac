package op

import (
	"strconv"
	"strings"
	"time"

	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/oauth"
)

// interact begins a sign-in: the parameters of an authorization request, sent by the application itself.
func (a *API) interact(c *call) (reply, error) {
	switch {
	case c.params["activation_token"] != "":
		return reply{}, oauth.ErrActivation
	case c.params["recovery_token"] != "":
		return reply{}, oauth.ErrRecovery
	}
	client, proved, err := a.interacting(c)
	if err != nil {
		return reply{}, err
	}
	if !client.May(oauth.InteractionCode) {
		return reply{}, &oauth.Error{Code: oauth.UnauthorizedClient, Description: "The client may not use the grant type 'interaction_code'."}
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
	request, err := a.requested(c, client, oauth.InteractionCode)
	if err != nil {
		return reply{}, err
	}
	if _, err := c.params.need("state"); err != nil {
		return reply{}, err
	}
	ctx := c.Context()
	if proved {
		request.Source, ctx = spokenFor(c), onDevice(c)
	}
	handle, err := a.Engine.Begin(ctx, request)
	if err != nil {
		return reply{}, err
	}
	return jsonReply(struct {
		Handle string `json:"interaction_handle"`
	}{handle.Reveal()}), nil
}

// interacting finds the client. A confidential one proves itself here already, unless it is one that
// cannot: okta-idx-golang never sends its secret here, and proves itself at the token endpoint anyway.
func (a *API) interacting(c *call) (client oauth.Client, proved bool, err error) {
	who, err := claimed(c)
	if err != nil {
		return oauth.Client{}, false, err
	}
	if client, err = a.find(c, who); err != nil {
		return oauth.Client{}, false, err
	}
	if !who.proves() && !client.AuthenticatesAtInteract {
		return client, false, nil
	}
	err = a.prove(c, client, who)
	return client, err == nil && client.Confidential(), err
}

// requested reads what interact and authorize have in common; by is how the code is going to be redeemed. The redirect
// URI was judged before.
func (a *API) requested(c *call, client oauth.Client, by oauth.GrantType) (flow.Request, error) {
	p := c.params
	if err := oauth.CheckChallenge(p["code_challenge"], p["code_challenge_method"]); err != nil {
		return flow.Request{}, err
	}
	scopes, err := c.realm.Grantable(client, by, p["scope"])
	if err != nil {
		return flow.Request{}, err
	}
	acr, err := class(client, p["acr_values"])
	if err != nil {
		return flow.Request{}, err
	}
	age, err := maxAge(p["max_age"])
	if err != nil {
		return flow.Request{}, err
	}
	key, err := c.wanted()
	if err != nil {
		return flow.Request{}, err
	}
	return flow.Request{
		Key: key, Server: c.realm.ID, Client: client.ID, Redirect: p["redirect_uri"], Scopes: scopes, State: p["state"], Nonce: p["nonce"],
		Challenge: p["code_challenge"], ACR: acr, MaxAge: age,
	}, nil
}

// class picks the authentication context class: the first of the list, which is in order of preference,
// that we can satisfy. A list with none is refused, for the token could not say what the caller insists on.
func class(client oauth.Client, values string) (string, error) {
	asked := strings.Fields(values)
	for _, acr := range asked {
		if _, ok := client.Policy.Raise(acr); ok {
			return acr, nil
		}
	}
	if len(asked) > 0 {
		return "", invalidRequest("The 'acr_values' name no authentication context class that this server can satisfy.")
	}
	return "", nil
}

// maxAge reads seconds (OpenID Connect Core 3.1.2.1). A sign-in that begins now is never too old; what
// is remembered serves the ID token's auth_time.
func maxAge(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, invalidRequest("The 'max_age' must be a number of seconds.")
	}
	return time.Duration(n) * time.Second, nil
}
