package config

import (
	"fmt"
	"time"

	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/strict"
)

// Limits are how much anybody may try and ask (S-26, S-50, S-52, S-85).
type Limits struct {
	Passwords   Passwords   `yaml:"passwords" doc:"Wrong passwords."`
	Requests    Requests    `yaml:"requests" doc:"Requests in general. An application that signs people in on its own server asks from one address for all of them: name that among the proxies, or raise per_address."`
	Connections Connections `yaml:"connections" doc:"What may be open at once."`
}

// Passwords is limit.Passwords, in the file.
type Passwords struct {
	PerSource int           `yaml:"per_source" doc:"in a row for one account from one IPv4 address or IPv6 /64, before that rests"`
	Rest      time.Duration `yaml:"rest" doc:"how long, the first time; each further one doubles it"`
	MaxRest   time.Duration `yaml:"max_rest" doc:"and at most"`
	HardStop  int           `yaml:"hard_stop" doc:"in a row for one account from anywhere, before only devices that completed a sign-in may try"`
	PerDevice int           `yaml:"per_device" doc:"in a row on such a device"`
	Source    int           `yaml:"source" doc:"from one source in 10 minutes, over all accounts"`
}

// Requests is limit.Requests, in the file.
type Requests struct {
	PerHandle  int `yaml:"per_handle" doc:"in 5 seconds with one state handle"`
	PerAddress int `yaml:"per_address" doc:"in a minute from one source, on IDX"`
	PerClient  int `yaml:"per_client" doc:"in a minute from one source for one application, on authorize; what an application pushes that has proved itself counts for the address that it speaks for"`
	AtOnce     int `yaml:"at_once" doc:"served at the same time, beyond which 503 is answered at once; 0 is 256 for each core"`
}

// Connections are what may be open at once.
type Connections struct {
	PerSource int `yaml:"per_source" doc:"from one source; the proxies are exempt"`
	All       int `yaml:"all" doc:"in all"`
}

func defaultLimits() Limits {
	p, r := limit.DefaultPasswords(), limit.DefaultRequests()
	return Limits{
		Passwords: Passwords{
			PerSource: p.PerSource, Rest: p.Rest, MaxRest: p.MaxRest, HardStop: p.HardStop, PerDevice: p.PerDevice, Source: p.Source.Max,
		},
		Requests:    Requests{PerHandle: r.PerHandle.Max, PerAddress: r.PerAddress.Max, PerClient: r.PerClient.Max},
		Connections: Connections{PerSource: 200, All: 10_000},
	}
}

func (l Limits) check(p *strict.Problems) {
	for _, n := range []struct {
		name string
		is   int
		max  int
	}{
		{"passwords.per_source", l.Passwords.PerSource, 100}, // NIST SP 800-63B-4 3.2.2
		{"passwords.hard_stop", l.Passwords.HardStop, 100},
		{"passwords.per_device", l.Passwords.PerDevice, 100},
		{"passwords.source", l.Passwords.Source, 1_000_000},
		{"requests.per_handle", l.Requests.PerHandle, 1_000_000},
		{"requests.per_address", l.Requests.PerAddress, 100_000_000},
		{"requests.per_client", l.Requests.PerClient, 100_000_000},
		{"connections.per_source", l.Connections.PerSource, 1_000_000},
		{"connections.all", l.Connections.All, 1_000_000},
	} {
		if n.is < 1 || n.is > n.max {
			p.At("limits."+n.name, "%d is not between 1 and %d", n.is, n.max)
		}
	}
	if l.Passwords.HardStop < l.Passwords.PerSource {
		p.At("limits.passwords", "stopping an account after %d wrong passwords and a source after %d makes no sense", l.Passwords.HardStop, l.Passwords.PerSource)
	}
	if l.Passwords.Rest < time.Second || l.Passwords.MaxRest < l.Passwords.Rest {
		p.At("limits.passwords.rest", "%s, doubling to %s, is no rest", l.Passwords.Rest, l.Passwords.MaxRest)
	}
	if l.Requests.AtOnce < 0 {
		p.At("limits.requests.at_once", "%d is less than none", l.Requests.AtOnce)
	}
}

// Guesses are the numbers of wrong passwords.
func (l Limits) Guesses() limit.Passwords {
	p := l.Passwords
	return limit.Passwords{
		PerSource: p.PerSource, Rest: p.Rest, MaxRest: p.MaxRest, HardStop: p.HardStop, PerDevice: p.PerDevice,
		Source: limit.Window{Max: p.Source, Per: limit.DefaultPasswords().Source.Per},
	}
}

// Rates are the numbers of requests.
func (l Limits) Rates() limit.Requests {
	r := limit.DefaultRequests()
	r.PerHandle.Max, r.PerAddress.Max, r.PerClient.Max = l.Requests.PerHandle, l.Requests.PerAddress, l.Requests.PerClient
	return r
}

// relaxed says what is more than production lets anybody do from one place.
func (l Limits) relaxed() string {
	d := defaultLimits().Requests
	r := l.Requests
	if r.PerAddress <= d.PerAddress && r.PerHandle <= d.PerHandle {
		return ""
	}
	return fmt.Sprintf("one address may ask %d times a minute (production: %d), with one handle %d times in 5 s (%d)", r.PerAddress, d.PerAddress, r.PerHandle, d.PerHandle)
}
