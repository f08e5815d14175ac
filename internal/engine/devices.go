package engine

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"

	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/secret"
)

// A Device is what comes with a request and may tell that somebody has signed in there before (S-26). None of
// it is believed for what it is: a cookie must be one that we sealed after a sign-in, and a token one with
// which a sign-in was completed.
type Device struct {
	Cookie secret.Text // ours
	Token  secret.Text // what an application calls the device (DT, X-Device-Token)
}

type deviceKey struct{}

// WithDevice returns a context whose request came from a device.
func WithDevice(ctx context.Context, d Device) context.Context {
	return context.WithValue(ctx, deviceKey{}, d)
}

// DeviceOf returns the device that a request came from; nothing if nothing tells.
func DeviceOf(ctx context.Context) Device {
	d, _ := ctx.Value(deviceKey{}).(Device)
	return d
}

// A browser is what our cookie says: which browser it is, and who has completed a sign-in in it. It is sealed
// with the master key, so that it is ours or nothing, opens while its key is in the ring, and tells whoever
// finds it no name. What it gives is ten more guesses where everybody else has none.
type browser struct {
	id       [16]byte
	sealed   time.Time
	accounts []mark // the last to sign in first
}

// A mark stands for an account in a cookie.
type mark [16]byte

// acquaintances is how many accounts one cookie names. A browser with more forgets who has been away longest.
const acquaintances = 8

const cookiePlace = "cookie:device"

func (e *Engine) markOf(login string) mark {
	d := e.Keys.MAC(secret.MACLogin, "device", countedAs(login))
	return mark(d[:16])
}

// browserOf opens a cookie. What we did not seal, or long ago, is a browser that nobody has met.
func (e *Engine) browserOf(cookie secret.Text, now time.Time) (b browser, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(cookie.Reveal())
	if err != nil || len(raw) == 0 {
		return b, false
	}
	plain, err := e.Keys.Open(cookiePlace, raw)
	if err != nil || len(plain) < 24 || len(plain)%16 != 8 {
		return b, false
	}
	b.sealed = time.Unix(int64(binary.BigEndian.Uint64(plain)), 0)
	b.id = [16]byte(plain[8:24])
	for rest := plain[24:]; len(rest) > 0; rest = rest[16:] {
		b.accounts = append(b.accounts, mark(rest[:16]))
	}
	return b, now.Before(b.sealed.Add(limit.DeviceMemory))
}

func (e *Engine) cookieOf(b browser) secret.Text {
	plain := binary.BigEndian.AppendUint64(nil, uint64(b.sealed.Unix()))
	plain = append(plain, b.id[:]...)
	for _, a := range b.accounts {
		plain = append(plain, a[:]...)
	}
	return secret.Text(base64.RawURLEncoding.EncodeToString(e.Keys.Seal(cookiePlace, plain)))
}

// knownIn is the id of the browser, if somebody completed a sign-in with this login in it.
func (e *Engine) knownIn(cookie secret.Text, login string, now time.Time) string {
	b, ok := e.browserOf(cookie, now)
	if !ok || !slices.Contains(b.accounts, e.markOf(login)) {
		return ""
	}
	return hex.EncodeToString(b.id[:])
}

// met is the cookie after a sign-in: the browser's own with this account in front, or a new one in place of
// what we did not make (S-39).
func (e *Engine) met(cookie secret.Text, login string, now time.Time) secret.Text {
	b, ok := e.browserOf(cookie, now)
	if !ok {
		b = browser{id: [16]byte(secret.Bytes(16))}
	}
	who := e.markOf(login)
	b.accounts = slices.DeleteFunc(b.accounts, func(m mark) bool { return m == who })
	b.accounts = append([]mark{who}, b.accounts[:min(len(b.accounts), acquaintances-1)]...)
	b.sealed = now
	return e.cookieOf(b)
}

// deviceDigest is what we keep of a device's token; zero if nobody should be known by it. Keyed, for what
// applications choose may be short enough to be searched for.
func (e *Engine) deviceDigest(token secret.Text) secret.Digest {
	if !tellsDevices(token.Reveal()) {
		return secret.Digest{}
	}
	return e.Keys.MAC(secret.MACLogin, "device token", token.Reveal())
}

// tellsDevices asks for what clients send: at most 64 letters, digits, - and _, and not so few that they could be met by chance.
func tellsDevices(token string) bool {
	if len(token) < 16 || len(token) > 64 {
		return false
	}
	for _, c := range []byte(token) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}
