package op_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/device"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/op"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

const tvID = "0oa1tv"

// A sofa is an organisation with a device that waits, and a browser on which somebody may be signed in.
type sofa struct {
	*org
	who    device.Person
	signed bool
	cookie string
	counts map[string]int
	most   int
}

func sofaIn(o *org) *sofa {
	s := &sofa{org: o, signed: true, counts: map[string]int{}, most: 100,
		who: device.Person{User: "00u1mary", AuthTime: o.now().Add(-time.Minute), AMR: []string{"pwd", "sms", "mca", "mfa"}, ACR: "", Session: "ses1"}}
	first := s.session()
	first.Created, first.Seen, first.Expires = o.now(), o.now(), o.now().Add(24*time.Hour)
	o.write(func(tx store.Tx) error {
		err := tx.AddEnrollment(ctx, ident.Enrollment{ID: "lae1mary", User: "00u1mary", Kind: ident.Password, Method: ident.MethodPassword, Secret: "x", Created: o.now()})
		return errors.Join(err, tx.AddSession(ctx, first))
	})
	o.client(tvID, func(c *oauth.Client) {
		c.Label, c.Grants = "Living <Room> TV", []oauth.GrantType{oauth.DeviceCode, oauth.RefreshToken}
	})
	c := o.api.Config
	c.Devices = device.New(device.Config{Store: o.db, Now: o.now})
	c.Sessions = seated{s}
	c.SignIn = func(http.ResponseWriter, *http.Request, op.Handoff) error { return nil }
	c.CountCode = func(_ context.Context, what string) (limit.Reading, error) {
		s.counts[what]++
		return limit.Reading{OK: s.counts[what] <= s.most, Limit: s.most, Reset: time.Minute}, nil
	}
	o.api = op.New(c)
	return s
}

// session is the one of the browser.
func (s *sofa) session() store.Session {
	proofs := []flow.Proof{{Kind: ident.Password, Method: ident.MethodPassword, At: s.who.AuthTime}}
	if slices.Contains(s.who.AMR, "sms") {
		proofs = append(proofs, flow.Proof{Kind: ident.Phone, Method: ident.MethodSMS, At: s.who.AuthTime})
	}
	return store.Session{ID: s.who.Session, Value: secret.DigestOf(secret.SessionValue, "1"), User: s.who.User, Proofs: proofs}
}

// showed makes it one in which that was shown.
func (s *sofa) showed(amr ...string) {
	s.who.AMR = amr
	s.write(func(tx store.Tx) error {
		one, err := tx.SessionByID(ctx, s.who.Session)
		one.Proofs = s.session().Proofs
		return errors.Join(err, tx.RaiseSession(ctx, one.Value, one))
	})
}

// seated says who is on the sofa, whatever cookie the browser has.
type seated struct{ *sofa }

func (s seated) Find(context.Context, secret.Text) (store.Session, error) {
	if !s.signed {
		return store.Session{}, nil
	}
	return s.session(), nil
}
func (seated) BySID(context.Context, string) (store.Session, error)        { return store.Session{}, nil }
func (seated) Entered(context.Context, string) ([]store.Membership, error) { return nil, nil }
func (seated) End(context.Context, store.Session, string) error            { return nil }
func (seated) Succeed(context.Context, store.Session, store.Session) error { return nil }
func (seated) Ticket(store.Session) secret.Text                            { return "" }
func (seated) Tells(store.Session, secret.Text) bool                       { return false }

func newSofa(t *testing.T) *sofa { return sofaIn(newOrg(t)) }

func onBothSofas(t *testing.T, f func(*testing.T, *sofa)) {
	onBoth(t, func(t *testing.T, o *org) { f(t, sofaIn(o)) })
}

type waiting struct {
	Device   string `json:"device_code"`
	User     string `json:"user_code"`
	URI      string `json:"verification_uri"`
	Complete string `json:"verification_uri_complete"`
	Expires  int    `json:"expires_in"`
	Interval int    `json:"interval"`
}

func (s *sofa) wants(scope string) waiting {
	s.t.Helper()
	return decode[waiting](s.form(base+"v1/device/authorize", nil, "client_id", tvID, "scope", scope).ok())
}

