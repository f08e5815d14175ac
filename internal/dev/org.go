package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/authn/phone"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// The people of the seeded organisation.
const (
	Mary   = "mary@example.com"   // password, and no phone yet
	Paul   = "paul@example.com"   // password and phone
	Olivia = "olivia@example.com" // password; meant for the application that asks for nothing more

	PaulsPhone = "+12025550143" // of the numbers that are set aside for stories
)

// An Org is what was chosen by chance when the organisation was first seeded: ids and secrets. Nothing of it
// is built in (S-06), and it stays the same until somebody asks for a new one.
type Org struct {
	ID             string
	Client         oauth.ClientID // password and phone, public
	Web            oauth.ClientID // the same, confidential
	WebSecret      string
	OneFactor      oauth.ClientID // password alone
	Optional       oauth.ClientID // password, and a phone for those who like
	IDFirst        oauth.ClientID // password and phone, the name on a page of its own
	PasswordID     ident.AuthenticatorID
	PhoneID        ident.AuthenticatorID
	MaryID         ident.UserID
	PaulID         ident.UserID
	OliviaID       ident.UserID
	PaulsPhoneID   ident.EnrollmentID
	MaryPassword   string
	PaulPassword   string
	OliviaPassword string
	CookieKey      []byte // of the sample application's cookies
}

// NewOrg chooses.
func NewOrg() Org {
	client := func() oauth.ClientID { return oauth.ClientID(ident.NewID("0oa")) }
	return Org{
		ID:             ident.NewID("dev"),
		Client:         client(),
		Web:            client(),
		WebSecret:      secret.Random().Reveal(),
		OneFactor:      client(),
		Optional:       client(),
		IDFirst:        client(),
		PasswordID:     ident.AuthenticatorID(ident.NewID("aut")),
		PhoneID:        ident.AuthenticatorID(ident.NewID("aut")),
		MaryID:         ident.UserID(ident.NewID("00u")),
		PaulID:         ident.UserID(ident.NewID("00u")),
		OliviaID:       ident.UserID(ident.NewID("00u")),
		PaulsPhoneID:   ident.EnrollmentID(ident.NewID("sms")),
		MaryPassword:   passphrase(),
		PaulPassword:   passphrase(),
		OliviaPassword: passphrase(),
		CookieKey:      secret.Bytes(32),
	}
}

// ParseOrg reads what Org.Marshal wrote.
func ParseOrg(data []byte) (Org, error) {
	var o Org
	if err := json.Unmarshal(data, &o); err != nil {
		return o, err
	}
	if o.ID == "" || o.WebSecret == "" || o.MaryPassword == "" || len(o.CookieKey) != 32 {
		return o, errors.New("it is not complete")
	}
	return o, nil
}

// Marshal writes the organisation for a file that only its owner reads.
func (o Org) Marshal() []byte {
	data, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		panic(err) // strings do not fail
	}
	return append(data, '\n')
}

// seedName is the setting that says which organisation a database was seeded with.
const seedName = "dev.org"

// errOther refuses to mix two organisations.
var errOther = errors.New("dev: the database was seeded with another organisation than the one on file")

// A seeder puts the organisation into databases.
type seeder struct {
	org    Org
	hash   func(secret.Text) secret.Text
	origin string
	exact  bool // clients take their registered redirects and origins alone
	now    func() time.Time

	once   sync.Once
	hashes [3]secret.Text // Mary's, Paul's, Olivia's; a hash is slow on purpose, so each is made once
}

func newSeeder(org Org, params password.Params, origin string, exact bool, now func() time.Time) *seeder {
	return &seeder{org: org, hash: password.New(params).Hash, origin: origin, exact: exact, now: now}
}

