package op_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"latchkey.dev/internal/audit"
	signin "latchkey.dev/internal/engine"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/op"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/postgres"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/store/storetest"
)

var ctx = context.Background()

// The cast. Values are fixed where a golden file shows them.
const (
	origin   = "https://id.example"
	issuer   = origin + "/oauth2/default"
	base     = "/oauth2/default/"
	callback = "http://localhost:8080/login/callback"
	verifier = "ac74f126505bb911443d5bf84479e11781dc1549c17"
	webID    = "0oa1web"
	appID    = "0oa1seed"
	nonce    = "qCwVVGnf"
)

var webSecret = strings.Repeat("s", 43)

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// An org is the face over a real database, with an engine that only remembers what it was asked to begin.
type org struct {
	t      testing.TB
	db     store.DB
	ring   *keys.Ring
	api    *op.API
	log    *strings.Builder
	engine *engine

	mu    sync.Mutex
	at    time.Time
	codes int
}

type engine struct {
	op.Engine
	began   []flow.Request
	devices []signin.Device
	err     error
}

func (e *engine) Begin(ctx context.Context, r flow.Request) (secret.Text, error) {
	if e.err != nil {
		return "", e.err
	}
	e.began, e.devices = append(e.began, r), append(e.devices, signin.DeviceOf(ctx))
	return "pV3nC8zK1mT6yQ0wR5uJ9bXsE2hL7dGa4fNoYiUkZqM", nil
}

func (e *engine) Browser(secret.Text) (secret.Text, bool) { return "browser", true }

// Open knows nobody who is signed in.
func (e *engine) Open(ctx context.Context, o signin.Opening) (signin.Opened, error) {
	if o.Silent {
		return signin.Opened{}, nil
	}
	handle, err := e.Begin(ctx, o.Request)
	return signin.Opened{Interaction: handle}, err
}

func (o *org) now() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at
}

func (o *org) wait(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at = o.at.Add(d)
}

func master(t testing.TB) *secret.Keys {
	t.Helper()
	k, err := secret.NewKeys([secret.KeySize]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// open opens an empty database for one test: SQLite in the first run of this room's tests, PostgreSQL in the second.
var open = onSQLite

// TestMain runs everything on both databases. Benchmarks and fuzzing are for one.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 && !flagged("test.bench") && !flagged("test.fuzz") && !flagged("test.list") {
		switch {
		case os.Getenv(storetest.PostgresEnv) != "":
			fmt.Println("again on PostgreSQL")
			open = onPostgres
			code = m.Run()
		case os.Getenv("CI") == "true":
			fmt.Fprintf(os.Stderr, "%s is not set, and this is CI\n", storetest.PostgresEnv)
			code = 1
		}
	}
	os.Exit(code)
}

func flagged(name string) bool { return flag.Lookup(name).Value.String() != "" }

