package idx

import (
	"net/http"
	"net/netip"
	"strings"
)

// An EndUser is the browser a server-side application speaks for. Without it the engine sees every person at the
// application's own address, in one bucket of its rate limits.
type EndUser struct {
	IP          netip.Addr
	UserAgent   string
	Language    string // an Accept-Language value
	DeviceToken string `json:"-"` // the application's own long-lived cookie, at most 32 letters, digits, - and _
}

// EndUserFrom reads r. X-Forwarded-For is believed only as far as the trusted proxies reach. DeviceToken is
// left to the application.
func EndUserFrom(r *http.Request, trusted ...netip.Prefix) EndUser {
	return EndUser{
		IP:        clientAddr(r, trusted),
		UserAgent: r.UserAgent(),
		Language:  r.Header.Get("Accept-Language"),
	}
}

// clientAddr walks from our own peer outwards and stops at the first address that is no proxy of ours: whatever stands
// further out was written by that one, and may be a lie.
func clientAddr(r *http.Request, trusted []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := peer.Addr().Unmap().WithZone("")
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && within(addr, trusted); i-- {
		hop, ok := parseHop(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		addr = hop
	}
	return addr
}

func within(a netip.Addr, prefixes []netip.Prefix) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// parseHop takes an address with or without a port: proxies write both.
func parseHop(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}

// speak puts the end user into the headers of one request. The device token goes as header and as DT cookie: known-device
// checks read the one, rate limits the other. Values that no header may hold are left out: they come from a
// stranger's request and are no reason to fail.
func (u EndUser) speak(h http.Header) {
	h.Set("User-Agent", userAgent)
	if u.IP.IsValid() {
		h.Set("X-Forwarded-For", u.IP.String())
	}
	if headerSafe(u.UserAgent) {
		h.Set("User-Agent", u.UserAgent)
	}
	if headerSafe(u.Language) {
		h.Set("Accept-Language", u.Language)
	}
	if deviceToken(u.DeviceToken) {
		h.Set("X-Device-Token", u.DeviceToken)
		h.Set("Cookie", "DT="+u.DeviceToken)
	}
	h.Set("X-Okta-User-Agent-Extended", userAgent)
}

func headerSafe(s string) bool {
	return s != "" && len(s) <= 1024 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func deviceToken(s string) bool {
	return s != "" && len(s) <= 32 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
}
