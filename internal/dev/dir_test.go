package dev

import (
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"latchkey.dev/internal/secret"
)

func TestS70_TheDataDirectoryIsItsOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	d, err := OpenDir(path, false)
	if err != nil {
		t.Fatal(err)
	}
	if !d.New {
		t.Error("a new directory is not new")
	}
	if _, _, err := d.TLS(); err != nil {
		t.Fatal(err)
	}
	if err := WriteEnv(d.EnvFile(), []Pair{{"A", "b"}, {"C", "d"}}); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %s", name, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if env, _ := os.ReadFile(d.EnvFile()); string(env) != "A=b\nC=d\n" {
		t.Errorf("the env file says %q", env)
	}
	if ignore, _ := os.ReadFile(filepath.Join(path, ".gitignore")); string(ignore) != "*\n" {
		t.Errorf(".gitignore says %q: secrets must not be committed by accident", ignore)
	}
}

func TestWhatWasChosenStays(t *testing.T) {
	path := t.TempDir()
	first, err := OpenDir(path, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(first.Database(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := OpenDir(path, false)
	if err != nil {
		t.Fatal(err)
	}
	if string(first.Org.Marshal()) != string(second.Org.Marshal()) || second.New {
		t.Error("another organisation")
	}
	if a, b := first.Keys.MAC(secret.MACCheck, "x"), second.Keys.MAC(secret.MACCheck, "x"); a != b {
		t.Error("another master key")
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	third, err := OpenDir(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if third.Org.MaryPassword == first.Org.MaryPassword || third.Org.WebSecret == first.Org.WebSecret || !third.New {
		t.Error("--reset keeps secrets")
	}
}

func TestS70_StartIsRefused(t *testing.T) {
	tests := map[string]struct {
		spoil func(t *testing.T, path string)
		says  string
	}{
		"without the master key of the database": {func(t *testing.T, p string) { remove(t, p, keyFile) }, "no master key"},
		"with half a master key":                 {func(t *testing.T, p string) { put(t, p, keyFile, "c2hvcnQ=", 0o600) }, "not a master key"},
		"with a master key that others can read": {func(t *testing.T, p string) { chmod(t, p, keyFile, 0o644) }, "read by others"},
		"with secrets that others can read":      {func(t *testing.T, p string) { chmod(t, p, orgFile, 0o640) }, "read by others"},
		"with an organisation that is damaged":   {func(t *testing.T, p string) { put(t, p, orgFile, "{}", 0o600) }, "--reset"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "data")
			d, err := OpenDir(path, false)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(d.Database(), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			test.spoil(t, path)
			before, _ := os.ReadFile(filepath.Join(path, keyFile))
			if _, err := OpenDir(path, false); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("said %v, want %q", err, test.says)
			}
			if after, _ := os.ReadFile(filepath.Join(path, keyFile)); string(after) != string(before) {
				t.Error("a new master key was made over old data")
			}
		})
	}
}

func TestADirectoryOfOthersIsLeftAlone(t *testing.T) {
	path := t.TempDir()
	put(t, path, "thesis.txt", "years of work", 0o644)
	chmod(t, path, ".", 0o755)
	if _, err := OpenDir(path, false); err == nil || !strings.Contains(err.Error(), "directory of its own") {
		t.Errorf("said %v", err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o755 {
		t.Errorf("its mode was changed to %s", info.Mode().Perm())
	}
	chmod(t, path, ".", 0o700)
	if _, err := OpenDir(path, true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(path, "thesis.txt")); err != nil {
		t.Error("--reset removed what is not ours")
	}
}

func put(t *testing.T, dir, name, data string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(data), mode); err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, dir, name string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func TestS06_NothingIsBuiltIn(t *testing.T) {
	a, b := NewOrg(), NewOrg()
	for _, pair := range [][2]string{
		{string(a.Client), string(b.Client)}, {string(a.Web), string(b.Web)}, {a.WebSecret, b.WebSecret},
		{a.MaryPassword, b.MaryPassword}, {a.PaulPassword, b.PaulPassword}, {a.OliviaPassword, b.OliviaPassword},
		{string(a.MaryID), string(b.MaryID)}, {string(a.CookieKey), string(b.CookieKey)}, {a.ID, b.ID},
	} {
		if pair[0] == pair[1] || pair[0] == "" {
			t.Errorf("two organisations share %q", pair[0])
		}
	}
	if shape := regexp.MustCompile(`^[a-z]+-[a-z]+-[a-z]+-[0-9]{4}$`); !shape.MatchString(a.MaryPassword) || len(a.MaryPassword) < 15 {
		t.Errorf("%q is hard to type, or shorter than S-02 asks for", a.MaryPassword)
	}
	if n := len(strings.Fields(words)); n != 256 {
		t.Errorf("%d words, want 256", n)
	}
}

func TestShortestPassphraseIsLongEnough(t *testing.T) {
	shortest := 99
	for _, w := range strings.Fields(words) {
		shortest = min(shortest, len(w))
	}
	if n := 3*shortest + 3 + 4; n < 15 {
		t.Errorf("a password may have %d letters: S-02 asks for 15 where it stands alone", n)
	}
}

func TestTLS(t *testing.T) {
	d, err := OpenDir(filepath.Join(t.TempDir(), "data"), false)
	if err != nil {
		t.Fatal(err)
	}
	config, caFile, err := d.TLS()
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("the authority's file is no certificate")
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = config
	server.StartTLS()
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool},
		DialContext:     (&net.Dialer{}).DialContext,
	}}
	for _, host := range []string{"127.0.0.1", "localhost"} {
		response, err := client.Get("https://" + net.JoinHostPort(host, port) + "/")
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		response.Body.Close()
	}
	again, sameFile, err := d.TLS()
	if err != nil || sameFile != caFile {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(again.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "localhost"}); err != nil {
		t.Errorf("after another start the old authority does not hold: %v", err)
	}
	// Whoever trusts this authority trusts it for this machine and nothing else.
	ca, err := tls.LoadX509KeyPair(caFile, strings.TrimSuffix(caFile, "pem")+"key")
	if err != nil {
		t.Fatal(err)
	}
	if !ca.Leaf.PermittedDNSDomainsCritical || len(ca.Leaf.PermittedDNSDomains) != 1 || !ca.Leaf.MaxPathLenZero {
		t.Error("the authority could vouch for others")
	}
}

func TestOneProcessHasTheDirectory(t *testing.T) {
	path := t.TempDir()
	first, err := OpenDir(path, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDir(path, true); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("a second one was told %v", err)
	}
	if org, _ := os.ReadFile(filepath.Join(path, orgFile)); string(org) != string(first.Org.Marshal()) {
		t.Error("a second one pulled the data from under the first")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDir(path, false); err != nil {
		t.Error(err)
	}
}
