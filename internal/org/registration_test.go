package org_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/org"
	"latchkey.dev/internal/store"
)

// payroll is what a stranger registers, and what an operator calls an application of their own.
var payroll = org.App{Name: "Payroll", Type: org.Confidential, RedirectURIs: []string{"https://stranger.example/callback"},
	GrantTypes: []oauth.GrantType{oauth.AuthorizationCode}, Scopes: []string{"openid"}}

const payrollInAFile = "apps:\n  - {name: payroll, type: confidential, redirect_uris: [https://payroll.example/callback], policy: {require: [password, phone]}}\n"

// stranger registers the application at an organisation that lets strangers do so.
func stranger(t *testing.T, o *org.Org) org.Registered {
	t.Helper()
	apply(t, o, small, org.How{})
	token, _, err := o.NewRegistrationToken(ctx, time.Hour, 1)
	must(t, err)
	r, err := o.Register(ctx, token, payroll, false)
	must(t, err)
	return r
}

// S-58: a name that a stranger has chosen does not make their application, with its secret, the operator's own.
func TestS58_AnAppThatRegisteredItselfIsMeantByItsIDAlone(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		r := stranger(t, o)
		id := string(r.ID)
		for name, how := range map[string]org.How{"apply": {}, "dry run": {DryRun: true}, "prune": {Prune: true}} {
			_, err := o.Apply(ctx, read(t, "org.yaml", payrollInAFile), how)
			if err == nil || !strings.Contains(err.Error(), "apps[0].name: the application "+id+", which registered itself, has that name") {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, err := o.App(ctx, "Payroll")
		refused(t, err, id)
		_, err = o.SetApp(ctx, "Payroll", func(a *org.App) { a.RedirectURIs = []string{"https://payroll.example/"} })
		refused(t, err, id)
		_, _, err = o.RotateSecret(ctx, "Payroll", org.Begin)
		refused(t, err, id)
		refused(t, o.DeleteApp(ctx, "Payroll"), id)
		_, err = o.Registration(ctx, r.ID, r.Access)
		must(t, err)
		must(t, o.DeleteApp(ctx, id))
		apply(t, o, payrollInAFile, org.How{})
	})
}

func TestS58_WhoTakesAnAppOverEndsItsRegistration(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		r := stranger(t, o)
		text := strings.Replace(payrollInAFile, "{name: payroll", "{id: "+string(r.ID)+", name: Payroll", 1)
		p := apply(t, o, text, org.How{})
		if !strings.Contains(p.String(), "registration: its own -> the operator's") {
			t.Errorf("the plan does not say it:\n%s", p)
		}
		if _, err := o.Registration(ctx, r.ID, r.Access); !errors.Is(err, org.ErrRegistrationToken) {
			t.Errorf("the token of who registered it: %v", err)
		}
		if p := apply(t, o, text, org.How{}); len(p.Changes) != 0 {
			t.Errorf("applied again:\n%s", p)
		}
		if c, err := o.App(ctx, "payroll"); err != nil || c.ID != r.ID {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

func TestPruneLeavesAppsThatRegisteredThemselves(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		r := stranger(t, o)
		for name, text := range map[string]string{"a file": small, "the export": export(t, o)} {
			if p := apply(t, o, text, org.How{Prune: true}); len(p.Changes) != 0 {
				t.Errorf("pruned by %s:\n%s", name, p)
			}
		}
		_, err := o.Registration(ctx, r.ID, r.Access)
		must(t, err)
	})
}

func ruleAbout(id oauth.ClientID) string {
	return "servers:\n  - {id: partners, rules: [{apps: [" + string(id) + "]}]}\n"
}

// An application that a rule names is not deleted from under it: then the export could not be applied, and a rule without
// the name would let everybody in.
func TestAnAppThatARuleNamesStays(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		apply(t, o, portal+partners, org.How{})
		refused(t, o.DeleteApp(ctx, "portal-client"), "a rule of the server partners names Portal")
		other := strings.NewReplacer("portal-client", "other-client", "Portal", "Other").Replace(portal)
		if _, err := o.Apply(ctx, read(t, "org.yaml", other), org.How{Prune: true}); err == nil || !strings.Contains(err.Error(), "a rule of the server partners names it") {
			t.Errorf("pruned: %v", err)
		}
		apply(t, o, export(t, o), org.How{Prune: true})
		apply(t, o, "servers: [{id: default, rules: [{apps: [portal-client]}]}, {id: org, rules: [{apps: [portal-client]}]}]\n", org.How{}) // of three, two go
		if _, err := o.Apply(ctx, read(t, "org.yaml", "servers: [{id: default}, {id: partners}]\n"+other), org.How{Prune: true}); err == nil || !strings.Contains(err.Error(), "a rule of the server org names it") {
			t.Errorf("pruned: %v", err)
		}
		apply(t, o, "servers: [{id: default}, {id: org}, {id: partners}]\n"+other, org.How{Prune: true}) // rules and application go at once
		if _, err := o.App(ctx, "portal-client"); err == nil {
			t.Error("it stayed")
		}
	})
}

