package org

import (
	"context"
	"errors"
	"slices"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/strict"
)

// findApp finds an application by id, or by name. Whoever has a token to register an application chooses its name, so such
// a one is found by its id alone: an operator who says Payroll does not mean a stranger's.
func findApp(ctx context.Context, tx store.Tx, name string) (oauth.Client, error) {
	c, err := tx.Client(ctx, oauth.ClientID(name))
	if !errors.Is(err, store.ErrNotFound) {
		return c, err
	}
	all, err := tx.Clients(ctx)
	if err != nil {
		return c, err
	}
	i := slices.IndexFunc(all, func(c oauth.Client) bool { return foldName(c.Label) == foldName(name) })
	switch {
	case i < 0:
		return c, refuse("there is no app %q", name)
	case !all[i].Registration.IsZero():
		return c, refuse("the app %q registered itself: name it by its id, %s", name, all[i].ID)
	}
	return all[i], nil
}

// Apps lists the applications, oldest first.
func (o *Org) Apps(ctx context.Context) (all []oauth.Client, err error) {
	err = o.Store.View(ctx, func(tx store.Tx) error {
		all, err = tx.Clients(ctx)
		return err
	})
	return all, err
}

// App finds an application by id or by name.
func (o *Org) App(ctx context.Context, name string) (c oauth.Client, err error) {
	err = o.Store.View(ctx, func(tx store.Tx) error {
		c, err = findApp(ctx, tx, name)
		return err
	})
	return c, err
}

// AddApp registers an application, as a file with nothing else in it would. The secret of a confidential one is
// made here and shown once (S-58).
func (o *Org) AddApp(ctx context.Context, a App) (oauth.Client, secret.Text, error) {
	a = a.whole()
	if err := a.check().err(); err != nil {
		return oauth.Client{}, "", err
	}
	apps, err := o.Apps(ctx)
	if err != nil {
		return oauth.Client{}, "", err
	}
	if slices.ContainsFunc(apps, func(c oauth.Client) bool {
		return foldName(c.Label) == foldName(a.Name) || a.ID != "" && string(c.ID) == a.ID
	}) {
		return oauth.Client{}, "", refuse("there is an app %q already", a.Name)
	}
	plan, err := o.Apply(ctx, File{Apps: []App{a}}, How{})
	if err != nil {
		return oauth.Client{}, "", sentence(err)
	}
	var made secret.Text
	if len(plan.Secrets) > 0 {
		made = plan.Secrets[0].Secret
	}
	c, err := o.App(ctx, a.Name)
	return c, made, err
}

// sentence turns what is wrong with a file into what is wrong with a command.
func sentence(err error) error {
	var p *strict.Problems
	if !errors.As(err, &p) {
		return err
	}
	var all flaws
	for _, one := range p.All {
		all.at(one.Path, "%s", one.Said)
	}
	return all.err()
}

// SetApp changes an application.
func (o *Org) SetApp(ctx context.Context, name string, change func(*App)) (oauth.Client, error) {
	var done oauth.Client
	err := o.update(ctx, func(tx store.Tx) ([]audit.Event, error) {
		if err := o.turn(ctx, tx); err != nil {
			return nil, err
		}
		c, err := findApp(ctx, tx, name)
		if err != nil {
			return nil, err
		}
		have := AppOf(c)
		want := have
		change(&want)
		want.ID, want.Type, want.SecretDigests = have.ID, have.Type, have.SecretDigests
		fields := compare(have, want)
		if done = c; len(fields) == 0 {
			return nil, nil
		}
		// An application that is not as it should be can still be switched off.
		if alone := len(fields) == 1 && fields[0].Name == "disabled"; !alone {
			if err := o.fits(ctx, tx, c, want); err != nil {
				return nil, err
			}
		}
		done = want.onto(c)
		if done.Disabled && !c.Disabled {
			if _, err := tx.RevokeGrantsOf(ctx, "", c.ID); err != nil {
				return nil, err
			}
		}
		e := audit.Event{Client: string(c.ID), Target: "app " + done.Label, Reason: fieldNames(Change{Action: Alter, Fields: fields})}
		return o.one(ctx, audit.AppChanged, e), tx.AlterClient(ctx, done)
	})
	return done, err
}

