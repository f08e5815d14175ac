package idx

import (
	"context"
	"crypto/sha256"
	"net/http"
)

// sendProof sends a request with a DPoP proof, if the client has a key for one (RFC 9449 4). A server that wants its own
// nonce in the proof says so once, and has done nothing yet when it does (RFC 9449 8). The request is built anew for that,
// since the client may have proved itself by an assertion that is good once (RFC 7523 3). It returns what was sent last.
func (c *Client) sendProof(ctx context.Context, build func() (request, error), accessToken string) (request, *answer, error) {
	nonce := ""
	for tried := false; ; tried = true {
		r, err := build()
		if err != nil {
			return r, nil, err
		}
		if c.core.dpop == nil {
			a, err := c.send(ctx, r)
			return r, a, err
		}
		r.read = false // a proof is good for one request, so trying again would take another proof
		proof, err := c.proof(r, accessToken, nonce)
		if err != nil {
			return r, nil, err
		}
		r.header.Set("DPoP", proof)
		a, err := c.send(ctx, r)
		if err != nil {
			return r, nil, err
		}
		nonce = a.header.Get("DPoP-Nonce")
		if tried || nonce == "" || !c.wantsNonce(r, a) {
			return r, a, nil
		}
	}
}

func (c *Client) wantsNonce(r request, a *answer) bool {
	switch a.status {
	case http.StatusBadRequest:
		return c.failure(r, a).Code == "use_dpop_nonce"
	case http.StatusUnauthorized:
		return challengeParam(a.header.Get("WWW-Authenticate"), "error") == "use_dpop_nonce"
	}
	return false
}

func (c *Client) proof(r request, accessToken, nonce string) (string, error) {
	bare := *r.url
	bare.RawQuery, bare.Fragment = "", ""
	claims := map[string]any{"jti": random(), "htm": r.method, "htu": bare.String(), "iat": c.core.now().Unix()}
	if accessToken != "" {
		sum := sha256.Sum256([]byte(accessToken))
		claims["ath"] = b64.EncodeToString(sum[:])
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	return c.core.dpop.sign(map[string]any{"typ": "dpop+jwt", "jwk": c.core.dpop.jwk}, claims)
}