func onSQLite(t testing.TB) store.DB {
	t.Helper()
	db, err := sqlite.Open(ctx, t.TempDir(), master(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// onPostgres works in a schema of its own.
func onPostgres(t testing.TB) store.DB {
	t.Helper()
	db, err := postgres.Open(ctx, storetest.Schema(t), master(t), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// testKey is made once: making one takes longer than most tests here.
var testKey = sync.OnceValue(func() []byte {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return der
})

func newOrg(t testing.TB) *org { return orgOn(t, open(t)) }

func orgOn(t testing.TB, db store.DB) *org {
	t.Helper()
	o := &org{t: t, db: db, log: &strings.Builder{}, engine: &engine{}, at: time.Date(2026, 11, 22, 20, 22, 8, 0, time.UTC)}
	o.write(func(tx store.Tx) error {
		if err := tx.PutServer(ctx, oauth.DefaultServer()); err != nil {
			return err
		}
		other := oauth.DefaultServer()
		other.ID, other.Audience = "other", "api://other"
		if err := tx.PutServer(ctx, other); err != nil {
			return err
		}
		mary := ident.User{
			ID: "00u1mary", Login: "mary@example.com", Status: ident.Active, GivenName: "Mary", FamilyName: "Acme",
			Email: "mary@example.com", EmailVerified: true, Locale: "en_US", Zone: "America/Los_Angeles",
			Created: o.at, Updated: time.Unix(1619624928, 0),
		}
		if err := tx.AddUser(ctx, mary); err != nil {
			return err
		}
		return tx.AddEnrollment(ctx, ident.Enrollment{
			ID: "sms1mary", User: mary.ID, Authenticator: "aut1phone", Kind: ident.Phone, Method: ident.MethodSMS,
			Secret: "+15551234567", Hint: "+1 XXX-XXX-4567", Created: o.at,
		})
	})
	o.client(appID, nil)
	o.client(webID, func(c *oauth.Client) {
		c.SecretDigests = []secret.Digest{secret.DigestOf(secret.ClientSecret, webSecret)}
		c.AuthenticatesAtInteract = true
	})
	o.write(func(tx store.Tx) error {
		return tx.AddSigningKey(ctx, store.SigningKey{ID: "testkey", Alg: keys.RS256, Private: testKey(), Created: o.at, From: o.at})
	})
	ring, err := keys.Open(ctx, db, o.now)
	if err != nil {
		t.Fatal(err)
	}
	o.ring = ring
	o.api = op.New(op.Config{
		Store: db, Keys: ring, Secrets: master(t), Engine: o.engine, Origin: origin, Now: o.now,
		Log: slog.New(slog.NewJSONHandler(&locked{w: o.log}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	return o
}

// locked lets parallel requests write one log.
type locked struct {
	mu sync.Mutex
	w  *strings.Builder
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// client puts a client that may do everything, changed by f.
func (o *org) client(id oauth.ClientID, f func(*oauth.Client)) {
	o.t.Helper()
	c := oauth.Client{
		ID: id, Label: string(id), Redirects: []string{callback, "http://127.0.0.1/cb"}, PostLogout: []string{"http://localhost:8080/bye"},
		Grants: []oauth.GrantType{oauth.InteractionCode, oauth.AuthorizationCode, oauth.RefreshToken}, Scopes: oauth.DefaultServer().Scopes,
		Policy: policy.PasswordAndPhone, Created: o.at,
	}
	if f != nil {
		f(&c)
	}
	o.write(func(tx store.Tx) error { return tx.PutClient(ctx, c) })
}

func (o *org) write(f func(store.Tx) error) {
	o.t.Helper()
	if err := o.db.Update(ctx, f); err != nil {
		o.t.Fatal(err)
	}
}

// hosted is what the end of a sign-in on our own pages leaves behind: an authorization code.
func (o *org) hosted(client oauth.ClientID, scope string, change ...func(*store.Code)) string {
	o.t.Helper()
	value := secret.Random().Reveal()
	o.code(client, scope, append(change, func(c *store.Code) { c.Digest = secret.DigestOf(secret.AuthorizationCode, value) })...)
	return value
}

// exchange changes an authorization code of the public client into tokens.
func (o *org) exchange(code string, more ...string) answer {
	return o.form(base+"v1/token", nil, append([]string{"grant_type", "authorization_code", "code", code, "client_id", appID, "code_verifier", verifier}, more...)...)
}

// code is what the engine leaves behind at the end of a sign-in.
func (o *org) code(client oauth.ClientID, scope string, change ...func(*store.Code)) string {
	o.t.Helper()
	o.mu.Lock()
	o.codes++
	o.mu.Unlock()
	value := secret.Random().Reveal()
	c := store.Code{
		Digest: secret.DigestOf(secret.InteractionCode, value), Redirect: callback, PKCE: challenge(), Expires: o.now().Add(time.Minute),
		Grant: oauth.Grant{
			ID: oauth.GrantID(ident.NewID("oar")), Server: "default", Client: client, User: "00u1mary", Scopes: strings.Fields(scope), Nonce: nonce,
			AuthTime: o.now(), AMR: policy.AMR([]ident.Method{ident.MethodPassword, ident.MethodSMS}), Created: o.now(),
		},
	}
	for _, f := range change {
		f(&c)
	}
	o.write(func(tx store.Tx) error { return tx.AddCode(ctx, c) })
	return value
}

// events lists what was recorded, as type and outcome.
func (o *org) events(t audit.Type) []audit.Event {
	o.t.Helper()
	var found []audit.Event
	for _, e := range storetest.Events(o.t, o.db) {
		if e.Type == t {
			found = append(found, e)
		}
	}
	return found
}

// An answer is what came back.
type answer struct {
	*httptest.ResponseRecorder
	t testing.TB
}

type header map[string]string

func (o *org) send(r *http.Request, h header) answer {
	for name, value := range h {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	o.api.ServeHTTP(w, r)
	return answer{w, o.t}
}

func (o *org) get(path string, h header) answer {
	return o.send(httptest.NewRequest(http.MethodGet, path, nil), h)
}

// post sends form as it stands, which is how one tests what encodings are taken.
func (o *org) post(path, form string, h header) answer {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return o.send(r, h)
}

// form sends pairs of names and values.
func (o *org) form(path string, h header, pairs ...string) answer {
	return o.post(path, encode(pairs...), h)
}

func encode(pairs ...string) string {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

// tokens is what a token answer holds.
type tokens struct {
	Type    string `json:"token_type"`
	Expires int64  `json:"expires_in"`
	Access  string `json:"access_token"`
	Scope   string `json:"scope"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
}

// redeem changes a code of the public client into tokens.
func (o *org) redeem(code string) answer {
	return o.form(base+"v1/token", nil, "grant_type", "interaction_code", "interaction_code", code, "client_id", appID, "code_verifier", verifier)
}

func (o *org) signIn(scope string) tokens {
	o.t.Helper()
	return decode[tokens](o.redeem(o.code(appID, scope)).ok())
}

func (o *org) refresh(token string, more ...string) answer {
	return o.form(base+"v1/token", nil, append([]string{"grant_type", "refresh_token", "refresh_token", token, "client_id", appID}, more...)...)
}

func (o *org) userinfo(token string) answer {
	return o.get(base+"v1/userinfo", header{"Authorization": "Bearer " + token})
}

// ok fails the test unless the answer is a good one.
func (a answer) ok() answer {
	a.t.Helper()
	if a.Code != http.StatusOK {
		a.t.Fatalf("status %d: %s", a.Code, a.Body)
	}
	return a
}

// refused fails the test unless the answer is an OAuth error, whole: both members, JSON, not to be kept (S-44).
func (a answer) refused(status int, code oauth.Code, description string) {
	a.t.Helper()
	var e struct {
		Code        oauth.Code `json:"error"`
		Description string     `json:"error_description"`
	}
	if err := json.Unmarshal(a.Body.Bytes(), &e); err != nil {
		a.t.Errorf("status %d with a body that is no JSON: %q", a.Code, a.Body)
		return
	}
	if a.Code != status || e.Code != code || e.Description == "" || description != "" && e.Description != description {
		a.t.Errorf("status %d %s, want %d %s %q", a.Code, a.Body, status, code, description)
	}
	if strings.ContainsFunc(e.Description, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		a.t.Errorf("%q has characters that RFC 6749 5.2 keeps out", e.Description)
	}
	h := a.Header()
	if !strings.HasPrefix(h.Get("Content-Type"), "application/json") || h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
		a.t.Errorf("headers %v", h)
	}
}

func decode[T any](a answer) (v T) {
	a.t.Helper()
	if err := json.Unmarshal(a.Body.Bytes(), &v); err != nil {
		a.t.Fatalf("%v: %s", err, a.Body)
	}
	return v
}

// part decodes header (0) or claims (1) of a token.
func part(t testing.TB, token string, n int) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[n])
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func basic(pair string) header {
	return header{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))}
}
