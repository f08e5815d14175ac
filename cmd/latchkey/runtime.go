package main

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"latchkey.dev/internal/config"
)

// The collector runs when what is in use, the ballast included, has grown by so many percent: by some 30 MiB.
const (
	ballastSize    = 256 << 20
	collectPercent = 11
)

// cores are those that we may use, before [fitRuntime] doubles what the runtime says.
var cores = runtime.GOMAXPROCS(0)

// fitted returns settings with what depends on the machine filled in, and what to doubt about it. More than two hashes for
// a core make everybody wait for all of them (S-01); a container that gets fewer cores than before starts all the same.
func fitted(c config.Config) (config.Config, string) {
	doubt, most := "", 2*cores
	if c.Hashes > most {
		doubt = fmt.Sprintf("hashes: %d is more than two for each core that we may use here: there are %d at once", c.Hashes, most)
	}
	c.Hashes = min(cmp.Or(c.Hashes, cores), most)
	c.Limits.Requests.AtOnce = cmp.Or(c.Limits.Requests.AtOnce, 256*cores)
	return c, doubt
}

// fitRuntime fits the Go runtime to a program whose work is to hash passwords, 19 MiB and some 20 ms of a
// core each, between requests that need next to nothing. The function it returns must be kept until the end.
//
// The collector lets garbage grow by a share of what is in use. In use are 5 MiB, and 19 more for every hash
// that happens to be under way, so that it runs too often for one sign-in after the other, which then cost a
// sixth more, and too late for many at once. A ballast of memory that is never touched, and so never
// resident, makes the amount about the same at all times. More of it would be quicker still, but then eight
// sign-ins at once hold more than 64 MiB beside what they need.
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
