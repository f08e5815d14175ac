package docs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey.dev/internal/config"
)

// script takes the commands out of a page, in their order.
func script(page []byte) string {
	var all strings.Builder
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllSubmatch(page, -1) {
		all.Write(block[1])
		all.WriteByte('\n')
	}
	return all.String()
}

// TestOperating follows operating.md from an empty directory to a sign-in on PostgreSQL whose code Kannel
// delivered, and through the days after it.
func TestOperating(t *testing.T) {
	if testing.Short() {
		t.Skip("starts PostgreSQL, Kannel and Latchkey")
	}
	admin := needs(t)
	page, err := os.ReadFile("operating.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := script(page)
	if strings.Count(commands, "\n") < 50 {
		t.Fatalf("the page has lost its commands:\n%s", commands)
	}
	empty, programs := t.TempDir(), t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(programs, "latchkey"), "../cmd/latchkey")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ports := free(t, 6)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	// Whatever it started ends with it, however it ends.
	run := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n"+commands)
	run.Cancel = func() error { return run.Process.Signal(os.Interrupt) }
	run.WaitDelay = 30 * time.Second
	run.Dir = empty
	run.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "LATCHKEY_") || strings.HasPrefix(v, "PG") }),
		"PATH="+programs+":"+os.Getenv("PATH"), "HOME="+empty,
		"PGHOST="+admin.Hostname(), "PGPORT="+admin.Port(), "PGUSER="+admin.User.Username())
	if p, ok := admin.User.Password(); ok {
		run.Env = append(run.Env, "PGPASSWORD="+p)
	}
	for i, name := range []string{"HTTPS_PORT", "ADMIN_PORT", "KANNEL_ADMIN_PORT", "KANNEL_BOX_PORT", "KANNEL_CARRIER_PORT", "KANNEL_SEND_PORT"} {
		run.Env = append(run.Env, fmt.Sprintf("%s=%d", name, ports[i]))
	}
	var said bytes.Buffer
	run.Stdout, run.Stderr = &said, &said
	err = run.Run()
	t.Logf("%s", said.Bytes())
	if err != nil {
		for _, log := range []string{"latchkey.log", "bearerbox.log", "smsbox.log", "phone.log", "enroll.json", "health.log"} {
			text, _ := os.ReadFile(filepath.Join(empty, log))
			t.Logf("%s:\n%s", log, text[max(0, len(text)-3000):])
		}
		t.Fatal(err)
	}
	profile, err := os.ReadFile(filepath.Join(empty, "profile.json"))
	if err != nil || !bytes.Contains(profile, []byte(`"preferred_username":"ada@example.org"`)) {
		t.Errorf("%v: signed in as %s", err, profile)
	}
	wantPrivate(t, empty)
}

// needs finds PostgreSQL and Kannel, and makes room for the page's database.
func needs(t *testing.T) *url.URL {
	t.Helper()
	missing := func(what string) {
		t.Helper()
		if os.Getenv("CI") == "true" {
			t.Fatal(what)
		}
		t.Skip(what)
	}
	at := os.Getenv("LATCHKEY_TEST_POSTGRES")
	if at == "" {
		missing("LATCHKEY_TEST_POSTGRES names no PostgreSQL: tools/with-postgres")
	}
	for _, program := range []string{"/usr/sbin/bearerbox", "/usr/sbin/smsbox", "/usr/lib/kannel/test/fakesmsc", "psql", "curl", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(program + " is missing: tools/need kannel postgres curl openssl")
		}
	}
	admin, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	drop := func() {
		ctx := context.WithoutCancel(t.Context())
		db, err := pgx.Connect(ctx, at)
		if err != nil {
			t.Fatal(err)
		}
		_, gone := db.Exec(ctx, "DROP DATABASE IF EXISTS identity WITH (FORCE)")
		_, nobody := db.Exec(ctx, "DROP ROLE IF EXISTS identity")
		if err := errors.Join(gone, nobody, db.Close(ctx)); err != nil {
			t.Fatal(err)
		}
	}
	drop()
	t.Cleanup(drop)
	return admin
}

// wantPrivate: whoever follows the page leaves no secret for others to read, and none in the logs (S-70, S-72).
func wantPrivate(t *testing.T, dir string) {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(dir, "latchkey.log"))
	if err != nil || len(log) == 0 {
		t.Errorf("no log, %v", err)
	}
	for _, name := range []string{"postgres.password", "postgres.url", "master.key", "master-2.key", "tls.key", "kannel.password", "admin.token", "ada.password"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
			continue
		}
		secret, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(secret)), "\n")
		if last := lines[len(lines)-1]; name != "tls.key" && bytes.Contains(log, []byte(last)) {
			t.Errorf("what %s holds is in the log", name)
		}
	}
	if bytes.Contains(log, []byte("15112345679")) {
		t.Error("the number is in the log")
	}
}

func free(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // only now, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// TestEverySetting holds the table of operating.md to what the file of settings may say.
func TestEverySetting(t *testing.T) {
	const file, begins, ends = "operating.md", "<!-- settings: begins. Written by go test ./docs -run TestEverySetting -update -->\n", "<!-- settings: ends -->\n"
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(old), begins)
	_, tail, also := strings.Cut(rest, ends)
	if !ok || !also {
		t.Fatalf("%s has lost the place of its settings", file)
	}
	var table strings.Builder
	table.WriteString("\n| setting | default | |\n|---|---|---|\n")
	settings(&table, "", reflect.ValueOf(config.Default()))
	want := head + begins + table.String() + "\n" + ends + tail
	switch {
	case want == string(old):
	case *update:
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s has other settings: run make settings", file)
	}
	for _, name := range []string{"`listen`", "`keys.master[].file`", "`messages.gateways[].kannel.url`", "`limits.passwords.per_source`"} {
		if !strings.Contains(table.String(), "| "+name+" |") {
			t.Errorf("the table lacks %s", name)
		}
	}
}

// settings writes a row for each thing that can be said in the file.
func settings(w *strings.Builder, at string, v reflect.Value) {
	for _, f := range reflect.VisibleFields(v.Type()) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		value, path := v.FieldByIndex(f.Index), at+name
		inner := f.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice && structured(inner.Elem()) {
			if inner.Kind() == reflect.Slice {
				path += "[]"
			}
			inner, value = inner.Elem(), reflect.Zero(inner.Elem())
		}
		byDefault := ""
		if !structured(inner) && inner.Kind() != reflect.Map && !value.IsZero() {
			byDefault = "`" + fmt.Sprint(value.Interface()) + "`"
		}
		fmt.Fprintf(w, "| `%s` | %s | %s |\n", path, byDefault, strings.ReplaceAll(f.Tag.Get("doc"), "|", `\|`))
		if structured(inner) {
			settings(w, path+".", value)
		}
	}
}

// structured reports whether something has settings of its own.
func structured(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	for _, f := range reflect.VisibleFields(t) {
		if f.Tag.Get("yaml") != "" {
			return true
		}
	}
	return false
}
