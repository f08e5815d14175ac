// Package secret owns values that must not be printed, and the few keyed functions over them.
//
// A [Text] prints as [redacted] wherever it is formatted, logged or marshalled. A [Digest] is what
// we store of a handle, code or token: the value itself is never kept. [Keys] is the master key
// ring: it seals columns, and derives the keys of everything that is computed and not stored.
// Randomness is asked of the caller's reader, so that a test can replay it.
package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Text is a string that must not leave the process by accident.
type Text string

// Reveal returns the secret itself; every call is a place to review.
func (t Text) Reveal() string { return string(t) }

func (t Text) String() string               { return redacted }
func (t Text) GoString() string             { return redacted }
func (t Text) Format(f fmt.State, _ rune)   { fmt.Fprint(f, redacted) }
func (t Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (t Text) LogValue() slog.Value         { return slog.StringValue(redacted) }

// A Purpose separates kinds of secrets: the digest of one never equals the digest of another.
type Purpose string

// The purposes of the values we hand out.
const (
	InteractionHandle Purpose = "interaction handle"
	StateHandle       Purpose = "state handle"
	InteractionCode   Purpose = "interaction code"
	AuthorizationCode Purpose = "authorization code"
	SessionValue      Purpose = "browser session"
	RequestURI        Purpose = "pushed request"
	DeviceCode        Purpose = "device code"
	RegistrationToken Purpose = "registration token"
	RefreshToken      Purpose = "refresh token"
	ClientSecret      Purpose = "client secret"
)

// A Digest is the SHA-256 of a random value and its purpose: enough to recognise the value, not to make it.
type Digest [sha256.Size]byte

// DigestOf hashes value for one purpose. The value must be random (256 bits), or the digest can be searched.
func DigestOf(p Purpose, value string) Digest {
	h := sha256.New()
	h.Write([]byte(p))
	h.Write([]byte{0})
	h.Write([]byte(value))
	return Digest(h.Sum(nil))
}

// IsZero reports whether d was never set.
func (d Digest) IsZero() bool { return d == Digest{} }

// Equal compares in constant time.
func (d Digest) Equal(other Digest) bool { return subtle.ConstantTimeCompare(d[:], other[:]) == 1 }

// String shows the first bytes only: enough to follow one flow through a log.
func (d Digest) String() string { return hex.EncodeToString(d[:4]) }

// Random returns 256 random bits as base64url (S-16).
func Random() Text { return Text(base64.RawURLEncoding.EncodeToString(Bytes(32))) }

// Bytes returns n random bytes. The operating system's source does not fail (crypto/rand panics if it did).
func Bytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
