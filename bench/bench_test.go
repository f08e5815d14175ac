//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == floorArg {
		floor()
		return
	}
	os.Exit(m.Run())
}

// TestEveryLineRuns does next to nothing of everything, so that the benchmark does not rot. How long
// anything took is not its business.
func TestEveryLineRuns(t *testing.T) {
	program := filepath.Join(t.TempDir(), "latchkey")
	build := exec.Command("go", "build", "-o", program, "latchkey.dev/cmd/latchkey")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building latchkey: %v\n%s", err, out)
	}
	all, b, err := measure(quick, program, t.TempDir(), regexp.MustCompile(""), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range all {
		for _, r := range s.results {
			if seen[r.what] {
				t.Errorf("two lines are called %q", r.what)
			}
			seen[r.what] = true
			// Some lines are differences, and with one sample each those may come out on either side of zero.
			if r.unit == " ms" && r.got == 0 {
				t.Errorf("%s takes %v ms: nothing was measured", r.what, r.got)
			}
		}
		if text := s.text(); len(s.results) == 0 || strings.Count(text, "\n| ") != len(s.results)+1 {
			t.Errorf("%s has not a row for each of %d lines:\n%s", s.name, len(s.results), text)
		}
	}
	if len(all) != len(lines) {
		t.Errorf("%d of %d lines were measured", len(all), len(lines))
	}
	if entries, err := os.ReadDir(b.dir); err == nil {
		t.Errorf("%d files were left behind", len(entries))
	}
}

func TestVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		r    result
		want string
	}{
		"below what is at most":  {result{got: 1.2, kind: atMost, want: 1.25}, "pass"},
		"just what is at most":   {result{got: 1.25, kind: atMost, want: 1.25}, "pass"},
		"above what is at most":  {result{got: 1.2501, kind: atMost, want: 1.25}, "miss"},
		"below what is at least": {result{got: 0.79, kind: atLeast, want: 0.8}, "miss"},
		"above what is at least": {result{got: 0.81, kind: atLeast, want: 0.8}, "pass"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.r.verdict(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestRatiosAreOfRounds(t *testing.T) {
	slow, fast := series{10, 200, 30}, series{5, 100, 10} // the second round was disturbed, both halves of it
	if got := slow.over(fast); got != 2 {
		t.Errorf("ratio is %v, want 2", got)
	}
	if got := (series{4, 1, 3, 2}).median(); got != 2.5 {
		t.Errorf("median of four is %v, want 2.5", got)
	}
	waits, err := takeTurns(2, func() (float64, error) { return 1, nil }, func() (float64, error) { return 2, nil })
	if err != nil || len(waits) != 2 || len(waits[0]) != 2 || waits[1][1] != 2 {
		t.Errorf("turns are %v, %v", waits, err)
	}
}

func TestLastRunGoesBetweenItsMarks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	first := section{name: "process", machine: "4 cores", results: []result{{what: "start", got: 1, want: 2}}}
	page := "# Page\n\n" + runBegins + "\n" + first.text() + "\n" + runEnds + "\nAfter.\n"
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		measured []section
		want     string
	}{
		"nothing stays as it is":      {nil, "\n" + first.text()},
		"another goes where it ought": {[]section{{name: "signin"}}, "\n" + section{name: "signin"}.text() + "\n" + first.text()},
		"the same is replaced":        {[]section{{name: "process"}}, "\n" + section{name: "process"}.text()},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := replaceRun(file, c.measured); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(file)
			if want := "# Page\n\n" + runBegins + c.want + "\n" + runEnds + "\nAfter.\n"; err != nil || string(got) != want {
				t.Errorf("page is %q, %v; want %q", got, err, want)
			}
		})
	}
	if err := os.WriteFile(file, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if replaceRun(file, nil) == nil {
		t.Error("a page without marks was written to")
	}
}
