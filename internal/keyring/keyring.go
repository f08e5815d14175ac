// Package keyring owns the master keys: where they are read from, and how an old one is taken off.
//
// A master key is 32 random bytes that seal what is secret in the database and are never in it. [Load] asks
// its [Source]s for them, newest first: a [File], an environment variable ([Env]), or a [Command], which is
// the seam to a key management service. [Write] makes a new one. [Rekey] seals the whole database anew with
// the newest key while servers run on it, after which the older ones are not needed any more. What is done
// with the keys is the business of package secret.
package keyring

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"latchkey.dev/internal/secret"
)

// A Source is where one master key comes from. It is asked once, at the start.
type Source interface {
	// Master returns the key. The error says what is wrong without saying anything of the key.
	Master(ctx context.Context) ([secret.KeySize]byte, error)
	// String names the source for people.
	String() string
}

// Load reads a ring of master keys, newest first. It reports every source that fails, and refuses one key
// under two names: whoever thinks to have two would take off the wrong one.
func Load(ctx context.Context, sources ...Source) (*secret.Keys, error) {
	var masters [][secret.KeySize]byte
	var bad []error
	seen := map[[secret.KeySize]byte]Source{}
	for _, s := range sources {
		key, err := s.Master(ctx)
		if err != nil {
			bad = append(bad, fmt.Errorf("keyring: the master key from %s: %w", s, err))
			continue
		}
		if first, ok := seen[key]; ok {
			bad = append(bad, fmt.Errorf("keyring: %s and %s are one and the same master key", first, s))
			continue
		}
		seen[key] = s
		masters = append(masters, key)
	}
	if len(sources) == 0 {
		bad = append(bad, errors.New("keyring: no master key is configured; latchkey key new makes one (S-70)"))
	}
	if err := errors.Join(bad...); err != nil {
		return nil, err
	}
	return secret.NewKeys(masters...)
}

// A File is a path to a key that nobody but the owner may read (S-70).
type File string

func (f File) String() string { return "file " + string(f) }

// Master implements [Source].
func (f File) Master(context.Context) (key [secret.KeySize]byte, err error) {
	info, err := os.Stat(string(f)) // follows links: that is how secrets are mounted into containers
	if err != nil {
		return key, err
	}
	if !info.Mode().IsRegular() {
		return key, errors.New("it is not a file")
	}
	if err := private(info); err != nil {
		return key, err
	}
	text, err := os.ReadFile(string(f))
	if err != nil {
		return key, err
	}
	return parse(string(text))
}

// An Env is the name of an environment variable that holds a key. It is taken out of the environment once it
// was read, so that no program that we start inherits it.
type Env string

func (e Env) String() string { return "variable " + string(e) }

// Master implements [Source].
func (e Env) Master(context.Context) (key [secret.KeySize]byte, err error) {
	text, ok := os.LookupEnv(string(e))
	if !ok {
		return key, errors.New("the environment has no such variable")
	}
	if key, err = parse(text); err != nil {
		return key, err
	}
	return key, os.Unsetenv(string(e))
}

// A Command is a program and its arguments that prints a key: a call to a key management service that
// decrypts one, for instance. No shell comes in between. The contract: it is run once at each start, with
// nothing on its standard input, and has 30 seconds; it prints the key on standard output, as in a key file
// (base64 of 32 bytes, lines that begin with # do not count), and ends with 0. Whatever else it does is an
// error, which shows what it said on standard error and nothing of its output.
type Command []string

const (
	commandTime = 30 * time.Second
	maxOutput   = 4 << 10
	maxWords    = 400
)

func (c Command) String() string { return "command " + filepath.Base(c[0]) }

// Master implements [Source].
func (c Command) Master(ctx context.Context) (key [secret.KeySize]byte, err error) {
	ctx, end := context.WithTimeout(ctx, commandTime)
	defer end()
	cmd := exec.CommandContext(ctx, c[0], c[1:]...)
	cmd.WaitDelay = time.Second // a child of its own that keeps the pipe open does not keep us
	out, words := &capped{max: maxOutput}, &capped{max: maxWords}
	cmd.Stdout, cmd.Stderr = out, words
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("it did not end within %s", commandTime)
		}
		if said := strings.TrimSpace(words.String()); said != "" {
			return key, fmt.Errorf("%w; it said %q", err, said)
		}
		return key, err
	}
	return parse(out.String())
}

// capped keeps the beginning of what is written to it.
type capped struct {
	strings.Builder
	max int
}

func (c *capped) Write(b []byte) (int, error) {
	c.Builder.Write(b[:min(len(b), c.max-c.Len())])
	return len(b), nil
}

// parse reads the text of a key file. Its errors do not quote it.
func parse(text string) (key [secret.KeySize]byte, err error) {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	if len(lines) != 1 {
		return key, fmt.Errorf("want one line with a key, there are %d", len(lines))
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(lines[0])
	if err != nil || len(raw) != secret.KeySize {
		return key, fmt.Errorf("it is not a master key: %d bytes in base64", secret.KeySize)
	}
	if key = [secret.KeySize]byte(raw); key == [secret.KeySize]byte{} {
		return key, errors.New("it is nothing but zeros")
	}
	return key, nil
}

// New returns the text of a key file with a new key in it, and the key's id.
func New() (text []byte, id secret.KeyID) {
	var key [secret.KeySize]byte
	rand.Read(key[:])
	id = secret.IDOf(key)
	return fmt.Appendf(nil, "# Latchkey master key %s. Keep a copy elsewhere: without it the database cannot be read.\n%s\n",
		id, base64.StdEncoding.EncodeToString(key[:])), id
}

// Write makes a key file for the owner alone. It never touches one that is there.
func Write(path string) (secret.KeyID, error) {
	text, id := New()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return id, fmt.Errorf("keyring: %s exists, and a key that was written over is lost for good: name another file", path)
	}
	if err != nil {
		return id, fmt.Errorf("keyring: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return id, fmt.Errorf("keyring: %w", errors.Join(err, os.Remove(path))) // it is ours, and worth nothing
	}
	return id, nil
}
