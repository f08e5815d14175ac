// Package config owns the one struct that says how a process runs.
//
// [Default] is production by the book; [Dev] is the same with what S-00 lets a development server relax.
// [Config.Check] reports every problem at once, [Config.Relaxed] says in words what is not as in
// production. Only the door knows a Config; rooms get plain fields.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"time"

	"latchkey.dev/internal/limit"
)

// A Config is how a process runs.
type Config struct {
	Listen    string         // host:port
	Origin    string         // https://id.example; every address we name begins with it (S-46)
	Data      string         // directory of database and keys
	Proxies   []netip.Prefix // whose X-Forwarded-For is believed
	Countries []int          // calling codes that may be texted; nil is all, which only dev may (S-31)

	RevealUnknown bool // S-24: tell that a name is unknown
	AnyLoopback   bool // seeded clients take any redirect and origin of this machine
	Dev           bool // seeded, captured texts, control API; loopback only

	Hashes int // password hashes at once; zero is one per core (S-01)
	Flow   limit.Flow
	Codes  limit.Codes
	Sends  limit.Sends
	Linger time.Duration // between "not ready" and taking no more requests (S-78)
}

// Default is what production starts from. What only an operator can know is missing, and Check says so.
func Default() Config {
	return Config{
		Listen: "127.0.0.1:4480",
		Flow:   limit.DefaultFlow(),
		Codes:  limit.DefaultCodes(),
		Sends:  limit.DefaultSends(),
		Linger: 2 * time.Second,
	}
}

// Dev is Default for one developer on one machine. With production it keeps the production numbers, so
// that the same tests can attack the real settings; what makes it dev stays.
func Dev(production bool) Config {
	c := Default()
	c.Dev, c.Linger = true, 0 // nobody balances load onto a laptop
	if !production {
		c.RevealUnknown, c.AnyLoopback = true, true
		c.Codes.Resend = 0
		c.Sends = limit.Sends{}
	}
	return c
}

// Check reports every problem at once: nobody wants to fix a file line by line.
func (c Config) Check() error {
	var bad []error
	complain := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	host, port, err := net.SplitHostPort(c.Listen)
	switch {
	case err != nil || port == "":
		complain("listen: %q is not host:port", c.Listen)
	case c.Dev && !loopback(host):
		complain("listen: latchkey dev hands out codes and passwords to whoever asks, so it listens on this machine alone: "+
			"%q is not 127.0.0.1, [::1] or localhost", c.Listen)
	}
	if c.Data == "" {
		complain("data: say where database and keys live")
	}
	if u, err := url.Parse(c.Origin); c.Origin != "" || !c.Dev {
		switch {
		case err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
			complain("origin: %q is not like https://id.example", c.Origin)
		case u.Path+u.RawQuery+u.Fragment != "" || u.User != nil:
			complain("origin: %q is more than scheme and host: clients look for us at the root", c.Origin)
		}
	}
	if !c.Dev {
		if c.AnyLoopback {
			complain("any_loopback: only latchkey dev has clients that take every loopback redirect (S-54)")
		}
		if c.Countries == nil {
			complain("countries: say which may be texted; none is an empty list (S-31)")
		}
	}
	for _, span := range []struct {
		name    string
		is, max time.Duration
	}{
		{"flow.idle", c.Flow.Idle, c.Flow.Absolute},
		{"flow.absolute", c.Flow.Absolute, 24 * time.Hour},
		{"flow.code", c.Flow.Code, 10 * time.Minute},
		{"codes.lifetime", c.Codes.Lifetime, 10 * time.Minute},
	} {
		if span.is <= 0 || span.is > span.max {
			complain("%s: %s is not between 0 and %s", span.name, span.is, span.max)
		}
	}
	if c.Codes.Tries < 1 || c.Codes.Tries > 10 {
		complain("codes.tries: %d is not between 1 and 10", c.Codes.Tries)
	}
	if c.Codes.PerFactor < 1 || c.Codes.HardStop < c.Codes.PerFactor {
		complain("codes: suspending after %d wrong codes and for good after %d makes no sense", c.Codes.PerFactor, c.Codes.HardStop)
	}
	return errors.Join(bad...)
}

// Relaxed says in words what differs from production (S-00).
func (c Config) Relaxed() []string {
	var said []string
	say := func(relaxed bool, words string) {
		if relaxed {
			said = append(said, words)
		}
	}
	d := Default()
	say(c.Codes.Resend < d.Codes.Resend, "codes can be sent again at once (production: after "+d.Codes.Resend.String()+")")
	say(!reflect.DeepEqual(c.Sends, d.Sends), "text messages are not limited by number and account")
	say(c.RevealUnknown, "sign-in tells when a name is unknown (production: hidden)")
	say(c.AnyLoopback, "seeded clients take every redirect and origin of this machine")
	say(c.Countries == nil, "every country may be texted")
	return said
}

// loopback reports whether a host is this machine and can be nothing else.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
