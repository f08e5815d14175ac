package testkit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAPatternThatMatchesNothingIsAnError(t *testing.T) {
	if _, err := read(filepath.Join(t.TempDir(), "*.json")); err == nil {
		t.Error("an empty corpus was accepted")
	}
}

func TestEveryMatchingFileIsASeed(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.json", "b.json", "c.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := read(filepath.Join(dir, "*.json"))
	if err != nil || len(files) != 2 || string(files[0]) != "a.json" || string(files[1]) != "b.json" {
		t.Errorf("read %q, %v", files, err)
	}
}

func TestADifferenceNamesItsLine(t *testing.T) {
	tests := map[string]struct{ want, got, say string }{
		"same":              {"a\nb\n", "a\nb\n", ""},
		"changed":           {"a\nb\n", "a\nc\n", `line 2 differs`},
		"shorter":           {"a\nb\n", "a\n", `got ""`},
		"longer":            {"a\n", "a\nb\n", `got "b\n"`},
		"line end is there": {"a", "a\n", `want "a"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			say := compare([]byte(test.want), []byte(test.got))
			if (say == "") != (test.say == "") || !strings.Contains(say, test.say) {
				t.Errorf("said %q, want %q", say, test.say)
			}
		})
	}
}

func TestGoldenReadsWhatUpdateWrote(t *testing.T) {
	name := filepath.Join(t.TempDir(), "testdata", "page.html")
	if err := write(name, []byte("hello\n")); err != nil {
		t.Fatal(err)
	}
	Golden(t, name, []byte("hello\n"))
}
