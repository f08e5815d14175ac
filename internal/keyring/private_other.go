//go:build !unix

package keyring

import "io/fs"

// private has nothing to go by where files have no modes.
func private(fs.FileInfo) error { return nil }
