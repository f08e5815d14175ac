package idxapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/authn"
	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/idxapi"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/storetest"
)

// A person is somebody at some address, with the cookies of their browser.
type person struct {
	*house
	address string
	cookies map[string]string
}

func (h *house) at(address string) *person {
	return &person{house: h, address: address, cookies: map[string]string{}}
}

// post sends a step of a flow from here, and keeps the cookies of the answer.
func (p *person) post(v *visit, path string, members map[string]any) answer {
	p.t.Helper()
	body := map[string]any{"stateHandle": v.state}
	for k, m := range members {
		body[k] = m
	}
	raw, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, origin+"/idp/idx/"+path, strings.NewReader(string(raw)))
	r.Header.Set("Content-Type", "application/json")
	for name, value := range p.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	a := p.serve(r.WithContext(obs.WithSource(r.Context(), audit.Source{Address: p.address})))
	wellFormed(p.t, path, a)
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		p.cookies[c.Name] = c.Value
	}
	return a
}

// try begins a sign-in that asks for a password alone, and answers it.
func (p *person) try(login, passcode string) answer {
	p.t.Helper()
	v, _ := p.begin("0oa1one")
	return p.post(v, "identify", map[string]any{"identifier": login, "credentials": credentials(passcode)})
}

// tryNamed does the same where the name comes first: another door.
func (p *person) tryNamed(login, passcode string) answer {
	p.t.Helper()
	v, _ := p.begin("0oa1nameonly")
	p.post(v, "identify", map[string]any{"identifier": login})
	return p.post(v, "challenge/answer", map[string]any{"credentials": credentials(passcode)})
}

// refusal is what an answer shows, without what differs from one flow to the next.
func refusal(a answer, v ...string) string {
	raw := a.raw
	for _, s := range append(v, a.text("stateHandle"), a.text("expiresAt")) {
		raw = strings.ReplaceAll(raw, s, "")
	}
	return fmt.Sprint(a.status, raw, a.header)
}

func TestS26_ASourceRestsAfterTenInARow(t *testing.T) {
	h := build(t)
	thief, owner := h.at("192.0.2.1"), h.at("198.51.100.1")
	var wrong string
	for range 10 {
		wrong = refusal(thief.try(mary, "nope").want(t, 401, "identify"))
	}
	// The right password included, and to the letter.
	if got := refusal(thief.try(mary, password1)); got != wrong {
		t.Errorf("the right password answers\n%s\na wrong one\n%s", got, wrong)
	}
	owner.try(mary, password1).want(t, 200)
	h.advance(59 * time.Second)
	thief.try(mary, password1).want(t, 401, "identify")
	h.advance(time.Second)
	thief.try(mary, "nope").want(t, 401, "identify")
	h.advance(time.Minute)
	thief.try(mary, password1).want(t, 401, "identify") // two minutes by now
	h.advance(time.Minute)
	thief.try(mary, password1).want(t, 200)
	for range 9 {
		thief.try(mary, "nope").want(t, 401, "identify") // a success ended the row
	}
	thief.try(mary, password1).want(t, 200)
}

// A name that nobody has, one that nobody can have and a known one are refused alike, at every door.
func TestS26_S24_UnknownNamesRestLikeKnownOnes(t *testing.T) {
	h := build(t)
	for i, login := range []string{mary, "nobody@example.com", "a\u200bb"} {
		source := h.at(fmt.Sprintf("192.0.2.%d", i+1))
		for range 10 {
			source.try(login, "nope").want(t, 401, "identify")
		}
		before := len(storetest.Events(t, h.db))
		source.try(login, password1).want(t, 401, "identify")
		var types []string
		for _, e := range storetest.Events(t, h.db)[before:] {
			types = append(types, string(e.Type))
		}
		if fmt.Sprint(types) != "[flow.begun limit.hit signin.password.wrong]" {
			t.Errorf("%q: events %v", login, types)
		}
	}
}

func TestS26_AnIPv6SourceIsItsNetwork(t *testing.T) {
	h := build(t)
	for i := range 10 {
		h.at(fmt.Sprintf("2001:db8:0:1::%x", i)).try(mary, "nope").want(t, 401, "identify")
	}
	h.at("2001:db8:0:1:ffff::1").try(mary, password1).want(t, 401, "identify")
	h.at("2001:db8:0:2::1").try(mary, password1).want(t, 200)
}

