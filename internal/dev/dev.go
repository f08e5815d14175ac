// Package dev is a house with an organisation in it, and the means to play with it: what `latchkey dev` and
// the tests of other people's programs run against.
//
// [Open] seeds the organisation ([Org]) and puts the house together around it, with a clock that can be set,
// an outbox instead of a carrier, and codes that can be pinned. Below /dev/ is a control API for all of
// that; it exists here and nowhere else. Everything else is the production server.
//
// # The seeded organisation
//
// Two authorization servers: default, with the issuer {LATCHKEY_URL}/oauth2/default, and the organisation's own, with
// the issuer {LATCHKEY_URL}. Two authenticators, password and phone. Five applications, whose ids are in the env file:
//
//	CLIENT_ID           public        password and phone
//	WEB_CLIENT_ID       confidential  password and phone; not made to authenticate at interact, for some clients cannot
//	CLIENT_ID_1FA       public        password
//	CLIENT_ID_OPTIONAL  public        password, and a phone that may be skipped
//	CLIENT_ID_IDFIRST   public        password and phone, the name on a page of its own
//
// Three people. mary@example.com (USERNAME) has a password; paul@example.com (USERNAME_ENROLLED) a password
// and the phone +1 202 555 0143; olivia@example.com (USERNAME_1FA) a password. All applications take all
// three; each has a name, a verified email that equals the login, a locale and a time zone.
package dev

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/config"
	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/gateway/outbox"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/wire"
)

// Parts are what a dev house is made of.
type Parts struct {
	Store     store.DB
	Keys      *secret.Keys
	Org       Org
	Config    config.Config // of config.Dev
	Origin    string        // http://127.0.0.1:4480
	World     *World
	Passwords password.Params
	Log       *slog.Logger
}

// A World is what is outside of the process: time, and the telephone network. A house that is killed and
// opened again finds it as it left it.
type World struct {
	Clock  *Clock
	Outbox *outbox.Outbox
	Pins   *Pins
}

// NewWorld has the real time, and nothing has happened in it.
func NewWorld() *World {
	clock := &Clock{}
	return &World{Clock: clock, Outbox: outbox.New(clock.Now), Pins: &Pins{}}
}

// A House is one that can be played with.
type House struct {
	*wire.House
	*World

	parts   Parts
	seeder  *seeder
	resetMu sync.Mutex
}

// Open seeds the database if it is empty and puts the house together.
func Open(ctx context.Context, p Parts) (*House, error) {
	h := &House{
		World:  p.World,
		parts:  p,
		seeder: newSeeder(p.Org, p.Passwords, p.Origin, !p.Config.AnyLoopback, p.World.Clock.Now),
	}
	// The first start hashes passwords and makes a signing key. Each takes its time, so they take it together.
	var seeding error
	var both sync.WaitGroup
	both.Go(func() { seeding = h.seeder.ensure(ctx, p.Store) })
	built, err := wire.Build(ctx, wire.Parts{
		Store:         p.Store,
		Keys:          p.Keys,
		Gateways:      []gateway.Gateway{h.Outbox},
		Mail:          []gateway.Gateway{h.Outbox},
		Now:           p.World.Clock.Now,
		Log:           p.Log,
		Origin:        p.Origin,
		Loopback:      true,
		Proxies:       p.Config.Proxies,
		Countries:     p.Config.Countries.Codes(),
		Regions:       p.Config.Countries.Regions(),
		RevealUnknown: p.Config.UnknownUsers == config.Reveal,
		Flow:          limit.Flow(p.Config.Flow),
		Session:       limit.Session(p.Config.Session),
		Codes:         limit.Codes(p.Config.Codes),
		Sends:         p.Config.Sends,
		Guesses:       p.Config.Limits.Guesses(),
		Rates:         p.Config.Limits.Rates(),
		AtOnce:        p.Config.Limits.Requests.AtOnce,
		Connections:   p.Config.Limits.Connections.All,
		Neighbours:    p.Config.Limits.Connections.PerSource,
		Passwords:     p.Passwords,
		Hashes:        p.Config.Hashes,
		Pin:           h.Pins.Code,
		Pages:         h.pages,
	})
	both.Wait()
	h.House = built
	return h, errors.Join(seeding, err)
}

// Env is the env file, in the order in which it is written.
func (h *House) Env() []Pair { return h.seeder.env() }

// EnvMap is Env to look things up in.
func (h *House) EnvMap() map[string]string {
	return maps.Collect(func(yield func(string, string) bool) {
		for _, p := range h.Env() {
			if !yield(p.Name, p.Value) {
				return
			}
		}
	})
}

// Reset goes back to the seed: people, applications and sign-ins, texts, clock, pinned codes and faults.
func (h *House) Reset(ctx context.Context) error {
	h.resetMu.Lock()
	defer h.resetMu.Unlock()
	h.Clock.Reset()
	h.Pins.Drop("")
	h.Outbox.Mend("")
	if err := h.seeder.reset(ctx, h.parts.Store); err != nil {
		return err
	}
	h.Outbox.Empty()
	return h.Forget(ctx)
}

// A Person is somebody to add to the organisation.
type Person struct {
	Login, Password       string
	GivenName, FamilyName string
	Phone                 string // E.164; empty is none
}

// AddPerson adds somebody, active at once.
func (h *House) AddPerson(ctx context.Context, p Person) (ident.User, error) {
	now := h.Clock.Now().UTC()
	hash := h.seeder.hash(secret.Text(p.Password))
	u := ident.User{
		ID: ident.UserID(ident.NewID("00u")), Login: p.Login, Status: ident.Active, GivenName: p.GivenName, FamilyName: p.FamilyName,
		Email: p.Login, EmailVerified: true, Locale: "en_US", Zone: "America/New_York", Created: now, Updated: now,
	}
	return u, h.parts.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.AddUser(ctx, u); err != nil {
			return err
		}
		if err := tx.AddEnrollment(ctx, passwordOf(u.ID, h.parts.Org.PasswordID, hash, now)); err != nil || p.Phone == "" {
			return err
		}
		return tx.AddEnrollment(ctx, phoneOf(u.ID, h.parts.Org.PhoneID, p.Phone, now))
	})
}

// AddClient adds or changes an application. What is left empty is as with the seeded ones.
func (h *House) AddClient(ctx context.Context, c oauth.Client) (oauth.Client, error) {
	like := h.seeder.clients()[0]
	if c.ID == "" {
		c.ID = oauth.ClientID(ident.NewID("0oa"))
	}
	if len(c.Redirects) == 0 {
		c.Redirects = like.Redirects
	}
	if len(c.Grants) == 0 {
		c.Grants = like.Grants
	}
	if len(c.Scopes) == 0 {
		c.Scopes = like.Scopes
	}
	if len(c.Policy.Require) == 0 {
		c.Policy = like.Policy
	}
	if c.Created.IsZero() {
		c.Created = h.Clock.Now().UTC()
	}
	if err := h.parts.Store.Update(ctx, func(tx store.Tx) error { return tx.PutClient(ctx, c) }); err != nil {
		return c, err
	}
	h.ForgetOrigins()
	return c, nil
}

// Store is the database, for tests that look beneath.
func (h *House) Store() store.DB { return h.parts.Store }

// Seeded lists the seeded applications, for the page that says where things are.
func (h *House) Seeded() []oauth.Client { return slices.Clip(h.seeder.clients()) }
