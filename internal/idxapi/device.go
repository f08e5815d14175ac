package idxapi

import (
	"net/http"
	"strings"

	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/secret"
)

// deviceCookie names the cookie by which a browser is known that completed a sign-in (S-26, S-39). Over
// loopback http, which only dev speaks, no browser takes the prefix.
func (a *API) deviceCookie() string {
	if strings.HasPrefix(a.Origin, "https:") {
		return "__Host-latchkey_device"
	}
	return "latchkey_device"
}

// deviceOf reads what tells devices apart: our cookie in a browser, and the cookie DT of applications that
// keep no others. A header would say no more than that cookie; it is read at interact, from applications
// that prove themselves there.
func (a *API) deviceOf(r *http.Request) engine.Device {
	return engine.Device{Cookie: cookieIn(r, a.deviceCookie()), Token: cookieIn(r, "DT")}
}

// cookieIn returns a cookie's value. One that came twice was not set by us alone, and is none.
func cookieIn(r *http.Request, name string) secret.Text {
	all := r.CookiesNamed(name)
	if len(all) != 1 {
		return ""
	}
	return secret.Text(all[0].Value)
}

// remember lets the browser be known from now on.
func (a *API) remember(w http.ResponseWriter, device secret.Text) {
	http.SetCookie(w, &http.Cookie{
		Name: a.deviceCookie(), Value: device.Reveal(), Path: "/", MaxAge: int(limit.DeviceMemory.Seconds()),
		HttpOnly: true, Secure: strings.HasPrefix(a.Origin, "https:"), SameSite: http.SameSiteLaxMode,
	})
}
