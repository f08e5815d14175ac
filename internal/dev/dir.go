package dev

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"latchkey.dev/internal/secret"
)

// The files of a data directory, beside the database's own folder.
const (
	keyFile  = "master.key"
	orgFile  = "org.json"
	lockFile = "lock"
	envFile  = "dev.env"
	dbDir    = "db"
	tlsDir   = "tls"
)

// A Dir is where a dev house lives from one start to the next.
type Dir struct {
	Path string
	Keys *secret.Keys
	Org  Org
	New  bool // nothing was there
	lock io.Closer
}

// Database is the folder that is the database's.
func (d *Dir) Database() string { return filepath.Join(d.Path, dbDir) }

// EnvFile is where the env file is always written.
func (d *Dir) EnvFile() string { return filepath.Join(d.Path, envFile) }

// OpenDir opens a data directory, or makes one; with reset it throws away what a dev house left there. One
// process has it at a time. A master key is made only where there is no database yet: a new key over old
// data would lock its owner out for good (S-70).
func OpenDir(path string, reset bool) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := ownDir(path); err != nil {
		return nil, err
	}
	lock, err := lockPath(filepath.Join(path, lockFile))
	if err != nil {
		return nil, fmt.Errorf("%s is in use by another latchkey: stop it, or give --data another directory (%w)", path, err)
	}
	d := &Dir{Path: path, lock: lock}
	if err := d.open(reset); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return d, nil
}

func (d *Dir) open(reset bool) error {
	if reset {
		if err := wipe(d.Path); err != nil {
			return err
		}
	}
	_, err := os.Stat(d.Database())
	d.New = errors.Is(err, fs.ErrNotExist)
	if err := d.openKey(); err != nil {
		return err
	}
	if err := d.openOrg(); err != nil {
		return err
	}
	// What is in here is nobody's source code.
	return writeOnce(filepath.Join(d.Path, ".gitignore"), func() []byte { return []byte("*\n") })
}

// Close lets others have the directory.
func (d *Dir) Close() error { return d.lock.Close() }

// ownDir makes the directory, or closes it to others. One that holds other people's things is left as it is.
func ownDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	_, known := os.Stat(filepath.Join(path, keyFile))
	if info.Mode().Perm()&0o002 != 0 || len(entries) > 0 && known != nil {
		return fmt.Errorf("S-70: %s is open to others (%s) and not ours alone: give --data a directory of its own", path, info.Mode().Perm())
	}
	return os.Chmod(path, 0o700)
}

// wipe removes what a dev house left in a directory, and nothing that it did not make.
func wipe(path string) error {
	var bad []error
	for _, name := range []string{keyFile, orgFile, envFile} {
		if err := os.Remove(filepath.Join(path, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			bad = append(bad, err)
		}
	}
	for _, name := range []string{dbDir, tlsDir} {
		bad = append(bad, os.RemoveAll(filepath.Join(path, name)))
	}
	return errors.Join(bad...)
}

func (d *Dir) openKey() error {
	path := filepath.Join(d.Path, keyFile)
	if !d.New {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("S-70: there is a database but no master key beside it (%w); bring the key back, or begin anew with --reset", err)
		}
	}
	err := writeOnce(path, func() []byte {
		key := make([]byte, secret.KeySize)
		rand.Read(key)
		return []byte(base64.StdEncoding.EncodeToString(key) + "\n")
	})
	if err != nil {
		return err
	}
	text, err := readPrivate(path)
	if err != nil {
		return err
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != secret.KeySize {
		return fmt.Errorf("%s is not a master key: %d bytes in base64", path, secret.KeySize)
	}
	d.Keys, err = secret.NewKeys([secret.KeySize]byte(key))
	return err
}

func (d *Dir) openOrg() error {
	path := filepath.Join(d.Path, orgFile)
	if err := writeOnce(path, func() []byte { return NewOrg().Marshal() }); err != nil {
		return err
	}
	data, err := readPrivate(path)
	if err != nil {
		return err
	}
	if d.Org, err = ParseOrg(data); err != nil {
		return fmt.Errorf("%s: %w; begin anew with --reset", path, err)
	}
	return nil
}

// WriteEnv writes env lines for the owner alone, whole or not at all: whoever waits for the file reads it
// as soon as it is there.
func WriteEnv(path string, env []Pair) error {
	var lines bytes.Buffer
	for _, p := range env {
		fmt.Fprintf(&lines, "%s=%s\n", p.Name, p.Value)
	}
	return replace(path, lines.Bytes())
}

// writeOnce makes a file if there is none.
func writeOnce(path string, make func() []byte) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return replace(path, make())
}

// replace writes a file and moves it into place when it is on the disk.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// readPrivate reads a file that must be nobody else's to read (S-70).
func readPrivate(path string) ([]byte, error) {
	if err := private(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

func private(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if open := info.Mode().Perm() & 0o077; open != 0 {
		return fmt.Errorf("S-70: %s can be read by others (%s): run chmod go= %s, if they have not read it yet", path, info.Mode().Perm(), path)
	}
	return nil
}
