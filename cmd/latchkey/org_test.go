package main_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"latchkey.dev/internal/store/storetest"
)

// A desk is a directory with a latchkey.yaml, where commands are typed.
type desk struct {
	t   *testing.T
	dir string
}

// newDesk makes a key and a configuration over an empty database.
func newDesk(t *testing.T, database string) *desk {
	t.Helper()
	d := &desk{t, t.TempDir()}
	d.must("key", "new", filepath.Join(d.dir, "master.key"))
	d.write("latchkey.yaml", fmt.Sprintf("listen: 127.0.0.1:0\norigin: https://id.example\ndata: %s\n%skeys: {master: [{file: %s}]}\ncountries: []\n",
		filepath.Join(d.dir, "data"), database, filepath.Join(d.dir, "master.key")))
	return d
}

// onBothDatabases types on an empty database of each kind.
func onBothDatabases(t *testing.T, f func(*testing.T, *desk)) {
	t.Run("sqlite", func(t *testing.T) { f(t, newDesk(t, "")) })
	t.Run("postgres", func(t *testing.T) {
		url := filepath.Join(t.TempDir(), "url")
		if err := os.WriteFile(url, []byte(storetest.Schema(t)), 0o600); err != nil {
			t.Fatal(err)
		}
		f(t, newDesk(t, "database: {postgres: {url: {file: "+url+"}}}\n"))
	})
}

func (d *desk) write(name, text string) string {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

func (d *desk) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Dir = d.dir
	return cmd
}

