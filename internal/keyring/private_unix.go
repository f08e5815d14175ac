//go:build unix

package keyring

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// private refuses a key file that others can read or change, or that is somebody else's. Root may own it: that
// is how secrets are mounted into containers, and there the process reads them as a member of the group.
func private(info fs.FileInfo) error {
	owner := -1
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		owner = int(stat.Uid)
	}
	mode, may := info.Mode().Perm(), fs.FileMode(0o700)
	switch {
	case owner == os.Geteuid():
	case owner == 0:
		may = 0o740
	default:
		return fmt.Errorf("it belongs to user %d, and we are user %d: who owns it can change it (S-70)", owner, os.Geteuid())
	}
	if mode&^may != 0 {
		return fmt.Errorf("others can get at it (%s): run chmod 600, if they have not read it yet (S-70)", mode)
	}
	return nil
}
