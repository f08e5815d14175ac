package idx

import (
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// ClientAuth is how a confidential client proves itself: [SecretBasic], [SecretPost] or [PrivateKeyJWT].
// It prints nothing of what it holds.
type ClientAuth interface {
	check() error
	// clientAuth puts the proof into a request that already names the client in its body. audience is the token endpoint.
	clientAuth(form url.Values, h http.Header, audience string, now time.Time) error
}

// SecretBasic sends the client secret in the Authorization header (RFC 6749 2.3.1).
func SecretBasic(secret string) ClientAuth { return secretBasic{secret} }

// SecretPost sends the client secret in the request body (RFC 6749 2.3.1).
func SecretPost(secret string) ClientAuth { return secretPost{secret} }

// PrivateKeyJWT signs a short-lived assertion for each request (RFC 7523). The key is RSA (RS256) or P-256 (ES256).
func PrivateKeyJWT(key crypto.Signer, keyID string) ClientAuth {
	s, err := newSigner(key)
	return privateKeyJWT{s, keyID, err}
}

type secretBasic struct{ secret string }

func (a secretBasic) check() error               { return needSecret(a.secret) }
func (secretBasic) Format(f fmt.State, _ rune)   { printAs(f, "SecretBasic") }
func (secretPost) Format(f fmt.State, _ rune)    { printAs(f, "SecretPost") }
func (privateKeyJWT) Format(f fmt.State, _ rune) { printAs(f, "PrivateKeyJWT") }

// clientAuth leaves the client id in the body too: interact is not a token endpoint, and asks for it there.
func (a secretBasic) clientAuth(form url.Values, h http.Header, _ string, _ time.Time) error {
	pair := url.QueryEscape(form.Get("client_id")) + ":" + url.QueryEscape(a.secret)
	h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	return nil
}

type secretPost struct{ secret string }

func (a secretPost) check() error { return needSecret(a.secret) }

func (a secretPost) clientAuth(form url.Values, _ http.Header, _ string, _ time.Time) error {
	form.Set("client_secret", a.secret)
	return nil
}

func needSecret(secret string) error {
	if secret == "" {
		return errors.New("the client secret is empty")
	}
	return nil
}

type privateKeyJWT struct {
	key *signer
	kid string
	bad error
}

func (a privateKeyJWT) check() error { return a.bad }

func (a privateKeyJWT) clientAuth(form url.Values, _ http.Header, audience string, now time.Time) error {
	id := form.Get("client_id")
	header := map[string]any{}
	if a.kid != "" {
		header["kid"] = a.kid
	}
	jwt, err := a.key.sign(header, map[string]any{
		"iss": id, "sub": id, "aud": audience, "jti": random(),
		"iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(),
	})
	if err != nil {
		return err
	}
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", jwt)
	return nil
}