func (s *sofa) poll(w waiting) answer {
	return s.form(base+"v1/token", nil, "grant_type", string(oauth.DeviceCode), "device_code", w.Device, "client_id", tvID)
}

// browse opens the page, keeping its cookie like a browser.
func (s *sofa) browse(query string) answer {
	s.t.Helper()
	return s.kept(s.get("/activate"+query, header{"Cookie": s.cookie}))
}

func (s *sofa) kept(a answer) answer {
	for _, c := range a.Result().Cookies() {
		s.cookie = c.Name + "=" + c.Value
	}
	return a
}

var formField = regexp.MustCompile(`name="form" value="([^"]+)"`)

func formIn(a answer) string {
	a.t.Helper()
	m := formField.FindStringSubmatch(a.Body.String())
	if m == nil {
		a.t.Fatalf("status %d, no form:\n%s", a.Code, a.Body)
	}
	return m[1]
}

// answers posts the form of a page, as browsers do: with no-referrer they keep their origin to themselves.
func (s *sofa) answers(form string, pairs ...string) answer {
	s.t.Helper()
	return s.kept(s.form("/activate", header{"Cookie": s.cookie, "Origin": "null", "Sec-Fetch-Site": "same-origin"}, append([]string{"form", form}, pairs...)...))
}

// types goes to the page, types the code, and gives an answer.
func (s *sofa) types(code, answer string) answer {
	s.t.Helper()
	asked := s.answers(formIn(s.browse("")), "user_code", code)
	if asked.Code != http.StatusOK {
		return asked
	}
	return s.answers(formIn(asked), "user_code", code, "answer", answer)
}

func TestDeviceGrant(t *testing.T) {
	onBothSofas(t, func(t *testing.T, s *sofa) {
		w := s.wants("openid profile offline_access")
		if !regexp.MustCompile(`^[\w-]{43}$`).MatchString(w.Device) || !regexp.MustCompile(`^[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}$`).MatchString(w.User) ||
			w.URI != origin+"/activate" || w.Complete != origin+"/activate?user_code="+w.User || w.Expires != 600 || w.Interval != 5 {
			t.Errorf("%+v", w)
		}
		s.poll(w).refused(400, oauth.AuthorizationPending, "")
		s.poll(w).refused(400, oauth.SlowDown, "")
		s.wait(6 * time.Second)
		s.poll(w).refused(400, oauth.SlowDown, "") // ten seconds by now
		s.wait(15 * time.Second)
		s.poll(w).refused(400, oauth.AuthorizationPending, "")

		page := s.browse("?user_code=" + w.User)
		page.stays(200, `value="`+w.User+`"`)
		asked := s.answers(formIn(page), "user_code", strings.ToLower(strings.ReplaceAll(w.User, "-", " ")))
		asked.stays(200, "Let Living &lt;Room&gt; TV in?")
		for _, said := range []string{"know who you are", "stay signed in", w.User, "is in front of you"} {
			if !strings.Contains(asked.Body.String(), said) {
				t.Errorf("the page does not say %q", said)
			}
		}
		s.wait(15 * time.Second)
		s.poll(w).refused(400, oauth.AuthorizationPending, "") // looking is not allowing
		s.answers(formIn(asked), "user_code", w.User, "answer", "continue").stays(200, "Your device is signed in")

		s.wait(time.Second)
		got := decode[tokens](s.poll(w).ok()) // too soon, but why make somebody wait for what is there
		id, access := part(t, got.ID, 1), part(t, got.Access, 1)
		if access["cid"] != tvID || id["sub"] != "00u1mary" || id["auth_time"] != float64(s.who.AuthTime.Unix()) || got.Refresh == "" || got.Scope != "openid profile offline_access" {
			t.Errorf("%+v\n%v\n%v", got, id, access)
		}
		if len(s.events(audit.DeviceAllowed)) != 1 || len(s.events(audit.TokensIssued)) != 1 {
			t.Error("S-71: not recorded")
		}
		// Whoever shows it again has it from somewhere else (S-56).
		s.userinfo(got.Access).ok()
		s.poll(w).refused(400, oauth.InvalidGrant, "")
		s.userinfo(got.Access).refused(401, oauth.InvalidToken, "")
	})
}

