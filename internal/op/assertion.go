package op

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// private_key_jwt: a client proves itself by what it signed, and never sends what it signs with (OpenID Connect
// Core 9, RFC 7523).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// The numbers of S-58. By skew a clock of theirs may differ from ours.
const (
	assertionLife = 5 * time.Minute
	skew          = time.Minute
)

// What a spent id is kept under, one purpose for each kind of proof.
const (
	assertionID secret.Purpose = "client assertion"
	proofID     secret.Purpose = "dpop proof"
)

// An assertion is the claims of one.
type assertion struct {
	Issuer    oauth.ClientID `json:"iss"`
	Subject   oauth.ClientID `json:"sub"`
	Audience  audience       `json:"aud"`
	Expires   float64        `json:"exp"`
	NotBefore float64        `json:"nbf"`
	Issued    float64        `json:"iat"`
	ID        string         `json:"jti"`
}

// An audience is one name or several.
type audience []string

func (a *audience) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(a))
}

// asserted reads who a client says it is from an assertion that nobody has verified yet.
func asserted(c *call, in claim) (claim, error) {
	switch {
	case c.params["client_assertion_type"] != assertionType:
		return claim{}, &oauth.Error{Code: oauth.InvalidClient, Description: "The 'client_assertion_type' must be '" + assertionType + "'."}
	case c.params["client_assertion"] == "":
		return claim{}, invalidRequest("The parameter 'client_assertion' is missing.")
	case in.secret != "" || c.Header.Get("Authorization") != "":
		return claim{}, invalidRequest("The client authenticated in two ways at once.") // RFC 6749 2.3
	}
	said := claim{assertion: c.params["client_assertion"]}
	parts := strings.Split(said.assertion, ".")
	if len(parts) != 3 {
		return claim{}, errClient
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims assertion
	if err != nil || json.Unmarshal(payload, &claims) != nil || claims.Subject == "" || in.id != "" && in.id != claims.Subject {
		return claim{}, errClient
	}
	said.id = claims.Subject
	return said, nil
}

// proved judges an assertion: signed by a key of the client's, about itself, for us, not over, and never shown
// before. The id is spent when all else is right, and before anything else is done (S-58).
func (a *API) proved(c *call, client oauth.Client, token string) (bool, error) {
	if client.Keys == "" {
		return false, nil
	}
	theirs, err := keys.ParseTheirs(client.Keys)
	if err != nil {
		return false, fmt.Errorf("op: the keys of %s: the set %w", client.ID, err)
	}
	payload, err := theirs.Verify(token)
	if err != nil {
		return false, nil
	}
	var claims assertion
	if json.Unmarshal(payload, &claims) != nil || !claims.good(c, client, a.Now(), a.audiences(c)) {
		return false, nil
	}
	switch err := a.spend(c, assertionID, string(client.ID), claims.ID, time.Unix(int64(claims.Expires), 0).Add(skew)); {
	case errors.Is(err, store.ErrSpent):
		return false, nil
	default:
		return err == nil, err
	}
}

func (t assertion) good(c *call, client oauth.Client, now time.Time, ours []string) bool {
	at, around := float64(now.Unix()), skew.Seconds()
	foreign := func(name string) bool { return !slices.Contains(ours, name) }
	switch {
	case t.Issuer != client.ID, t.Subject != client.ID, t.ID == "":
		return false
	case len(t.Audience) == 0, slices.ContainsFunc(t.Audience, foreign): // one that is good elsewhere could be shown here by who runs elsewhere
		return false
	case t.Expires+around <= at, t.Expires > at+assertionLife.Seconds()+around:
		return false
	}
	return t.NotBefore <= at+around && t.Issued <= at+around
}

// audiences are what an assertion may call us: the issuer, the token endpoint, or the endpoint that was called.
func (a *API) audiences(c *call) []string {
	return []string{c.realm.issuer, c.realm.base + "/v1/token", a.address(c)}
}

// address is the URL of the endpoint that was called, as we were configured (S-46).
func (a *API) address(c *call) string { return a.Origin + c.URL.Path }

// spend uses up the id of a proof; it is [store.ErrSpent] for all but the first. It is kept until no clock of our
// nodes could take the proof any more.
func (a *API) spend(c *call, p secret.Purpose, whose, id string, until time.Time) error {
	ctx, digest := c.Context(), secret.DigestOf(p, whose+"\x00"+id)
	return a.Store.Update(ctx, func(tx store.Tx) error { return tx.SpendProof(ctx, digest, until.Add(skew)) })
}
