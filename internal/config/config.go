// Package config owns the one struct that says how a process runs, and the file it is read from.
//
// [Default] is production by the book; [Dev] is the same with what S-00 lets a development server relax.
// [Read] takes latchkey.yaml and reports every problem in it at once, each with its line; [Config.Check] is
// the part of that which needs no file, [Config.Doubts] says what may be meant so but seldom is, and
// [Config.Relaxed] in words what is not as in production. Every field carries its name in the file and a sentence
// about it, and [PrintDefault] and [Schema] are made of those. Only the door knows a Config; rooms get plain fields.
package config

import (
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"time"
	"unicode"

	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/strict"
)

// A Config is how a process runs. Each section has a file of its own here.
type Config struct {
	Listen  string         `yaml:"listen" doc:"Where to answer, as host:port; :443 is every address of this machine."`
	Origin  string         `yaml:"origin" doc:"What people see in front of every address, like https://id.example. Issuers and links are made of it and of nothing a request says."`
	Data    string         `yaml:"data" doc:"The directory that is this process's own, mode 0700. The SQLite database lives there."`
	Proxies []netip.Prefix `yaml:"proxies" doc:"Whose X-Forwarded-For is believed: the addresses of the proxies in front of us. None by default."`

	TLS      TLS      `yaml:"tls" doc:"How https is spoken. Without it a proxy in front of us has to."`
	Database Database `yaml:"database" doc:"Where everything is kept."`
	Keys     Keys     `yaml:"keys" doc:"What everything that is secret in the database is sealed with."`

	Messages     Messages     `yaml:"messages" doc:"Who carries text messages and e-mail, by which route, at what price and up to which budget."`
	Countries    Countries    `yaml:"countries" doc:"Where texts may go: calling codes like 49, regions like JM. The code 1 is the United States and Canada; its islands are listed by region. An empty list is nowhere."` // nil is all, which only dev may (S-31)
	UnknownUsers UnknownUsers `yaml:"unknown_users" doc:"hide: a name that nobody has meets the same answers as one that somebody has. reveal: sign-in says so."`

	Flow    Flow        `yaml:"flow" doc:"How long an unfinished sign-in lives."`
	Session Session     `yaml:"session" doc:"How long somebody stays signed in in a browser."`
	Codes   Codes       `yaml:"codes" doc:"One-time codes."`
	Sends   limit.Sends `yaml:"-"`
	Limits  Limits      `yaml:"limits" doc:"How often anybody may try and ask, before they have to wait."`

	Log       Log       `yaml:"log" doc:"What is written to standard error."`
	Admin     Admin     `yaml:"admin" doc:"The listener for operators, apart from the public one."`
	Traces    Traces    `yaml:"traces" doc:"Spans of requests, sent to an OpenTelemetry collector."`
	Retention Retention `yaml:"retention" doc:"How long things are kept that nobody needs to go on."`

	Linger time.Duration `yaml:"linger" doc:"How long to go on answering after saying that we are not ready, so that a load balancer notices."`

	AnyLoopback bool `yaml:"-"` // dev: seeded clients take any redirect and origin of this machine
	Dev         bool `yaml:"-"` // seeded, captured texts, control API; loopback only
	Hashes      int  `yaml:"hashes" doc:"How many passwords are hashed at once, at most twice the cores; 0 is one for each core."`
}

// UnknownUsers says what a name meets that nobody has (S-24).
type UnknownUsers string

// The modes of S-24.
const (
	Hide   UnknownUsers = "hide"
	Reveal UnknownUsers = "reveal"
)

// Session is limit.Session, in the file.
type Session struct {
	Idle     time.Duration `yaml:"idle" doc:"without being used"`
	Absolute time.Duration `yaml:"absolute" doc:"in all"`
}

// Flow is limit.Flow, in the file.
type Flow struct {
	Idle     time.Duration `yaml:"idle" doc:"without a step"`
	Absolute time.Duration `yaml:"absolute" doc:"in all"`
	Code     time.Duration `yaml:"code" doc:"interaction codes, before they are redeemed"`
	Repeat   time.Duration `yaml:"repeat" doc:"for how long the very same last answer is answered again"`
}

// Codes is limit.Codes, in the file.
type Codes struct {
	Lifetime  time.Duration `yaml:"lifetime" doc:"how long a code is good, at most 10m"`
	Tries     int           `yaml:"tries" doc:"wrong answers to one code"`
	Resend    time.Duration `yaml:"resend" doc:"between two messages to one number"`
	Renew     time.Duration `yaml:"renew" doc:"with less than this left, sending again makes a new code"`
	PerFactor int           `yaml:"per_factor" doc:"wrong codes without a success before the phone is suspended"`
	HardStop  int           `yaml:"hard_stop" doc:"wrong codes without a success before it stays suspended"`
}

// Default is what production starts from. What only an operator can know is missing, and Check says so.
func Default() Config {
	return Config{
		Listen:       "127.0.0.1:4480",
		Database:     defaultDatabase(),
		UnknownUsers: Hide,
		Flow:         Flow(limit.DefaultFlow()),
		Session:      Session(limit.DefaultSession()),
		Codes:        Codes(limit.DefaultCodes()),
		Sends:        limit.DefaultSends(),
		Messages:     defaultMessages(),
		Limits:       defaultLimits(),
		Log:          defaultLog(),
		Traces:       defaultTraces(),
		Retention:    defaultRetention(),
		Linger:       2 * time.Second,
	}
}

