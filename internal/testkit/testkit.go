// Package testkit is what the tests of every room share: seeds for fuzzing and golden files.
//
// It imports the standard library alone and none of our rooms, so that a test of any room can use it
// without closing an import circle. What needs a running server is in latchkeytest.
package testkit

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files with what the tests got")

// Seed adds every file that matches pattern to the corpus of f, as []byte. Matching nothing is a
// failure: a corpus that moved away would otherwise leave a fuzz target that tries next to nothing.
func Seed(f *testing.F, pattern string) {
	f.Helper()
	files, err := read(pattern)
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		f.Add(file)
	}
}

// read returns what is in the files that match pattern, at least one.
func read(pattern string) ([][]byte, error) {
	names, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("testkit: no file matches %s", pattern)
	}
	var files [][]byte
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files = append(files, data)
	}
	return files, nil
}

// Golden compares got with the file called name, byte for byte, and fails t where they part. With the
// flag -update it writes the file instead: read the difference before you commit it.
func Golden(t testing.TB, name string, got []byte) {
	t.Helper()
	if *update {
		if err := write(name, got); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v (run the test with -update to write it)", err)
	}
	if difference := compare(want, got); difference != "" {
		t.Errorf("%s: %s", name, difference)
	}
}

func write(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}

// compare describes the first line in which got is not what was wanted, or returns nothing.
func compare(want, got []byte) string {
	if bytes.Equal(want, got) {
		return ""
	}
	wants, gots := bytes.SplitAfter(want, []byte("\n")), bytes.SplitAfter(got, []byte("\n"))
	for i := range max(len(wants), len(gots)) {
		w, g := line(wants, i), line(gots, i)
		if w != g {
			return fmt.Sprintf("line %d differs\n want %s\n  got %s", i+1, w, g)
		}
	}
	return "differs"
}

// line quotes line i, so that spaces and missing line ends show.
func line(lines [][]byte, i int) string {
	if i >= len(lines) {
		return "nothing"
	}
	return fmt.Sprintf("%q", lines[i])
}
