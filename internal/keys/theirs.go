package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// PS256 is what some applications sign with; we do not.
const PS256 = "PS256"

// The sizes of what others give us to verify with: a longer key is a way to keep us busy.
const (
	maxBits = 8192
	maxKeys = 10
	maxSet  = 16 << 10
)

// Theirs are the public keys of somebody else, by which an application proves who it is.
type Theirs struct{ keys []jose.JSONWebKey }

// private are the members of a JWK that only its owner may have (RFC 7518 6.2.2, 6.3.2, 6.4.1).
var private = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// ParseTheirs reads a JWK set (RFC 7517 5) and says what is wrong with it.
func ParseTheirs(text string) (Theirs, error) {
	var set struct {
		Keys []map[string]json.RawMessage `json:"keys"`
	}
	var t Theirs
	switch err := json.Unmarshal([]byte(text), &set); {
	case len(text) > maxSet:
		return t, fmt.Errorf("is longer than %d bytes", maxSet)
	case err != nil:
		return t, errors.New(`is no JWK set: {"keys": [...]} (RFC 7517 5)`)
	case len(set.Keys) == 0 || len(set.Keys) > maxKeys:
		return t, fmt.Errorf("holds %d keys, not 1 to %d", len(set.Keys), maxKeys)
	}
	for i, raw := range set.Keys {
		k, err := public(raw)
		if err == nil && k.KeyID != "" && slices.ContainsFunc(t.keys, func(other jose.JSONWebKey) bool { return other.KeyID == k.KeyID }) {
			err = fmt.Errorf("has the kid %q of another one", k.KeyID)
		}
		if err != nil {
			return Theirs{}, fmt.Errorf("key %d %w", i+1, err)
		}
		t.keys = append(t.keys, k)
	}
	return t, nil
}

// public reads one key and leaves out all of it that is not needed to verify.
func public(raw map[string]json.RawMessage) (k jose.JSONWebKey, err error) {
	if string(raw["kty"]) == `"oct"` {
		return k, errors.New("is symmetric: whoever can verify with it can sign with it")
	}
	for _, name := range private {
		if _, there := raw[name]; there {
			return k, fmt.Errorf("holds its private part (%s), which belongs to the application alone: make another one, and give its public part", name)
		}
	}
	text, err := json.Marshal(raw)
	if err != nil || json.Unmarshal(text, &k) != nil {
		return k, errors.New("cannot be read (RFC 7517 4)")
	}
	k = jose.JSONWebKey{Key: k.Key, KeyID: k.KeyID, Algorithm: k.Algorithm, Use: k.Use}
	algs, err := suits(k.Key)
	switch {
	case err != nil:
		return k, err
	case k.Algorithm != "" && !slices.Contains(algs, k.Algorithm):
		return k, fmt.Errorf("is for %q, and such a key is taken for %v", k.Algorithm, algs)
	case k.Use != "" && k.Use != "sig":
		return k, fmt.Errorf("is to be used for %q, not to sign", k.Use)
	}
	return k, nil
}

// suits says what a key may be used with. The algorithm belongs to the key and not to what is signed (RFC 8725 3.1).
func suits(key any) ([]string, error) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < bits || n > maxBits {
			return nil, fmt.Errorf("has %d bits, not %d to %d", n, bits, maxBits)
		}
		return []string{RS256, PS256}, nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return nil, fmt.Errorf("is on the curve %s, not on P-256", k.Params().Name)
		}
		return []string{ES256}, nil
	}
	return nil, errors.New("is of a type that is not taken: RSA, or EC on P-256")
}

// String is the set as JSON, with nothing in it that is not needed; it is read again as the same set.
func (t Theirs) String() string {
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: t.keys})
	if err != nil {
		panic("keys: a set that was read cannot be written: " + err.Error()) // a programming error
	}
	return string(text)
}

// ForeignAlgorithms are those in which others may sign for us to verify, for the metadata.
func ForeignAlgorithms() []string { return []string{ES256, PS256, RS256} }

// Verify returns the payload of what one of the keys signed. Keys that come along, or are pointed to, are not looked at.
func (t Theirs) Verify(token string) (payload []byte, err error) {
	if len(token) > MaxToken {
		return nil, ErrInvalid
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{ES256, PS256, RS256})
	if err != nil {
		return nil, ErrInvalid
	}
	h := jws.Signatures[0].Header
	for _, k := range t.keys {
		algs, err := suits(k.Key)
		if err != nil || !slices.Contains(algs, h.Algorithm) || k.Algorithm != "" && k.Algorithm != h.Algorithm || h.KeyID != "" && k.KeyID != "" && k.KeyID != h.KeyID {
			continue
		}
		if payload, err := jws.Verify(k.Key); err == nil {
			return payload, nil
		}
	}
	return nil, ErrInvalid
}

// ProofAlgorithms are those of proofs that bring their key along, for the metadata.
func ProofAlgorithms() []string { return []string{ES256, RS256} }

// VerifyOwn returns the payload of a token of a type that was signed by the very key in its header, and the
// thumbprint of that key (RFC 7638). It proves that the sender has the key, and nothing else.
func VerifyOwn(token, typ string) (payload []byte, thumbprint string, err error) {
	if len(token) > MaxToken {
		return nil, "", ErrInvalid
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{ES256, RS256}) // refuses a private key in the header
	if err != nil {
		return nil, "", ErrInvalid
	}
	h := jws.Signatures[0].Protected
	if h.ExtraHeaders[jose.HeaderType] != typ || h.JSONWebKey == nil || !h.JSONWebKey.IsPublic() {
		return nil, "", ErrInvalid
	}
	algs, err := suits(h.JSONWebKey.Key)
	if err != nil || !slices.Contains(algs, h.Algorithm) {
		return nil, "", ErrInvalid
	}
	if payload, err = jws.Verify(h.JSONWebKey.Key); err != nil {
		return nil, "", ErrInvalid
	}
	print, err := h.JSONWebKey.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, "", ErrInvalid
	}
	return payload, base64.RawURLEncoding.EncodeToString(print), nil
}
