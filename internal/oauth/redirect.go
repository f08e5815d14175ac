package oauth

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// MaxRedirect is the longest redirect URI that is looked at (S-47).
const MaxRedirect = 2048

// AllowsRedirect reports whether uri may receive this client's codes: the very string that was
// registered, except for the port of an IP loopback address, which a native app cannot know in
// advance (S-54, RFC 8252 7.3).
func (c Client) AllowsRedirect(uri string) bool {
	return c.allows(c.Redirects, uri)
}

// AllowsPostLogout reports whether a browser may be sent to uri after a logout (S-65).
func (c Client) AllowsPostLogout(uri string) bool {
	return c.allows(c.PostLogout, uri)
}

func (c Client) allows(registered []string, uri string) bool {
	if CheckRedirect(uri) != nil {
		return false
	}
	if c.AnyLoopback && onLoopback(uri) {
		return true
	}
	return slices.ContainsFunc(registered, func(r string) bool {
		return uri == r || portless(r) != "" && portless(uri) == portless(r)
	})
}

// AllowsOrigin reports whether pages of an origin may call us from a browser on behalf of this client (S-42).
func (c Client) AllowsOrigin(origin string) bool {
	if origin == "" || origin == "null" {
		return false
	}
	if c.AnyLoopback && onLoopback(origin) && origin == originOf(origin) {
		return true
	}
	return slices.Contains(c.Origins, origin)
}

// CheckRedirect says what is wrong with a redirect URI, whether it is to be registered or was sent.
// Schemes other than http and https are those of native apps, which are named after a domain
// (RFC 8252 7.1), so one without a dot is refused: javascript: and data: have none.
func CheckRedirect(uri string) error {
	if uri == "" || len(uri) > MaxRedirect {
		return errors.New("a redirect URI has between 1 and 2048 bytes")
	}
	// Browsers drop tabs and line ends, and read a backslash as a slash: what we compare must be what they visit.
	if strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }) {
		return errors.New("a redirect URI is written in ASCII without spaces and backslashes")
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return errors.New("that is not a URI")
	case strings.Contains(uri, "#"):
		return errors.New("a redirect URI has no fragment (RFC 6749 3.1.2)")
	case strings.Contains(uri, "*"):
		return errors.New("a redirect URI has no wildcard")
	case u.User != nil:
		return errors.New("a redirect URI has no user information")
	case u.Scheme == "http" || u.Scheme == "https":
		if u.Hostname() == "" {
			return errors.New("a redirect URI is absolute")
		}
	case !strings.Contains(u.Scheme, "."):
		return errors.New("a redirect URI is http, https, or of a scheme named after a domain, such as com.example.app")
	}
	return nil
}

// portless returns an http URI on an IP loopback address without its port, or nothing for all others.
// It cuts text and does not parse: two readings of one URI are how open redirects are made.
func portless(uri string) string {
	for _, host := range []string{"http://127.0.0.1", "http://[::1]"} {
		rest, ok := strings.CutPrefix(uri, host)
		if !ok {
			continue
		}
		if after, ok := strings.CutPrefix(rest, ":"); ok {
			rest = strings.TrimLeft(after, "0123456789")
			if digits := len(after) - len(rest); digits == 0 || digits > 5 {
				return ""
			}
		}
		if rest == "" || rest[0] == '/' || rest[0] == '?' {
			return host + rest
		}
	}
	return ""
}

// onLoopback reports whether uri leads to this machine and nowhere else.
func onLoopback(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Fragment != "" || strings.Contains(uri, `\`) {
		return false
	}
	if strings.EqualFold(u.Hostname(), "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && addr.IsLoopback() && addr.Zone() == ""
}

// originOf cuts a URI down to scheme, host and port.
func originOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
