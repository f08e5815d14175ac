package idx

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"
)

// skew is how far two clocks may be apart.
const skew = 2 * time.Minute

// An expectation is what an ID token must say besides what every one must say.
type expectation struct {
	nonce       string
	accessToken string
	maxAge      *int64
	required    bool
}

type claims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience audience `json:"aud"`
	Party    string   `json:"azp"`
	Nonce    string   `json:"nonce"`
	AtHash   string   `json:"at_hash"`
	Expires  *float64 `json:"exp"`
	Issued   *float64 `json:"iat"`
	NotYet   *float64 `json:"nbf"`
	Proved   *float64 `json:"auth_time"`
	raw      json.RawMessage
}

// An audience is one name or several (RFC 7519 4.1.3).
type audience []string

func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	var many []string
	err := json.Unmarshal(b, &many)
	*a = many
	return err
}

// verify holds an ID token against OpenID Connect Core 3.1.3.7. Its errors say what is wrong, never what the token holds.
func (c *Client) verify(ctx context.Context, token string, want expectation) (*claims, error) {
	bad := func(why string) (*claims, error) { return nil, fmt.Errorf("%w: %s", ErrIDToken, why) }
	t, why := openJWS(token)
	if why != "" {
		return bad(why)
	}
	holds, err := c.signed(ctx, t)
	if err != nil {
		return nil, err
	}
	if !holds {
		return bad("no key of the issuer has signed it")
	}
	cl := &claims{raw: t.payload}
	if json.Unmarshal(t.payload, cl) != nil {
		return bad("its claims cannot be read")
	}
	if why := cl.judge(c.core, want); why != "" {
		return bad(why)
	}
	return cl, nil
}

// judge is pure: what is wrong with the claims, or nothing.
func (cl *claims) judge(c *core, want expectation) string {
	now := c.now()
	at := func(v *float64) time.Time { return time.UnixMilli(int64(*v * 1000)) }
	switch {
	case cl.Issuer != c.issuer:
		return "it has another issuer"
	case cl.Subject == "":
		return "it has no subject"
	case !slices.Contains(cl.Audience, c.clientID):
		return "it is for another client"
	case len(cl.Audience) > 1 && cl.Party == "":
		return "it has several audiences and names no authorized party"
	case cl.Party != "" && cl.Party != c.clientID:
		return "it was issued to another party"
	case cl.Expires == nil || cl.Issued == nil:
		return "it does not say when it was issued and when it expires"
	case !sane(cl.Expires) || !sane(cl.Issued) || !sane(cl.NotYet) || !sane(cl.Proved):
		return "one of its times is no time"
	case !now.Before(at(cl.Expires).Add(skew)):
		return "it has expired"
	case at(cl.Issued).After(now.Add(skew)):
		return "it was issued in the future"
	case cl.NotYet != nil && at(cl.NotYet).After(now.Add(skew)):
		return "it is not valid yet"
	case want.nonce != "" && subtle.ConstantTimeCompare([]byte(cl.Nonce), []byte(want.nonce)) != 1:
		return "its nonce is not the one of this sign-in"
	case cl.AtHash != "" && cl.AtHash != leftHalf(want.accessToken):
		return "it belongs to another access token"
	case want.maxAge != nil && cl.Proved == nil:
		return "it does not say when the person signed in"
	case want.maxAge != nil && at(cl.Proved).Add(time.Duration(min(*want.maxAge, 1e9))*time.Second+skew).Before(now):
		return "the person signed in too long ago"
	}
	return ""
}

// sane keeps a number from overflowing when it becomes a time.
func sane(v *float64) bool { return v == nil || *v > 0 && *v < 1e11 }

// leftHalf is at_hash for the algorithms we take, both of which hash with SHA-256 (OpenID Connect Core 3.1.3.6).
func leftHalf(accessToken string) string {
	sum := sha256.Sum256([]byte(accessToken))
	return b64.EncodeToString(sum[:16])
}

// A jws is a compact signature, taken apart.
type jws struct {
	alg, kid  string
	input     string
	payload   []byte
	signature []byte
}

// openJWS takes RS256 and ES256 and nothing else: an algorithm that the token may choose is one that a forger may.
func openJWS(token string) (*jws, string) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, "it is no signed token"
	}
	strict := b64.Strict()
	head, err1 := strict.DecodeString(parts[0])
	payload, err2 := strict.DecodeString(parts[1])
	sig, err3 := strict.DecodeString(parts[2])
	var h struct {
		Alg  string          `json:"alg"`
		Kid  string          `json:"kid"`
		Crit json.RawMessage `json:"crit"`
	}
	switch {
	case err1 != nil || err2 != nil || err3 != nil || json.Unmarshal(head, &h) != nil:
		return nil, "it is no signed token"
	case h.Alg != "RS256" && h.Alg != "ES256":
		return nil, "its algorithm is not RS256 or ES256"
	case h.Crit != nil: // RFC 7515 4.1.11
		return nil, "it has header members that must be understood"
	}
	return &jws{h.Alg, h.Kid, parts[0] + "." + parts[1], payload, sig}, ""
}

