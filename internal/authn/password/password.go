// Package password is the authenticator that a person remembers.
//
// It hashes with Argon2id, keeps the PHC form, and hashes again when the parameters have grown. A name
// that nobody holds costs the same hash as one that somebody does (S-25). How many hashes run at once is
// the engine's business; which passwords may be set is [Check]. A hash that another system made is taken over
// by [Adopt], if it is one we know and can afford, and lives until its owner signs in.
package password

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"latchkey.dev/internal/authn"
	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/secret"
)

// MaxBytes is how long a password may be on the wire, before any hashing (S-02).
const MaxBytes = 1024

// Params are the costs of a hash.
type Params struct {
	Memory  uint32 // KiB
	Time    uint32
	Threads uint8
}

// DefaultParams are S-01's: 19 MiB, two passes, one lane.
func DefaultParams() Params { return Params{Memory: 19 * 1024, Time: 2, Threads: 1} }

// The caps on what a stored hash may ask for: a row from elsewhere must not stop the server.
const (
	maxMemory = 256 * 1024
	maxTime   = 16
	saltSize  = 16
	keySize   = 32
)

// Password verifies passwords.
type Password struct {
	params Params
	dummy  secret.Text // verified instead of the hash that an unknown name does not have
}

// New makes the authenticator.
func New(p Params) *Password {
	pw := &Password{params: p}
	// No password leads to a key that was chosen by chance, and verifying against it costs what any hash costs.
	pw.dummy = pw.phc(secret.Bytes(saltSize), secret.Bytes(keySize))
	return pw
}

// Kind is ident.Password.
func (*Password) Kind() ident.Kind { return ident.Password }

// Hash makes the PHC string of a new password. It costs what a sign-in costs.
func (p *Password) Hash(password secret.Text) secret.Text {
	salt := secret.Bytes(saltSize)
	return p.phc(salt, derive(password, salt, p.params, keySize))
}

func (p *Password) phc(salt, key []byte) secret.Text {
	return secret.Text(fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.params.Memory, p.params.Time, p.params.Threads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key)))
}

// Enroll judges a new password and returns its hash as the secret to keep. Whether a password may have to stand alone, and so
// has to be longer, is for the caller to know.
func (p *Password) Enroll(in authn.In) (authn.Out, error) {
	if err := Check(in.Data, MinLength, in.User.Login, in.User.GivenName, in.User.FamilyName); err != nil {
		return authn.Out{}, err
	}
	return authn.Out{Secret: p.Hash(in.Data)}, nil
}

// Challenge sends nothing: the person knows.
func (*Password) Challenge(authn.In) (authn.Out, error) { return authn.Out{}, nil }

// Verify judges a password. Without an enrollment it does the same work and says no.
func (p *Password) Verify(in authn.In) (authn.Verdict, error) {
	if len(in.Answer) > MaxBytes {
		return authn.Verdict{}, fault.New(fault.Invalid, msg.Malformed, "password of %d bytes", len(in.Answer))
	}
	stored, known := in.Enrollment.Secret, in.Enrollment.Secret != ""
	if !known {
		stored = p.dummy
	}
	right, current, err := p.compare(stored.Reveal(), in.Answer)
	if err != nil {
		return authn.Verdict{}, fmt.Errorf("password: stored hash of %s: %w", in.Enrollment.ID, err)
	}
	v := authn.Verdict{OK: right && known}
	if v.OK && !current {
		v.Replace = p.Hash(in.Answer)
	}
	return v, nil
}

// compare judges a password by a stored hash, ours or another system's. current is false for a hash that
// today would be made otherwise.
func (p *Password) compare(stored string, answer secret.Text) (right, current bool, err error) {
	h, err := parse(stored)
	if err != nil {
		foreign, unknown := decode(stored)
		if unknown != nil {
			return false, false, unknown
		}
		right, err = matches(foreign, answer)
		return right, false, err
	}
	right = subtle.ConstantTimeCompare(derive(answer, h.salt, h.params, uint32(len(h.key))), h.key) == 1
	return right, h.params == p.params, nil
}

// derive compares what people mean, not how their keyboard composed it: NFC first, then bytes (S-02).
func derive(password secret.Text, salt []byte, p Params, n uint32) []byte {
	return argon2.IDKey(norm.NFC.Bytes([]byte(password.Reveal())), salt, p.Time, p.Memory, p.Threads, n)
}

type hash struct {
	params    Params
	salt, key []byte
}

// parse reads a PHC string: $argon2id$v=19$m=19456,t=2,p=1$salt$key.
func parse(phc string) (hash, error) {
	var h hash
	part := strings.Split(phc, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" || part[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, fmt.Errorf("not an Argon2id hash of version %d", argon2.Version)
	}
	if _, err := fmt.Sscanf(part[3], "m=%d,t=%d,p=%d", &h.params.Memory, &h.params.Time, &h.params.Threads); err != nil {
		return h, fmt.Errorf("parameters: %w", err)
	}
	if h.params.Memory > maxMemory || h.params.Time == 0 || h.params.Time > maxTime || h.params.Threads == 0 {
		return h, fmt.Errorf("parameters m=%d,t=%d,p=%d are out of bounds", h.params.Memory, h.params.Time, h.params.Threads)
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.DecodeString(part[4]); err != nil {
		return h, fmt.Errorf("salt: %w", err)
	}
	if h.key, err = base64.RawStdEncoding.DecodeString(part[5]); err != nil {
		return h, fmt.Errorf("key: %w", err)
	}
	if len(h.salt) < 8 || len(h.key) < 16 || len(h.key) > 64 {
		return h, fmt.Errorf("salt of %d and key of %d bytes are out of bounds", len(h.salt), len(h.key))
	}
	return h, nil
}
