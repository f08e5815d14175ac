package idx

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
)

var b64 = base64.RawURLEncoding

// random is 256 bits, enough for a state, a nonce, a verifier (RFC 7636 4.1) or a jti.
func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return b64.EncodeToString(b[:])
}

// A signer makes compact JWS with a key of the application: client assertions and DPoP proofs.
type signer struct {
	key crypto.Signer
	alg string
	jwk map[string]any // the public half
}

func newSigner(key crypto.Signer) (*signer, error) {
	if key == nil {
		return nil, errors.New("the signing key is nil")
	}
	switch pub := key.Public().(type) {
	case *rsa.PublicKey:
		if pub.N.BitLen() < 2048 {
			return nil, errors.New("the signing key is an RSA key of less than 2048 bits")
		}
		return &signer{key, "RS256", map[string]any{"kty": "RSA", "n": b64.EncodeToString(pub.N.Bytes()),
			"e": b64.EncodeToString(big.NewInt(int64(pub.E)).Bytes())}}, nil
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() {
			return nil, errors.New("the signing key is on another curve than P-256")
		}
		point, err := pub.Bytes()
		if err != nil {
			return nil, err
		}
		return &signer{key, "ES256", map[string]any{"kty": "EC", "crv": "P-256",
			"x": b64.EncodeToString(point[1:33]), "y": b64.EncodeToString(point[33:])}}, nil
	}
	return nil, errors.New("the signing key is neither RSA nor P-256")
}

func (s *signer) sign(header, claims map[string]any) (string, error) {
	header["alg"] = s.alg
	h, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	c, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	input := b64.EncodeToString(h) + "." + b64.EncodeToString(c)
	digest := sha256.Sum256([]byte(input))
	sig, err := s.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return "", err
	}
	if s.alg == "ES256" {
		if sig, err = fixedWidth(sig); err != nil {
			return "", err
		}
	}
	return input + "." + b64.EncodeToString(sig), nil
}

// fixedWidth turns the DER of crypto.Signer into the r and s of RFC 7518 3.4.
func fixedWidth(der []byte) ([]byte, error) {
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return nil, err
	}
	out := make([]byte, 64)
	sig.R.FillBytes(out[:32])
	sig.S.FillBytes(out[32:])
	return out, nil
}