func TestS56_ParallelDeviceRedemptions(t *testing.T) {
	onBothSofas(t, func(t *testing.T, s *sofa) {
		w := s.wants("openid")
		s.types(w.User, "continue").stays(200, "signed in")
		if won := race(50, func() int { return s.poll(w).Code }); won != 1 {
			t.Errorf("%d of 50 won", won)
		}
		if n := len(s.events(audit.TokensIssued)); n != 1 {
			t.Errorf("%d issues recorded", n)
		}
	})
}

func TestDeviceIsRefused(t *testing.T) {
	s := newSofa(t)
	s.client("0oa1tv2", func(c *oauth.Client) { c.Grants = []oauth.GrantType{oauth.DeviceCode} })
	denied := s.wants("openid")
	s.types(denied.User, "deny").stays(200, "stays out")
	s.poll(denied).refused(400, oauth.AccessDenied, "")
	s.types(denied.User, "continue").stays(400, "That code is not right") // the first decision stands
	s.poll(denied).refused(400, oauth.AccessDenied, "")
	if len(s.events(audit.DeviceDenied)) != 1 {
		t.Error("S-71: not recorded")
	}

	w := s.wants("openid")
	s.form(base+"v1/token", nil, "grant_type", string(oauth.DeviceCode), "device_code", w.Device, "client_id", "0oa1tv2").refused(400, oauth.InvalidGrant, "")
	s.form("/oauth2/other/v1/token", nil, "grant_type", string(oauth.DeviceCode), "device_code", w.Device, "client_id", tvID).refused(400, oauth.InvalidGrant, "")
	s.poll(w).refused(400, oauth.AuthorizationPending, "") // and those polls were not its own
	s.poll(waiting{Device: "x"}).refused(400, oauth.InvalidGrant, "")
	s.form(base+"v1/token", nil, "grant_type", string(oauth.DeviceCode), "client_id", tvID).refused(400, oauth.InvalidRequest, "")
	s.form(base+"v1/token", nil, "grant_type", string(oauth.DeviceCode), "device_code", w.Device, "client_id", appID).refused(400, oauth.UnauthorizedClient, "")
	s.form(base+"v1/device/authorize", nil, "client_id", appID, "scope", "openid").refused(400, oauth.UnauthorizedClient, "")
	s.form(base+"v1/device/authorize", nil, "client_id", tvID, "scope", "pets").refused(400, oauth.InvalidScope, "")
	s.form(base+"v1/device/authorize", nil, "client_id", tvID).refused(400, oauth.InvalidScope, "")
	s.form(base+"v1/device/authorize", nil, "client_id", "0oa1nobody", "scope", "openid").refused(401, oauth.InvalidClient, "")
	s.get(base+"v1/device/authorize", nil).refused(405, oauth.InvalidRequest, "")
	s.client("0oa1tv3", func(c *oauth.Client) {
		c.Grants = []oauth.GrantType{oauth.DeviceCode}
		c.SecretDigests = []secret.Digest{secret.DigestOf(secret.ClientSecret, webSecret)}
	})
	s.form(base+"v1/device/authorize", nil, "client_id", "0oa1tv3", "scope", "openid").refused(401, oauth.InvalidClient, "") // S-58

	s.wait(device.Lifetime)
	s.types(w.User, "continue").stays(400, "That code is not right")
	s.poll(w).refused(400, oauth.ExpiredToken, "")

	gone := s.wants("openid")
	s.types(gone.User, "continue").stays(200, "signed in")
	s.write(func(tx store.Tx) error {
		u, err := tx.User(ctx, "00u1mary")
		u.Status = ident.Suspended
		if err != nil {
			return err
		}
		return tx.PutUser(ctx, u)
	})
	s.poll(gone).refused(400, oauth.AccessDenied, "")
	s.types(s.wants("openid").User, "continue").stays(400, "That code is not right")
}

