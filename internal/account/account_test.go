package account_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey.dev/internal/account"
	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/authn"
	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/authn/phone"
	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/session"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/postgres"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/store/storetest"
)

const (
	right = secret.Text("Correct-Horse-1")
	next  = secret.Text("seven purple lanterns")
)

var (
	cheap = password.New(password.Params{Memory: 64, Time: 1, Threads: 1})
	began = time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)
)

// A house is accounts over a real database. mary has a password and a phone, and is signed in in sesA and sesB; bob has
// a password, and is signed in in sesC. All of them signed in just now.
type house struct {
	*account.Accounts
	db  store.DB
	ctx context.Context
	mu  sync.Mutex
	now time.Time
}

// silent sends nothing.
type silent struct{}

func (silent) Name() string                                               { return "test" }
func (silent) Lease() time.Duration                                       { return time.Minute }
func (silent) Deliver(context.Context, store.Message) store.MessageStatus { return store.Sent }

func onBoth(t *testing.T, f func(*testing.T, *house)) {
	keys, err := secret.NewKeys([secret.KeySize]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("sqlite", func(t *testing.T) {
		db, err := sqlite.Open(t.Context(), t.TempDir(), keys)
		if err != nil {
			t.Fatal(err)
		}
		f(t, build(t, db, keys))
	})
	t.Run("postgres", func(t *testing.T) {
		db, err := postgres.Open(t.Context(), storetest.Schema(t), keys, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		f(t, build(t, db, keys))
	})
}

func build(t *testing.T, db store.DB, keys *secret.Keys) *house {
	t.Cleanup(func() { db.Close() })
	h := &house{db: db, now: began, ctx: obs.WithSource(t.Context(), audit.Source{Address: "192.0.2.1", Agent: "Browser/1"})}
	eng, err := engine.New(engine.Config{
		Store: db, Keys: keys, Sender: silent{}, Now: h.clock, Origin: "https://id.example", Flow: limit.DefaultFlow(), Codes: limit.DefaultCodes(), Mail: true,
		Plugins: []authn.Authenticator{cheap, phone.New(phone.Config{Keys: keys})},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Accounts = account.New(account.Config{Store: db, Engine: eng, Browsers: session.New(session.Config{Store: db, Keys: keys, Now: h.clock}), Now: h.clock})
	h.write(t, func(tx store.Tx) error {
		err := errors.Join(
			tx.PutAuthenticator(h.ctx, ident.Authenticator{ID: "aut1password", Kind: ident.Password, Key: "okta_password", Methods: []ident.Method{ident.MethodPassword}}),
			tx.PutAuthenticator(h.ctx, ident.Authenticator{ID: "aut1phone", Kind: ident.Phone, Key: "phone_number", Methods: []ident.Method{ident.MethodSMS}}),
			tx.PutClient(h.ctx, oauth.Client{ID: "0oa1seed", Label: "Seed App", Policy: policy.PasswordOnly, Created: began}),
			tx.AddUser(h.ctx, ident.User{ID: "00u1mary", Login: "mary@example.com", Status: ident.Active, GivenName: "Mary", FamilyName: "Seacole",
				Email: "mary@example.com", EmailVerified: true, Zone: "Europe/Berlin", Created: began, Updated: began}),
			tx.AddUser(h.ctx, ident.User{ID: "00u1bob", Login: "bob@example.com", Status: ident.Active, Created: began, Updated: began}),
			tx.AddEnrollment(h.ctx, ident.Enrollment{ID: "sms1mary", User: "00u1mary", Authenticator: "aut1phone", Kind: ident.Phone, Method: ident.MethodSMS,
				Secret: "+15551234567", Hint: "+1 XXX-XXX-4567", Created: began}))
		for _, name := range []string{"mary", "bob"} {
			err = errors.Join(err, tx.AddEnrollment(h.ctx, ident.Enrollment{ID: ident.EnrollmentID("lae1" + name), User: ident.UserID("00u1" + name),
				Authenticator: "aut1password", Kind: ident.Password, Method: ident.MethodPassword, Secret: cheap.Hash(right), Created: began}))
		}
		for id, user := range map[string]ident.UserID{"sesA": "00u1mary", "sesB": "00u1mary", "sesC": "00u1bob"} {
			proofs := []flow.Proof{{Kind: ident.Password, Method: ident.MethodPassword, At: began}}
			if user == "00u1mary" {
				proofs = append(proofs, flow.Proof{Kind: ident.Phone, Method: ident.MethodSMS, At: began})
			}
			err = errors.Join(err, tx.AddSession(h.ctx, store.Session{ID: id, Value: secret.DigestOf(secret.SessionValue, id), User: user, Proofs: proofs,
				Source: "192.0.2.1", Agent: "Browser/1", Created: began, Seen: began, Expires: began.Add(time.Hour)}))
		}
		return errors.Join(err,
			tx.AddGrant(h.ctx, oauth.Grant{ID: "oar1mary", Server: "default", Client: "0oa1seed", User: "00u1mary", Created: began}),
			tx.AddGrant(h.ctx, oauth.Grant{ID: "oar1bob", Server: "default", Client: "0oa1seed", User: "00u1bob", Created: began}))
	})
	return h
}

func (h *house) clock() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.now }

func (h *house) advance(d time.Duration) { h.mu.Lock(); defer h.mu.Unlock(); h.now = h.now.Add(d) }

func (h *house) write(t *testing.T, f func(store.Tx) error) {
	t.Helper()
	if err := h.db.Update(h.ctx, f); err != nil {
		t.Fatal(err)
	}
}

func (h *house) read(t *testing.T, f func(store.Tx) error) {
	t.Helper()
	if err := h.db.View(h.ctx, f); err != nil {
		t.Fatal(err)
	}
}

// shown makes a session one in which nothing but that was shown.
func (h *house) shown(t *testing.T, id string, all ...flow.Proof) {
	t.Helper()
	h.write(t, func(tx store.Tx) error {
		s, err := tx.SessionByID(h.ctx, id)
		if err != nil {
			return err
		}
		s.Proofs = all
		return tx.RaiseSession(h.ctx, s.Value, s)
	})
}

// opened is the session that a cookie's value opens.
func (h *house) opened(t *testing.T, value secret.Text) string {
	t.Helper()
	found, err := h.Browsers.Find(h.ctx, value)
	if err != nil {
		t.Fatal(err)
	}
	return found.ID
}

// ids of the sessions that somebody sees.
func (h *house) ids(t *testing.T, id string) string {
	t.Helper()
	all, err := h.Sessions(h.ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, s := range all {
		ids = append(ids, s.ID)
	}
	return strings.Join(ids, " ")
}

func (h *house) opens(t *testing.T, pass secret.Text) bool {
	t.Helper()
	var all []ident.Enrollment
	h.read(t, func(tx store.Tx) (err error) { all, err = tx.Enrollments(h.ctx, "00u1mary"); return err })
	enrolled, _ := ident.Find(all, ident.Password)
	verdict, err := cheap.Verify(authn.In{Enrollment: enrolled, Answer: pass})
	if err != nil {
		t.Fatal(err)
	}
	return verdict.OK
}

func (h *house) events(t *testing.T, kind audit.Type) (n int) {
	t.Helper()
	for _, e := range storetest.Events(t, h.db) {
		if e.Type == kind {
			n++
		}
	}
	return n
}

func TestS38_RemovePhone(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		for name, c := range map[string]struct {
			session string
			want    error
		}{"no session": {"sesX", account.ErrSignedOut}, "nothing to remove": {"sesC", account.ErrNoPhone}} {
			if _, err := h.RemovePhone(h.ctx, c.session); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		h.advance(4 * time.Minute)
		value, err := h.RemovePhone(h.ctx, "sesA")
		if err != nil {
			t.Fatal(err)
		}
		here := h.opened(t, value)
		p, err := h.Profile(h.ctx, here)
		if err != nil || p.Phone != "" {
			t.Errorf("the phone is %q, %v", p.Phone, err)
		}
		if got := h.ids(t, here); got != here {
			t.Errorf("mary is signed in in %s", got)
		}
		h.read(t, func(tx store.Tx) error {
			if _, err := tx.TokenHolder(h.ctx, "00u1mary", "oar1mary", "jti"); !errors.Is(err, store.ErrSpent) {
				t.Errorf("what applications hold lives on: %v", err)
			}
			s, err := tx.SessionByID(h.ctx, here)
			for _, p := range s.Proofs {
				if p.Kind == ident.Phone {
					t.Error("what is gone still proves something")
				}
			}
			return err
		})
		var told []store.Message
		h.write(t, func(tx store.Tx) (err error) {
			told, err = tx.LeaseMessages(h.ctx, "test", h.clock().Add(time.Minute), h.clock().Add(2*time.Hour), 10)
			return err
		})
		to := map[string]bool{}
		for _, m := range told {
			to[m.To.Reveal()] = true
		}
		if len(told) != 2 || !to["mary@example.com"] || !to["+15551234567"] {
			t.Errorf("told are %v", to)
		}
		if n := h.events(t, audit.FactorRemoved); n != 1 {
			t.Errorf("S-71: %d events", n)
		}
		if _, err := h.RemovePhone(h.ctx, here); !errors.Is(err, account.ErrNoPhone) {
			t.Errorf("again: %v", err)
		}
	})
}

func TestS38_APhoneStaysWithoutACompleteFreshSignIn(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		h.advance(5*time.Minute + time.Second)
		if _, err := h.RemovePhone(h.ctx, "sesA"); !errors.Is(err, account.ErrStepUp) {
			t.Errorf("an old sign-in: %v", err)
		}
		h.write(t, func(tx store.Tx) error {
			s, err := tx.SessionByID(h.ctx, "sesA")
			if err != nil {
				return err
			}
			s.Proofs = flow.Merge(s.Proofs, []flow.Proof{{Kind: ident.Password, Method: ident.MethodPassword, At: h.clock()}})
			return tx.RaiseSession(h.ctx, s.Value, s)
		})
		if _, err := h.RemovePhone(h.ctx, "sesA"); !errors.Is(err, account.ErrStepUp) {
			t.Errorf("a password alone: %v", err)
		}
		if p, err := h.Profile(h.ctx, "sesA"); err != nil || p.Phone == "" {
			t.Errorf("the phone is %q, %v", p.Phone, err)
		}
	})
}

func TestS04_ChangePassword(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		h.advance(4 * time.Minute)
		value, err := h.ChangePassword(h.ctx, "sesA", right, next)
		if err != nil {
			t.Fatal(err)
		}
		if h.opens(t, right) || !h.opens(t, next) {
			t.Error("the old password opens, or the new one does not")
		}
		here := h.opened(t, value)
		if got := h.ids(t, here); got != here {
			t.Errorf("mary is signed in in %s", got)
		}
		if got := h.ids(t, "sesC"); got != "sesC" {
			t.Errorf("bob is signed in in %q", got)
		}
		if _, err := h.Profile(h.ctx, "sesB"); !errors.Is(err, account.ErrSignedOut) {
			t.Errorf("the other session: %v", err)
		}
		h.read(t, func(tx store.Tx) error {
			if _, err := tx.TokenHolder(h.ctx, "00u1mary", "oar1mary", "jti"); !errors.Is(err, store.ErrSpent) {
				t.Errorf("what applications hold lives on: %v", err)
			}
			_, err := tx.TokenHolder(h.ctx, "00u1bob", "oar1bob", "jti")
			return err
		})
		var mail []store.Message
		h.write(t, func(tx store.Tx) (err error) {
			mail, err = tx.LeaseMessages(h.ctx, "test", h.clock().Add(time.Hour), h.clock().Add(2*time.Hour), 10)
			return err
		})
		if len(mail) != 1 || mail[0].To != "mary@example.com" || !strings.Contains(mail[0].Body.Reveal(), "password") {
			t.Errorf("%d notices", len(mail))
		}
		if n := h.events(t, audit.PasswordChanged); n != 1 {
			t.Errorf("%d events", n)
		}
		// What was just shown is fresh: it can be changed again, from the new one.
		if _, err := h.ChangePassword(h.ctx, here, next, "another fine lantern"); err != nil {
			t.Error(err)
		}
	})
}

