package config

import (
	"net"
	"net/url"
	"strings"

	"latchkey.dev/internal/strict"
)

// TLS is how https is spoken: by certificate files, or by ACME.
type TLS struct {
	Cert string `yaml:"cert" doc:"The certificate and what leads to its root, PEM. A new file is taken up within a minute."`
	Key  string `yaml:"key" doc:"Its private key, PEM."`
	ACME *ACME  `yaml:"acme" doc:"Get certificates from an ACME authority such as Let's Encrypt."`
}

// ACME is RFC 8555, with the TLS-ALPN-01 challenge of RFC 8737, so that one port is enough.
type ACME struct {
	Accept    bool   `yaml:"accept_terms" doc:"That you accept the authority's terms of service."`
	Email     string `yaml:"email" doc:"Whom the authority tells about trouble."`
	Directory string `yaml:"directory" doc:"The authority; Let's Encrypt by default."`
	Roots     string `yaml:"roots" doc:"A PEM file with the roots of an authority of your own."`
}

// On reports whether we speak https ourselves.
func (t TLS) On() bool { return t.Cert != "" || t.Key != "" || t.ACME != nil }

func (t TLS) check(p *strict.Problems, c Config) {
	if (t.Cert == "") != (t.Key == "") {
		p.At("tls", "a certificate and its key come together")
	}
	if t.ACME != nil && t.Cert != "" {
		p.At("tls", "certificate files or acme, not both")
	}
	u, err := url.Parse(c.Origin)
	if err != nil {
		return // said already
	}
	host, _, unsplit := net.SplitHostPort(c.Listen)
	switch {
	case t.On() && u.Scheme == "http":
		p.At("tls", "the origin %s says http", c.Origin)
	case !t.On() && unsplit == nil && u.Scheme == "https" && !loopback(host) && len(c.Proxies) == 0:
		p.At("tls", "nobody speaks https here: give certificate files or acme, or name the proxies that do")
	}
	if t.ACME != nil {
		t.ACME.check(p, u.Hostname())
	}
}

func (a ACME) check(p *strict.Problems, host string) {
	if !a.Accept {
		p.At("tls.acme.accept_terms", "certificates are given to those who accept the authority's terms of service")
	}
	if host != "" && (net.ParseIP(host) != nil || !strings.Contains(host, ".")) && a.Directory == "" {
		p.At("tls.acme", "no public authority gives certificates for %s", host)
	}
	if u, err := url.Parse(a.Directory); a.Directory != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		p.At("tls.acme.directory", "%q is not an https address", a.Directory)
	}
}