// S-28, S-29: one name, one counter, whichever way it is written and whichever door it comes through.
func TestS29_S28_AllDoorsCountTogether(t *testing.T) {
	h := build(t)
	p := h.at("192.0.2.1")
	for i := range 5 {
		p.try([]string{mary, " MARY@Example.com "}[i%2], "nope").want(t, 401, "identify")
		p.tryNamed(mary, "nope").want(t, 401, "challenge-authenticator", "select-authenticator-authenticate")
	}
	p.try(mary, password1).want(t, 401, "identify")
	p.tryNamed(mary, password1).want(t, 401, "challenge-authenticator", "select-authenticator-authenticate")
}

func TestS11_S26_TwoHundredPasswordsAtOnce(t *testing.T) {
	for _, client := range []oauth.ClientID{"0oa1one", "0oa1nameonly"} {
		t.Run(string(client), func(t *testing.T) {
			var judged atomic.Int64
			h := build(t, spying(&judged))
			var visits []*visit
			for range 200 {
				v, _ := h.begin(client)
				if client == "0oa1nameonly" {
					v.post("identify", map[string]any{"identifier": mary})
				}
				visits = append(visits, v)
			}
			var next atomic.Int64
			for _, a := range parallel(200, func() answer {
				v := visits[next.Add(1)-1]
				if client == "0oa1nameonly" {
					return v.code("nope")
				}
				return v.identify(mary, "nope")
			}) {
				// Some come too late for their turn, or find the source at its end; none is told anything.
				if a.status != 401 && a.status != 429 && a.status != 503 {
					t.Errorf("answered %d %s", a.status, a.raw)
				}
			}
			if counted := failures(t, h); counted != 10 {
				t.Errorf("%d guesses were judged, want 10", counted)
			}
			if judged.Load() == 0 {
				t.Error("nothing was hashed")
			}
			h.advance(time.Hour)
			h.at("198.51.100.1").try(mary, password1).want(t, 401, "identify") // failures used up the rest
		})
	}
}

// failures is how many wrong passwords were counted for mary: it takes what is left of a hundred.
func failures(t *testing.T, h *house) int {
	t.Helper()
	left := 0
	for ; left <= 100; left++ {
		err := h.db.Update(t.Context(), func(tx store.Tx) error {
			_, err := tx.CountGuess(t.Context(), store.Guess{Login: mary, Source: fmt.Sprintf("203.0.113.%d", left), At: h.clock()}, limit.DefaultPasswords())
			return err
		})
		if err != nil {
			break
		}
	}
	return 100 - left
}

// Several right passwords of one person at the same instant are all right, though each is counted as a
// failure before it is judged; so are several right codes (S-10).
func TestS26_S10_RightProofsAtOnceAreAllRight(t *testing.T) {
	h := build(t)
	var visits []*visit
	for range 30 {
		v, _ := h.begin("0oa1seed")
		visits = append(visits, v)
	}
	var next atomic.Int64
	for _, a := range parallel(30, func() answer {
		return visits[next.Add(1)-1].identify("paul@example.com", password1)
	}) {
		a.want(t, 200, "authenticator-verification-data", "select-authenticator-authenticate")
	}
	codes := make([]string, len(visits))
	for i, v := range visits {
		v.challenge().want(t, 200, "challenge-authenticator", "select-authenticator-authenticate")
		codes[i] = h.pocket.code()
	}
	next.Store(0)
	for _, a := range parallel(30, func() answer {
		i := next.Add(1) - 1
		return visits[i].code(codes[i])
	}) {
		a.want(t, 200)
	}
}

// stopped makes mary's account take passwords from known devices alone.
func (h *house) stopped() {
	h.t.Helper()
	for i := range 100 {
		h.at(fmt.Sprintf("203.0.113.%d", i)).try(mary, "nope").want(h.t, 401, "identify")
	}
}

func TestS26_S27_AStoppedAccountOpensOnKnownDevices(t *testing.T) {
	h := build(t)
	hers, new := h.at("198.51.100.1"), h.at("198.51.100.2")
	hers.try(mary, password1).want(t, 200)
	h.stopped()
	h.advance(24 * time.Hour)
	new.try(mary, password1).want(t, 401, "identify")
	new.tryNamed(mary, password1).want(t, 401, "challenge-authenticator", "select-authenticator-authenticate")
	// Somebody else's cookie, or one that was tampered with, is none.
	paul := h.at("198.51.100.3")
	paul.try("paul@example.com", password1).want(t, 200)
	paul.try(mary, password1).want(t, 401, "identify")
	forged := h.at("198.51.100.4")
	for name, value := range hers.cookies {
		forged.cookies[name] = value[:len(value)-4] + "AAAA"
	}
	forged.try(mary, password1).want(t, 401, "identify")
	// Where she is does not matter, which browser does; and a success there ends it for all.
	hers.address = "198.51.100.9"
	hers.try(mary, password1).want(t, 200)
	new.try(mary, password1).want(t, 200)
}