// Whoever took the cookie before a change is out with it: a session with another value takes its place, and only the owner
// is told. Its id is another one, too, so that nothing that was begun in the one from before goes on. It lasts no longer.
func TestS40_AChangePutsAnotherSessionInThePlace(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		stolen, was := secret.Text("sesA"), "sesA"
		h.write(t, func(tx store.Tx) error {
			return tx.JoinSession(h.ctx, was, store.Membership{Client: "0oa1seed", Server: "default", Joined: began})
		})
		for _, c := range []struct {
			name   string
			change func() (secret.Text, error)
			shown  string
		}{
			{"another password", func() (secret.Text, error) { return h.ChangePassword(h.ctx, was, right, next) }, "phone password"},
			{"no phone", func() (secret.Text, error) { return h.RemovePhone(h.ctx, was) }, "password"},
		} {
			h.advance(time.Second)
			value, err := c.change()
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if found, err := h.Browsers.Find(h.ctx, stolen); found.ID != "" || err != nil {
				t.Errorf("%s: the value from before still opens %q, %v", c.name, found.ID, err)
			}
			found, err := h.Browsers.Find(h.ctx, value)
			var shown []string
			for _, p := range found.Proofs {
				shown = append(shown, string(p.Kind))
			}
			if found.ID == "" || found.ID == was || found.User != "00u1mary" || strings.Join(shown, " ") != c.shown || err != nil {
				t.Errorf("%s: the new value opens %q with %v, %v", c.name, found.ID, shown, err)
			}
			if !found.Created.Equal(began) || !found.Expires.Equal(began.Add(time.Hour)) || found.Agent != "Browser/1" {
				t.Errorf("%s: it is not the same visit: %+v", c.name, found)
			}
			if before, err := h.Browsers.ByID(h.ctx, was); before.ID != "" || err != nil {
				t.Errorf("%s: the one from before is there, %v", c.name, err)
			}
			stolen, was = value, found.ID
		}
		// The application knows it as it was.
		if found, err := h.Browsers.BySID(h.ctx, "sesA"); found.ID != was || err != nil {
			t.Errorf("sesA is known as %q, %v", found.ID, err)
		}
		entered, err := h.Browsers.Entered(h.ctx, was)
		if len(entered) != 1 || entered[0].SID != "sesA" || err != nil {
			t.Errorf("entered are %+v, %v", entered, err)
		}
		// Who was about to end it when it was renewed ends what it went up in.
		if err := h.Browsers.End(h.ctx, store.Session{ID: "sesA", User: "00u1mary"}, "signed out"); err != nil || h.opened(t, stolen) != "" {
			t.Errorf("it lives on, %v", err)
		}
	})
}

