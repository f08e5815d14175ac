package op

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/store"
)

// Tokens that are bound to a key (DPoP, RFC 9449): every request that gets or shows one proves anew that its sender has
// the key. A proof that is sent is verified in full, wherever it is of use (S-66). Nonces are not asked for: a proof is
// good once, for one address, and for minutes.

const proofLife = 5 * time.Minute

// A proof is the claims of one (RFC 9449 4.2).
type proof struct {
	ID      string   `json:"jti"`
	Method  string   `json:"htm"`
	Address string   `json:"htu"`
	Issued  *float64 `json:"iat"`
	Access  string   `json:"ath"`
	From    float64  `json:"nbf"` // neither is asked for; a proof that brings one is held to it (RFC 7519 4.1)
	Until   *float64 `json:"exp"`
}

func badProof(why string) error {
	return &oauth.Error{Code: oauth.InvalidDPoPProof, Description: "The DPoP proof " + why + "."}
}

// proof returns the thumbprint of the key that a request proves to have, empty if it does not try. With an access
// token it has to be a proof for that token. Its id is spent when all else is right.
func (a *API) proof(c *call, access string) (thumbprint string, err error) {
	sent := c.Header.Values("DPoP")
	switch len(sent) {
	case 0:
		return "", nil
	case 1:
	default:
		return "", badProof("is there more than once")
	}
	payload, thumbprint, err := keys.VerifyOwn(sent[0], "dpop+jwt")
	if err != nil {
		return "", badProof("is not of type dpop+jwt, or not signed with ES256 or RS256 by the public key in its header")
	}
	var p proof
	if json.Unmarshal(payload, &p) != nil {
		return "", badProof("cannot be read")
	}
	if err := p.judge(c.Method, a.address(c), access, a.Now()); err != nil {
		return "", err
	}
	issued := time.Unix(int64(*p.Issued), 0)
	switch err := a.spend(c, proofID, thumbprint, p.ID, issued, issued.Add(proofLife)); {
	case errors.Is(err, store.ErrSpent):
		return "", badProof("was used before")
	case err != nil:
		return "", err
	}
	return thumbprint, nil
}

// judge compares a proof with the request that it comes with (RFC 9449 4.3).
func (p proof) judge(method, address, access string, now time.Time) error {
	at := float64(now.Unix())
	switch {
	case p.ID == "" || p.Issued == nil:
		return badProof("lacks 'jti' or 'iat'")
	case p.Method != method:
		return badProof("is for another method")
	case !sameAddress(p.Address, address):
		return badProof("is for another address")
	case *p.Issued > at+skew.Seconds() || *p.Issued <= at-proofLife.Seconds():
		return badProof("is too old, or its clock differs")
	case p.From > at+skew.Seconds() || p.Until != nil && *p.Until <= at-skew.Seconds():
		return badProof("is not good yet, or not any more")
	case access != "" && p.Access != ath(access):
		return badProof("is for another access token")
	}
	return nil
}

// ath is the hash of an access token.
func ath(access string) string {
	sum := sha256.Sum256([]byte(access))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// sameAddress compares what a proof is for with where it was sent, as URLs: query and fragment aside, and whatever the
// spelling of scheme, host and default port is.
func sameAddress(told, ours string) bool {
	t, err := url.Parse(told)
	if err != nil || t.User != nil || t.Opaque != "" {
		return false
	}
	o, err := url.Parse(ours)
	return err == nil && strings.EqualFold(t.Scheme, o.Scheme) && hostOf(t) == hostOf(o) && t.Path == o.Path
}

func hostOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	for scheme, port := range map[string]string{"https": ":443", "http": ":80"} {
		if strings.EqualFold(u.Scheme, scheme) {
			host = strings.TrimSuffix(host, port)
		}
	}
	return host
}

// binding is the key that refresh tokens are bound to. Those of a confidential client are not: the client proves
// itself whenever it uses one, and may get itself another key (RFC 9449 5).
func (c *call) binding(client oauth.Client) string {
	if client.Confidential() {
		return ""
	}
	return c.key
}

// errKey is said where a code or a refresh token belongs to a key that the request did not prove to have.
func errKey(what string) *oauth.Error {
	return &oauth.Error{Code: oauth.InvalidGrant, Description: "The " + what + " is bound to a key, and there is no DPoP proof by it."}
}

// wanted is the key that the code of an authorization request will be bound to: the one it names (RFC 9449 10), or
// that whoever sends it proves to have (10.1).
func (c *call) wanted() (string, error) {
	named := c.params["dpop_jkt"]
	switch {
	case named != "" && (len(named) != 43 || strings.Trim(named, thumbprintLetters) != ""):
		return "", invalidRequest("The 'dpop_jkt' must be 43 characters of base64url: the SHA-256 thumbprint of a key.")
	case c.key != "" && named != "" && named != c.key:
		return "", badProof("is by another key than the one that 'dpop_jkt' names")
	case c.key != "":
		return c.key, nil
	}
	return named, nil
}

const thumbprintLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