func TestS26_AKnownDeviceHasABudgetOfTen(t *testing.T) {
	h := build(t)
	hers := h.at("198.51.100.1")
	hers.try(mary, password1).want(t, 200)
	h.stopped()
	h.advance(24 * time.Hour)
	for range 10 {
		hers.try(mary, "nope").want(t, 401, "identify")
	}
	hers.try(mary, password1).want(t, 401, "identify")
	// An administrator ends that, too.
	if err := h.db.Update(t.Context(), func(tx store.Tx) error { return tx.ForgetGuesses(t.Context(), mary) }); err != nil {
		t.Fatal(err)
	}
	hers.try(mary, password1).want(t, 200)
}

// Neither ten wrong ones from the owner's own network nor a hundred about others keep the owner out.
func TestS27_NobodyKeepsTheOwnerOut(t *testing.T) {
	h := build(t)
	owner, neighbour := h.at("192.0.2.1"), h.at("192.0.2.1")
	owner.try(mary, password1).want(t, 200)
	for range 12 {
		neighbour.try(mary, "nope").want(t, 401, "identify")
	}
	owner.try(mary, password1).want(t, 200)
	texts := h.pocket.count()
	for i := range 120 {
		neighbour.try(fmt.Sprintf("user%d@example.com", i), "nope")
	}
	neighbour.try(mary, password1).want(t, 429, "identify")
	owner.try(mary, password1).want(t, 200)
	if h.pocket.count() != texts {
		t.Error("wrong passwords made the server send messages")
	}
}

func TestS26_ASourceHasAHundredFailuresInTenMinutes(t *testing.T) {
	h := build(t)
	p := h.at("192.0.2.1")
	p.try("paul@example.com", password1).want(t, 200) // does not count
	delete(p.cookies, "__Host-latchkey_device")
	for i := range 100 {
		p.try(fmt.Sprintf("user%d@example.com", i), "nope").want(t, 401, "identify")
	}
	for _, login := range []string{mary, "nobody@example.com"} {
		a := p.try(login, password1).want(t, 429, "identify").message(t, "tooManyRequests", "")
		if a.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		p.tryNamed(login, password1).want(t, 429, "challenge-authenticator", "select-authenticator-authenticate")
	}
	h.at("192.0.2.2").try(mary, password1).want(t, 200)
	h.advance(10 * time.Minute)
	p.try(mary, password1).want(t, 200)
}

func TestS39_S26_TheDeviceCookie(t *testing.T) {
	h := build(t)
	p := h.at("192.0.2.1")
	p.try(mary, "nope").want(t, 401, "identify")
	v, _ := h.begin("0oa1seed")
	p.post(v, "identify", map[string]any{"identifier": mary, "credentials": credentials(password1)}).want(t, 200, "select-authenticator-enroll")
	if len(p.cookies) > 0 {
		t.Fatalf("cookies before a sign-in was completed: %v", p.cookies)
	}
	a := p.try(mary, password1).want(t, 200)
	c := (&http.Response{Header: a.header}).Cookies()[0]
	if c.Name != "__Host-latchkey_device" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge <= 0 {
		t.Errorf("cookie %v", c)
	}
	if strings.Contains(c.Value, "mary") || strings.Contains(a.raw, c.Value) {
		t.Errorf("the cookie tells a name, or the document tells the cookie: %s", c.Value)
	}
	for i := range 20 { // as many people in one browser
		login := fmt.Sprintf("user%d@example.com", i)
		h.person(identUser(i), login, cheapPassword, false)
		p.try(login, password1).want(t, 200)
	}
	if n := len(p.cookies["__Host-latchkey_device"]); n > 300 {
		t.Errorf("the cookie has grown to %d letters", n)
	}
	// The last of them are known; mary, who signed in first, is not any more.
	h.stopped()
	p.address = "198.51.100.1"
	p.try(mary, password1).want(t, 401, "identify")
	// A value that is not ours is replaced, never adopted.
	q := h.at("192.0.2.7")
	q.cookies["__Host-latchkey_device"] = "chosen"
	q.try("paul@example.com", password1).want(t, 200)
	if q.cookies["__Host-latchkey_device"] == "chosen" {
		t.Error("adopted")
	}
	// Over loopback http no browser takes the prefix.
	v, _ = h.begin("0oa1one")
	r := httptest.NewRequest(http.MethodPost, "/idp/idx/identify", strings.NewReader(fmt.Sprintf(
		`{"stateHandle":%q,"identifier":"paul@example.com","credentials":{"passcode":%q}}`, v.state, password1)))
	r.Header.Set("Content-Type", "application/json")
	b := httptest.NewRecorder()
	localAPI(h).ServeHTTP(b, r)
	if c := b.Result().Cookies()[0]; c.Name != "latchkey_device" || c.Secure || !c.HttpOnly {
		t.Errorf("over http: %v", c)
	}
}