// ensure seeds an empty database, and fits a seeded one to the address that we have this time.
func (s *seeder) ensure(ctx context.Context, db store.DB) error {
	var known string
	var clients []oauth.Client
	err := db.View(ctx, func(tx store.Tx) (err error) {
		if known, err = tx.Setting(ctx, seedName); err != nil {
			return err
		}
		clients, err = tx.Clients(ctx)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return s.seed(ctx, db, nil)
	case err != nil:
		return err
	case known != s.org.ID:
		return errOther
	}
	return s.fit(ctx, db, clients)
}

// fit changes the seeded clients whose addresses or rules are not today's.
func (s *seeder) fit(ctx context.Context, db store.DB, have []oauth.Client) error {
	var changed []oauth.Client
	for _, want := range s.clients() {
		i := slices.IndexFunc(have, func(c oauth.Client) bool { return c.ID == want.ID })
		if i < 0 || have[i].AnyLoopback != want.AnyLoopback || !slices.Equal(have[i].Redirects, want.Redirects) ||
			!slices.Equal(have[i].Origins, want.Origins) || !slices.Equal(have[i].PostLogout, want.PostLogout) {
			changed = append(changed, want)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return db.Update(ctx, func(tx store.Tx) error { return putClients(ctx, tx, changed) })
}

// reset brings the seed back. The signing keys stay: clients hold them for a day, and to them a reset is not news.
func (s *seeder) reset(ctx context.Context, db store.DB) error {
	resetter, ok := db.(store.Resetter)
	if !ok {
		return errors.New("dev: this database cannot be reset")
	}
	var keys []store.SigningKey
	err := db.View(ctx, func(tx store.Tx) (err error) {
		keys, err = tx.SigningKeys(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if err := resetter.Reset(ctx); err != nil {
		return err
	}
	return s.seed(ctx, db, keys)
}

func (s *seeder) seed(ctx context.Context, db store.DB, keys []store.SigningKey) error {
	s.once.Do(s.hashPasswords)
	return db.Update(ctx, func(tx store.Tx) error {
		for _, k := range keys {
			if err := tx.AddSigningKey(ctx, k); err != nil {
				return err
			}
		}
		for _, server := range oauth.FoundingServers() {
			if err := tx.PutServer(ctx, server); err != nil {
				return err
			}
		}
		for _, a := range []ident.Authenticator{
			{ID: s.org.PasswordID, Kind: ident.Password, Key: "okta_password", Methods: []ident.Method{ident.MethodPassword}},
			{ID: s.org.PhoneID, Kind: ident.Phone, Key: "phone_number", Methods: []ident.Method{ident.MethodSMS}},
		} {
			if err := tx.PutAuthenticator(ctx, a); err != nil {
				return err
			}
		}
		if err := putClients(ctx, tx, s.clients()); err != nil {
			return err
		}
		if err := s.people(ctx, tx); err != nil {
			return err
		}
		return tx.PutSetting(ctx, seedName, s.org.ID)
	})
}

// hashPasswords hashes all three at once.
func (s *seeder) hashPasswords() {
	var all sync.WaitGroup
	for i, p := range []string{s.org.MaryPassword, s.org.PaulPassword, s.org.OliviaPassword} {
		all.Go(func() { s.hashes[i] = s.hash(secret.Text(p)) })
	}
	all.Wait()
}

func (s *seeder) people(ctx context.Context, tx store.Tx) error {
	now := s.now().UTC()
	for i, u := range []ident.User{
		{ID: s.org.MaryID, Login: Mary, GivenName: "Mary", FamilyName: "Major", Zone: "America/New_York", Locale: "en_US"},
		{ID: s.org.PaulID, Login: Paul, GivenName: "Paul", FamilyName: "Poole", Zone: "Europe/London", Locale: "en_GB"},
		{ID: s.org.OliviaID, Login: Olivia, GivenName: "Olivia", FamilyName: "Ortega", Zone: "Europe/Madrid", Locale: "es_ES"},
	} {
		u.Status, u.Email, u.EmailVerified, u.Created, u.Updated = ident.Active, u.Login, true, now, now
		if err := tx.AddUser(ctx, u); err != nil {
			return err
		}
		if err := tx.AddEnrollment(ctx, passwordOf(u.ID, s.org.PasswordID, s.hashes[i], now)); err != nil {
			return err
		}
	}
	paul := phoneOf(s.org.PaulID, s.org.PhoneID, PaulsPhone, now)
	paul.ID = s.org.PaulsPhoneID
	return tx.AddEnrollment(ctx, paul)
}

func passwordOf(u ident.UserID, a ident.AuthenticatorID, hash secret.Text, now time.Time) ident.Enrollment {
	return ident.Enrollment{
		ID: ident.EnrollmentID(ident.NewID("lae")), User: u, Authenticator: a,
		Kind: ident.Password, Method: ident.MethodPassword, Secret: hash, Created: now,
	}
}

func phoneOf(u ident.UserID, a ident.AuthenticatorID, number string, now time.Time) ident.Enrollment {
	return ident.Enrollment{
		ID: ident.EnrollmentID(ident.NewID("sms")), User: u, Authenticator: a,
		Kind: ident.Phone, Method: ident.MethodSMS, Secret: secret.Text(number), Hint: phone.Mask(number), Created: now,
	}
}

// clients are the seeded applications, one for each policy that the journey knows.
func (s *seeder) clients() []oauth.Client {
	first := policy.PasswordAndPhone
	first.IdentifierFirst = true
	all := []oauth.Client{
		{ID: s.org.Client, Label: "Latchkey Demo", Policy: policy.PasswordAndPhone},
		{ID: s.org.Web, Label: "Latchkey Web Demo", Policy: policy.PasswordAndPhone, SecretDigests: []secret.Digest{secretDigest(s.org.WebSecret)}},
		{ID: s.org.OneFactor, Label: "Password Only Demo", Policy: policy.PasswordOnly},
		{ID: s.org.Optional, Label: "Optional Phone Demo", Policy: policy.PasswordAndOptionalPhone},
		{ID: s.org.IDFirst, Label: "Name First Demo", Policy: first},
	}
	for i := range all {
		c := &all[i]
		c.Redirects = []string{s.redirect()}
		c.PostLogout = []string{s.origin + "/", s.origin + "/app/"}
		c.Origins = []string{s.origin}
		c.AnyLoopback = !s.exact
		c.Grants = []oauth.GrantType{oauth.InteractionCode, oauth.AuthorizationCode, oauth.RefreshToken}
		c.Scopes = oauth.DefaultServer().Scopes
		c.Created = seeded.Add(time.Duration(i) * time.Second) // their order in lists
	}
	return all
}

// seeded is when the organisation says it was made: a fixed day, so that two runs look the same.
var seeded = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (s *seeder) redirect() string { return s.origin + "/app/callback" }

func secretDigest(s string) secret.Digest { return secret.DigestOf(secret.ClientSecret, s) }

func putClients(ctx context.Context, tx store.Tx, all []oauth.Client) error {
	for _, c := range all {
		if err := tx.PutClient(ctx, c); err != nil {
			return fmt.Errorf("client %s: %w", c.Label, err)
		}
	}
	return nil
}

// A Pair is a line of the env file.
type Pair struct{ Name, Value string }

// env is the contract with tools and tests: these names, stable from the first release.
func (s *seeder) env() []Pair {
	o := s.org
	return []Pair{
		{"LATCHKEY_URL", s.origin},
		{"ISSUER", s.origin + "/oauth2/default"},
		{"CLIENT_ID", string(o.Client)},
		{"WEB_CLIENT_ID", string(o.Web)},
		{"WEB_CLIENT_SECRET", o.WebSecret},
		{"REDIRECT_URI", s.redirect()},
		{"USERNAME", Mary},
		{"PASSWORD", o.MaryPassword},
		{"USERNAME_ENROLLED", Paul},
		{"PASSWORD_ENROLLED", o.PaulPassword},
		{"PHONE_ENROLLED", PaulsPhone},
		{"CLIENT_ID_1FA", string(o.OneFactor)},
		{"USERNAME_1FA", Olivia},
		{"PASSWORD_1FA", o.OliviaPassword},
		{"CLIENT_ID_OPTIONAL", string(o.Optional)},
		{"CLIENT_ID_IDFIRST", string(o.IDFirst)},
		{"OUTBOX_URL", s.origin + "/dev/outbox"},
		{"SIGNIN_URL", s.origin + "/app/signin"},
		{"CONTROL_URL", s.origin + "/dev"},
	}
}
