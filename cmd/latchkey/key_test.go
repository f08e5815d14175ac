package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A place is where an operator works: a configuration, its keys, its database.
type place struct {
	t   *testing.T
	dir string
}

func newPlace(t *testing.T, keys ...string) place {
	t.Helper()
	p := place{t, t.TempDir()}
	p.write(keys...)
	return p
}

// write writes latchkey.yaml with these master keys, newest first.
func (p place) write(keys ...string) {
	p.t.Helper()
	var files []string
	for _, k := range keys {
		files = append(files, fmt.Sprintf("{file: %q}", k))
	}
	text := fmt.Sprintf("listen: 127.0.0.1:0\norigin: http://127.0.0.1:1\ndata: %q\ncountries: [1]\nkeys: {master: [%s]}\n",
		filepath.Join(p.dir, "data"), strings.Join(files, ", "))
	if err := os.WriteFile(filepath.Join(p.dir, "latchkey.yaml"), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p place) run(args ...string) (string, error) {
	cmd := exec.Command(binary, args...)
	cmd.Dir = p.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must runs a command that has to work, and returns what it says.
func (p place) must(args ...string) string {
	p.t.Helper()
	out, err := p.run(args...)
	if err != nil {
		p.t.Fatalf("latchkey %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// refused runs a command that has to fail, and say why.
func (p place) refused(says string, args ...string) {
	p.t.Helper()
	out, err := p.run(args...)
	if err == nil || !strings.Contains(out, says) {
		p.t.Errorf("latchkey %s: %v, want one that says %q:\n%s", strings.Join(args, " "), err, says, out)
	}
}

// keyListed is what key list says.
type keyListed struct {
	Master []struct {
		ID                string
		Seals, Configured bool
		Values            int
	} `json:"master_keys"`
	Signing []struct{ KID, Alg, State string } `json:"signing_keys"`
}

func (p place) list() (l keyListed) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(p.must("key", "list", "--json")), &l); err != nil {
		p.t.Fatal(err)
	}
	return l
}

func TestKeysBackupsAndMigrationsAtThePrompt(t *testing.T) {
	keys := t.TempDir()
	first, second := filepath.Join(keys, "first.key"), filepath.Join(keys, "second.key")
	p := newPlace(t, first)
	p.must("key", "new", first)
	p.refused("exists", "key", "new", first)
	if text := p.must("key", "new"); strings.Count(text, "\n") != 2 || !strings.HasPrefix(text, "# Latchkey master key ") {
		t.Errorf("a key that is printed is %d lines", strings.Count(text, "\n"))
	}

	would := p.must("migrate", "--dry-run")
	if !strings.Contains(would, "would do 00001_begin.sql") {
		t.Errorf("a rehearsal says %s", would)
	}
	if did := p.must("migrate"); did != strings.ReplaceAll(would, "would do", "did") {
		t.Errorf("S-84: it would do\n%s\nand did\n%s", would, did)
	}
	if told := p.must("event", "list", "--type", "schema.migrated", "--json"); strings.Count(told, "schema.migrated") != 1 || !strings.Contains(told, "prompt:") || !strings.Contains(told, "00001_begin.sql") {
		t.Errorf("S-71: of a migration and its rehearsal the audit log says %s", told)
	}
	if again := p.must("migrate"); !strings.Contains(again, "up to date") {
		t.Errorf("a second time it says %s", again)
	}

	p.must("key", "rotate")
	p.must("key", "rotate", "--emergency", "--alg", "ES256")
	l := p.list()
	signs := slices.DeleteFunc(slices.Clone(l.Signing), func(k struct{ KID, Alg, State string }) bool { return k.State == "withdrawn" })
	if len(l.Signing) != 3 || len(signs) != 1 || signs[0].State != "signing" || signs[0].Alg != "ES256" {
		t.Errorf("S-69: signing keys after an emergency: %+v", l.Signing)
	}
	p.refused("--alg", "key", "rotate", "--alg", "HS256")

	p.must("key", "new", second)
	p.write(second, first)
	p.must("key", "rekey")
	p.write(second)
	if l = p.list(); len(l.Master) != 1 || !l.Master[0].Seals || l.Master[0].Values != 3 {
		t.Errorf("S-67: master keys are %+v", l.Master)
	}
	p.write(first)
	p.refused(l.Master[0].ID, "key", "list")
	p.write(second)

	if said := p.must("backup", "--to", "a.backup"); !strings.Contains(said, "sealed values open") {
		t.Errorf("a backup says %s", said)
	}
	info, err := os.Stat(filepath.Join(p.dir, "a.backup"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("S-70: the backup is %v, %v", info, err)
	}
	if left, _ := filepath.Glob(filepath.Join(p.dir, "a.backup.*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	p.refused("exists", "backup", "--to", "a.backup")
	p.must("restore", "--from", "a.backup", "--verify")
	p.refused("not empty", "restore", "--from", "a.backup")

	other := newPlace(t, second)
	file := filepath.Join(p.dir, "a.backup")
	other.must("restore", "--from", file, "--verify")
	if _, err := os.Stat(filepath.Join(other.dir, "data")); err == nil {
		t.Error("S-83: verifying touched something")
	}
	other.must("restore", "--from", file)
	if got := other.list(); len(got.Signing) != 3 || got.Signing[2] != p.list().Signing[2] {
		t.Errorf("S-69: after a restore the signing keys are %+v", got.Signing)
	}
	damage(t, file)
	other.refused("cannot be trusted", "restore", "--from", file, "--verify")
	other.refused("cannot be trusted", "restore", "--from", file, "--replace")
	other.list()
}

// damage flips a bit in the middle of a file.
func damage(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
