package password

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt"
	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/pbkdf2"
	"github.com/go-crypt/crypt/algorithm/scrypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"golang.org/x/text/unicode/norm"

	"latchkey.dev/internal/secret"
)

// The caps on what a hash from elsewhere may cost: about half a second of one core each, and no more memory
// than our own hashes may ask for. A sign-in that costs more would be a way to stop the server.
const (
	maxForeign    = 512 // bytes of a hash as it is written
	maxBcrypt     = 13  // cost, a power of two
	maxPBKDF2     = 2_000_000
	maxSHACrypt   = 1_000_000
	maxScryptWork = 1 << 21 // N * r * p
	maxArgon2Work = 1 << 20 // KiB * passes
	maxKey        = 86      // bytes, for PBKDF2 repeats its work for each block; SHA-512 crypt counts letters
	bcryptReads   = 72      // bytes of a password
)

// errUnknownHash is for what no system that we know of writes.
var errUnknownHash = errors.New("not a password hash of a kind that can be taken over (bcrypt, scrypt, PBKDF2, SHA-crypt, Argon2)")

// Adopt judges a hash that another system made, and returns it as it is to be kept. It is verified as it is
// at the next sign-in, and replaced by one of ours then.
func Adopt(hash string) (secret.Text, error) {
	if len(hash) > maxForeign {
		return "", fmt.Errorf("a password hash of %d bytes", len(hash))
	}
	kept, err := translate(hash)
	if err != nil {
		return "", err
	}
	if _, err := parse(kept); err == nil {
		return secret.Text(kept), nil
	}
	if _, err := decode(kept); err != nil {
		return "", err
	}
	return secret.Text(kept), nil
}

// translate writes the hashes of Django and of LDAP directories in the one form that others use.
func translate(hash string) (string, error) {
	hash = strings.TrimSpace(hash)
	if inner, ok := strings.CutPrefix(hash, "argon2$argon2"); ok {
		return "$argon2" + inner, nil
	}
	for name, function := range map[string]string{"pbkdf2_sha256$": "pbkdf2-sha256", "pbkdf2_sha1$": "pbkdf2"} {
		rest, ok := strings.CutPrefix(hash, name)
		if !ok {
			continue
		}
		part := strings.Split(rest, "$") // iterations, salt as text, key
		if len(part) != 3 {
			return "", errUnknownHash
		}
		key, err := base64.StdEncoding.DecodeString(part[2])
		if err != nil {
			return "", fmt.Errorf("key: %w", err)
		}
		return fmt.Sprintf("$%s$%s$%s$%s", function, part[0], adapted([]byte(part[1])), adapted(key)), nil
	}
	return crypt.Normalize(hash), nil
}

// adapted is the base64 of crypt hashes.
func adapted(b []byte) string {
	return strings.ReplaceAll(base64.RawStdEncoding.EncodeToString(b), "+", ".")
}

// A kind is one family of hashes: what begins one, how dear it is, how it is read.
type kind struct {
	names  []string
	afford func(part []string) error // the fields behind the name
	decode algorithm.DecodeFunc
}

// kinds are all that is taken. What is not here is not safe enough to verify against, plain text and MD5 among
// them, or wrong by design as bcrypt's 2x, which hashes passwords that differ alike.
var kinds = []kind{
	{[]string{"2a", "2b", "2y"}, affordBcrypt, bcrypt.DecodeVariant(bcrypt.VariantStandard)},
	{[]string{"pbkdf2", "pbkdf2-sha1", "pbkdf2-sha224", "pbkdf2-sha256", "pbkdf2-sha384", "pbkdf2-sha512"}, affordPBKDF2, pbkdf2.Decode},
	{[]string{"5", "6"}, affordSHACrypt, shacrypt.Decode},
	{[]string{"scrypt"}, affordScrypt, scrypt.DecodeVariant(scrypt.VariantScrypt)},
	{[]string{"argon2id", "argon2i", "argon2d"}, affordArgon2, argon2.Decode},
}