// Both changes at the same instant: one of them was judged by what the other changed, and none is undone.
func TestS40_TwoChangesDoNotUndoEachOther(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		var all sync.WaitGroup
		var changed, removed error
		var values [2]secret.Text
		all.Go(func() { values[0], changed = h.ChangePassword(h.ctx, "sesA", right, next) })
		all.Go(func() { values[1], removed = h.RemovePhone(h.ctx, "sesA") })
		all.Wait()
		for i, err := range []error{changed, removed} {
			if err != nil && !errors.Is(err, account.ErrSignedOut) {
				t.Error(err)
			}
			if err != nil && values[i] != "" {
				t.Error("what did not happen gave a value")
			}
		}
		if changed != nil && removed != nil {
			t.Error("neither happened")
		}
		s, err := h.Browsers.BySID(h.ctx, "sesA")
		if err != nil || s.ID == "" {
			t.Fatalf("the session is %+v, %v", s, err)
		}
		p, err := h.Profile(h.ctx, s.ID)
		if err != nil {
			t.Fatal(err)
		}
		if shown := slices.ContainsFunc(s.Proofs, func(p flow.Proof) bool { return p.Kind == ident.Phone }); shown != (p.Phone != "") || (p.Phone == "") != (removed == nil) {
			t.Errorf("the phone is %q (removed: %v), and shown in the session: %v", p.Phone, removed, shown)
		}
		if h.opens(t, next) != (changed == nil) {
			t.Errorf("the password: %v", changed)
		}
	})
}

