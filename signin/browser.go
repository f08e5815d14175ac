package signin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"mime"
	"net/http"
	"net/url"
	"time"
)

// A browser is one browser's long-lived cookie: random, and signed by us, so that a value from elsewhere is replaced and
// never adopted (S-39). It signs nobody in. It binds forms to the browser they were shown in (S-17, S-41), half-done
// sign-ins to the browser that began them, and tells the engine which device it is (S-26).
type browser struct{ id string }

const browserLife = 400 * 24 * time.Hour // as long as browsers keep any cookie

// derive makes one key for one purpose.
func derive(key [32]byte, purpose string) [32]byte {
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte("latchkey.dev/signin " + purpose))
	return [32]byte(mac.Sum(nil))
}

// sign is a keyed digest of value for one purpose.
func (s *Pages) sign(purpose, value string) string { return mark(s.macs[0], purpose, value) }

// signed tells whether any of our keys made that digest.
func (s *Pages) signed(purpose, value, digest string) bool {
	good := 0
	for _, key := range s.macs {
		good |= subtle.ConstantTimeCompare([]byte(digest), []byte(mark(key, purpose, value)))
	}
	return good == 1
}

func mark(key [32]byte, purpose, value string) string {
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(purpose + "\x00" + value))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}

// known is the browser that r comes from, if we have met it.
func (s *Pages) known(r *http.Request) (browser, bool) {
	c, err := r.Cookie(s.cookies + "browser")
	if err != nil || len(c.Value) != 48 {
		return browser{}, false
	}
	if id := c.Value[:24]; s.signed("browser", id, c.Value[24:]) {
		return browser{id}, true
	}
	return browser{}, false
}

// meet is the browser that r comes from; a new one is given its cookie.
func (s *Pages) meet(w http.ResponseWriter, r *http.Request) browser {
	if b, ok := s.known(r); ok {
		return b
	}
	raw := make([]byte, 18)
	_, _ = rand.Read(raw)
	b := browser{base64.RawURLEncoding.EncodeToString(raw)}
	http.SetCookie(w, s.cookie("browser", b.id+s.sign("browser", b.id), browserLife))
	return b
}

// device is what the engine knows the browser by. It is not the cookie's value: who reads the engine's log must not
// be able to make the cookie.
func (b browser) device() string {
	sum := sha256.Sum256([]byte("device " + b.id))
	return hex.EncodeToString(sum[:16])
}

// cookie is one of ours: not for scripts, not for other sites' forms, for this host alone (S-39). life 0 lasts until the
// browser closes, and a negative one deletes.
func (s *Pages) cookie(name, value string, life time.Duration) *http.Cookie {
	c := &http.Cookie{Name: s.cookies + name, Value: value, Path: "/", HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode}
	switch {
	case life < 0:
		c.MaxAge = -1
	case life > 0:
		c.MaxAge = max(1, int(life/time.Second))
	}
	return c
}

// maxForm is more than any form of ours holds (S-47).
const maxForm = 64 << 10

// guarded lets a form through to next if it is one of our own pages', sent from the browser that it was shown in: else
// 403 and nothing happens (S-41, S-17).
func (s *Pages) guarded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		b, met := s.known(r)
		if kind != "application/x-www-form-urlencoded" || !met || !s.sameSite(r) {
			s.refuse(w, r, http.StatusForbidden, "forbidden")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			s.refuse(w, r, http.StatusRequestEntityTooLarge, "toolarge")
			return
		}
		if !s.signed("csrf", b.id, r.PostForm.Get("csrf")) {
			s.refuse(w, r, http.StatusForbidden, "forbidden")
			return
		}
		next(w, r)
	}
}

// csrf is the token that the forms of b carry.
func (s *Pages) csrf(b browser) string { return s.sign("csrf", b.id) }

// sameSite believes Sec-Fetch-Site, which no page can forge. Browsers without it send an Origin, which is null here
// because of our Referrer-Policy (Fetch, "append a request Origin header"); then the token alone decides.
func (s *Pages) sameSite(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin" || site == "none"
	}
	switch origin := r.Header.Get("Origin"); {
	case origin == "" || origin == "null" || origin == s.origin:
		return true
	case s.secure:
		return false
	default: // on this machine localhost and 127.0.0.1 are the same door
		u, err := url.Parse(origin)
		return err == nil && u.Host == r.Host && loopback(u.Hostname())
	}
}
