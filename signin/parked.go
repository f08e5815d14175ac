package signin

import (
	"cmp"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey.dev/idx"
)

// A parked sign-in is a half-done one as it rides in its cookie: the transaction as idx seals it, and a note of ours about
// what the page shows that the engine does not repeat.
type parked struct {
	ref    string
	sealed string // by idx.Sealer; empty once there is nothing to go on with
	note   note
	life   time.Duration
}

// A note is sealed too: it holds what the person typed. Never a password or a code.
type note struct {
	At       int64  `json:"a"`           // when the sign-in last moved, Unix seconds
	Username string `json:"u,omitempty"` // as typed
	Remember bool   `json:"r,omitempty"`
	Phone    string `json:"p,omitempty"` // as typed
	To       string `json:"t,omitempty"` // where the last code went, masked
	Sent     int64  `json:"s,omitempty"` // when, Unix seconds
	Step     string `json:"f,omitempty"` // the step that Says are about, if they are about its form alone
	Says     []say  `json:"m,omitempty"`

	// Of hosted pages: the Handoff.
	App    string `json:"n,omitempty"`
	Target string `json:"o,omitempty"`
	Lang   string `json:"l,omitempty"`
	Back   string `json:"b,omitempty"`
}

// A say is one message for the next page.
type say struct {
	Key   string `json:"k,omitempty"` // in the catalogue
	Arg   string `json:"v,omitempty"`
	Text  string `json:"t,omitempty"` // what the engine says, for keys that the catalogue lacks
	Field string `json:"f,omitempty"` // dotted path of the input it is about
	Bad   bool   `json:"b,omitempty"`
}

const (
	maxParked  = 4  // sign-ins at once in one browser; the oldest gives way
	refLength  = 12 // base32: unique within one browser is all that is asked of it
	parkedLife = 2 * time.Hour
	maxSays    = 4
	maxText    = 240 // what an engine says is cut to this, so that the cookie stays a cookie
)

func newRef() string {
	raw := make([]byte, 8)
	_, _ = rand.Read(raw)
	return strings.ToLower(base32.StdEncoding.EncodeToString(raw))[:refLength]
}

func validRef(ref string) bool {
	return len(ref) == refLength && strings.Trim(ref, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// park keeps p in the browser until the engine forgets it.
func (s *Pages) park(w http.ResponseWriter, b browser, p parked) {
	p.note.At = s.now().Unix()
	p.note.Says = p.note.Says[:min(len(p.note.Says), maxSays)]
	plain, err := json.Marshal(p.note)
	if err != nil { // strings and numbers always can be
		panic(err)
	}
	aead := s.aeads[0]
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce)
	sealed := aead.Seal(nonce, nonce, plain, bound(b, p.ref, p.sealed))
	value := p.sealed + "." + base64.RawURLEncoding.EncodeToString(sealed)
	if p.life <= 0 || p.life > parkedLife {
		p.life = parkedLife
	}
	http.SetCookie(w, s.cookie("at-"+p.ref, value, p.life))
}

// bound ties a note to its browser, its sign-in and its place: none of the three can be exchanged.
func bound(b browser, ref, sealed string) []byte {
	return []byte(b.id + "\x00" + ref + "\x00" + sealed)
}

// parked is the sign-in named ref of the browser that sent r, if it has one.
func (s *Pages) parked(r *http.Request, b browser, ref string) (parked, bool) {
	if !validRef(ref) {
		return parked{}, false
	}
	c, err := r.Cookie(s.cookies + "at-" + ref)
	if err != nil {
		return parked{}, false
	}
	sealed, rest, _ := strings.Cut(c.Value, ".")
	raw, err := base64.RawURLEncoding.DecodeString(rest)
	if err != nil {
		return parked{}, false
	}
	for _, aead := range s.aeads {
		if len(raw) < aead.NonceSize() {
			continue
		}
		plain, err := aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], bound(b, ref, sealed))
		if err != nil {
			continue
		}
		p := parked{ref: ref, sealed: sealed}
		if json.Unmarshal(plain, &p.note) != nil {
			return parked{}, false
		}
		return p, true
	}
	return parked{}, false
}

// allParked are the half-done sign-ins of the browser that sent r, the one that moved last first.
func (s *Pages) allParked(r *http.Request, b browser) []parked {
	var all []parked
	for _, c := range r.Cookies() {
		ref, ok := strings.CutPrefix(c.Name, s.cookies+"at-")
		if !ok {
			continue
		}
		if p, ok := s.parked(r, b, ref); ok {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b parked) int {
		return cmp.Or(cmp.Compare(b.note.At, a.note.At), cmp.Compare(a.ref, b.ref))
	})
	return all
}

// forget removes a sign-in from the browser.
func (s *Pages) forget(w http.ResponseWriter, ref string) {
	http.SetCookie(w, s.cookie("at-"+ref, "", -1))
}

// settle parks tx, which the engine just answered with.
func (s *Pages) settle(w http.ResponseWriter, b browser, p parked, tx *idx.Transaction) error {
	sealed, err := s.sealer.Seal(tx)
	if err != nil {
		return err
	}
	p.sealed = sealed
	if at := tx.ExpiresAt(); !at.IsZero() {
		p.life = at.Sub(s.now())
	}
	s.park(w, b, p)
	return nil
}
