// Package tools_test runs the scripts that stand between a change and its landing.
package tools_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// only is a PATH with nothing on it but some programs of this machine, and scripts in place of others.
func only(t *testing.T, scripts map[string]string, programs ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range programs {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return "PATH=" + dir
}

// script is one to be run. It is read here too, or go test would not know that the result hangs on it.
func script(t *testing.T, file string, arg ...string) *exec.Cmd {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(file); err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), bash, append([]string{file}, arg...)...)
}

// TestNothingSkipsBeforeAChangeLands: tests that miss a tool skip themselves, unless they are told that this is CI.
func TestNothingSkipsBeforeAChangeLands(t *testing.T) {
	cmd := script(t, "../.ci/run")
	cmd.Env = []string{only(t, map[string]string{"make": `echo "make $1 with CI=$CI"`}, "dirname")}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "make test with CI=true\n" {
		t.Errorf("%v: %q", err, out)
	}
}

// TestWhatIsMissingFailsInCI: where a tool cannot be installed, make need warns on a laptop and fails in CI.
func TestWhatIsMissingFailsInCI(t *testing.T) {
	for tool, wants := range map[string]string{"java": "maven", "systemd": "systemd", "chromium": "fonts-liberation"} {
		for ci, fails := range map[string]bool{"true": true, "": false} {
			cmd := script(t, "need", tool)
			cmd.Env = []string{only(t, nil, "go", "dirname", "sed"), "CI=" + ci}
			out, err := cmd.CombinedOutput()
			if (err != nil) != fails || !strings.Contains(string(out), "need: "+tool+" is missing") || !strings.Contains(string(out), wants) {
				t.Errorf("%s with CI=%q: %v: %s", tool, ci, err, out)
			}
		}
	}
}
