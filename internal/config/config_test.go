package config

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/limit"
)

// served is a configuration that production would take.
func served() Config {
	c := Default()
	c.Origin, c.Data, c.Countries = "https://id.example", "/var/lib/latchkey", Countries{"1", "49"}
	c.Keys.Master = []MasterKey{{File: "/etc/latchkey/master.key"}}
	return c
}

func developed() Config {
	c := Dev(false)
	c.Data = ".latchkey"
	return c
}

func TestCheckNamesEveryProblem(t *testing.T) {
	tests := map[string]struct {
		config Config
		change func(*Config)
		want   []string // a piece of each problem, in order
	}{
		"production":                  {config: served()},
		"dev":                         {config: developed()},
		"dev with production numbers": {config: Dev(true), change: func(c *Config) { c.Data = "x" }},
		"the default lacks what only an operator knows": {config: Default(), want: []string{"data:", "origin:", "S-31", "S-70"}},
		"S-00 dev on every interface":                   {config: developed(), change: func(c *Config) { c.Listen = ":4480" }, want: []string{"this machine alone"}},
		"S-00 dev on all addresses":                     {config: developed(), change: func(c *Config) { c.Listen = "0.0.0.0:4480" }, want: []string{"this machine alone"}},
		"S-00 dev on a name":                            {config: developed(), change: func(c *Config) { c.Listen = "laptop.example:4480" }, want: []string{"this machine alone"}},
		"S-00 dev on localhost":                         {config: developed(), change: func(c *Config) { c.Listen = "localhost:0" }},
		"S-00 dev on IPv6":                              {config: developed(), change: func(c *Config) { c.Listen = "[::1]:4480" }},
		"no port":                                       {config: served(), change: func(c *Config) { c.Listen = "127.0.0.1" }, want: []string{"not host:port"}},
		"http on a network":                             {config: served(), change: func(c *Config) { c.Origin = "http://id.example" }, want: []string{"origin:"}},
		"http behind nothing":                           {config: served(), change: func(c *Config) { c.Origin = "http://localhost:4480" }},
		"upper case":                                    {config: served(), change: func(c *Config) { c.Origin = "https://ID.example" }, want: []string{"as browsers write it, and what is compared letter by letter would not be equal: https://id.example"}},
		"the port that goes without saying":             {config: served(), change: func(c *Config) { c.Origin = "https://id.example:443" }, want: []string{"be equal: https://id.example"}},
		"that of http":                                  {config: served(), change: func(c *Config) { c.Origin = "http://localhost:80" }, want: []string{"be equal: http://localhost"}},
		"a port that nobody writes":                     {config: served(), change: func(c *Config) { c.Origin = "https://id.example:08443" }, want: []string{"be equal: https://id.example:8443"}},
		"no port after all":                             {config: served(), change: func(c *Config) { c.Origin = "https://id.example:" }, want: []string{"be equal: https://id.example"}},
		"an empty query":                                {config: served(), change: func(c *Config) { c.Origin = "https://id.example?" }, want: []string{"be equal: https://id.example"}},
		"an empty fragment":                             {config: served(), change: func(c *Config) { c.Origin = "https://id.example#" }, want: []string{"be equal: https://id.example"}},
		"the scheme":                                    {config: served(), change: func(c *Config) { c.Origin = "HTTPS://id.example" }, want: []string{"be equal: https://id.example"}},
		"letters of other alphabets":                    {config: served(), change: func(c *Config) { c.Origin = "https://b\u00fccher.example" }, want: []string{"xn--"}},
		"another port":                                  {config: served(), change: func(c *Config) { c.Origin = "https://id.example:8443" }},
		"https on the port of http":                     {config: served(), change: func(c *Config) { c.Origin = "https://id.example:80" }},
		"IPv6":                                          {config: served(), change: func(c *Config) { c.Origin = "https://[2001:db8::7]:8443" }},
		"a path":                                        {config: served(), change: func(c *Config) { c.Origin = "https://id.example/auth" }, want: []string{"root"}},
		"S-54 any loopback in production":               {config: served(), change: func(c *Config) { c.AnyLoopback = true }, want: []string{"S-54"}},
		"S-08 codes that live for an hour":              {config: served(), change: func(c *Config) { c.Codes.Lifetime = time.Hour }, want: []string{"codes.lifetime"}},
		"S-09 a hundred tries":                          {config: served(), change: func(c *Config) { c.Codes.Tries = 100 }, want: []string{"codes.tries"}},
		"S-10 no suspension":                            {config: served(), change: func(c *Config) { c.Codes.PerFactor = 0 }, want: []string{"codes:"}},
		"S-40 a session idle for longer than it lives":  {config: served(), change: func(c *Config) { c.Session.Idle = 25 * time.Hour }, want: []string{"session.idle"}},
		"S-18 idle is longer than absolute":             {config: served(), change: func(c *Config) { c.Flow.Idle = 3 * time.Hour }, want: []string{"flow.idle"}},
		"two things at once":                            {config: served(), change: func(c *Config) { c.Data, c.Codes.Tries = "", 0 }, want: []string{"data:", "codes.tries"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := test.config
			if test.change != nil {
				test.change(&c)
			}
			err := c.Check()
			if err == nil {
				if len(test.want) > 0 {
					t.Fatalf("taken, want %q", test.want)
				}
				return
			}
			problems := strings.Split(err.Error(), "\n")
			if len(problems) != len(test.want) {
				t.Fatalf("found %q, want %q", problems, test.want)
			}
			for i := range problems {
				if !strings.Contains(problems[i], test.want[i]) {
					t.Errorf("found %q, want %q", problems[i], test.want[i])
				}
			}
		})
	}
}