// A counted database knows how often it began a transaction, again if that was sent back to the start.
type counted struct {
	store.DB
	runs atomic.Int32
}

func (c *counted) Update(ctx context.Context, f func(store.Tx) error) error {
	return c.DB.Update(ctx, func(tx store.Tx) error { c.runs.Add(1); return f(tx) })
}

// A sign-in holds its session before it touches grants and counters. So does a change: neither waits in a circle.
func TestS79_AChangeWaitsForWhoHoldsItsSession(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		count := func(tx store.Tx) error {
			_, _, err := tx.CountFailure(h.ctx, "00u1mary", ident.Phone, h.clock(), limit.DefaultCodes())
			return err
		}
		h.write(t, count)
		db := &counted{DB: h.db}
		changing := account.New(account.Config{Store: db, Engine: h.Engine, Browsers: h.Browsers, Now: h.clock})
		var runs atomic.Int32
		removed := make(chan error, 1)
		h.write(t, func(tx store.Tx) error {
			if _, err := tx.HoldSession(h.ctx, "sesA"); err != nil {
				return err
			}
			if runs.Add(1) == 1 {
				go func() { _, err := changing.RemovePhone(h.ctx, "sesA"); removed <- err }()
				time.Sleep(200 * time.Millisecond)
			}
			if _, err := tx.RevokeGrantsOf(h.ctx, "00u1mary", ""); err != nil {
				return err
			}
			return count(tx)
		})
		if err := <-removed; err != nil || runs.Load() != 1 || db.runs.Load() != 1 {
			t.Errorf("%v; one began %d times, the other %d", err, runs.Load(), db.runs.Load())
		}
	})
}

