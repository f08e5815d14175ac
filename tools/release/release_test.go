package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var whole = flag.Bool("whole", false, "build for every platform, twice, the second time from nothing")

func fixture(t *testing.T, source string) Release {
	t.Helper()
	return Release{Source: source, Version: "v1.2.3-test", Commit: strings.Repeat("c0ffee00", 5), Time: time.Unix(1750000000, 0).UTC()}
}

// TestS88_TwoBuildsAreOne builds the same source in two directories whose names have different lengths. With -whole
// the second one also has an empty cache, so that every compiler runs again: make release-check.
func TestS88_TwoBuildsAreOne(t *testing.T) {
	if testing.Short() {
		t.Skip("links twice")
	}
	platforms := []Platform{here()}
	if *whole {
		platforms = Platforms
	}
	again := clone(t, filepath.Join(t.TempDir(), "elsewhere", "and", "deeper"))
	for _, p := range platforms {
		one, two := filepath.Join(t.TempDir(), p.program()), filepath.Join(t.TempDir(), p.program())
		if err := fixture(t, "../..").Binary(p, one); err != nil {
			t.Fatal(err)
		}
		if *whole {
			cache := t.TempDir()
			t.Setenv("GOCACHE", cache)
		}
		if err := fixture(t, again).Binary(p, two); err != nil {
			t.Fatal(err)
		}
		a, b := read(t, one), read(t, two)
		if !bytes.Equal(a, b) {
			t.Errorf("%s: %x and %x", p, sha256.Sum256(a), sha256.Sum256(b))
		}
		root, err := filepath.Abs("../..")
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(a, []byte(root)) {
			t.Errorf("%s names the directory it was built in", p)
		}
		if p != here() {
			continue
		}
		said, err := command(".", nil, one, "version")
		if want := "latchkey v1.2.3-test " + strings.Repeat("c0ffee00", 5) + " "; err != nil || !strings.HasPrefix(said, want) {
			t.Errorf("%q, %v; want %q", said, err, want)
		}
		billOf(t, one)
	}
}

// clone copies what the binary is built of.
func clone(t *testing.T, to string) string {
	t.Helper()
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		if err := os.WriteFile(filepath.Join(to, name), read(t, filepath.Join("../..", name)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, room := range []string{"cmd", "internal", "idx", "signin", "demo"} {
		if err := os.CopyFS(filepath.Join(to, room), os.DirFS(filepath.Join("../..", room))); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// billOf holds the bill of materials of a binary to what the linker wrote into it. Its form is checked against
// CycloneDX's own schema by test/sbom.
func billOf(t *testing.T, binary string) {
	t.Run("S-88 the bill names what is linked", func(t *testing.T) {
		bill, err := fixture(t, "../..").BOM(binary)
		if err != nil {
			t.Fatal(err)
		}
		again, err := fixture(t, "../..").BOM(binary)
		if err != nil || !bytes.Equal(bill, again) {
			t.Errorf("a second bill differs, %v", err)
		}
		info, err := buildinfo.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		if len(info.Deps) < 10 {
			t.Fatalf("only %d modules are linked", len(info.Deps))
		}
		for _, m := range info.Deps {
			if !bytes.Contains(bill, fmt.Appendf(nil, `"purl": "pkg:golang/%s@%s"`, m.Path, m.Version)) || !bytes.Contains(bill, []byte(m.Sum)) {
				t.Errorf("%s %s is linked, and the bill does not say so", m.Path, m.Version)
			}
		}
		if !bytes.Contains(bill, fmt.Appendf(nil, `"content": "%x"`, sha256.Sum256(read(t, binary)))) {
			t.Error("the bill is of another binary")
		}
		if out := os.Getenv("LATCHKEY_TEST_BILL"); out != "" {
			if err := os.WriteFile(out, bill, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestS87_LicencesAreListed(t *testing.T) {
	want, err := ThirdParty("../..")
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, "../../"+thirdPartyFile); !bytes.Equal(got, want) {
		t.Errorf("%s is not what the dependencies say: run make third-party", thirdPartyFile)
	}
}

// TestS87_NoCGO: the default build is without it on every platform.
func TestS87_NoCGO(t *testing.T) {
	for _, p := range Platforms {
		out, err := command("../..", p.env(), "go", "list", "-deps", "-f", "{{if .CgoFiles}}{{.ImportPath}}{{end}}", "./cmd/latchkey")
		if err != nil {
			t.Fatal(err)
		}
		if with := strings.Fields(out); len(with) > 0 {
			t.Errorf("%s: cgo in %v", p, with)
		}
	}
}

func TestLicencesAreRecognised(t *testing.T) {
	const bsd = "Redistribution and use in source and binary forms, with or without\n modification, are permitted"
	tests := map[string][]string{
		bsd: {"BSD-2-Clause"},
		bsd + " ... Neither the name of Google Inc.":    {"BSD-3-Clause"},
		"Apache License\n      Version 2.0, January":    {"Apache-2.0"},
		"All rights reserved. You may look at it.":      nil,
		"GNU GENERAL PUBLIC LICENSE Version 3, 29 June": nil,
		"Permission is hereby granted, free of charge, to\nany person ... The above copyright notice and this permission notice shall": {"MIT"},
	}
	for text, want := range tests {
		if got := spdx(text); !slices.Equal(got, want) {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
	dir := t.TempDir()
	if _, err := (Module{Path: "example.com/x", Dirs: []string{dir}}).licenses(); err == nil {
		t.Error("a module without a licence passed")
	}
}

// TestArchives unpacks both kinds.
func TestArchives(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "latchkey")
	if err := os.WriteFile(binary, []byte("a program"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := fixture(t, "../..")
	for p, want := range map[Platform][]string{
		{"linux", "arm64"}:   {"latchkey", "latchkey.cdx.json", "LICENSE", "README.md", thirdPartyFile, "latchkey.service"},
		{"darwin", "arm64"}:  {"latchkey", "latchkey.cdx.json", "LICENSE", "README.md", thirdPartyFile},
		{"windows", "amd64"}: {"latchkey.exe", "latchkey.cdx.json", "LICENSE", "README.md", thirdPartyFile},
	} {
		packed, err := r.archive(p, binary, []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := r.archive(p, binary, []byte("{}")); err != nil || !bytes.Equal(packed, again) {
			t.Errorf("%s: packed twice is not the same, %v", p, err)
		}
		var got []string
		for name, content := range unpack(t, p, packed) {
			got = append(got, strings.TrimPrefix(name, "latchkey-v1.2.3-test/"))
			if strings.HasPrefix(filepath.Base(name), "latchkey") && filepath.Ext(name) != ".json" && filepath.Ext(name) != ".service" && string(content) != "a program" {
				t.Errorf("%s: %s holds %q", p, name, content)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s has %v, want %v", p, got, want)
		}
	}
}

func unpack(t *testing.T, p Platform, packed []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	if p.OS == "windows" {
		z, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			if files[f.Name], err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
		return files
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Uname != "" || !h.ModTime.Equal(fixture(t, "").Time) {
			t.Errorf("%s tells who packed it, and when: %+v", h.Name, h)
		}
		if executable := h.Mode&0o111 != 0; executable != (filepath.Base(h.Name) == p.program()) {
			t.Errorf("%s has mode %o", h.Name, h.Mode)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