func TestS46_AProxyThatIsNotNamedIsDoubted(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Config)
		doubts int
	}{
		"https is spoken on this machine, by nobody named": {func(c *Config) {}, 1},
		"on IPv6":          {func(c *Config) { c.Listen = "[::1]:4480" }, 1},
		"it is named":      {func(c *Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} }, 0},
		"we speak it":      {func(c *Config) { c.TLS.Cert, c.TLS.Key = "tls.pem", "tls.key" }, 0},
		"nobody speaks it": {func(c *Config) { c.Origin = "http://localhost:4480" }, 0},
		"a network, which is no doubt but a problem": {func(c *Config) { c.Listen = ":4480" }, 0},
	} {
		c := served()
		test.change(&c)
		if got := c.Doubts(); len(got) != test.doubts {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestS00_DevRelaxesWhatIsListedAndNothingElse(t *testing.T) {
	production, dev := Default(), Dev(false)
	// Undo what S-00 lists, and what makes it dev at all.
	dev.Codes.Resend, dev.Sends, dev.UnknownUsers, dev.AnyLoopback = production.Codes.Resend, limit.DefaultSends(), Hide, false
	dev.Dev, dev.Linger = false, production.Linger
	if !reflect.DeepEqual(dev, production) {
		t.Errorf("dev differs in more than S-00 lists:\n%+v\n%+v", dev, production)
	}
	strict := Dev(true)
	strict.Dev, strict.Linger = false, production.Linger
	if !reflect.DeepEqual(strict, production) {
		t.Errorf("with production limits dev still differs:\n%+v\n%+v", strict, production)
	}
}

func TestS00_RelaxedSaysIt(t *testing.T) {
	if said := Dev(false).Relaxed(); len(said) != 5 {
		t.Errorf("dev says %q", said)
	}
	if said := Dev(true).Relaxed(); len(said) != 1 || !strings.Contains(said[0], "country") {
		t.Errorf("with production limits dev says %q", said)
	}
	if said := served().Relaxed(); said != nil {
		t.Errorf("production says %q", said)
	}
}
