package idxapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey.dev/internal/authn"
	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/authn/phone"
	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/idxapi"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/postgres"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/store/storetest"
)

const (
	origin    = "https://id.example"
	number    = "+15551234567"
	mask      = "+1 XXX-XXX-4567"
	mary      = "mary@example.com"
	password1 = "Correct-Horse-1"
)

// cheap keeps the tests quick; what they hold does not depend on the cost.
var cheap = password.Params{Memory: 64, Time: 1, Threads: 1}

var cheapPassword = password.New(cheap)

// clients of the harness, one per policy.
var clients = map[oauth.ClientID]policy.Policy{
	"0oa1seed":     policy.PasswordAndPhone,
	"0oa1one":      policy.PasswordOnly,
	"0oa1optional": policy.PasswordAndOptionalPhone,
	"0oa1name":     {Require: []ident.Kind{ident.Password, ident.Phone}, IdentifierFirst: true},
	"0oa1nameonly": {Require: []ident.Kind{ident.Password}, IdentifierFirst: true},
}

// A house is the engine and its IDX face over a real database, with a clock and a pocket for texts.
type house struct {
	t      testing.TB
	db     store.DB
	engine *engine.Engine
	api    http.Handler
	pocket *pocket
	mu     sync.Mutex
	now    time.Time
}

// A pocket takes texts and says what it was told to.
type pocket struct {
	mu      sync.Mutex
	texts   []store.Message
	verdict store.MessageStatus
	db      store.DB
}

func (*pocket) Name() string         { return "test" }
func (*pocket) Lease() time.Duration { return time.Minute }

func (p *pocket) Deliver(ctx context.Context, m store.Message) store.MessageStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.verdict == store.Refused || p.verdict == store.Failed {
		if err := p.db.Update(ctx, func(tx store.Tx) error {
			if p.verdict == store.Failed {
				if err := tx.DropSend(ctx, m.Send); err != nil {
					return err
				}
			}
			return tx.Settle(ctx, m.ID, "test", p.verdict, m.Created)
		}); err != nil {
			panic(err)
		}
		return p.verdict
	}
	p.texts = append(p.texts, m)
	return store.Sent
}

func (p *pocket) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.texts)
}

// code is the one in the newest text.
func (p *pocket) code() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return regexp.MustCompile(`#(\d{6})$`).FindStringSubmatch(p.texts[len(p.texts)-1].Body.Reveal())[1]
}

// open opens an empty database for one test: SQLite in the first run of this room's tests, PostgreSQL in the second.
var open = openSQLite

// TestMain runs everything on both databases. Benchmarks and fuzzing are for one.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 && !asked("test.bench") && !asked("test.fuzz") && !asked("test.list") {
		switch {
		case os.Getenv(storetest.PostgresEnv) != "":
			fmt.Println("again on PostgreSQL")
			open = openPostgres
			code = m.Run()
		case os.Getenv("CI") == "true":
			fmt.Fprintf(os.Stderr, "%s is not set, and this is CI\n", storetest.PostgresEnv)
			code = 1
		}
	}
	os.Exit(code)
}

func asked(name string) bool { return flag.Lookup(name).Value.String() != "" }

func openSQLite(t testing.TB, keys *secret.Keys) (store.DB, error) {
	return sqlite.Open(t.Context(), t.TempDir(), keys)
}

func openPostgres(t testing.TB, keys *secret.Keys) (store.DB, error) {
	return postgres.Open(t.Context(), storetest.Schema(t), keys, slog.New(slog.DiscardHandler))
}

type option func(*engine.Config)

func reveal(c *engine.Config) { c.RevealUnknown = true }

// production uses the real intervals between texts; without it a code can be sent again at once, as in dev.
func production(c *engine.Config) { c.Codes, c.Sends = limit.DefaultCodes(), limit.DefaultSends() }

