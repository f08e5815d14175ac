package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

// The collector runs when what is in use, the ballast included, has grown by so many percent.
const (
	ballastSize    = 64 << 20
	collectPercent = 20
)

// fitRuntime fits the Go runtime to a program whose work is to hash passwords, 19 MiB and some 20 ms of a
// core each, between requests that need next to nothing. The function it returns must be kept until the end.
//
// The collector lets garbage grow by a share of what is in use, which doubles with every hash that happens
// to be under way: eight sign-ins at once held 119 MiB more than an idle server. With a ballast of memory
// that is never touched, and so never resident, it is about the same amount at all times: 99 MiB, without
// collecting after every single hash as a lower percentage alone would.
//
// A hash holds a processor of the runtime until it is done or has been stopped after 10 ms, and there may be
// as many hashes as cores: a request for a page would wait behind them, several times over. With as many
// processors again the operating system decides, and it lets who slept go first.
//
// Who sets GOGC or GOMAXPROCS gets what they set.
func fitRuntime() (keep func()) {
	var ballast []byte
	if os.Getenv("GOGC") == "" {
		ballast = make([]byte, ballastSize)
		debug.SetGCPercent(collectPercent)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	}
	return func() { runtime.KeepAlive(ballast) }
}
