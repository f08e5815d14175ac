package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"time"
)

// beside is what goes into an archive with the binary; the last ones where systemd is.
var beside = []string{"LICENSE", "README.md", thirdPartyFile, "deploy/systemd/latchkey.service"}

// An entry is a file in an archive.
type entry struct {
	name    string
	mode    int64
	content []byte
}

// extension is what people unpack there without installing anything.
func extension(p Platform) string {
	if p.OS == "windows" {
		return ".zip"
	}
	return ".tar.gz"
}

// archive packs a binary with what has to come with it, below one folder.
func (r Release) archive(p Platform, binary string, bom []byte) ([]byte, error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	entries := []entry{{p.program(), 0o755, program}, {"latchkey.cdx.json", 0o644, bom}}
	for _, file := range beside {
		if filepath.Ext(file) == ".service" && p.OS != "linux" {
			continue
		}
		content, err := os.ReadFile(filepath.Join(r.Source, filepath.FromSlash(file)))
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{filepath.Base(file), 0o644, content})
	}
	for i := range entries {
		entries[i].name = "latchkey-" + r.Version + "/" + entries[i].name
	}
	if p.OS == "windows" {
		return zipped(entries, r.Time)
	}
	return tarred(entries, r.Time)
}

// tarred is entries as a .tar.gz that tells nothing of who packed it.
func tarred(entries []entry, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	t := tar.NewWriter(z)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.content)), ModTime: at, Format: tar.FormatUSTAR}
		if err := t.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := t.Write(e.content); err != nil {
			return nil, err
		}
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	err = z.Close()
	return b.Bytes(), err
}

// zipped is the same as a .zip.
func zipped(entries []entry, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		w, err := z.CreateHeader(&zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: at})
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return b.Bytes(), err
}
