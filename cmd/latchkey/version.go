package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// tools/release stamps these at link time; they are empty in every other build.
var release, commit string

type versionCommand struct{}

// Run says it.
func (versionCommand) Run(out io.Writer) error {
	version, revision := versionOf()
	_, err := fmt.Fprintf(out, "latchkey %s%s %s %s/%s\n", version, spaced(revision), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// versionOf is which release this is, or else what the toolchain knows of the build.
func versionOf() (version, revision string) {
	version, revision = release, commit
	if info, ok := debug.ReadBuildInfo(); ok && release == "" {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	return cmp.Or(version, "unknown"), revision
}

// spaced puts a space before what is there.
func spaced(s string) string {
	if s == "" {
		return ""
	}
	return " " + s
}