// A keySet is the issuer's public keys (RFC 7517), as far as we can use them.
type keySet struct {
	fetched time.Time
	keys    []verifyKey
}

type verifyKey struct {
	kid, alg string
	rsa      *rsa.PublicKey
	ecdsa    *ecdsa.PublicKey
}

// keysLast is how long an issuer's keys are believed, and so how long one that it withdrew still counts here.
const keysLast = time.Hour

// signed looks for the key, fetching once more when it is not among those known: the issuer may have changed keys.
// A token that does not say which key it is may be of any new one.
func (c *Client) signed(ctx context.Context, t *jws) (bool, error) {
	set, err := c.issuerKeys(ctx)
	if err != nil {
		return false, err
	}
	if holds := set.holds(t); holds || t.kid != "" && set.knows(t) {
		return holds, nil
	}
	old := set
	set, err = c.core.keys.get(ctx, func(s *keySet) bool { return s != old }, func() (*keySet, error) { return c.fetchKeys(ctx) })
	if err != nil {
		return false, err
	}
	return set.holds(t), nil
}

func (c *Client) issuerKeys(ctx context.Context) (*keySet, error) {
	young := func(s *keySet) bool { return c.core.now().Sub(s.fetched) < keysLast }
	return c.core.keys.get(ctx, young, func() (*keySet, error) { return c.fetchKeys(ctx) })
}

func (c *Client) fetchKeys(ctx context.Context) (*keySet, error) {
	m, err := c.discover(ctx)
	if err != nil {
		return nil, err
	}
	at, err := c.core.trusts(m.Keys)
	if err != nil {
		return nil, fmt.Errorf("idx: keys: %w", err)
	}
	r := request{op: "keys", method: http.MethodGet, url: at, read: true, header: http.Header{"Accept": {"application/json"}}}
	a, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	var got struct{ Keys []json.RawMessage }
	if a.status != http.StatusOK || json.Unmarshal(a.body, &got) != nil {
		return nil, c.failure(r, a)
	}
	set := &keySet{fetched: c.core.now()}
	for _, raw := range got.Keys {
		if k, ok := readKey(raw); ok {
			set.keys = append(set.keys, k)
		}
	}
	return set, nil
}

// readKey leaves out what we could not verify with: the issuer may publish keys of other kinds beside ours.
func readKey(raw json.RawMessage) (verifyKey, bool) {
	var k struct{ Kty, Kid, Alg, Use, Crv, N, E, X, Y string }
	if json.Unmarshal(raw, &k) != nil || k.Use != "" && k.Use != "sig" {
		return verifyKey{}, false
	}
	switch {
	case k.Kty == "RSA" && (k.Alg == "" || k.Alg == "RS256"):
		n, err1 := b64.DecodeString(k.N)
		e, err2 := b64.DecodeString(k.E)
		pub := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
		ok := err1 == nil && err2 == nil && len(e) <= 4 && pub.E > 1 && pub.N.BitLen() >= 2048 && pub.N.BitLen() <= 8192
		return verifyKey{kid: k.Kid, alg: "RS256", rsa: pub}, ok
	case k.Kty == "EC" && k.Crv == "P-256" && (k.Alg == "" || k.Alg == "ES256"):
		x, err1 := b64.DecodeString(k.X)
		y, err2 := b64.DecodeString(k.Y)
		if err1 != nil || err2 != nil || len(x) != 32 || len(y) != 32 {
			return verifyKey{}, false
		}
		pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
		return verifyKey{kid: k.Kid, alg: "ES256", ecdsa: pub}, err == nil
	}
	return verifyKey{}, false
}

func (k verifyKey) fits(t *jws) bool { return k.alg == t.alg && (t.kid == "" || k.kid == t.kid) }

func (s *keySet) knows(t *jws) bool {
	return slices.ContainsFunc(s.keys, func(k verifyKey) bool { return k.fits(t) })
}

func (s *keySet) holds(t *jws) bool {
	digest := sha256.Sum256([]byte(t.input))
	return slices.ContainsFunc(s.keys, func(k verifyKey) bool { return k.fits(t) && k.verify(digest[:], t.signature) })
}

func (k verifyKey) verify(digest, sig []byte) bool {
	if k.rsa != nil {
		return rsa.VerifyPKCS1v15(k.rsa, crypto.SHA256, digest, sig) == nil
	}
	if len(sig) != 64 {
		return false
	}
	return ecdsa.Verify(k.ecdsa, digest, new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
}
