package limit

import (
	"net/netip"
	"time"
)

// Passwords are the numbers of wrong passwords (S-26).
type Passwords struct {
	PerSource int           // in a row for one account from one source, before that source rests
	Rest      time.Duration // the first rest; each further failure doubles it
	MaxRest   time.Duration
	HardStop  int    // in a row for one account, before only devices that are known may try
	PerDevice int    // in a row on a known device, before it is one no more
	Source    Window // failures of one source over all accounts
}

// DefaultPasswords are the production numbers.
func DefaultPasswords() Passwords {
	return Passwords{
		PerSource: 10, Rest: time.Minute, MaxRest: 15 * time.Minute, HardStop: 100, PerDevice: 10,
		Source: Window{100, 10 * time.Minute},
	}
}

// Pause returns how long a source rests for an account after this many failures in a row.
func (p Passwords) Pause(failures int) time.Duration {
	if failures < p.PerSource {
		return 0
	}
	d := p.Rest
	for n := failures - p.PerSource; n > 0 && d < p.MaxRest; n-- {
		d *= 2
	}
	return min(d, p.MaxRest)
}

// How long failures in a row are remembered when nothing follows. Names that nobody has are counted like all
// others, so that rows have to go some day; a hundred guesses a month are no attack.
const (
	SourceMemory  = 24 * time.Hour
	AccountMemory = 30 * 24 * time.Hour
)

// DeviceMemory is how long a device stays known without another sign-in: as long as browsers keep any cookie.
const DeviceMemory = 400 * 24 * time.Hour

// Source is what counts as one source of requests: an IPv4 address, or the /64 of an IPv6 address, which is
// what one subscriber gets and can pick from as they like (S-26). What is no address is one source.
func Source(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	return SourceOf(a).String()
}

// SourceOf is Source for an address that was parsed. An IPv4 address stands for itself.
func SourceOf(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a
	}
	p, _ := a.Prefix(64)
	return p.Addr()
}