// An application may let people in with a password alone; their account opens with all that they have, however long ago.
func TestS04_AnAccountOpensToWhoHasShownAllOfIt(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		h.shown(t, "sesB", flow.Proof{Kind: ident.Password, Method: ident.MethodPassword, At: began})
		for name, f := range map[string]func() error{
			"profile":  func() error { _, err := h.Profile(h.ctx, "sesB"); return err },
			"sessions": func() error { _, err := h.Sessions(h.ctx, "sesB"); return err },
			"sign-ins": func() error { _, err := h.SignIns(h.ctx, "sesB"); return err },
			"password": func() error { _, err := h.ChangePassword(h.ctx, "sesB", right, next); return err },
			"phone":    func() error { _, err := h.RemovePhone(h.ctx, "sesB"); return err },
			"end one":  func() error { return h.EndSession(h.ctx, "sesB", "sesA") },
			"end all":  func() error { return h.EndSessions(h.ctx, "sesB") },
		} {
			if err := f(); !errors.Is(err, account.ErrSignedOut) {
				t.Errorf("%s: %v", name, err)
			}
		}
		h.advance(30 * time.Minute)
		if got := h.ids(t, "sesA"); got != "sesA sesB" {
			t.Errorf("who has shown all of it sees %q", got)
		}
		if got := h.ids(t, "sesC"); got != "sesC" {
			t.Errorf("who has nothing but a password sees %q", got)
		}
	})
}