// fits judges an application by itself and by the organisation it is in.
func (o *Org) fits(ctx context.Context, tx store.Tx, c oauth.Client, a App) error {
	clients, err := tx.Clients(ctx)
	if err != nil {
		return err
	}
	servers, err := tx.Servers(ctx)
	if err != nil {
		return err
	}
	authenticators, err := tx.Authenticators(ctx)
	if err != nil {
		return err
	}
	var scopes []string
	for _, s := range servers {
		scopes = append(scopes, s.Scopes...)
	}
	kinds := map[ident.Kind]bool{}
	for _, a := range authenticators {
		kinds[a.Kind] = true
	}
	found := append(a.check(), a.unfit(scopes, kinds)...)
	renamed := foldName(a.Name) != foldName(c.Label)
	if renamed && slices.ContainsFunc(clients, func(other oauth.Client) bool { return foldName(other.Label) == foldName(a.Name) }) {
		found.at("name", "another app has it already")
	}
	return found.err()
}

// DeleteApp removes an application, and ends all that was granted to it (S-79). One that a server's rule names is not
// removed from under it: without the name the rule, or the server, would be open to every application.
func (o *Org) DeleteApp(ctx context.Context, name string) error {
	return o.update(ctx, func(tx store.Tx) ([]audit.Event, error) {
		if err := o.turn(ctx, tx); err != nil {
			return nil, err
		}
		c, err := findApp(ctx, tx, name)
		if err != nil {
			return nil, err
		}
		servers, err := tx.Servers(ctx)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(servers, ruledBy(c.ID)); i >= 0 {
			return nil, refuse("a rule of the server %s names %s (%s): change the rule first", servers[i].ID, c.Label, c.ID)
		}
		return o.one(ctx, audit.AppDeleted, audit.Event{Client: string(c.ID), Target: "app " + c.Label}), dropApp(ctx, tx, c.ID)
	})
}

// ruledBy finds a server with a rule about the application.
func ruledBy(id oauth.ClientID) func(oauth.Server) bool {
	return func(s oauth.Server) bool {
		return slices.ContainsFunc(s.Rules, func(r oauth.Rule) bool { return slices.Contains(r.Apps, id) })
	}
}

// A Rotation is one step in changing an application's secret.
type Rotation int

// The application gets a new secret, and the one before stays good until the last step; or ends at once.
const (
	Begin  Rotation = iota // a new secret beside the newest of those there are
	Finish                 // all but the newest end
	AtOnce                 // a new secret, and all others end: one of them is known to somebody
)

// RotateSecret changes an application's secret; a public application becomes confidential by its first one.
// It returns the new secret, which is shown once.
func (o *Org) RotateSecret(ctx context.Context, name string, r Rotation) (c oauth.Client, made secret.Text, err error) {
	err = o.update(ctx, func(tx store.Tx) ([]audit.Event, error) {
		if err := o.turn(ctx, tx); err != nil {
			return nil, err
		}
		if c, err = findApp(ctx, tx, name); err != nil {
			return nil, err
		}
		if r == Finish {
			made = ""
			if len(c.SecretDigests) < 2 {
				return nil, refuse("%s has no older secret to end", c.Label)
			}
			c.SecretDigests = c.SecretDigests[:1]
		} else {
			made = secret.Random()
			kept := c.SecretDigests[:min(1, len(c.SecretDigests))]
			if r == AtOnce {
				kept = nil
			}
			if !c.Confidential() {
				c.AuthenticatesAtInteract = true
			}
			c.SecretDigests = append([]secret.Digest{secret.DigestOf(secret.ClientSecret, made.Reveal())}, kept...)
		}
		return o.one(ctx, audit.AppSecretRotated, audit.Event{Client: string(c.ID), Target: "app " + c.Label}), tx.AlterClient(ctx, c)
	})
	return c, made, err
}