// decode reads a hash that is not in our own form, if it costs no more than we pay.
func decode(hash string) (algorithm.Digest, error) {
	part := strings.Split(hash, "$")
	if len(part) < 4 || part[0] != "" {
		return nil, errUnknownHash
	}
	for _, k := range kinds {
		for _, name := range k.names {
			if part[1] != name {
				continue
			}
			if err := k.afford(part[2:]); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			d, err := k.decode(hash)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if n := len(d.Key()); n < 16 || n > maxKey {
				return nil, fmt.Errorf("%s: a key of %d bytes", name, n)
			}
			return d, nil
		}
	}
	return nil, errUnknownHash
}

func affordBcrypt(part []string) error { return within("cost", part[0], 4, maxBcrypt) }

func affordPBKDF2(part []string) error { return within("iterations", part[0], 1, maxPBKDF2) }

// affordSHACrypt: without rounds there are 5000.
func affordSHACrypt(part []string) error {
	if rounds, ok := strings.CutPrefix(part[0], "rounds="); ok {
		return within("rounds", rounds, 1000, maxSHACrypt)
	}
	return nil
}

func affordScrypt(part []string) error {
	p, err := numbers(part[0])
	if err != nil {
		return err
	}
	ln, r, lanes := p["ln"], p["r"], p["p"]
	if ln < 1 || ln > 20 || r < 1 || r > 32 || lanes < 1 || lanes > 16 || (r<<ln)*lanes > maxScryptWork || (r<<ln)*128 > maxMemory*1024 {
		return fmt.Errorf("ln=%d,r=%d,p=%d is out of bounds", ln, r, lanes)
	}
	return nil
}

func affordArgon2(part []string) error {
	for _, field := range part {
		if !strings.HasPrefix(field, "m=") && !strings.Contains(field, ",m=") {
			continue
		}
		p, err := numbers(field)
		if err != nil {
			return err
		}
		m, t, lanes := p["m"], p["t"], p["p"]
		if m < 8 || m > maxMemory || t < 1 || t > maxTime || m*t > maxArgon2Work || lanes < 1 || lanes > 16 {
			return fmt.Errorf("m=%d,t=%d,p=%d is out of bounds", m, t, lanes)
		}
		return nil
	}
	return errors.New("it does not say what it costs")
}

// within reads a number and holds it to its bounds.
func within(name, s string, least, most int) error {
	n, err := strconv.Atoi(s)
	if err != nil {
		return fmt.Errorf("%s %q is no number", name, s)
	}
	if n < least || n > most {
		return fmt.Errorf("%s %d is not between %d and %d", name, n, least, most)
	}
	return nil
}

// numbers reads m=65536,t=3,p=4.
func numbers(field string) (map[string]int, error) {
	all := map[string]int{}
	for pair := range strings.SplitSeq(field, ",") {
		name, value, _ := strings.Cut(pair, "=")
		n, err := strconv.Atoi(value)
		if _, twice := all[name]; err != nil || twice || n > 1<<30 {
			return nil, fmt.Errorf("%q cannot be read", field)
		}
		all[name] = n
	}
	return all, nil
}

// matches verifies against a hash from elsewhere. Those systems hashed what the keyboard sent, so that is tried
// first; a password that can be composed in two ways is tried in the other, too.
func matches(d algorithm.Digest, password secret.Text) (bool, error) {
	typed := []byte(password.Reveal())
	for _, form := range [][]byte{typed, norm.NFC.Bytes(typed)} {
		if _, cut := d.(*bcrypt.Digest); cut && len(form) > bcryptReads {
			form = form[:bcryptReads] // as every bcrypt did. The hash that replaces it reads all.
		}
		ok, err := d.MatchBytesAdvanced(form)
		if ok || err != nil {
			return ok, err
		}
		if norm.NFC.IsNormal(typed) {
			break
		}
	}
	return false, nil
}
