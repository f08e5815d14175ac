package examples_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What docs/integrating.md shows is what the tests run: here, and in the suites of other people's clients below test/.
func TestIntegratingShowsTheExamplesAsTheyAre(t *testing.T) {
	page, err := os.ReadFile("../docs/integrating.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := strings.Count(string(page), "```") / 2
	for file, language := range map[string]string{
		"pages/main.go": "go", "widget.html": "html", "java/src/main/java/Verify.java": "java",
		"spring/src/main/java/example/App.java": "java", "spring/src/main/resources/application.yaml": "yaml", "spring/src/main/resources/api.yaml": "yaml",
		"redirect.html": "html", "../test/openid-client/app.mjs": "js", "../test/go-oidc/app/main.go": "go",
	} {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if block := "```" + language + "\n" + string(code) + "```\n"; !strings.Contains(string(page), block) {
			t.Errorf("docs/integrating.md does not show %s as it is", file)
		}
		shown--
	}
	// What is to be registered is a piece of the example that is applied as it stands.
	org, err := os.ReadFile("../docs/org.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, piece, _ := strings.Cut(string(page), "```yaml\n  - name: ")
	piece, _, _ = strings.Cut(piece, "```")
	if !strings.Contains(string(org), "  - name: "+piece) || !strings.Contains(piece, "authorization_code") {
		t.Errorf("docs/org.yaml has no such application:\n%s", piece)
	}
	shown--
	if unrun := strings.Count(string(page), "Not run by any test"); shown != unrun {
		t.Errorf("%d blocks are shown that no test runs, and %d are said to be such", shown, unrun)
	}
}

// TestJava verifies an access token with Okta's verifier for Java. It insists on https, so the engine is latchkey dev --tls.
func TestJava(t *testing.T) {
	if testing.Short() {
		t.Skip("Maven takes its time")
	}
	mvn, java, keytool := tool(t, "mvn"), tool(t, "java"), tool(t, "keytool")
	env := devTLS(t)
	token := tokenOf(t, env) // of an application in Go; an API in Java judges it
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("java")); err != nil {
		t.Fatal(err)
	}
	trust, classpath := trusting(t, keytool, env["CA_FILE"]), compiled(t, mvn, dir)
	verify := func(token string) string {
		return run(t, dir, []string{"ISSUER=" + env["ISSUER"], "ACCESS_TOKEN=" + token}, java, append(trust, "-cp", classpath, "Verify")...)
	}
	if said := verify(token); !strings.Contains(said, env["USERNAME_1FA"]+" may [openid, email]") {
		t.Errorf("it says %q", said)
	}
	forged := token[:len(token)-8] + "AAAAAAAA"
	if said := verify(forged); !strings.Contains(said, "no: ") {
		t.Errorf("of a forged token it says %q", said)
	}
}

func run(t *testing.T, dir string, env []string, name string, arg ...string) string {
	t.Helper()
	out, err := ran(t, dir, env, name, arg...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(name), err, out)
	}
	return out
}

// ran is run for what may fail.
func ran(t *testing.T, dir string, env []string, name string, arg ...string) (string, error) {
	cmd := exec.CommandContext(t.Context(), name, arg...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// devTLS runs latchkey dev --tls for the test, and returns its env file.
func devTLS(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	binary, file := filepath.Join(dir, "latchkey"), filepath.Join(dir, "env")
	run(t, "..", nil, tool(t, "go"), "build", "-o", binary, "./cmd/latchkey")
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "dev", "--tls", "--addr", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--env-file", file)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); cmd.Wait() })
	if !bufio.NewScanner(stdout).Scan() { // it speaks once it is ready
		t.Fatal("latchkey dev ended before it was ready")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			env[name] = value
		}
	}
	return env
}
