// Package examples_test runs what the README shows. The JavaScript of it runs with the other suites of okta-auth-js, in test/js.
package examples_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"latchkey.dev/latchkeytest"
)

func TestReadmeShowsTheExamplesAsTheyAre(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for language, file := range map[string]string{"sh": "journey.sh", "js": "journey.mjs", "go": "journey/main.go"} {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if block := "```" + language + "\n" + string(code) + "```\n"; !strings.Contains(string(readme), block) {
			t.Errorf("the README does not show %s as it is", file)
		}
	}
}

// tool finds a program, or skips: on a laptop it may be missing, in CI it must not.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip(err)
	}
	return path
}

func TestCurl(t *testing.T) {
	tool(t, "curl")
	tool(t, "openssl")
	script, err := filepath.Abs("journey.sh")
	if err != nil {
		t.Fatal(err)
	}
	srv := latchkeytest.Start(t)
	dir := t.TempDir()
	var env strings.Builder
	for name, value := range srv.Env {
		fmt.Fprintf(&env, "%s=%s\n", name, value)
	}
	if err := os.WriteFile(filepath.Join(dir, "latchkey.env"), []byte(env.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tool(t, "bash"), "-e", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var profile map[string]any
	if err := json.Unmarshal(out, &profile); err != nil || profile["email"] != srv.Env["USERNAME"] {
		t.Fatalf("the script prints %s", out)
	}
}

func TestGo(t *testing.T) {
	const number = "+15550102030"
	srv := latchkeytest.Start(t)
	binary := filepath.Join(t.TempDir(), "journey")
	if out, err := exec.Command(tool(t, "go"), "build", "-o", binary, "./journey").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(binary)
	for _, name := range []string{"ISSUER", "CLIENT_ID", "REDIRECT_URI"} {
		cmd.Env = append(cmd.Env, name+"="+srv.Env[name])
	}
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(in, "%s\n%s\n555-CALL\n%s\n", srv.Env["USERNAME"], srv.Env["PASSWORD"], number)
	code := srv.Code(t, number)
	wrong := "000000"
	if code == wrong {
		wrong = "000001"
	}
	fmt.Fprintf(in, "%s\n%s\n", wrong, code)
	in.Close()
	out, err := io.ReadAll(bufio.NewReader(stdout))
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s%s", err, out, &stderr)
	}
	for _, want := range []string{"Invalid Phone Number.", "Invalid code. Try again.", "Hello, Mary Major " + srv.Env["USERNAME"]} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in what it prints:\n%s", want, out)
		}
	}
}
