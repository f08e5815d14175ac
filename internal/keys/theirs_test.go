package keys_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"latchkey.dev/internal/keys"
)

func ecKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func rsaKey(t testing.TB, n int) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, n)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func setOf(t testing.TB, all ...jose.JSONWebKey) string {
	t.Helper()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: all})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func signedWith(t testing.TB, alg jose.SignatureAlgorithm, key any, o *jose.SignerOptions) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign([]byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestS58_WhatKeysAreTaken(t *testing.T) {
	ec, rs := ecKey(t, elliptic.P256()), rsaKey(t, 2048)
	for name, test := range map[string]struct{ set, want string }{
		"an EC key":              {setOf(t, jose.JSONWebKey{Key: &ec.PublicKey, KeyID: "a", Algorithm: "ES256", Use: "sig"}), ""},
		"an RSA key and another": {setOf(t, jose.JSONWebKey{Key: &rs.PublicKey, KeyID: "a"}, jose.JSONWebKey{Key: &ec.PublicKey, KeyID: "b"}), ""},
		"RSA-PSS":                {setOf(t, jose.JSONWebKey{Key: &rs.PublicKey, Algorithm: "PS256"}), ""},
		"nothing":                {"", "is no JWK set"},
		"a key alone":            {`{"kty":"EC"}`, "holds 0 keys"},
		"no keys":                {`{"keys":[]}`, "holds 0 keys"},
		"a private EC key":       {setOf(t, jose.JSONWebKey{Key: ec}), "key 1 holds its private part (d)"},
		"a private RSA key":      {setOf(t, jose.JSONWebKey{Key: rs}), "key 1 holds its private part (d)"},
		"a secret":               {`{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`, "key 1 is symmetric"},
		"a secret under a name":  {`{"keys":[{"kty":"EC","k":"c2VjcmV0"}]}`, "key 1 holds its private part (k)"},
		"a short RSA key":        {setOf(t, jose.JSONWebKey{Key: &rsaKey(t, 1024).PublicKey}), "key 1 has 1024 bits"},
		"another curve":          {setOf(t, jose.JSONWebKey{Key: &ecKey(t, elliptic.P384()).PublicKey}), "key 1 is on the curve P-384"},
		"an algorithm it has not": {setOf(t, jose.JSONWebKey{Key: &ec.PublicKey, Algorithm: "RS256"}),
			`key 1 is for "RS256"`},
		"to encrypt": {setOf(t, jose.JSONWebKey{Key: &ec.PublicKey, Use: "enc"}), `key 1 is to be used for "enc"`},
		"one kid twice": {setOf(t, jose.JSONWebKey{Key: &ec.PublicKey, KeyID: "a"}, jose.JSONWebKey{Key: &rs.PublicKey, KeyID: "a"}),
			`key 2 has the kid "a" of another one`},
		"half a key": {`{"keys":[{"kty":"EC","crv":"P-256","x":"AAAA"}]}`, "key 1 cannot be read"},
		"eleven":     {`{"keys":[` + strings.Repeat(`{},`, 10) + `{}]}`, "holds 11 keys"},
		"too long":   {`{"keys":[{"x":"` + strings.Repeat("x", 16<<10) + `"}]}`, "is longer than"},
	} {
		got, err := keys.ParseTheirs(test.set)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if err == nil {
			if again, err := keys.ParseTheirs(got.String()); err != nil || again.String() != got.String() {
				t.Errorf("%s: written as %s, %v", name, got, err)
			}
		}
	}
}

// TestS62_TheirSignatures: the algorithm belongs to the key, and what comes along with a token is not believed.
func TestS62_TheirSignatures(t *testing.T) {
	ec, rs, other := ecKey(t, elliptic.P256()), rsaKey(t, 2048), ecKey(t, elliptic.P256())
	text := setOf(t, jose.JSONWebKey{Key: &ec.PublicKey, KeyID: "ec"}, jose.JSONWebKey{Key: &rs.PublicKey, KeyID: "rs", Algorithm: "RS256"})
	theirs, err := keys.ParseTheirs(text)
	if err != nil {
		t.Fatal(err)
	}
	with := func(kid string, key any) jose.JSONWebKey { return jose.JSONWebKey{Key: key, KeyID: kid} }
	good := signedWith(t, jose.ES256, ec, nil)
	parts := strings.Split(good, ".")
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for name, test := range map[string]struct {
		token string
		want  bool
	}{
		"ES256 without a kid":       {good, true},
		"ES256 with its kid":        {signedWith(t, jose.ES256, with("ec", ec), nil), true},
		"RS256":                     {signedWith(t, jose.RS256, with("rs", rs), nil), true},
		"another kid":               {signedWith(t, jose.ES256, with("rs", ec), nil), false},
		"PS256 by a key for RS256":  {signedWith(t, jose.PS256, with("rs", rs), nil), false},
		"another key":               {signedWith(t, jose.ES256, with("ec", other), nil), false},
		"another key, in the token": {signedWith(t, jose.ES256, other, &jose.SignerOptions{EmbedJWK: true}), false},
		"HS256 with the public set": {signedWith(t, jose.HS256, []byte(text), nil), false},
		"none":                      {b64(`{"alg":"none"}`) + "." + parts[1] + ".", false},
		"a changed payload":         {parts[0] + "." + b64("payloae") + "." + parts[2], false},
		"a critical header":         {signedWith(t, jose.ES256, ec, (&jose.SignerOptions{}).WithCritical("x").WithHeader("x", 1)), false},
		"nonsense":                  {"a.b.c", false},
		"too long":                  {good + strings.Repeat("A", keys.MaxToken), false},
	} {
		payload, err := theirs.Verify(test.token)
		if (err == nil) != test.want || err == nil && string(payload) != "payload" {
			t.Errorf("%s: %q, %v", name, payload, err)
		}
	}
}

func TestVerifyOwn(t *testing.T) {
	ec, rs := ecKey(t, elliptic.P256()), rsaKey(t, 2048)
	proof := func(alg jose.SignatureAlgorithm, key any, typ string) string {
		return signedWith(t, alg, key, (&jose.SignerOptions{EmbedJWK: true}).WithType(jose.ContentType(typ)))
	}
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	public, err := json.Marshal(jose.JSONWebKey{Key: &ec.PublicKey})
	if err != nil {
		t.Fatal(err)
	}
	private, err := json.Marshal(jose.JSONWebKey{Key: ec})
	if err != nil {
		t.Fatal(err)
	}
	good := proof(jose.ES256, ec, "dpop+jwt")
	rest := good[strings.Index(good, "."):]
	for name, test := range map[string]struct {
		token string
		want  bool
	}{
		"ES256":          {good, true},
		"RS256":          {proof(jose.RS256, rs, "dpop+jwt"), true},
		"PS256":          {proof(jose.PS256, rs, "dpop+jwt"), false},
		"another type":   {proof(jose.ES256, ec, "jwt"), false},
		"no type":        {signedWith(t, jose.ES256, ec, &jose.SignerOptions{EmbedJWK: true}), false},
		"no key":         {signedWith(t, jose.ES256, ec, (&jose.SignerOptions{}).WithType("dpop+jwt")), false},
		"a short key":    {proof(jose.RS256, rsaKey(t, 1024), "dpop+jwt"), false},
		"another header": {b64(fmt.Sprintf(`{"typ":"dpop+jwt","alg":"ES256","jwk":%s,"x":1}`, public)) + rest, false},
		"a private key":  {b64(fmt.Sprintf(`{"typ":"dpop+jwt","alg":"ES256","jwk":%s}`, private)) + rest, false},
		"a symmetric key": {signedWith(t, jose.HS256, []byte("0123456789abcdef0123456789abcdef"), (&jose.SignerOptions{}).WithType("dpop+jwt").
			WithHeader("jwk", map[string]string{"kty": "oct", "k": b64("0123456789abcdef0123456789abcdef")})), false},
		"none":     {b64(fmt.Sprintf(`{"typ":"dpop+jwt","alg":"none","jwk":%s}`, public)) + "." + b64("payload") + ".", false},
		"nonsense": {"a.b.c", false},
	} {
		payload, print, err := keys.VerifyOwn(test.token, "dpop+jwt")
		if (err == nil) != test.want || err == nil && (string(payload) != "payload" || len(print) != 43) {
			t.Errorf("%s: %q by %q, %v", name, payload, print, err)
		}
	}
	_, one, _ := keys.VerifyOwn(good, "dpop+jwt")
	_, two, _ := keys.VerifyOwn(proof(jose.ES256, ec, "dpop+jwt"), "dpop+jwt")
	_, other, _ := keys.VerifyOwn(proof(jose.ES256, ecKey(t, elliptic.P256()), "dpop+jwt"), "dpop+jwt")
	if one != two || one == other {
		t.Errorf("thumbprints %s, %s and %s", one, two, other)
	}
}

// TestPrivateHeaderKey: even a well-signed proof is refused if it gives its private key away.
func TestPrivateHeaderKey(t *testing.T) {
	ec := ecKey(t, elliptic.P256())
	token := signedWith(t, jose.ES256, ec, (&jose.SignerOptions{}).WithType("dpop+jwt").WithHeader("jwk", jose.JSONWebKey{Key: ec}))
	if _, _, err := keys.VerifyOwn(token, "dpop+jwt"); err == nil {
		t.Error("it was taken")
	}
	token = signedWith(t, jose.ES256, ec, (&jose.SignerOptions{}).WithType("dpop+jwt").WithHeader("jwk", jose.JSONWebKey{Key: &ec.PublicKey}))
	if _, _, err := keys.VerifyOwn(token, "dpop+jwt"); err != nil {
		t.Errorf("its public part was refused: %v", err)
	}
}