// An application that lets people in with a password alone makes all passwords longer: they are the people's, not its own.
func TestS02_APasswordThatStandsAloneIsLonger(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		door := oauth.Client{ID: "0oa2door", Label: "Door", Policy: policy.PasswordAndOptionalPhone, Created: began}
		for _, c := range []struct {
			grants   []oauth.GrantType
			policy   policy.Policy
			disabled bool
			want     int
		}{
			{[]oauth.GrantType{oauth.InteractionCode}, policy.PasswordAndPhone, false, 8},
			{[]oauth.GrantType{oauth.ClientCredentials}, policy.PasswordOnly, false, 8}, // nobody signs in to it
			{[]oauth.GrantType{oauth.AuthorizationCode}, policy.PasswordOnly, true, 8},
			{[]oauth.GrantType{oauth.DeviceCode}, policy.PasswordOnly, false, 15},
			{[]oauth.GrantType{oauth.AuthorizationCode}, policy.PasswordOnly, false, 15},
			{[]oauth.GrantType{oauth.InteractionCode}, policy.PasswordAndOptionalPhone, false, 15},
		} {
			door.Grants, door.Policy, door.Disabled = c.grants, c.policy, c.disabled
			h.write(t, func(tx store.Tx) error { return tx.PutClient(h.ctx, door) })
			if who, err := h.Profile(h.ctx, "sesA"); err != nil || who.Least != c.want {
				t.Errorf("%+v: at least %d, %v", c, who.Least, err)
			}
		}
		var weak *account.WeakError
		if _, err := h.ChangePassword(h.ctx, "sesA", right, "violet anchor8"); !errors.As(err, &weak) || weak.Why != account.Length {
			t.Errorf("fourteen characters: %v", err)
		}
		if _, err := h.ChangePassword(h.ctx, "sesA", right, "violet anchor 8"); err != nil {
			t.Errorf("fifteen characters: %v", err)
		}
	})
}

func TestS04_NothingChangesWithoutAFreshSignInAndThePassword(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		for name, c := range map[string]struct {
			session       string
			current, next secret.Text
			want          error
			weak          account.Weakness
		}{
			"no session":          {"sesX", right, next, account.ErrSignedOut, ""},
			"S-29 wrong":          {"sesA", "wrong", next, account.ErrWrongPassword, ""},
			"empty":               {"sesA", "", next, account.ErrWrongPassword, ""},
			"no password":         {"sesA", secret.Text(strings.Repeat("x", 2000)), next, account.ErrWrongPassword, ""},
			"S-02 short":          {"sesA", right, "seven77", nil, account.Length},
			"S-02 long":           {"sesA", right, secret.Text(strings.Repeat("seven ", 50)), nil, account.Length},
			"S-02 beyond reading": {"sesA", right, secret.Text(strings.Repeat("seven ", 500)), nil, account.Length},
			"S-03 common":         {"sesA", right, "Passw0rd!2024", nil, account.Common},
			"S-03 the name":       {"sesA", right, "Seacole-1855", nil, account.Personal},
			"S-03 the product":    {"sesA", right, "Latchkey-2026", nil, account.Personal},
			"the same":            {"sesA", right, right, nil, account.Same},
		} {
			_, err := h.ChangePassword(h.ctx, c.session, c.current, c.next)
			var weak *account.WeakError
			if c.want != nil && !errors.Is(err, c.want) || c.weak != "" && (!errors.As(err, &weak) || weak.Why != c.weak) {
				t.Errorf("%s: %v", name, err)
			}
		}
		h.advance(5*time.Minute + time.Second)
		if _, err := h.ChangePassword(h.ctx, "sesA", right, next); !errors.Is(err, account.ErrStepUp) {
			t.Errorf("an old sign-in: %v", err)
		}
		// A password alone is no complete sign-in of somebody who has a phone.
		h.write(t, func(tx store.Tx) error {
			s, err := tx.SessionByID(h.ctx, "sesA")
			if err != nil {
				return err
			}
			s.Proofs = flow.Merge(s.Proofs, []flow.Proof{{Kind: ident.Password, Method: ident.MethodPassword, At: h.clock()}})
			return tx.RaiseSession(h.ctx, s.Value, s)
		})
		if _, err := h.ChangePassword(h.ctx, "sesA", right, next); !errors.Is(err, account.ErrStepUp) {
			t.Errorf("half a sign-in: %v", err)
		}
		if !h.opens(t, right) || h.ids(t, "sesA") != "sesA sesB" && h.ids(t, "sesA") != "sesB sesA" || h.events(t, audit.PasswordChanged) != 0 {
			t.Error("something changed")
		}
		if n := h.events(t, audit.PasswordWrong); n != 2 {
			t.Errorf("%d wrong passwords are recorded, want 2", n)
		}
	})
}

