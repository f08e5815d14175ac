package keys_test

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	_ "github.com/jackc/pgx/v5/stdlib"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/postgres"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/store/storetest"
)

var ctx = context.Background()

// A clock is set by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func master(t testing.TB) *secret.Keys {
	t.Helper()
	k, err := secret.NewKeys([secret.KeySize]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func openDB(t testing.TB, dir string) store.DB {
	t.Helper()
	db, err := sqlite.Open(ctx, dir, master(t))
	if err != nil {
		t.Fatal(err)
	}
	once := &closing{DB: db}
	t.Cleanup(func() { once.Close() })
	return once
}

// closing is a database that a test may close before its end.
type closing struct {
	store.DB
	once sync.Once
}

func (c *closing) Close() (err error) {
	c.once.Do(func() { err = c.DB.Close() })
	return err
}

func open(t testing.TB, db store.DB, c *clock) *keys.Ring {
	t.Helper()
	ring, err := keys.Open(ctx, db, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func sign(t testing.TB, ring *keys.Ring, claims any) string {
	t.Helper()
	signer, err := ring.Signer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signer.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func published(t testing.TB, ring *keys.Ring) []string {
	t.Helper()
	raw, err := ring.JWKS(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(raw, &set); err != nil {
		t.Fatal(err)
	}
	var kids []string
	for _, k := range set.Keys {
		kids = append(kids, k.KeyID)
	}
	return kids
}

func kid(t testing.TB, token string) string {
	t.Helper()
	header, _, _ := strings.Cut(token, ".")
	// Standard base64, as okta-jwt-verifier-golang reads it: without - and _ the two are one.
	raw, err := base64.RawStdEncoding.DecodeString(header)
	if err != nil {
		t.Fatalf("the header is no standard base64: %v", err)
	}
	var fields map[string]string
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	if len(fields) != 2 || fields["alg"] != "RS256" || fields["kid"] == "" {
		t.Fatalf("the header is %s, want alg and kid and nothing else", raw)
	}
	return fields["kid"]
}

func TestClientNeeds_HeaderIsAlgAndKid(t *testing.T) {
	c := newClock()
	ring := open(t, openDB(t, t.TempDir()), c)
	token := sign(t, ring, map[string]string{"sub": "00u1"})
	if got := published(t, ring); len(got) != 1 || got[0] != kid(t, token) {
		t.Errorf("published %v, signed with %s", got, kid(t, token))
	}
	for range 2 { // signed, and then remembered
		claims, err := keys.Verify[map[string]string](ctx, ring, token)
		if err != nil || len(claims) != 1 || claims["sub"] != "00u1" {
			t.Errorf("Verify: %v, %v", claims, err)
		}
	}
	if claims, err := keys.Verify[struct{ Sub string }](ctx, ring, token); err != nil || claims.Sub != "00u1" {
		t.Errorf("read as another type: %v, %v", claims, err)
	}
	if claims, err := keys.Verify[[]string](ctx, ring, token); !errors.Is(err, keys.ErrInvalid) {
		t.Errorf("read as what it is not: %v, %v", claims, err)
	}
}

// A verifier that is not ours reads the key set and agrees.
func TestClientNeeds_KeysCarryAlgAndUse(t *testing.T) {
	ring := open(t, openDB(t, t.TempDir()), newClock())
	raw, err := ring.JWKS(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(raw, &set); err != nil {
		t.Fatal(err)
	}
	key := set.Keys[0]
	if key["kty"] != "RSA" || key["alg"] != "RS256" || key["use"] != "sig" || key["e"] != "AQAB" || key["n"] == "" || key["kid"] == "" || len(key) != 6 {
		t.Errorf("the key is %v", key)
	}
	var jwks jose.JSONWebKeySet
	if err := json.Unmarshal(raw, &jwks); err != nil {
		t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(sign(t, ring, "x"), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jws.Verify(jwks); err != nil {
		t.Error(err)
	}
}

func TestS69_RestartAndSecondNodeUseTheSameKeys(t *testing.T) {
	c, dir := newClock(), t.TempDir()
	db := openDB(t, dir)
	first := open(t, db, c)
	token := sign(t, first, "x")
	if _, err := keys.Verify[any](ctx, open(t, db, c), token); err != nil {
		t.Errorf("a second ring over one database: %v", err)
	}
	db.Close()
	if _, err := keys.Verify[any](ctx, open(t, openDB(t, dir), c), token); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

func TestS69_FirstKeyIsMadeOnce(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { firstKeyIsMadeOnce(t, openDB(t, t.TempDir())) })
	t.Run("postgres", func(t *testing.T) { firstKeyIsMadeOnce(t, openPostgres(t)) })
}

// openPostgres works in a schema of its own.
func openPostgres(t *testing.T) store.DB {
	t.Helper()
	db, err := postgres.Open(ctx, storetest.Schema(t), master(t), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func firstKeyIsMadeOnce(t *testing.T, db store.DB) {
	c := newClock()
	rings := make([]*keys.Ring, 4)
	var wait sync.WaitGroup
	for i := range rings {
		wait.Go(func() {
			var err error
			if rings[i], err = keys.Open(ctx, db, c.now); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for _, ring := range rings {
		if got := published(t, ring); len(got) != 1 || !slices.Equal(got, published(t, rings[0])) {
			t.Errorf("published %v, another ring %v", got, published(t, rings[0]))
		}
	}
	events := storetest.Events(t, db)
	if len(events) != 1 || events[0].Type != audit.SigningKeyCreated || events[0].Target != published(t, rings[0])[0] {
		t.Errorf("S-71: events %+v", events)
	}
}

func TestS69_Rotation(t *testing.T) {
	c, db := newClock(), openDB(t, t.TempDir())
	ring := open(t, db, c)
	wantDue := func(want bool) {
		t.Helper()
		if due, err := ring.Due(ctx); err != nil || due != want {
			t.Errorf("Due = %v, %v", due, err)
		}
	}
	old := kid(t, sign(t, ring, "x"))
	wantDue(false)
	c.add(keys.Life - keys.Ahead)
	wantDue(true)
	if err := ring.Rotate(ctx); err != nil {
		t.Fatal(err)
	}
	wantDue(false)

	kids := published(t, ring)
	if len(kids) != 2 || kids[0] != old {
		t.Fatalf("published %v, want the old key and a new one", kids)
	}
	c.add(keys.Ahead - time.Second)
	last := sign(t, ring, "last")
	if kid(t, last) != old {
		t.Error("the new key signs before it was published for a day")
	}
	c.add(time.Second)
	if kid(t, sign(t, ring, "first")) != kids[1] {
		t.Error("the new key does not sign when its turn comes")
	}
	c.add(2*time.Hour - time.Second) // the longest token life and an hour
	if _, err := keys.Verify[any](ctx, ring, last); err != nil {
		t.Errorf("the last token of the old key, while it may live: %v", err)
	}
	if err := ring.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	if got := published(t, ring); len(got) != 2 {
		t.Errorf("published %v while tokens of both may live", got)
	}
	c.add(time.Second)
	if _, err := keys.Verify[any](ctx, ring, last); !errors.Is(err, keys.ErrInvalid) {
		t.Errorf("a token of a key that is gone, seen before: %v", err)
	}
	if err := ring.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	if got := published(t, ring); !slices.Equal(got, kids[1:]) {
		t.Errorf("published %v, want the new key alone", got)
	}
}

func TestS69_TwoNodesRotateAtOnce(t *testing.T) {
	c, db := newClock(), openDB(t, t.TempDir())
	one, two := open(t, db, c), open(t, db, c)
	var wait sync.WaitGroup
	for _, ring := range []*keys.Ring{one, two} {
		wait.Go(func() {
			if err := ring.Rotate(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if err := one.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	if n := len(published(t, one)); n != 2 {
		t.Errorf("%d keys published, want the old one and a new one", n)
	}
	c.add(keys.Ahead)
	if a, b := kid(t, sign(t, one, "x")), kid(t, sign(t, two, "x")); a != b || a == published(t, one)[0] {
		t.Errorf("one node signs with %s, the other with %s", a, b)
	}
}

func TestS82_ClockSetBackStillSigns(t *testing.T) {
	c, db := newClock(), openDB(t, t.TempDir())
	ring := open(t, db, c)
	c.add(-time.Hour)
	if _, err := keys.Verify[any](ctx, ring, sign(t, ring, "x")); err != nil {
		t.Error(err)
	}
}

// An emptied database gets another key under another name: a browser that kept the old set must notice.
func TestResetMakesAnotherKey(t *testing.T) {
	c, db := newClock(), openDB(t, t.TempDir())
	ring := open(t, db, c)
	token := sign(t, ring, "x")
	if err := db.(*closing).DB.(store.Resetter).Reset(ctx); err != nil {
		t.Fatal(err)
	}
	if err := ring.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Verify[any](ctx, ring, token); !errors.Is(err, keys.ErrInvalid) {
		t.Errorf("a token from before: %v", err)
	}
	if got := published(t, ring); len(got) != 1 || got[0] == kid(t, token) {
		t.Errorf("published %v after %s", got, kid(t, token))
	}
}

func TestS62_Algorithms(t *testing.T) {
	c, db := newClock(), openDB(t, t.TempDir())
	ring := open(t, db, c)
	good := sign(t, ring, map[string]string{"sub": "00u1"})
	id := kid(t, good)
	var stored []store.SigningKey
	err := db.View(ctx, func(tx store.Tx) (err error) {
		stored, err = tx.SigningKeys(ctx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(stored[0].Private)
	if err != nil {
		t.Fatal(err)
	}
	ours := parsed.(*rsa.PrivateKey)
	theirs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	header, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	rs256 := func(key *rsa.PrivateKey, header string) string {
		input := b64(header) + "." + payload
		sum := sha256.Sum256([]byte(input))
		mac, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return input + "." + b64(string(mac))
	}
	hs256 := func(secret []byte) string {
		input := b64(fmt.Sprintf(`{"alg":"HS256","kid":%q}`, id)) + "." + payload
		h := hmac.New(sha256.New, secret)
		h.Write([]byte(input))
		return input + "." + b64(string(h.Sum(nil)))
	}
	public := x509.MarshalPKCS1PublicKey(&ours.PublicKey)
	jwk, _ := json.Marshal(jose.JSONWebKey{Key: &theirs.PublicKey, KeyID: id, Algorithm: "RS256", Use: "sig"})

	if _, err := keys.Verify[any](ctx, ring, rs256(ours, fmt.Sprintf(`{"alg":"RS256","kid":%q}`, id))); err != nil {
		t.Fatalf("the test's own way of signing: %v", err)
	}
	for name, token := range map[string]string{
		"none":                        b64(fmt.Sprintf(`{"alg":"none","kid":%q}`, id)) + "." + payload + ".",
		"none with a signature":       b64(fmt.Sprintf(`{"alg":"none","kid":%q}`, id)) + "." + payload + "." + signature,
		"HS256 with the public key":   hs256(public),
		"HS256 with nothing":          hs256(nil),
		"another key, our kid":        rs256(theirs, fmt.Sprintf(`{"alg":"RS256","kid":%q}`, id)),
		"another key, its own kid":    rs256(theirs, `{"alg":"RS256","kid":"theirs"}`),
		"another key, in a jwk":       rs256(theirs, fmt.Sprintf(`{"alg":"RS256","jwk":%s,"kid":%q}`, jwk, id)),
		"our key with a jwk":          rs256(ours, fmt.Sprintf(`{"alg":"RS256","jwk":%s,"kid":%q}`, jwk, id)),
		"our key with a jku":          rs256(ours, fmt.Sprintf(`{"alg":"RS256","jku":"https://evil.example/","kid":%q}`, id)),
		"our key with an x5u":         rs256(ours, fmt.Sprintf(`{"alg":"RS256","kid":%q,"x5u":"https://evil.example/"}`, id)),
		"our key with crit":           rs256(ours, fmt.Sprintf(`{"alg":"RS256","crit":["b64"],"b64":true,"kid":%q}`, id)),
		"our key with typ":            rs256(ours, fmt.Sprintf(`{"alg":"RS256","kid":%q,"typ":"JWT"}`, id)),
		"our key as RS384":            rs256(ours, fmt.Sprintf(`{"alg":"RS384","kid":%q}`, id)),
		"no kid":                      rs256(ours, `{"alg":"RS256"}`),
		"signature cut off":           header + "." + payload + ".",
		"signature of another":        header + "." + b64(`{"sub":"00u2"}`) + "." + signature,
		"a byte of the signature off": header + "." + payload + "." + flip(signature),
		"a line break in it":          good[:len(good)-9] + "\n" + good[len(good)-9:],
		"the signature padded":        good + "==",
		"the last bits not zero":      good[:len(good)-1] + loose(good[len(good)-1]),
		"two parts":                   header + "." + payload,
		"four parts":                  good + "." + signature,
		"nothing":                     "",
		"dots":                        "..",
		"JSON serialization":          fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, header, payload, signature),
		"longer than any of ours":     good + strings.Repeat("A", keys.MaxToken),
	} {
		if claims, err := keys.Verify[any](ctx, ring, token); !errors.Is(err, keys.ErrInvalid) {
			t.Errorf("%s: %v, %v", name, claims, err)
		}
	}
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func flip(s string) string {
	if s[0] == 'A' {
		return "B" + s[1:]
	}
	return "A" + s[1:]
}

// loose is another last letter of a signature of 256 bytes, which decodes to the same bytes unless
// somebody looks at the bits that are left over.
func loose(last byte) string { return string(rune(last + 1)) }

// FuzzVerify: whatever is shown, nothing passes that this ring did not sign, and nothing panics.
func FuzzVerify(f *testing.F) {
	c, db := newClock(), openDB(f, f.TempDir())
	ring := open(f, db, c)
	good := sign(f, ring, map[string]string{"sub": "00u1"})
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add("..")
	f.Add(b64(`{"alg":"none"}`) + "." + b64(`{}`) + ".")
	f.Fuzz(func(t *testing.T, token string) {
		claims, err := keys.Verify[map[string]string](ctx, ring, token)
		if err != nil {
			if !errors.Is(err, keys.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if claims["sub"] != "00u1" {
			t.Fatalf("%q passed as %s", token, claims)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	ring := open(b, openDB(b, b.TempDir()), newClock())
	for b.Loop() {
		sign(b, ring, map[string]string{"sub": "00u1"})
	}
}

func BenchmarkVerify(b *testing.B) {
	ring := open(b, openDB(b, b.TempDir()), newClock())
	token := sign(b, ring, map[string]string{"sub": "00u1"})
	for b.Loop() {
		if _, err := keys.Verify[any](ctx, ring, token); err != nil {
			b.Fatal(err)
		}
	}
}