func build(t testing.TB, options ...option) *house {
	t.Helper()
	keys, err := secret.NewKeys([secret.KeySize]byte{42})
	if err != nil {
		t.Fatal(err)
	}
	db, err := open(t, keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h := &house{t: t, db: db, now: time.Date(2026, 11, 22, 19, 41, 14, 0, time.UTC)}
	h.pocket = &pocket{db: h.db}
	codes := limit.DefaultCodes()
	codes.Resend = 0
	pw := password.New(cheap)
	config := engine.Config{
		Store: h.db, Keys: keys, Sender: h.pocket, Now: h.clock, Origin: origin, Flow: limit.DefaultFlow(), Codes: codes,
		Plugins: []authn.Authenticator{pw, phone.New(phone.Config{Keys: keys})},
	}
	for _, o := range options {
		o(&config)
	}
	if h.engine, err = engine.New(config); err != nil {
		t.Fatal(err)
	}
	h.api = idxapi.New(idxapi.Config{Engine: h.engine, Origin: origin})
	h.seed(pw)
	return h
}

func (h *house) seed(pw *password.Password) {
	ctx := h.t.Context()
	err := h.db.Update(ctx, func(tx store.Tx) error {
		for _, a := range []ident.Authenticator{
			{ID: "aut1password", Kind: ident.Password, Key: "okta_password", Methods: []ident.Method{ident.MethodPassword}},
			{ID: "aut1phone", Kind: ident.Phone, Key: "phone_number", Methods: []ident.Method{ident.MethodSMS}},
		} {
			if err := tx.PutAuthenticator(ctx, a); err != nil {
				return err
			}
		}
		for id, p := range clients {
			if err := tx.PutClient(ctx, oauth.Client{ID: id, Label: "Seed App", Policy: p, Created: h.now}); err != nil {
				return err
			}
		}
		web := oauth.Client{ID: "0oa1web", Label: "Seed App", Policy: policy.PasswordOnly, SecretDigests: []secret.Digest{secret.DigestOf(secret.ClientSecret, "s3cret")}, Created: h.now}
		return tx.PutClient(ctx, web)
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.person("00u1mary", mary, pw, false)
	h.person("00u1paul", "paul@example.com", pw, true)
}

// person adds somebody who has a password, and perhaps a phone.
func (h *house) person(id ident.UserID, login string, pw *password.Password, withPhone bool) {
	ctx, name := h.t.Context(), strings.TrimPrefix(string(id), "00u1")
	err := h.db.Update(ctx, func(tx store.Tx) error {
		if err := tx.AddUser(ctx, ident.User{ID: id, Login: login, Status: ident.Active, GivenName: name, FamilyName: "Acme", Email: login, Created: h.now, Updated: h.now}); err != nil {
			return err
		}
		if err := tx.AddEnrollment(ctx, ident.Enrollment{ID: ident.EnrollmentID("lae1" + name), User: id, Authenticator: "aut1password",
			Kind: ident.Password, Method: ident.MethodPassword, Secret: pw.Hash(password1), Created: h.now}); err != nil {
			return err
		}
		if !withPhone {
			return nil
		}
		return tx.AddEnrollment(ctx, ident.Enrollment{ID: ident.EnrollmentID("sms1" + name), User: id, Authenticator: "aut1phone",
			Kind: ident.Phone, Method: ident.MethodSMS, Secret: number, Hint: mask, Created: h.now})
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *house) advance(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// A visit is one sign-in on its way, as a client sees it.
type visit struct {
	*house
	interaction string
	state       string
}

// An answer is a response as a client reads it.
type answer struct {
	status int
	header http.Header
	raw    string
	doc    map[string]any
}

// begin starts a flow and introspects it.
func (h *house) begin(client oauth.ClientID) (*visit, answer) {
	h.t.Helper()
	handle, err := h.engine.Begin(h.t.Context(), flow.Request{
		Server: "default", Client: client, Redirect: "http://localhost:8080/login/callback", Scopes: []string{"openid", "profile", "email"},
		State: "a state", Nonce: "a nonce", Challenge: "B3wDVrJbGGv_JOl0JzjLjkJxCvmVwttQKtrFWAmRKGU",
	})
	if err != nil {
		h.t.Fatal(err)
	}
	v := &visit{house: h, interaction: handle.Reveal()}
	a := v.introspect()
	v.state = a.text("stateHandle")
	return v, a
}

func (v *visit) introspect() answer {
	v.t.Helper()
	return v.send("introspect", fmt.Sprintf(`{"interactionHandle":%q}`, v.interaction), nil)
}

// post sends members, with the state handle.
func (v *visit) post(path string, members map[string]any) answer {
	v.t.Helper()
	body := map[string]any{"stateHandle": v.state}
	for k, m := range members {
		body[k] = m
	}
	raw, err := json.Marshal(body)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.send(path, string(raw), nil)
}

// send posts raw bytes and holds every answer to what all answers must be.
func (h *house) send(path, body string, header http.Header) answer {
	h.t.Helper()
	r := httptest.NewRequest(http.MethodPost, origin+"/idp/idx/"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json; okta-version=1.0.0")
	for k, v := range header {
		r.Header[k] = v
	}
	a := h.serve(r)
	wellFormed(h.t, path, a)
	return a
}

func (h *house) serve(r *http.Request) answer {
	w := httptest.NewRecorder()
	h.api.ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header(), raw: w.Body.String()}
	if err := json.Unmarshal(w.Body.Bytes(), &a.doc); err != nil {
		h.t.Fatalf("%s answers %d with no JSON object: %v\n%s", r.URL.Path, w.Code, err, a.raw)
	}
	return a
}

func (a answer) text(member string) string { s, _ := a.doc[member].(string); return s }

// at walks members and indices: at("remediation", "value", 0, "name").
func (a answer) at(path ...any) any { return walk(a.doc, path...) }

func walk(v any, path ...any) any {
	for _, step := range path {
		switch s := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[s]
		case int:
			l, _ := v.([]any)
			if s >= len(l) {
				return nil
			}
			v = l[s]
		}
	}
	return v
}

// forms lists the names of the remediations, in order.
func (a answer) forms() []string {
	var names []string
	l, _ := a.at("remediation", "value").([]any)
	for _, f := range l {
		names = append(names, fmt.Sprint(walk(f, "name")))
	}
	return names
}

func (a answer) want(t testing.TB, status int, forms ...string) answer {
	t.Helper()
	if a.status != status || fmt.Sprint(a.forms()) != fmt.Sprint(forms) {
		t.Fatalf("got %d %v, want %d %v\n%s", a.status, a.forms(), status, forms, a.raw)
	}
	return a
}

// message checks the first message at the top.
func (a answer) message(t testing.TB, key, text string) answer {
	t.Helper()
	m := a.at("messages", "value", 0)
	if walk(m, "i18n", "key") != key || text != "" && walk(m, "message") != text {
		t.Fatalf("message is %v, want %s %q", m, key, text)
	}
	return a
}

func (a answer) expired(t testing.TB) answer {
	t.Helper()
	a.want(t, http.StatusUnauthorized).message(t, "idx.session.expired", "You have been logged out due to inactivity. Refresh or return to the sign in screen.")
	if a.doc["stateHandle"] != nil || a.doc["cancel"] != nil {
		t.Fatalf("an expired handle gets a way on: %s", a.raw)
	}
	return a
}

func credentials(passcode string) map[string]any { return map[string]any{"passcode": passcode} }

func (v *visit) identify(login, passcode string) answer {
	v.t.Helper()
	return v.post("identify", map[string]any{"identifier": login, "credentials": credentials(passcode)})
}

func (v *visit) code(code string) answer {
	v.t.Helper()
	return v.post("challenge/answer", map[string]any{"credentials": credentials(code)})
}

func (v *visit) enroll(number string) answer {
	v.t.Helper()
	return v.post("credential/enroll", map[string]any{"authenticator": map[string]any{"id": "aut1phone", "methodType": "sms", "phoneNumber": number}})
}

// atCode brings paul to the page that awaits his code.
func (h *house) atCode() *visit {
	h.t.Helper()
	v, _ := h.begin("0oa1seed")
	v.identify("paul@example.com", password1).want(h.t, 200, "authenticator-verification-data", "select-authenticator-authenticate")
	v.challenge().want(h.t, 200, "challenge-authenticator", "select-authenticator-authenticate")
	return v
}

func (v *visit) challenge() answer {
	v.t.Helper()
	return v.post("challenge", map[string]any{"authenticator": map[string]any{"id": "aut1phone", "enrollmentId": "sms1paul", "methodType": "sms"}})
}

// other is a well-formed code that is not c.
func other(c string) string {
	if c == "000000" {
		return "000001"
	}
	return "000000"
}

// wellFormed holds an answer to what every client needs of every answer (idx 3, 4, 5.5; client-needs).
func wellFormed(t testing.TB, path string, a answer) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%s %d: %s\n%s", path, a.status, fmt.Sprintf(format, args...), a.raw)
	}
	kind := a.header.Get("Content-Type")
	if want := map[bool]string{true: "application/ion+json; okta-version=1.0.0", false: "application/json; okta-version=1.0.0; charset=utf-8"}[a.status == 200]; kind != want {
		fail("type is %q, want %q", kind, want)
	}
	if a.header.Get("Cache-Control") != "no-store" || a.header.Get("X-Content-Type-Options") != "nosniff" {
		fail("headers %v (S-44)", a.header)
	}
	if a.doc["version"] != "1.0.0" || a.doc["error"] != nil || a.doc["stateToken"] != nil || a.doc["headers"] != nil || a.doc["step"] != nil {
		fail("members that no document has, or no version")
	}
	noNothing(fail, "", a.doc)
	handle := a.text("stateHandle")
	if handle != "" {
		if !regexp.MustCompile(`^02[A-Za-z0-9_-]{43}$`).MatchString(handle) {
			fail("state handle %q", handle)
		}
		if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`).MatchString(a.text("expiresAt")) || a.text("intent") != "LOGIN" {
			fail("expiresAt %q, intent %q", a.text("expiresAt"), a.text("intent"))
		}
	}
	if len(a.forms()) > 0 || a.doc["successWithInteractionCode"] != nil {
		if walk(a.doc, "app", "value", "name") != "oidc_client" || walk(a.doc, "app", "value", "label") == nil || walk(a.doc, "app", "value", "id") == nil {
			fail("app is incomplete")
		}
		if walk(a.doc, "cancel", "name") != "cancel" {
			fail("no cancel")
		}
		wellFormedForm(fail, a, walk(a.doc, "cancel"), handle)
	}
	l, _ := a.at("remediation", "value").([]any)
	for _, f := range l {
		wellFormedForm(fail, a, f, handle)
	}
	for _, member := range []string{"currentAuthenticator", "currentAuthenticatorEnrollment"} {
		if resend := walk(a.doc, member, "value", "resend"); resend != nil {
			wellFormedForm(fail, a, resend, handle)
		}
	}
	if bytes.Contains([]byte(a.raw), []byte(number)) || bytes.Contains([]byte(a.raw), []byte("5551234")) {
		fail("a full number is shown (S-37)")
	}
}

func wellFormedForm(fail func(string, ...any), a answer, f any, handle string) {
	name := walk(f, "name")
	if walk(f, "rel", 0) != "create-form" || walk(f, "method") != "POST" || walk(f, "accepts") != "application/json; okta-version=1.0.0" ||
		walk(f, "produces") != "application/ion+json; okta-version=1.0.0" || !strings.HasPrefix(fmt.Sprint(walk(f, "href")), origin+"/idp/idx/") {
		fail("form %v is incomplete", name)
	}
	inputs, _ := walk(f, "value").([]any)
	if len(inputs) == 0 {
		fail("form %v has no fields", name)
	}
	last := inputs[len(inputs)-1]
	if walk(last, "name") != "stateHandle" || walk(last, "value") != handle || walk(last, "mutable") != false || walk(last, "visible") != false || walk(last, "required") != true {
		fail("form %v carries the state handle as %v", name, last)
	}
	if to := walk(f, "relatesTo"); to != nil {
		paths, ok := to.([]any)
		if !ok || len(paths) != 1 || walk(resolve(a.doc, paths[0]), "type") != "object" {
			fail("form %v relates to %v, which is no wrapped object", name, to)
		}
	}
	for _, in := range inputs {
		options, _ := walk(in, "options").([]any)
		if len(options) > 0 && walk(in, "type") != "object" {
			fail("field %v of %v has options and is no object", walk(in, "name"), name)
		}
		for _, o := range options {
			to, ok := walk(o, "relatesTo").(string)
			if !ok || walk(resolve(a.doc, to), "key") == nil {
				fail("option %v of %v relates to %v, which has no key", walk(o, "label"), name, walk(o, "relatesTo"))
			}
			first := walk(o, "value", "form", "value", 0)
			if walk(first, "name") != "id" || walk(first, "mutable") != false || walk(first, "required") != true {
				fail("option %v of %v does not begin with its fixed id", walk(o, "label"), name)
			}
		}
	}
}

// resolve follows $.a.value[0].
func resolve(doc map[string]any, path any) any {
	var v any = doc
	for _, part := range strings.Split(strings.TrimPrefix(fmt.Sprint(path), "$."), ".") {
		member, index, indexed := strings.Cut(strings.TrimSuffix(part, "]"), "[")
		v = walk(v, member)
		if indexed {
			var i int
			fmt.Sscan(index, &i)
			v = walk(v, i)
		}
	}
	return v
}

// noNothing refuses nulls anywhere, and empty collections but for the parameters of a message.
func noNothing(fail func(string, ...any), at string, v any) {
	switch v := v.(type) {
	case nil:
		fail("null at %s", at)
	case []any:
		if len(v) == 0 && !strings.HasSuffix(at, ".params") {
			fail("nothing in %s", at)
		}
		for i, e := range v {
			noNothing(fail, fmt.Sprintf("%s[%d]", at, i), e)
		}
	case map[string]any:
		for k, e := range v {
			noNothing(fail, at+"."+k, e)
		}
	}
}