// The door of the account page is no second chance: what was guessed there counts at the sign-in, and the other way round.
func TestS29_TheSameCounters(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		for range limit.DefaultPasswords().PerSource {
			if _, err := h.ChangePassword(h.ctx, "sesA", "wrong", next); !errors.Is(err, account.ErrWrongPassword) {
				t.Fatal(err)
			}
		}
		// The source rests: the right one answers like a wrong one (S-26), here and at the sign-in.
		if _, err := h.ChangePassword(h.ctx, "sesA", right, next); !errors.Is(err, account.ErrWrongPassword) || !h.opens(t, right) {
			t.Errorf("the eleventh: %v", err)
		}
		eng := h.Engine
		handle, err := eng.Begin(h.ctx, flow.Request{Server: "default", Client: "0oa1seed", Redirect: "https://app.example/cb", Scopes: []string{"openid"}, Challenge: "x"})
		if err != nil {
			t.Fatal(err)
		}
		p, err := eng.Introspect(h.ctx, handle, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := eng.Identify(h.ctx, p.Handle, engine.Claimant{Login: "mary@example.com", Password: right, Typed: true}); err == nil {
			t.Error("the sign-in judged a password that the account page would not")
		}
		h.advance(61 * time.Second)
		if _, err := h.ChangePassword(h.ctx, "sesA", right, next); err != nil {
			t.Errorf("after the rest: %v", err)
		}
	})
}

// S-11: changes at the same instant are one, and the others find a password that is none any more.
func TestS04_ChangesAtOnceAreOne(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		const n = 6
		errs := make([]error, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() { _, errs[i] = h.ChangePassword(h.ctx, "sesA", right, next+secret.Text(rune('a'+i))) })
		}
		all.Wait()
		won := 0
		for _, err := range errs {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, account.ErrWrongPassword) && !errors.Is(err, account.ErrSignedOut):
				t.Error(err)
			}
		}
		if won != 1 || h.events(t, audit.PasswordChanged) != 1 {
			t.Errorf("%d changes", won)
		}
	})
}

