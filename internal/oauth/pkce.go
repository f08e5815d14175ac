package oauth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"
)

// S256 is the one challenge method: plain would send the proof ahead of itself (S-55).
const S256 = "S256"

const (
	base64url  = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	unreserved = base64url + ".~" // RFC 7636 4.1
)

// CheckChallenge refuses a code challenge that no S256 verifier can have (RFC 7636 4.2, 4.3).
func CheckChallenge(challenge, method string) error {
	switch {
	case challenge == "":
		return &Error{InvalidRequest, "PKCE is required: 'code_challenge' is missing."}
	case method == "":
		return &Error{InvalidRequest, "PKCE is required: 'code_challenge_method' is missing. It must be S256."}
	case method != S256:
		return &Error{InvalidRequest, "The 'code_challenge_method' must be S256."}
	case len(challenge) != base64.RawURLEncoding.EncodedLen(sha256.Size) || strings.Trim(challenge, base64url) != "":
		return &Error{InvalidRequest, "The 'code_challenge' must be 43 characters of base64url: the SHA-256 of the verifier."}
	}
	return nil
}

// Proves reports whether a verifier is the one behind an S256 challenge (RFC 7636 4.6). It is judged by
// length and letters first: a short verifier could be guessed, and no honest client makes one.
func Proves(verifier, challenge string) bool {
	if len(verifier) < 43 || len(verifier) > 128 || strings.Trim(verifier, unreserved) != "" {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	want := base64.RawURLEncoding.EncodeToString(sum[:])
	return subtle.ConstantTimeCompare([]byte(want), []byte(challenge)) == 1
}