// run types a command and returns what it printed, what it complained of, and its status.
func (d *desk) run(in string, args ...string) (out, complaint string, status int) {
	d.t.Helper()
	cmd := d.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		d.t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

func (d *desk) must(args ...string) string {
	d.t.Helper()
	out, complaint, status := d.run("", args...)
	if status != 0 {
		d.t.Fatalf("latchkey %s: status %d: %s", strings.Join(args, " "), status, complaint)
	}
	return out
}

// object types a command with --json and reads the answer.
func (d *desk) object(args ...string) map[string]any {
	d.t.Helper()
	var v map[string]any
	if out := d.must(append(args, "--json")...); json.Unmarshal([]byte(out), &v) != nil {
		d.t.Fatalf("latchkey %s --json: %s", strings.Join(args, " "), out)
	}
	return v
}

func (d *desk) refuses(want string, args ...string) {
	d.t.Helper()
	_, complaint, status := d.run("", args...)
	if status != 1 || !strings.Contains(complaint, want) {
		d.t.Errorf("latchkey %s: status %d, %q; want 1 and %q", strings.Join(args, " "), status, complaint, want)
	}
}

// Somebody speaks https in front of a server that listens on this machine alone: who that is has to be said, or all people
// share one address.
func TestS46_AProxyThatIsNotNamedIsSaid(t *testing.T) {
	d := newDesk(t, "")
	if out := d.must("config", "check"); !strings.Contains(out, "proxies: whoever speaks https for https://id.example") || !strings.Contains(out, "is good.") {
		t.Errorf("a check says %q", out)
	}
	before, err := os.ReadFile(filepath.Join(d.dir, "latchkey.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	d.write("latchkey.yaml", string(before)+"proxies: [127.0.0.1/32]\n")
	if out := d.must("config", "check"); strings.Contains(out, "proxies") || !strings.Contains(out, "is good.") {
		t.Errorf("with the proxy named a check says %q", out)
	}
}

func TestTheExampleOrganisation(t *testing.T) {
	example, err := filepath.Abs("../../docs/org.yaml")
	if err != nil {
		t.Fatal(err)
	}
	onBothDatabases(t, func(t *testing.T, d *desk) {
		if out := d.must("apply", "-f", example, "--dry-run"); !strings.Contains(out, "+ app Portal") || !strings.Contains(out, "dry run") {
			t.Errorf("dry run:\n%s", out)
		}
		if out := d.must("export", "org"); strings.TrimSpace(out) != "{}" {
			t.Errorf("a dry run left\n%s", out)
		}
		made := d.object("apply", "-f", example)
		secrets, _ := made["secrets"].([]any)
		if len(secrets) != 1 || made["applied"] != true {
			t.Fatalf("applied: %v", made)
		}
		if out := d.must("apply", "-f", example); out != "Nothing to change.\n" {
			t.Errorf("applied twice:\n%s", out)
		}
		// The recipe for digests that the example gives is the one that the server uses.
		value, _ := secrets[0].(map[string]any)["client_secret"].(string)
		sum := sha256.Sum256([]byte("client secret\x00" + value))
		text := d.must("export", "org")
		if !strings.Contains(text, hex.EncodeToString(sum[:])) || strings.Contains(text, value) {
			t.Errorf("the export has not the digest, or has the secret:\n%s", text)
		}
		if out := d.must("apply", "--prune", "-f", d.write("export.yaml", text)); out != "Nothing to change.\n" {
			t.Errorf("the export, applied:\n%s", out)
		}
		broken := d.write("broken.yaml", text+"colour: red\n")
		d.refuses("there is no such key", "apply", "-f", broken)
		if now := d.must("export", "org"); now != text {
			t.Errorf("a broken file changed something:\n%s", now)
		}
	})
}

func TestPeopleAtThePrompt(t *testing.T) {
	onBothDatabases(t, func(t *testing.T, d *desk) {
		if all := d.object("user", "list"); len(all["users"].([]any)) != 0 {
			t.Errorf("S-06: somebody is there from the start: %v", all)
		}
		d.must("group", "add", "staff")
		pass := d.write("password", "purple tractor 91\n")
		ada := d.object("user", "add", "Ada@Example.com", "--given-name", "Ada", "--group", "staff", "--password-file", pass)
		if id, _ := ada["id"].(string); !strings.HasPrefix(id, "00u") || ada["status"] != "active" {
			t.Errorf("added %v", ada)
		}
		d.refuses("already", "user", "add", "ada@example.com")
		d.refuses("cannot be anybody's", "user", "add", "m\u0430ry") // S-28: a Cyrillic letter
		_, complaint, status := d.run("password\n", "user", "set-password", "ada@example.com")
		if status != 1 || !strings.Contains(complaint, "common") {
			t.Errorf("S-03: a common password: %d, %s", status, complaint)
		}
		if _, complaint, status := d.run("green tractor 19\n", "user", "set-password", "ada@example.com"); status != 0 {
			t.Errorf("a password from standard input: %s", complaint)
		}
		if _, _, status := d.run("", "user", "set-password", "ada@example.com", "green tractor 19"); status == 0 {
			t.Error("a password as an argument was taken")
		}
		for _, step := range [][]string{{"disable", "suspended"}, {"enable", "active"}, {"unlock", "active"}} {
			if got := d.object("user", step[0], "ada@example.com"); got["status"] != step[1] {
				t.Errorf("%s: %v", step[0], got)
			}
		}
		d.refuses("no phone", "user", "reset-phone", "ada@example.com")
		for _, flag := range []string{"--phone", "--phone-number"} { // S-38
			if _, _, status := d.run("", "user", "set", "ada@example.com", flag, "+12025550143"); status == 0 {
				t.Errorf("S-38: %s was taken", flag)
			}
		}
		d.must("group", "remove-member", "staff", "ada@example.com")
		d.refuses("no group", "group", "add-member", "nobodies", "ada@example.com")
		app := d.object("app", "add", "Portal", "--type", "confidential", "--redirect-uri", "https://portal.example/cb?a=1,2", "--require", "password")
		if secret, _ := app["client_secret"].(string); len(secret) != 43 {
			t.Errorf("S-58: the secret of %v", app)
		}
		if again := d.object("app", "show", "portal"); again["client_secret"] != nil || again["redirect_uris"].([]any)[0] != "https://portal.example/cb?a=1,2" {
			t.Errorf("shown again: %v", again)
		}
		if next := d.object("app", "rotate-secret", "portal"); next["secrets"] != 2.0 {
			t.Errorf("rotated: %v", next)
		}
		if set := d.object("app", "set", "portal", "--require", "password,phone", "--disabled"); set["disabled"] != true {
			t.Errorf("set: %v", set)
		}
		d.must("app", "delete", "portal")
		d.must("user", "delete", "ada@example.com")
		d.refuses("no user", "user", "show", "ada@example.com")
	})
}

// TestImportSurvivesKill9: whenever it is killed, the import that resumes takes each row once.
func TestImportSurvivesKill9(t *testing.T) {
	const rows = 20_000
	var text strings.Builder
	for i := range rows {
		login := fmt.Sprintf("user%06d@example.com", i)
		if i%1000 == 500 {
			login = "two words"
		}
		fmt.Fprintf(&text, `{"login":%q,"password_hash":"$2b$10$abcdefghijklmnopqrstuuydpZfl1gmRl6J.6.mOUEUEhi5jCvrby"}`+"\n", login)
	}
	d := newDesk(t, "")
	file := d.write("people.jsonl", text.String())
	d.must("group", "list") // makes the database
	killed := 0
	for round := range 4 {
		cmd := d.command("import", "users", file, "--resume")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(150+100*round)*time.Millisecond, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
		_ = cmd.Wait()
		timer.Stop()
		if !cmd.ProcessState.Exited() {
			killed++
		}
	}
	out, complaint, status := d.run("", "import", "users", file, "--resume", "--json")
	t.Logf("killed %d times", killed)
	if status != 1 || !strings.Contains(out, `"added": 19980`) || !strings.Contains(complaint, "20 rows were rejected") {
		t.Errorf("in the end: status %d: %s%s", status, out, complaint)
	}
	var n int
	for after := ""; ; {
		page := d.object("user", "list", "--limit", "1000", "--after", after)
		n += len(page["users"].([]any))
		if after, _ = page["next"].(string); after == "" {
			break
		}
	}
	if n != rows*999/1000 {
		t.Errorf("there are %d users, want %d", n, rows*999/1000)
	}
	rejects, err := os.ReadFile(file + ".rejects")
	if err != nil || bytes.Count(rejects, []byte("\n")) != rows/1000 {
		t.Errorf("%d rows in the ledger, want %d; %v", bytes.Count(rejects, []byte("\n")), rows/1000, err)
	}
	if info, err := os.Stat(file + ".rejects"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the ledger is for others to read: %v, %v", info.Mode(), err)
	}
}

func TestARegistrationTokenIsMadeAtThePrompt(t *testing.T) {
	onBothDatabases(t, func(t *testing.T, d *desk) {
		var made struct {
			Token   string    `json:"registration_token"`
			Expires time.Time `json:"expires"`
			Uses    int       `json:"uses"`
		}
		if err := json.Unmarshal([]byte(d.must("app", "registration-token", "--for", "2h", "--uses", "3", "--json")), &made); err != nil {
			t.Fatal(err)
		}
		if left := time.Until(made.Expires); len(made.Token) != 43 || made.Uses != 3 || left < time.Hour || left > 2*time.Hour {
			t.Errorf("%d letters, %d uses, %s left", len(made.Token), made.Uses, left)
		}
		if out := d.must("app", "registration-token"); !strings.Contains(out, "shown once") {
			t.Errorf("%s", out)
		}
		if _, complaint, status := d.run("", "app", "registration-token", "--uses", "0"); status == 0 || !strings.Contains(complaint, "uses") {
			t.Errorf("status %d: %s", status, complaint)
		}
	})
}
