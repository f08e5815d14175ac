package oidc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
)

// TestPushedRequest pushes what would have been the browser's query (RFC 9126), and sends the browser with what it was given.
func TestPushedRequest(t *testing.T) {
	r := newRig(t)
	r.verifier, r.nonce = oauth2.GenerateVerifier(), rand.Text()
	state := rand.Text()
	request, err := url.Parse(r.app.AuthCodeURL(state, oidc.Nonce(r.nonce), oauth2.S256ChallengeOption(r.verifier)))
	if err != nil {
		t.Fatal(err)
	}
	uri, _ := r.post("pushed_authorization_request_endpoint", request.Query())["request_uri"].(string)
	if uri == "" {
		t.Fatal("no request_uri")
	}
	back := r.arrive(true, state, r.app.AuthCodeURL(state, oauth2.SetAuthURLParam("request_uri", uri)))
	token, err := r.app.Exchange(t.Context(), back.Get("code"), oauth2.VerifierOption(r.verifier))
	if err != nil {
		t.Fatal(err)
	}
	if id := r.verified(token); id.Nonce != r.nonce { // it was in what was pushed, and nowhere else
		t.Errorf("nonce %q", id.Nonce)
	}
}

// TestDPoP has every request of both libraries carry a proof (RFC 9449), by the client they are given.
func TestDPoP(t *testing.T) {
	r := newRig(t)
	code := r.authorize(true).Get("code")
	mine := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: newProver(t)})
	token, err := r.app.Exchange(mine, code, oauth2.VerifierOption(r.verifier))
	if err != nil {
		t.Fatal(err)
	}
	id := r.verified(token)
	if token.TokenType != "DPoP" || id.Nonce != r.nonce {
		t.Errorf("type %q, nonce %q", token.TokenType, id.Nonce)
	}
	if who, err := r.provider.UserInfo(mine, oauth2.StaticTokenSource(token)); err != nil || who.Subject != id.Subject {
		t.Fatalf("%+v, %v", who, err)
	}
	for name, ctx := range map[string]context.Context{
		"without a proof":       t.Context(),
		"with another's proofs": context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: newProver(t)}),
	} {
		if _, err := r.provider.UserInfo(ctx, oauth2.StaticTokenSource(token)); err == nil {
			t.Errorf("userinfo takes the token %s", name)
		}
		stolen := *token
		stolen.Expiry = time.Now().Add(-time.Minute)
		if _, err := r.app.TokenSource(ctx, &stolen).Token(); err == nil {
			t.Errorf("the refresh token is good %s", name)
		}
	}
	token.Expiry = time.Now().Add(-time.Minute)
	next, err := r.app.TokenSource(mine, token).Token()
	if err != nil {
		t.Fatal(err)
	}
	if next.TokenType != "DPoP" || r.verified(next).Subject != id.Subject {
		t.Errorf("%+v", next)
	}
}

// A prover adds proofs to requests, with a key of its own.
type prover struct {
	signer jose.Signer
	nonce  string // of the server, if it wants one
}

func newProver(t *testing.T) *prover {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	options := (&jose.SignerOptions{}).WithType("dpop+jwt").WithHeader("jwk", jose.JSONWebKey{Key: key.Public()})
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	return &prover{signer: signer}
}

// RoundTrip sends a request with a proof, and once more if the server wants its nonce in it.
func (p *prover) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := p.send(r)
	if err != nil {
		return nil, err
	}
	nonce := response.Header.Get("DPoP-Nonce")
	if nonce == "" || nonce == p.nonce || response.StatusCode/100 != 4 {
		return response, nil
	}
	p.nonce = nonce
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	return p.send(r)
}

func (p *prover) send(r *http.Request) (*http.Response, error) {
	proof, err := p.proof(r)
	if err != nil {
		return nil, err
	}
	again := r.Clone(r.Context())
	if r.GetBody != nil {
		if again.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
	}
	again.Header.Set("DPoP", proof)
	return http.DefaultTransport.RoundTrip(again)
}

func (p *prover) proof(r *http.Request) (string, error) {
	address := *r.URL
	address.RawQuery, address.Fragment = "", ""
	claims := map[string]any{"jti": rand.Text(), "htm": r.Method, "htu": address.String(), "iat": time.Now().Unix()}
	if p.nonce != "" {
		claims["nonce"] = p.nonce
	}
	if _, token, ok := strings.Cut(r.Header.Get("Authorization"), "DPoP "); ok {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := p.signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