func TestS41_OnlyOurFormsLetDevicesIn(t *testing.T) {
	s := newSofa(t)
	w := s.wants("openid")
	first := formIn(s.browse(""))
	second := formIn(s.answers(first, "user_code", w.User))
	good := header{"Cookie": s.cookie, "Origin": origin}
	other := s.wants("openid")
	for name, test := range map[string]struct {
		header header
		pairs  []string
	}{
		"no form":                 {good, []string{"user_code", w.User, "answer", "continue"}},
		"a form of chance":        {good, []string{"form", strings.Repeat("x", 43), "user_code", w.User, "answer", "continue"}},
		"the form of page one":    {good, []string{"form", first, "user_code", w.User, "answer", "continue"}},
		"another code's form":     {good, []string{"form", second, "user_code", other.User, "answer", "continue"}},
		"an answer that is none":  {good, []string{"form", second, "user_code", w.User, "answer", "yes"}},
		"without the cookie":      {header{"Origin": origin}, []string{"form", second, "user_code", w.User, "answer", "continue"}},
		"with another cookie":     {header{"Cookie": "__Host-latchkey_activate=" + strings.Repeat("x", 43)}, []string{"form", second, "user_code", w.User, "answer", "continue"}},
		"from another origin":     {header{"Cookie": s.cookie, "Origin": "https://evil.example"}, []string{"form", second, "user_code", w.User, "answer", "continue"}},
		"from another site":       {header{"Cookie": s.cookie, "Origin": "null", "Sec-Fetch-Site": "cross-site"}, []string{"form", second, "user_code", w.User, "answer", "continue"}},
		"from a neighbour's page": {header{"Cookie": s.cookie, "Sec-Fetch-Site": "same-site"}, []string{"form", second, "user_code", w.User, "answer", "continue"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.form("/activate", test.header, test.pairs...)
			a.stays(403, "That did not work")
			s.wait(time.Minute / 2)
			s.poll(w).refused(400, oauth.AuthorizationPending, "") // state unchanged
		})
	}
	for name, known := range map[string]header{"Origin alone": {"Origin": origin}, "null alone": {"Origin": "null"}, "neither": {}} {
		known["Cookie"] = s.cookie
		if a := s.form("/activate", known, "form", first, "user_code", w.User); a.Code != http.StatusOK {
			t.Errorf("our own form from a browser that sends %s: %d", name, a.Code)
		}
	}
	if a := s.get("/activate?"+encode("user_code", w.User, "answer", "continue", "form", second), header{"Cookie": s.cookie}); a.Code != 200 || !strings.Contains(a.Body.String(), "Type the code") {
		t.Errorf("a GET did something: %d", a.Code)
	}
	s.answers(second, "user_code", w.User, "answer", "continue").stays(200, "signed in")
}

func TestS43_ActivationPages(t *testing.T) {
	s := newSofa(t)
	a := s.browse("")
	h := a.Header()
	csp := h.Get("Content-Security-Policy")
	if !strings.Contains(csp, "form-action 'self'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("%s", csp)
	}
	cookie := h.Get("Set-Cookie")
	for _, want := range []string{"__Host-latchkey_activate=", "Path=/", "HttpOnly", "Secure", "SameSite=Lax"} {
		if !strings.Contains(cookie, want) || strings.Contains(cookie, "Domain") {
			t.Errorf("S-39: %s", cookie)
		}
	}
	if a := s.get("/activate?user_code=%3Cscript%3E", nil); strings.Contains(a.Body.String(), "script") {
		t.Error("the page echoes")
	}
	if a := s.send(httptest.NewRequest(http.MethodPut, "/activate", nil), nil); a.Code != 405 || a.Header().Get("Allow") == "" {
		t.Errorf("S-49: PUT is answered %d", a.Code)
	}
	s.signed = false
	if a := s.browse("?user_code=WDJB-MJHT"); a.Code != 303 || a.Header().Get("Location") != "/login/begin?back=%2Factivate%3Fuser_code%3DWDJB-MJHT" {
		t.Errorf("nobody is signed in: %d to %s", a.Code, a.Header().Get("Location"))
	}
	if a := s.browse("?user_code=https://evil.example"); a.Header().Get("Location") != "/login/begin?back=%2Factivate" {
		t.Errorf("S-45: to %s", a.Header().Get("Location"))
	}
}

