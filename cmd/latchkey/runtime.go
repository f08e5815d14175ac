package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

// What the collector may leave lying about beside what is in use: ballast × percent. See fitRuntime.
const (
	ballastSize    = 64 << 20
	collectPercent = 50
)

// fitRuntime fits the Go runtime to a program whose work is to hash passwords, 19 MiB and some 20 ms of a
// core each, between requests that need next to nothing. The function it returns must be kept until the end.
//
// The collector runs when the heap has grown by a share of what is in use. In use are 5 MiB, so that every
// single hash would set it off. A ballast of memory that is never touched, and so never resident, makes it
// once in two or three. It adds an amount where a higher percentage would multiply, with many connections
// to serve, what is resident; and a memory limit would have the collector run all the time once it is met.
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
