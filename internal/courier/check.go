package courier

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"latchkey.dev/internal/secret"
)

// CheckURL reports what keeps an address from being called. It does not repeat the address: people write
// keys into them.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("is no address")
	case u.Hostname() == "":
		return errors.New("names no host")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return errors.New("has to be https: only what stays on this machine may go in the clear")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("has to be https")
	case u.User != nil:
		return errors.New("holds credentials, which belong into settings of their own")
	case u.Fragment != "":
		return errors.New("ends in a fragment, which is not for servers")
	}
	return nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// SecretsOf are the parts of an operator's address that may be keys: people write them into queries and paths.
func SecretsOf(address string) []secret.Text {
	const guessable = 8 // letters or fewer: a key would not be one
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	parts := strings.Split(u.Path, "/")
	for _, values := range u.Query() {
		parts = append(parts, values...)
	}
	var all []secret.Text
	for _, part := range parts {
		if len(part) > guessable {
			all = append(all, secret.Text(part))
		}
	}
	return all
}

// Headers are what an operator has every call carry, by name: keys of the far end, mostly.
type Headers map[string]secret.Text

// Check reports every problem at once, without the values.
func (h Headers) Check() error {
	var bad []error
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if err := checkHeader(name, h[name].Reveal()); err != nil {
			bad = append(bad, err)
		}
	}
	return errors.Join(bad...)
}

// Secrets are the values, and what stands in them behind a scheme such as Bearer.
func (h Headers) Secrets() []secret.Text {
	var all []secret.Text
	for _, value := range h {
		_, credentials, _ := strings.Cut(value.Reveal(), " ")
		all = append(all, value, secret.Text(credentials))
	}
	return all
}

// Join adds the headers to those of a call.
func (h Headers) Join(header http.Header) http.Header {
	for name, value := range h {
		header.Set(name, value.Reveal())
	}
	return header
}

// checkHeader reports what keeps a header from being sent (RFC 9110 5.1, 5.5).
func checkHeader(name, value string) error {
	const punctuation = "!#$%&'*+-.^_`|~"
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(punctuation, r))
	}) {
		return fmt.Errorf("%q is no name of a header", name)
	}
	if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return fmt.Errorf("the value of the header %s is empty or holds control characters", name)
	}
	lower := strings.ToLower(name)
	if slices.Contains(ours, lower) || strings.HasPrefix(lower, "webhook-") {
		return fmt.Errorf("the header %s is not for the configuration to say", name)
	}
	return nil
}

// ours are the headers that say how a call is made.
var ours = []string{
	"connection", "content-encoding", "content-length", "content-type", "host", "idempotency-key", "te", "trailer",
	"transfer-encoding", "upgrade", "user-agent",
}