// A device that an application names is known once a sign-in was completed with that name, and to that account alone.
func TestS27_DevicesThatApplicationsName(t *testing.T) {
	const token = "device-0123456789abcdef"
	for name, with := range map[string]func(*person){
		"a cookie of the application": func(p *person) { p.cookies["DT"] = token },
		"told at interact":            nil,
	} {
		t.Run(name, func(t *testing.T) {
			h := build(t)
			sign := func(token, login string) answer {
				p := h.at("192.0.2.1")
				if with != nil {
					with(p)
					if token == "" {
						delete(p.cookies, "DT")
					} else {
						p.cookies["DT"] = token
					}
					return p.try(login, password1)
				}
				ctx := engine.WithDevice(t.Context(), engine.Device{Token: secret.Text(token)})
				handle, err := h.engine.Begin(ctx, flow.Request{Server: "default", Client: "0oa1one", Redirect: "http://localhost:8080/login/callback"})
				if err != nil {
					t.Fatal(err)
				}
				v := &visit{house: h, interaction: handle.Reveal()}
				v.state = v.introspect().text("stateHandle")
				return p.post(v, "identify", map[string]any{"identifier": login, "credentials": credentials(password1)})
			}
			sign(token, mary).want(t, 200)
			h.stopped()
			sign("", mary).want(t, 401, "identify")
			sign("device-fedcba9876543210", mary).want(t, 401, "identify") // chosen by somebody who only wishes
			sign("short", mary).want(t, 401, "identify")
			sign(token, mary).want(t, 200)
		})
	}
}

// An application that proved itself tells whose address it speaks for: its people do not share one allowance.
func TestS26_TheSourceThatAnApplicationTells(t *testing.T) {
	h := build(t)
	sign := func(source, passcode string) answer {
		handle, err := h.engine.Begin(t.Context(), flow.Request{Server: "default", Client: "0oa1one", Redirect: "http://localhost:8080/login/callback", Source: source})
		if err != nil {
			t.Fatal(err)
		}
		v := &visit{house: h, interaction: handle.Reveal()}
		v.state = v.introspect().text("stateHandle")
		return h.at("10.0.0.1").post(v, "identify", map[string]any{"identifier": mary, "credentials": credentials(passcode)})
	}
	for range 10 {
		sign("192.0.2.1", "nope").want(t, 401, "identify")
	}
	sign("192.0.2.1", password1).want(t, 401, "identify")
	sign("192.0.2.2", password1).want(t, 200)
}

func TestS77_APasswordThatCannotBeCountedIsNotJudged(t *testing.T) {
	h := build(t)
	v, _ := h.begin("0oa1one")
	h.db.Close()
	v.identify(mary, password1).want(t, 503)
}

func identUser(i int) ident.UserID { return ident.UserID(fmt.Sprintf("00u1user%d", i)) }

func localAPI(h *house) http.Handler {
	return idxapi.New(idxapi.Config{Engine: h.engine, Origin: "http://127.0.0.1:4480"})
}

// spying counts what is asked of the password plug-in.
func spying(n *atomic.Int64) option {
	return func(c *engine.Config) { c.Plugins[0] = spy{c.Plugins[0], n} }
}

type spy struct {
	authn.Authenticator
	n *atomic.Int64
}

func (s spy) Verify(in authn.In) (authn.Verdict, error) {
	s.n.Add(1)
	return s.Authenticator.Verify(in)
}
