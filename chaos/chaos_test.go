//go:build linux

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// promised says which requirement each line is about, for whoever looks for its test.
var promised = map[string]string{
	"kill-sqlite":   "S-75 kill -9 on SQLite",
	"kill-postgres": "S-75 kill -9 on PostgreSQL",
	"storm":         "S-79 nodes that die",
	"limits":        "S-11 S-13 S-14 S-23 S-32 S-56 S-60 S-89 limits over three nodes",
	"disabled":      "S-79 what is disabled elsewhere",
	"failover":      "S-80 a primary dies",
	"silence":       "S-80 a primary says nothing any more",
	"disk":          "S-77 an ill disk",
	"leaving":       "S-78 a node leaves",
	"handing-back":  "S-78 messages in hand",
	"capacity":      "S-85 too many at once",
	"gateway":       "S-81 an ill gateway",
	"users":         "S-86 many users",
	"year":          "S-86 a year of traffic",
}

// TestEveryPromise does a little of everything. What is counted has to come out right on any machine; how long
// things took is for `make chaos`, on one that has nothing else to do.
func TestEveryPromise(t *testing.T) {
	program := filepath.Join(t.TempDir(), "latchkey")
	build := exec.Command("go", "build", "-o", program, "latchkey.dev/cmd/latchkey")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building latchkey: %v\n%s", err, out)
	}
	dir := t.TempDir()
	// PostgreSQL runs as somebody else, who has to get at what is theirs.
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range lines {
		name := promised[l.name]
		if name == "" {
			t.Errorf("nobody knows what %s is about", l.name)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of the time is spent waiting
			results, err := l.run(&chaos{plan: quick, program: program, dir: dir, log: t.Output()})
			if errors.Is(err, errNoPostgres) && os.Getenv("CI") != "true" {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				t.Logf("%s: %s (%s)", r.what, number(r.got)+r.unit, r.how)
				if r.counted() && !r.kept() {
					t.Errorf("%s: %s, and it is to be %s", r.what, number(r.got), r.target())
				}
			}
		})
	}
}

func TestVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		r    result
		want string
	}{
		"below what is at most":  {result{got: 4, kind: atMost, want: 5}, "pass"},
		"just what is at most":   {result{got: 5, kind: atMost, want: 5}, "pass"},
		"above what is at most":  {result{got: 5.01, kind: atMost, want: 5}, "miss"},
		"below what is at least": {result{got: 1.9, kind: atLeast, want: 2}, "miss"},
		"just what is at least":  {result{got: 2, kind: atLeast, want: 2}, "pass"},
		"nothing promised":       {result{got: 2, kind: noPromise}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.r.verdict(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestRowsGoBetweenTheirMarks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte("# Page\n\n"+rowsBegin+"| old | 1 | | | x | y |\n"+rowsEnd+"\nAfter.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func() string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	some := []result{{what: "one", got: 1, kind: atMost, want: 2}, {what: "two", got: 3, kind: atMost, want: 2}}
	if err := replaceRows(file, some, false); err != nil {
		t.Fatal(err)
	}
	if text := read(); strings.Contains(text, "| old |") || !strings.Contains(text, "| one | 1 |") || !strings.Contains(text, "**miss**") {
		t.Errorf("the page is %q", text)
	}
	// A part of the lines replaces its own rows and leaves the others.
	if err := replaceRows(file, []result{{what: "two", got: 2, kind: atMost, want: 2}}, true); err != nil {
		t.Fatal(err)
	}
	text := read()
	if !strings.Contains(text, "| one | 1 |") || !strings.Contains(text, "| two | 2 |") || strings.Contains(text, "**miss**") ||
		strings.Count(text, "| what |") != 1 || !strings.HasSuffix(text, "\nAfter.\n") {
		t.Errorf("the page is %q", text)
	}
	if err := os.WriteFile(file, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if replaceRows(file, some, false) == nil {
		t.Error("a page without marks was written to")
	}
}
