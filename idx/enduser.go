package idx

import (
	"net/http"
	"net/netip"
)

// An EndUser is the browser a server-side application speaks for. Without it the engine sees every person at the
// application's own address, in one bucket of its rate limits.
type EndUser struct {
	IP          netip.Addr
	UserAgent   string
	Language    string // an Accept-Language value
	DeviceToken string // the application's own long-lived cookie, at most 32 letters, digits, - and _
}

// EndUserFrom reads r. X-Forwarded-For is believed only as far as the trusted proxies reach. DeviceToken is
// left to the application.
func EndUserFrom(r *http.Request, trusted ...netip.Prefix) EndUser { return EndUser{} }