func TestAnAppThatARuleNamesEndsItsRegistration(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		r := stranger(t, o)
		grant := oauth.Grant{ID: "oar1", Server: "partners", Client: r.ID, User: user(t, o, "ada").User.ID, Expires: now.Add(time.Hour)}
		must(t, o.Store.Update(ctx, func(tx store.Tx) error { return tx.AddGrant(ctx, grant) }))
		apply(t, o, ruleAbout(r.ID), org.How{})
		must(t, o.EndRegistration(ctx, r.ID, r.Access))
		if _, err := o.Registration(ctx, r.ID, r.Access); !errors.Is(err, org.ErrRegistrationToken) {
			t.Errorf("its token is still good: %v", err)
		}
		if c, err := o.App(ctx, string(r.ID)); err != nil || !c.Disabled {
			t.Errorf("%+v, %v", c, err)
		}
		if err := holds(o, grant); !errors.Is(err, store.ErrSpent) {
			t.Errorf("S-79: a token of it: %v", err)
		}
		apply(t, o, export(t, o), org.How{})
		apply(t, o, "servers: [{id: partners}]\n", org.How{})
		must(t, o.DeleteApp(ctx, string(r.ID)))
	})
}

// A store whose Client is read, and then something else happens.
type interrupted struct {
	store.DB
	then func()
}

type interruptedTx struct {
	store.Tx
	then func()
}

func (i interrupted) Update(ctx context.Context, f func(store.Tx) error) error {
	return i.DB.Update(ctx, func(tx store.Tx) error { return f(interruptedTx{tx, i.then}) })
}

func (i interruptedTx) Client(ctx context.Context, id oauth.ClientID) (oauth.Client, error) {
	c, err := i.Tx.Client(ctx, id)
	i.then()
	return c, err
}

// S-79: an application that is deleted while it changes does not come back with its secret and its registration.
func TestS79_AnAppThatIsDeletedDoesNotComeBack(t *testing.T) {
	type way func(o *org.Org, r org.Registered) error
	end := map[string]way{
		"by an operator": func(o *org.Org, r org.Registered) error { return o.DeleteApp(ctx, string(r.ID)) },
		"by itself":      func(o *org.Org, r org.Registered) error { return o.EndRegistration(ctx, r.ID, r.Access) },
	}
	change := map[string]way{
		"its registration": func(o *org.Org, r org.Registered) error {
			a := payroll
			a.Name = "Wages"
			_, err := o.ChangeRegistration(ctx, r.ID, r.Access, a)
			return err
		},
		"its settings": func(o *org.Org, r org.Registered) error {
			_, err := o.SetApp(ctx, string(r.ID), func(a *org.App) { a.Origins = []string{"https://payroll.example"} })
			return err
		},
		"its secret": func(o *org.Org, r org.Registered) error {
			_, _, err := o.RotateSecret(ctx, string(r.ID), org.Begin)
			return err
		},
	}
	for ending, end := range end {
		for changing, change := range change {
			t.Run(ending+"/"+changing, func(t *testing.T) {
				onBoth(t, func(t *testing.T, o *org.Org) {
					r := stranger(t, o)
					gone := make(chan error, 1)
					begun := false
					slow := over(interrupted{o.Store, func() {
						if begun {
							return
						}
						begun = true
						go func() { gone <- end(o, r) }()
						select { // whoever deletes waits for its turn, or is faster
						case err := <-gone:
							gone <- err
						case <-time.After(300 * time.Millisecond):
						}
					}})
					changed := change(slow, r)
					ended := <-gone
					if _, err := o.App(ctx, string(r.ID)); err == nil || changed != nil || ended != nil {
						t.Errorf("it is there again (%v): changed with %v, ended with %v", err == nil, changed, ended)
					}
				})
			})
		}
	}
}

func TestListsOfARuleThatSayNothing(t *testing.T) {
	for text, want := range map[string]string{
		"servers:\n  - id: partners\n    rules: []\n":                                         "org.yaml:3: servers[0].rules: is empty",
		"servers:\n  - id: partners\n    rules:\n":                                            "org.yaml:3: servers[0].rules: is empty",
		"servers:\n  - id: partners\n    rules:\n      - apps:\n        scopes: [openid]\n":   "org.yaml:4: servers[0].rules[0].apps: is empty",
		"servers:\n  - id: partners\n    rules: [{grant_types: [], scopes: [openid]}]\n":      "rules[0].grant_types: is empty",
		"servers:\n  - id: partners\n    rules: [{scopes: [], grant_types: [device_code]}]\n": "rules[0].scopes: is empty",
	} {
		if _, err := org.Read("org.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s%v, want %s", text, err, want)
		}
	}
	if _, err := org.Read("org.yaml", []byte("servers: [{id: partners, rules: [{scopes: [openid]}]}]\n")); err != nil {
		t.Error(err)
	}
}