// Dev is Default for one developer on one machine. With production it keeps the production numbers, so
// that the same tests can attack the real settings; what makes it dev stays.
func Dev(production bool) Config {
	c := Default()
	c.Dev, c.Linger = true, 0 // nobody balances load onto a laptop
	if !production {
		c.UnknownUsers, c.AnyLoopback = Reveal, true
		c.Codes.Resend = 0
		c.Sends = limit.Sends{}
	}
	return c
}

// canonical is an origin as browsers write it: in lower case, and without the port that goes without saying (RFC 6454 6.2).
func canonical(u *url.URL) string {
	host, port := strings.ToLower(u.Hostname()), strings.TrimLeft(u.Port(), "0")
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" && (u.Scheme != "https" || port != "443") && (u.Scheme != "http" || port != "80") {
		host += ":" + port
	}
	return u.Scheme + "://" + host
}

// Doubts says what may be meant so, and is more likely forgotten.
func (c Config) Doubts() (all []string) {
	host, _, err := net.SplitHostPort(c.Listen)
	if err == nil && strings.HasPrefix(c.Origin, "https:") && !c.TLS.On() && loopback(host) && len(c.Proxies) == 0 {
		all = append(all, "proxies: whoever speaks https for "+c.Origin+" on this machine is not named, so that all people come from one address "+
			"and share its limits: 127.0.0.1 and ::1, if it is on this machine alone")
	}
	return all
}

// Check reports every problem at once: nobody wants to fix a file line by line.
func (c Config) Check() error {
	p := &strict.Problems{}
	c.check(p)
	return p.Err()
}

func (c Config) check(p *strict.Problems) {
	host, port, err := net.SplitHostPort(c.Listen)
	switch {
	case err != nil || port == "":
		p.At("listen", "%q is not host:port", c.Listen)
	case c.Dev && !loopback(host):
		p.At("listen", "latchkey dev hands out codes and passwords to whoever asks, so it listens on this machine alone: "+
			"%q is not 127.0.0.1, [::1] or localhost", c.Listen)
	}
	if c.Data == "" {
		p.At("data", "say where database and keys live")
	}
	u, err := url.Parse(c.Origin)
	if c.Origin != "" || !c.Dev {
		switch {
		case err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
			p.At("origin", "%q is not like https://id.example", c.Origin)
		case u.Path+u.RawQuery+u.Fragment != "" || u.User != nil:
			p.At("origin", "%q is more than scheme and host: clients look for us at the root", c.Origin)
		case strings.ContainsFunc(c.Origin, func(r rune) bool { return r > unicode.MaxASCII }):
			p.At("origin", "%q has a name that browsers write in ASCII, as xn--", c.Origin)
		case c.Origin != canonical(u):
			p.At("origin", "%q is not as browsers write it, and what is compared letter by letter would not be equal: %s", c.Origin, canonical(u))
		}
	}
	if !c.Dev {
		if c.AnyLoopback {
			p.At("any_loopback", "only latchkey dev has clients that take every loopback redirect (S-54)")
		}
		if c.Countries == nil {
			p.At("countries", "say which may be texted; none is an empty list (S-31)")
		}
		c.TLS.check(p, c)
		c.Database.check(p)
		c.Keys.check(p)
		c.Messages.check(p)
	}
	c.Limits.check(p)
	c.Log.check(p)
	c.Admin.check(p)
	c.Traces.check(p)
	c.Retention.check(p)
	if c.UnknownUsers != Hide && c.UnknownUsers != Reveal {
		p.At("unknown_users", "%q is neither hide nor reveal (S-24)", c.UnknownUsers)
	}
	for _, span := range []struct {
		name    string
		is, max time.Duration
	}{
		{"session.idle", c.Session.Idle, c.Session.Absolute},
		{"session.absolute", c.Session.Absolute, 30 * 24 * time.Hour},
		{"flow.idle", c.Flow.Idle, c.Flow.Absolute},
		{"flow.absolute", c.Flow.Absolute, 24 * time.Hour},
		{"flow.code", c.Flow.Code, 10 * time.Minute},
		{"codes.lifetime", c.Codes.Lifetime, 10 * time.Minute},
	} {
		if span.is <= 0 || span.is > span.max {
			p.At(span.name, "%s is not between 0 and %s", span.is, span.max)
		}
	}
	if c.Codes.Tries < 1 || c.Codes.Tries > 10 {
		p.At("codes.tries", "%d is not between 1 and 10", c.Codes.Tries)
	}
	if c.Codes.PerFactor < 1 || c.Codes.HardStop < c.Codes.PerFactor {
		p.At("codes", "suspending after %d wrong codes and for good after %d makes no sense", c.Codes.PerFactor, c.Codes.HardStop)
	}
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
	say(c.Limits.relaxed() != "", c.Limits.relaxed())
	say(c.UnknownUsers == Reveal, "sign-in tells when a name is unknown (production: hidden)")
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