func TestS40_SessionsEnd(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		for _, id := range []string{"sesC", "sesX", ""} {
			if err := h.EndSession(h.ctx, "sesA", id); !errors.Is(err, account.ErrNoSuchSession) {
				t.Errorf("%q: %v", id, err)
			}
		}
		if err := h.EndSession(h.ctx, "sesA", "sesB"); err != nil || h.ids(t, "sesA") != "sesA" {
			t.Errorf("%v, left is %s", err, h.ids(t, "sesA"))
		}
		if err := h.EndSessions(h.ctx, "sesB"); !errors.Is(err, account.ErrSignedOut) {
			t.Errorf("in a session that has ended: %v", err)
		}
		if err := h.EndSessions(h.ctx, "sesA"); err != nil {
			t.Fatal(err)
		}
		for _, f := range []func() error{
			func() error { _, err := h.Profile(h.ctx, "sesA"); return err },
			func() error { _, err := h.Sessions(h.ctx, "sesA"); return err },
			func() error { _, err := h.SignIns(h.ctx, "sesA"); return err },
			func() error { return h.EndSession(h.ctx, "sesA", "sesA") },
		} {
			if err := f(); !errors.Is(err, account.ErrSignedOut) {
				t.Errorf("after the end: %v", err)
			}
		}
		if h.ids(t, "sesC") != "sesC" {
			t.Error("bob's session ended, too")
		}
		h.write(t, func(tx store.Tx) error {
			u, err := tx.User(h.ctx, "00u1bob")
			u.Status = ident.Suspended
			return errors.Join(err, tx.PutUser(h.ctx, u))
		})
		if _, err := h.Profile(h.ctx, "sesC"); !errors.Is(err, account.ErrSignedOut) {
			t.Errorf("somebody who is kept out: %v", err)
		}
		h.advance(2 * time.Hour)
		if _, err := h.Profile(h.ctx, "sesC"); !errors.Is(err, account.ErrSignedOut) {
			t.Errorf("an expired session: %v", err)
		}
	})
}

func TestProfileAndSignIns(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		who, err := h.Profile(h.ctx, "sesA")
		if want := (account.Profile{Name: "Mary Seacole", Login: "mary@example.com", Email: "mary@example.com", Phone: "+1 XXX-XXX-4567", Zone: "Europe/Berlin", Least: 8, Fresh: true}); who != want || err != nil {
			t.Errorf("got %+v, %v", who, err)
		}
		h.advance(6 * time.Minute)
		if who, err := h.Profile(h.ctx, "sesA"); who.Fresh || err != nil {
			t.Errorf("after six minutes it is fresh: %v, %v", who.Fresh, err)
		}
		h.write(t, func(tx store.Tx) error {
			for i := range 25 {
				client := "0oa1seed"
				if i == 23 {
					client = "0oa1gone"
				}
				err := tx.Record(h.ctx,
					audit.Event{Type: audit.SignedIn, At: began.Add(time.Duration(i) * time.Minute), OK: true, User: "00u1mary", Client: client, Source: audit.Source{Address: "192.0.2.7", Agent: "Browser/7"}},
					audit.Event{Type: audit.SignedIn, At: began, OK: true, User: "00u1bob", Client: "0oa1seed"},
					audit.Event{Type: audit.CodeSent, At: began, OK: true, User: "00u1mary", Client: "0oa1seed"})
				if err != nil {
					return err
				}
			}
			return nil
		})
		all, err := h.SignIns(h.ctx, "sesA")
		if err != nil || len(all) != 20 {
			t.Fatalf("%d, %v", len(all), err)
		}
		first, second := all[0], all[1]
		if !first.At.Equal(began.Add(24*time.Minute)) || first.App != "Seed App" || first.Source.Address != "192.0.2.7" || first.Source.Agent != "Browser/7" || second.App != "0oa1gone" {
			t.Errorf("got %+v, %+v", first, second)
		}
	})
}

func TestS26_ARightPasswordIsNoFailureWhateverComesOfIt(t *testing.T) {
	onBoth(t, func(t *testing.T, h *house) {
		busy := errors.New("no place to hash in")
		recheck := func(answer secret.Text) error {
			return h.Engine.Recheck(h.ctx, engine.Recheck{User: "00u1mary", Answer: answer, Then: func(ident.User, ident.Enrollment) (func(store.Tx) error, error) { return nil, busy }})
		}
		for i := range 2 * limit.DefaultPasswords().PerSource {
			if err := recheck(right); !errors.Is(err, busy) {
				t.Fatalf("right the %d. time: %v", i+1, err)
			}
		}
		if err := recheck("wrong"); err == nil || errors.Is(err, busy) {
			t.Errorf("wrong: %v", err)
		}
	})
}
