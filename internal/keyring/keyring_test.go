package keyring_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"latchkey.dev/internal/keyring"
	"latchkey.dev/internal/secret"
)

var ctx = context.Background()

// keyText is the text of a key file, as a management service or a person would write it.
func keyText(b byte) string {
	key := [secret.KeySize]byte{b}
	return base64.StdEncoding.EncodeToString(key[:])
}

func file(t *testing.T, text string, mode os.FileMode) keyring.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "master.key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return keyring.File(path)
}

func TestS67_MasterKeysFromFileEnvironmentAndCommand(t *testing.T) {
	t.Setenv("LATCHKEY_TEST_MASTER", keyText(2))
	keys, err := keyring.Load(ctx,
		keyring.Command{"sh", "-c", "echo '# from the vault'; echo " + keyText(3)},
		keyring.Env("LATCHKEY_TEST_MASTER"),
		file(t, "# mine\n\n"+keyText(1)+"\n", 0o600))
	if err != nil {
		t.Fatal(err)
	}
	want := []secret.KeyID{secret.IDOf([32]byte{3}), secret.IDOf([32]byte{2}), secret.IDOf([32]byte{1})}
	if got := keys.IDs(); len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("the ring is %v, want %v", got, want)
	}
	if _, left := os.LookupEnv("LATCHKEY_TEST_MASTER"); left {
		t.Error("whatever we start inherits the key")
	}
}

func TestS70_MasterKeysThatAreRefused(t *testing.T) {
	const marker = "bWFya2VyLW9mLWEta2V5LW1hcmtlci1vZi1hLWtleQ=="
	t.Setenv("LATCHKEY_TEST_BAD", marker)
	good := file(t, keyText(1), 0o600)
	tests := map[string]struct {
		sources []keyring.Source
		says    string
	}{
		"none":                     {nil, "no master key is configured"},
		"no file":                  {[]keyring.Source{keyring.File("/nonexistent/master.key")}, "no such file"},
		"a directory":              {[]keyring.Source{keyring.File(t.TempDir())}, "not a file"},
		"an empty file":            {[]keyring.Source{file(t, "", 0o600)}, "one line"},
		"two keys in a file":       {[]keyring.Source{file(t, keyText(1)+"\n"+keyText(2), 0o600)}, "one line"},
		"too long a key":           {[]keyring.Source{file(t, marker, 0o600)}, "32 bytes"},
		"no base64":                {[]keyring.Source{file(t, "correct horse battery staple!", 0o600)}, "32 bytes"},
		"nothing but zeros":        {[]keyring.Source{file(t, keyText(0), 0o600)}, "zeros"},
		"an unset variable":        {[]keyring.Source{keyring.Env("LATCHKEY_TEST_UNSET")}, "no such variable"},
		"no key in the variable":   {[]keyring.Source{keyring.Env("LATCHKEY_TEST_BAD")}, "32 bytes"},
		"no such command":          {[]keyring.Source{keyring.Command{"/nonexistent/kms"}}, "no such file"},
		"a command that fails":     {[]keyring.Source{keyring.Command{"sh", "-c", "echo " + keyText(1) + "; echo access denied >&2; exit 3"}}, "access denied"},
		"a command that says more": {[]keyring.Source{keyring.Command{"sh", "-c", "echo " + marker + "; echo " + marker}}, "one line"},
		"one key twice":            {[]keyring.Source{good, file(t, keyText(1), 0o600)}, "one and the same"},
		"one good, one missing":    {[]keyring.Source{good, keyring.File("/nonexistent/old.key")}, "/nonexistent/old.key"},
	}
	if runtime.GOOS != "windows" {
		for name, mode := range map[string]os.FileMode{"read by the group": 0o640, "read by all": 0o604, "written by the group": 0o620} {
			tests[name] = struct {
				sources []keyring.Source
				says    string
			}{[]keyring.Source{file(t, keyText(1), mode)}, "S-70"}
		}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			keys, err := keyring.Load(ctx, test.sources...)
			if err == nil || keys != nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("%v, want one that says %q", err, test.says)
			}
			for _, secret := range []string{marker, keyText(1), "correct horse"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows the key: %v", err)
				}
			}
		})
	}
}

func TestS70_AKeyFileIsWrittenOnceForTheOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	id, err := keyring.Write(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %s, %v", info.Mode(), err)
	}
	keys, err := keyring.Load(ctx, keyring.File(path))
	if err != nil || keys.Sealing() != id {
		t.Fatalf("read back: %v", err)
	}
	before, _ := os.ReadFile(path)
	if !bytes.Contains(before, []byte(id.String())) {
		t.Error("the file does not name its key")
	}
	if _, err := keyring.Write(path); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("a second one: %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the key was written over")
	}
	if other, err := keyring.Write(filepath.Join(t.TempDir(), "k")); err != nil || other == id {
		t.Errorf("two new keys are one: %v", err)
	}
}
