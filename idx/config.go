package idx

import (
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Config names the relying party. [New] copies it. Nothing is read from files or the environment.
type Config struct {
	Issuer      string     // the authorization server, https://id.example/oauth2/default; https unless it is this machine
	ClientID    string     // as registered with the authorization server
	RedirectURI string     // where the browser returns from an identity provider or a magic link
	Scopes      []string   // nil means openid and profile
	Auth        ClientAuth // nil is a public client: PKCE and no secret
}

// A ClientOption changes how a [Client] works, not whom it speaks for.
type ClientOption func(*settings) error

type settings struct {
	http     *http.Client
	log      *slog.Logger
	attempts int
	ceiling  time.Duration
	now      func() time.Time
	trusted  []string
	insecure bool
	dpop     *signer
}

// WithHTTPClient sends everything through h; tracing, proxies, metrics and in-process handlers wrap its transport.
// The client is copied. It must have no cookie jar, and its redirect policy is not used: redirects are never followed.
func WithHTTPClient(h *http.Client) ClientOption {
	return func(s *settings) error {
		switch {
		case h == nil:
			return errors.New("the HTTP client is nil")
		case h.Jar != nil:
			return errors.New("the HTTP client has a cookie jar, which would mix one person's session into another's")
		}
		s.http = h
		return nil
	}
}

// WithLogger logs operations and outcomes to l, never values.
func WithLogger(l *slog.Logger) ClientOption {
	return func(s *settings) error {
		if l == nil {
			return errors.New("the logger is nil")
		}
		s.log = l
		return nil
	}
}

// WithRetry sets how often a read or a poll is tried in all, and the longest pause between two tries. One attempt
// means no retries; the default is three attempts and five seconds. Steps are never retried.
func WithRetry(attempts int, ceiling time.Duration) ClientOption {
	return func(s *settings) error {
		if attempts < 1 || ceiling < 0 {
			return fmt.Errorf("retry: %d attempts with at most %s between them", attempts, ceiling)
		}
		s.attempts, s.ceiling = attempts, ceiling
		return nil
	}
}

// WithClock judges token times and expiry by now instead of [time.Now].
func WithClock(now func() time.Time) ClientOption {
	return func(s *settings) error {
		if now == nil {
			return errors.New("the clock is nil")
		}
		s.now = now
		return nil
	}
}

// WithTrustedOrigins names origins (https://host[:port]) besides the issuer's that a step may be posted to.
func WithTrustedOrigins(origins ...string) ClientOption {
	return func(s *settings) error {
		for _, o := range origins {
			u, err := url.Parse(o)
			if err != nil || u.Host == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.User != nil {
				return fmt.Errorf("%q is not an origin", o)
			}
			s.trusted = append(s.trusted, o)
		}
		return nil
	}
}

// WithInsecureHTTP accepts an http issuer that is not on this machine. Passwords and codes then travel in the clear:
// it is meant for a test network and nothing else.
func WithInsecureHTTP() ClientOption {
	return func(s *settings) error {
		s.insecure = true
		return nil
	}
}

// WithDPoP binds tokens to key (RFC 9449). The key is RSA (RS256) or P-256 (ES256).
func WithDPoP(key crypto.Signer) ClientOption {
	return func(s *settings) (err error) {
		s.dpop, err = newSigner(key)
		return err
	}
}

// check reports every problem at once: nobody wants to fix a configuration line by line.
func (cfg Config) check(insecure bool) (*url.URL, error) {
	var bad []error
	issuer, err := url.Parse(cfg.Issuer)
	switch {
	case err != nil || issuer.Host == "" || issuer.User != nil || issuer.RawQuery != "" || issuer.Fragment != "":
		bad = append(bad, fmt.Errorf("issuer %q is not an address without query", cfg.Issuer))
	case issuer.Scheme == "http" && !insecure && !loopback(issuer.Hostname()):
		bad = append(bad, fmt.Errorf("issuer %q is not https", cfg.Issuer))
	case issuer.Scheme != "https" && issuer.Scheme != "http":
		bad = append(bad, fmt.Errorf("issuer %q is neither https nor http", cfg.Issuer))
	}
	if cfg.ClientID == "" {
		bad = append(bad, errors.New("the client id is missing"))
	}
	if u, err := url.Parse(cfg.RedirectURI); err != nil || u.Scheme == "" {
		bad = append(bad, fmt.Errorf("redirect URI %q is not absolute", cfg.RedirectURI))
	}
	if slices.ContainsFunc(cfg.Scopes, func(s string) bool { return s == "" || strings.ContainsAny(s, " \t\r\n") }) {
		bad = append(bad, errors.New("a scope is empty or holds a space"))
	}
	if cfg.Auth != nil {
		if err := cfg.Auth.check(); err != nil {
			bad = append(bad, err)
		}
	}
	return issuer, errors.Join(bad...)
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// origin is scheme, host and port in one spelling, so that https://id.example and https://ID.example:443 are the same.
func origin(u *url.URL) string {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	scheme := strings.ToLower(u.Scheme)
	if port == "" || (scheme == "https" && port == "443") || (scheme == "http" && port == "80") {
		return scheme + "://" + bracket(host)
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

func bracket(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