// An application that asks for two factors is not let in by somebody who proved one, somewhere else.
func TestADeviceAsksForAsMuchAsItsApplication(t *testing.T) {
	s := newSofa(t)
	w := s.wants("openid")
	s.showed("pwd")
	a := s.answers(formIn(s.browse("")), "user_code", w.User)
	a.stays(200, "asks for more")
	if !strings.Contains(a.Body.String(), "client_id=0oa1tv") {
		t.Errorf("the way to sign in again: %s", a.Body)
	}
	s.showed("pwd", "sms")
	asked := formIn(s.answers(formIn(s.browse("")), "user_code", w.User))
	s.showed("pwd") // another session since
	s.answers(asked, "user_code", w.User, "answer", "continue").stays(200, "asks for more")
	s.poll(w).refused(400, oauth.AuthorizationPending, "")
	s.answers(asked, "user_code", w.User, "answer", "deny").stays(200, "stays out") // saying no needs no more
}

func TestS04_AnEndedSessionLetsNoDeviceIn(t *testing.T) {
	for name, end := range map[string]func(store.Tx, time.Time) error{
		"ended":   func(tx store.Tx, now time.Time) error { return tx.EndSession(ctx, "ses1", now) },
		"expired": func(tx store.Tx, now time.Time) error { return tx.SeeSession(ctx, "ses1", now, now) },
		"somebody else's": func(tx store.Tx, now time.Time) error {
			paul := store.Session{ID: "ses1", Value: secret.DigestOf(secret.SessionValue, "2"), User: "00u1paul", Created: now, Seen: now, Expires: now.Add(time.Hour)}
			return errors.Join(tx.EndSession(ctx, "ses1", now), tx.AddSession(ctx, paul))
		},
	} {
		t.Run(name, func(t *testing.T) {
			onBothSofas(t, func(t *testing.T, s *sofa) {
				w := s.wants("openid")
				asked := formIn(s.answers(formIn(s.browse("")), "user_code", w.User))
				s.write(func(tx store.Tx) error { return end(tx, s.now()) }) // after the page was asked for who is there
				s.answers(asked, "user_code", w.User, "answer", "continue").stays(400, "not right")
				s.poll(w).refused(400, oauth.AuthorizationPending, "")
			})
		})
	}
}

func TestGuessingUserCodesIsLimited(t *testing.T) {
	s := newSofa(t)
	s.most = 3
	w := s.wants("openid")
	form := formIn(s.browse(""))
	for range 3 {
		s.answers(form, "user_code", "BBBB-BBBB").stays(400, "That code is not right")
	}
	a := s.answers(form, "user_code", w.User)
	a.stays(429, "Too many codes")
	if a.Header().Get("Retry-After") != "60" || s.counts["user 00u1mary"] != 4 {
		t.Errorf("%v, %v", a.Header(), s.counts)
	}
}

func TestS66_DevicesAreAnnouncedWhereTheyAreLetIn(t *testing.T) {
	o := newOrg(t)
	const path = base + ".well-known/openid-configuration"
	if doc := o.get(path, nil).ok().Body.String(); strings.Contains(doc, "device") {
		t.Errorf("nobody can let devices in: %s", doc)
	}
	o.form(base+"v1/device/authorize", nil, "client_id", appID, "scope", "openid").refused(404, oauth.InvalidRequest, "")
	o.get("/activate", nil).stays(404, "does not work")
	s := sofaIn(o)
	doc := decode[map[string]any](s.get(path, nil).ok())
	grants := doc["grant_types_supported"].([]any)
	if doc["device_authorization_endpoint"] != issuer+"/v1/device/authorize" || grants[len(grants)-1] != string(oauth.DeviceCode) {
		t.Errorf("%v", doc)
	}
}

func TestFoldsCodes(t *testing.T) {
	for typed, want := range map[string]string{
		"wdjb-mjht": "WDJBMJHT", " WDJB MJHT ": "WDJBMJHT", "WDJBMJHT": "WDJBMJHT", "W-D-J-B-M-J-H-T": "WDJBMJHT",
		"": "", "WDJB-MJH": "", "WDJB-MJHTT": "", "WDJB-MJHA": "", "WDJB-MJH1": "", "WDJB-MJHé": "", "ＷDJB-MJHT": "",
	} {
		code, ok := device.Fold(typed)
		if ok != (want != "") || ok && code.Reveal() != want {
			t.Errorf("%q: %q, %v", typed, code.Reveal(), ok)
		}
	}
	if a, b := device.NewUserCode(), device.NewUserCode(); a == b {
		t.Error("two codes are one")
	}
}
