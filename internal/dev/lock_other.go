//go:build !unix

package dev

import (
	"io"
	"os"
)

// lockPath holds the file open, which is what keeps others from removing it here.
func lockPath(path string) (io.Closer, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}
