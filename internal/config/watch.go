package config

import (
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"latchkey.dev/internal/strict"
)

// Log is what is written to standard error.
type Log struct {
	Format string `yaml:"format" doc:"json, a line for each thing that happened, or text for people to read"`
	Level  string `yaml:"level" doc:"error, warn, info or debug; the admin listener changes it while we run"`
}

func defaultLog() Log { return Log{Format: "json", Level: "info"} }

// At is the level as the log takes it.
func (l Log) At() (level slog.Level) {
	_ = level.UnmarshalText([]byte(l.Level)) // check has seen to it
	return level
}

func (l Log) check(p *strict.Problems) {
	if l.Format != "json" && l.Format != "text" {
		p.At("log.format", "%q is neither json nor text", l.Format)
	}
	switch l.Level {
	case "error", "warn", "info", "debug":
	default:
		p.At("log.level", "%q is not error, warn, info or debug", l.Level)
	}
}

// Admin is the listener for operators (S-74).
type Admin struct {
	Listen string `yaml:"listen" doc:"Where metrics, readiness with its reasons and profiles are, as 127.0.0.1:4481 or unix:/run/latchkey/admin.sock; this machine alone. Without it there are none."`
	Token  Secret `yaml:"token" doc:"what every request to it has to bring, as Authorization: Bearer; 32 letters or more"`
}

const leastToken = 32

// Network is what to listen on, as net.Listen takes it.
func (a Admin) Network() (network, address string) {
	if path, ok := strings.CutPrefix(a.Listen, "unix:"); ok {
		return "unix", path
	}
	return "tcp", a.Listen
}

func (a Admin) check(p *strict.Problems) {
	if a.Listen == "" {
		if a.Token.Given() {
			p.At("admin.listen", "there is a token for it, and no address")
		}
		return
	}
	if network, address := a.Network(); network == "unix" {
		if !strings.HasPrefix(address, "/") {
			p.At("admin.listen", "%q is not the whole path of a socket", address)
		}
	} else if host, port, err := net.SplitHostPort(address); err != nil || port == "" || !loopback(host) {
		p.At("admin.listen", "%q is not like 127.0.0.1:4481: it shows what the public must not see, so it is this machine's alone (S-74)", a.Listen)
	}
	switch {
	case !a.Token.Given():
		p.At("admin.token", "name a secret: whoever reaches the listener has to bring it (S-74)")
	case len(a.Token.Text().Reveal()) > 0 && len(a.Token.Text().Reveal()) < leastToken:
		p.At("admin.token", "the token is shorter than %d letters", leastToken)
	}
}

// Traces are spans that are sent to a collector.
type Traces struct {
	OTLP   string  `yaml:"otlp" doc:"Where to send them by OTLP over HTTP, like http://127.0.0.1:4318/v1/traces. Without it nothing is traced."`
	Sample float64 `yaml:"sample" doc:"the share of requests that are traced, from 0 to 1, where no proxy of ours has decided"`
}

func defaultTraces() Traces { return Traces{Sample: 0.1} }

func (t Traces) check(p *strict.Problems) {
	if t.OTLP != "" {
		if u, err := url.Parse(t.OTLP); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
			p.At("traces.otlp", "not a URL like http://127.0.0.1:4318/v1/traces, without a password in it")
		}
	}
	if t.Sample < 0 || t.Sample > 1 {
		p.At("traces.sample", "%v is not between 0 and 1", t.Sample)
	}
}

// Retention is how long things are kept that nobody needs to go on.
type Retention struct {
	Audit time.Duration `yaml:"audit" doc:"Events of the audit log. What is to be kept longer is exported: latchkey event export. 0s keeps them for good."`
}

func defaultRetention() Retention { return Retention{Audit: 90 * 24 * time.Hour} }

func (r Retention) check(p *strict.Problems) {
	if r.Audit != 0 && r.Audit < 24*time.Hour {
		p.At("retention.audit", "%s is less than a day, in which nobody could look into anything", r.Audit)
	}
}
