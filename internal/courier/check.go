package courier

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
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

// CheckHeader reports what keeps a header of the configuration from being sent (RFC 9110 5.1, 5.5).
func CheckHeader(name, value string) error {
	const punctuation = "!#$%&'*+-.^_`|~"
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(punctuation, r))
	}) {
		return fmt.Errorf("%q is no name of a header", name)
	}
	if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return fmt.Errorf("the value of %s is empty or holds control characters", name)
	}
	switch strings.ToLower(name) {
	case "host", "content-length", "content-type", "transfer-encoding", "connection", "user-agent":
		return fmt.Errorf("%s is not for the configuration to say", name)
	}
	return nil
}
