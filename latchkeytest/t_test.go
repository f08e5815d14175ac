package latchkeytest_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"
)

// t is what examples have instead of a test of their own.
var t = &exampleT{}

type exampleT struct{ testing.TB }

func (*exampleT) Helper()                  {}
func (*exampleT) Context() context.Context { return context.Background() }
func (*exampleT) Output() io.Writer        { return os.Stderr }
func (*exampleT) Fatal(args ...any)        { panic(fmt.Sprint(args...)) }
func (*exampleT) Fatalf(f string, args ...any) {
	panic(fmt.Sprintf(f, args...))
}

// Servers of examples end with the process.
func (*exampleT) Cleanup(func()) {}

func (*exampleT) TempDir() string {
	dir, err := os.MkdirTemp("", "latchkeytest")
	if err != nil {
		panic(err)
	}
	dirs = append(dirs, dir)
	return dir
}

var dirs []string

func TestMain(m *testing.M) {
	code := m.Run()
	for _, dir := range dirs {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}
