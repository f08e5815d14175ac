package org

import (
	"context"
	"errors"
	"slices"
	"strings"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/notice"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// A Person is a user with what an operator may see of them: no hash, and no number in full (S-37).
type Person struct {
	User    ident.User
	Groups  []string
	Factors []Factor
}

// A Factor is something that a person has enrolled.
type Factor struct {
	Enrollment ident.Enrollment // without its secret
	Suspended  bool             // too many wrong codes (S-10)
}

// page is how many users are read at once.
const page = 500

// findUser finds somebody by login or by id.
func findUser(ctx context.Context, tx store.Tx, name string) (ident.User, error) {
	if strings.HasPrefix(name, "00u") {
		u, err := tx.User(ctx, ident.UserID(name))
		if !errors.Is(err, store.ErrNotFound) {
			return u, err
		}
	}
	folded, ok := ident.FoldLogin(name)
	if !ok {
		return ident.User{}, store.ErrNotFound
	}
	return tx.UserByLogin(ctx, folded)
}

// everyone reads all users that a query is about.
func everyone(ctx context.Context, tx store.Tx, q store.UserQuery) (all []ident.User, err error) {
	q.N = page
	for {
		some, err := tx.Users(ctx, q)
		if err != nil || len(some) == 0 {
			return all, err
		}
		all = append(all, some...)
		q.After, _ = ident.FoldLogin(some[len(some)-1].Login)
	}
}

func noUser(err error, name string) error {
	return because(err, store.ErrNotFound, "there is no user %q", name)
}

// User finds somebody by login or by id.
func (o *Org) User(ctx context.Context, name string) (p Person, err error) {
	err = o.Store.View(ctx, func(tx store.Tx) error {
		u, err := findUser(ctx, tx, name)
		if err != nil {
			return err
		}
		p, err = o.person(ctx, tx, u)
		return err
	})
	return p, noUser(err, name)
}

func (o *Org) person(ctx context.Context, tx store.Tx, u ident.User) (Person, error) {
	p := Person{User: u}
	groups, err := tx.GroupsOf(ctx, u.ID)
	if err != nil {
		return p, err
	}
	for _, g := range groups {
		p.Groups = append(p.Groups, g.Name)
	}
	enrollments, err := tx.Enrollments(ctx, u.ID)
	if err != nil {
		return p, err
	}
	for _, e := range enrollments {
		until, err := tx.Suspended(ctx, u.ID, e.Kind)
		if err != nil {
			return p, err
		}
		e.Secret = ""
		p.Factors = append(p.Factors, Factor{e, until.After(o.Now())})
	}
	return p, nil
}

// A UserPage is some users, and where to go on.
type UserPage struct {
	Users []ident.User
	Next  string // empty: that was all
}

// A UserFilter says which users to list.
type UserFilter struct {
	After  string // a page's Next, or any login
	Group  string
	Status ident.Status
	N      int
}

// Users lists users by login, a page at a time.
func (o *Org) Users(ctx context.Context, f UserFilter) (UserPage, error) {
	var got UserPage
	q := store.UserQuery{Status: f.Status, N: f.N + 1} // one more tells whether there are more
	if q.After = f.After; f.After != "" {
		if folded, ok := ident.FoldLogin(f.After); ok {
			q.After = folded
		}
	}
	err := o.Store.View(ctx, func(tx store.Tx) error {
		if f.Group != "" {
			g, err := findGroup(ctx, tx, f.Group)
			if err != nil {
				return err
			}
			q.Group = g.ID
		}
		users, err := tx.Users(ctx, q)
		got = UserPage{Users: users}
		return err
	})
	if len(got.Users) > f.N {
		got.Users = got.Users[:f.N]
		got.Next, _ = ident.FoldLogin(got.Users[f.N-1].Login)
	}
	return got, err
}

// A Profile is what is to be changed of a user; nil stays as it is.
type Profile struct {
	Login, GivenName, FamilyName, Email, Locale, Zone *string
	EmailVerified                                     *bool
}

func (p Profile) onto(u ident.User) ident.User {
	for _, field := range []struct {
		to   *string
		from *string
	}{{&u.Login, p.Login}, {&u.GivenName, p.GivenName}, {&u.FamilyName, p.FamilyName}, {&u.Locale, p.Locale}, {&u.Zone, p.Zone}} {
		if field.from != nil {
			*field.to = strings.TrimSpace(*field.from)
		}
	}
	if p.Email != nil && *p.Email != u.Email { // nobody has verified the new one
		u.Email, u.EmailVerified = strings.TrimSpace(*p.Email), false
	}
	if p.EmailVerified != nil {
		u.EmailVerified = *p.EmailVerified
	}
	return u
}

// AddUser adds somebody. Without a password nobody can sign in as them until one is set.
func (o *Org) AddUser(ctx context.Context, p Profile, pass secret.Text, groups []string) (Person, error) {
	now := o.Now().UTC()
	u := p.onto(ident.User{ID: ident.UserID(ident.NewID("00u")), Status: ident.Active, Created: now, Updated: now})
	if err := checkUser(u).err(); err != nil {
		return Person{}, err
	}
	var hash secret.Text
	if pass != "" {
		if err := o.checkPassword(ctx, pass, u); err != nil {
			return Person{}, err
		}
		hash = o.passwords.Hash(pass)
	}
	var made Person
	err := o.update(ctx, func(tx store.Tx) ([]audit.Event, error) {
		if err := tx.AddUser(ctx, u); err != nil {
			return nil, because(err, store.ErrExists, "there is a user %q already", u.Login)
		}
		events := []audit.Event{o.event(ctx, audit.UserCreated, audit.Event{User: string(u.ID)})}
		if hash != "" {
			if err := o.enrollPassword(ctx, tx, u.ID, hash); err != nil {
				return nil, err
			}
			events = append(events, o.event(ctx, audit.PasswordSet, audit.Event{User: string(u.ID)}))
		}
		for _, name := range groups {
			g, err := findGroup(ctx, tx, name)
			if err != nil {
				return nil, err
			}
			if err := tx.AddMember(ctx, g.ID, u.ID); err != nil {
				return nil, because(err, store.ErrExists, "the group %s is named twice", g.Name)
			}
			events = append(events, o.event(ctx, audit.MemberAdded, audit.Event{User: string(u.ID), Target: "group " + g.Name}))
		}
		var err error
		made, err = o.person(ctx, tx, u)
		return events, err
	})
	return made, err
}

func (o *Org) checkPassword(ctx context.Context, pass secret.Text, u ident.User) error {
	var clients []oauth.Client
	err := o.Store.View(ctx, func(tx store.Tx) (err error) { clients, err = tx.Clients(ctx); return err })
	if err != nil {
		return err
	}
	return words(password.Check(pass, password.Least(oauth.TwoFactors(clients)), u.Login, u.GivenName, u.FamilyName))
}

func (o *Org) enrollPassword(ctx context.Context, tx store.Tx, u ident.UserID, hash secret.Text) error {
	a, err := need(ctx, tx, ident.Password)
	if err != nil {
		return err
	}
	return tx.AddEnrollment(ctx, o.enrollment(a, u, ident.MethodPassword, hash, ""))
}

// about changes somebody who is there, found by login or id, and returns who it was.
func (o *Org) about(ctx context.Context, name string, f func(tx store.Tx, u ident.User) ([]audit.Event, error)) (p Person, err error) {
	err = o.update(ctx, func(tx store.Tx) ([]audit.Event, error) {
		u, err := findUser(ctx, tx, name)
		if err != nil {
			return nil, noUser(err, name)
		}
		events, err := f(tx, u)
		if err != nil {
			return nil, err
		}
		for i := range events {
			events[i].User = string(u.ID)
		}
		if u, err = tx.User(ctx, u.ID); errors.Is(err, store.ErrNotFound) {
			return events, nil // deleted
		} else if err != nil {
			return nil, err
		}
		p, err = o.person(ctx, tx, u)
		return events, err
	})
	return p, err
}

func (o *Org) one(ctx context.Context, t audit.Type, e audit.Event) []audit.Event {
	return []audit.Event{o.event(ctx, t, e)}
}

// SetUser changes a profile.
func (o *Org) SetUser(ctx context.Context, name string, p Profile) (Person, error) {
	return o.about(ctx, name, func(tx store.Tx, u ident.User) ([]audit.Event, error) {
		changed := p.onto(u)
		if changed == u {
			return nil, nil
		}
		if err := checkUser(changed).err(); err != nil {
			return nil, err
		}
		changed.Updated = o.Now().UTC()
		if err := tx.PutUser(ctx, changed); err != nil {
			return nil, because(err, store.ErrExists, "there is a user %q already", changed.Login)
		}
		return o.one(ctx, audit.UserChanged, audit.Event{}), nil
	})
}

// Disable keeps somebody out: no sign-in begins or goes on, and their tokens end at once (S-79).
func (o *Org) Disable(ctx context.Context, name string) (Person, error) {
	return o.status(ctx, name, ident.Suspended, audit.UserDisabled)
}

// Enable lets somebody in again. What they held before stays ended.
func (o *Org) Enable(ctx context.Context, name string) (Person, error) {
	return o.status(ctx, name, ident.Active, audit.UserEnabled)
}

func (o *Org) status(ctx context.Context, name string, s ident.Status, t audit.Type) (Person, error) {
	return o.about(ctx, name, func(tx store.Tx, u ident.User) ([]audit.Event, error) {
		if u.Status == s {
			return nil, nil
		}
		u.Status, u.Updated = s, o.Now().UTC()
		if err := tx.PutUser(ctx, u); err != nil {
			return nil, err
		}
		// When they come back, too: a code may have been redeemed while they were sent away.
		if err := o.signOut(ctx, tx, u.ID); err != nil {
			return nil, err
		}
		return o.one(ctx, t, audit.Event{}), nil
	})
}

// signOut ends everything that somebody's sign-ins gave: sessions in browsers, and tokens. What they signed in with is
// changed before, and the sessions end first: who is just signing in, or letting a device in, holds those until that is
// committed, so that what it gives is there to be taken away.
func (o *Org) signOut(ctx context.Context, tx store.Tx, u ident.UserID) error {
	if _, err := tx.EndSessionsOf(ctx, u, "", o.Now().UTC()); err != nil {
		return err
	}
	_, err := tx.RevokeGrantsOf(ctx, u, "")
	return err
}

// DeleteUser removes somebody with all that is theirs. What they did stays in the audit log, under their id.
func (o *Org) DeleteUser(ctx context.Context, name string) error {
	_, err := o.about(ctx, name, func(tx store.Tx, u ident.User) ([]audit.Event, error) {
		if err := tx.DropUser(ctx, u.ID); err != nil {
			return nil, err
		}
		return o.one(ctx, audit.UserDeleted, audit.Event{}), o.signOut(ctx, tx, u.ID)
	})
	return err
}

// SetPassword gives somebody a password. Whoever signed in with the one before is signed out, and a sign-in that
// has begun with it begins again.
func (o *Org) SetPassword(ctx context.Context, name string, pass secret.Text) (Person, error) {
	who, err := o.User(ctx, name)
	if err != nil {
		return who, err
	}
	if err := o.checkPassword(ctx, pass, who.User); err != nil {
		return who, err
	}
	hash := o.passwords.Hash(pass)
	return o.about(ctx, string(who.User.ID), func(tx store.Tx, u ident.User) ([]audit.Event, error) {
		if _, err := o.drop(ctx, tx, u.ID, ident.Password); err != nil {
			return nil, err
		}
		if err := o.enrollPassword(ctx, tx, u.ID, hash); err != nil {
			return nil, err
		}
		if err := forget(ctx, tx, u); err != nil {
			return nil, err
		}
		if err := o.signOut(ctx, tx, u.ID); err != nil {
			return nil, err
		}
		return o.one(ctx, audit.PasswordSet, audit.Event{}), o.tell(ctx, tx, u, notice.PasswordChanged, "")
	})
}

// drop removes what somebody has enrolled of a kind, with its counters; gone is empty if there is nothing.
func (o *Org) drop(ctx context.Context, tx store.Tx, u ident.UserID, k ident.Kind) (gone ident.Enrollment, err error) {
	all, err := tx.Enrollments(ctx, u)
	if err != nil {
		return gone, err
	}
	gone, found := ident.Find(all, k)
	if !found {
		return ident.Enrollment{}, nil
	}
	if err := tx.DropEnrollment(ctx, gone.ID); err != nil { // first, in the order in which a sign-in holds them
		return gone, err
	}
	return gone, tx.ClearFailures(ctx, u, k)
}

// ResetPhone begins a re-enrolment: the number is forgotten, tokens end, and the next sign-in that asks for a
// phone has one set up. An operator cannot set a number: it counts when its owner has shown the code (S-38).
func (o *Org) ResetPhone(ctx context.Context, name string) (Person, error) {
	return o.about(ctx, name, func(tx store.Tx, u ident.User) ([]audit.Event, error) {
		gone, err := o.drop(ctx, tx, u.ID, ident.Phone)
		if err != nil {
			return nil, err
		}
		if gone.ID == "" {
			return nil, refuse("%s has no phone to reset", u.Login)
		}
		if err := o.signOut(ctx, tx, u.ID); err != nil {
			return nil, err
		}
		return o.one(ctx, audit.FactorReset, audit.Event{Target: gone.Hint}), o.tell(ctx, tx, u, notice.PhoneRemoved, gone.Hint)
	})
}

// Unlock forgets wrong answers, and lets in again who was locked. Who was disabled stays so.
func (o *Org) Unlock(ctx context.Context, name string) (Person, error) {
	return o.about(ctx, name, func(tx store.Tx, u ident.User) ([]audit.Event, error) {
		if err := forget(ctx, tx, u); err != nil {
			return nil, err
		}
		if err := tx.ClearFailures(ctx, u.ID, ident.Phone); err != nil {
			return nil, err
		}
		if u.Status == ident.Locked {
			u.Status, u.Updated = ident.Active, o.Now().UTC()
			if err := tx.PutUser(ctx, u); err != nil {
				return nil, err
			}
		}
		return o.one(ctx, audit.UserUnlocked, audit.Event{}), nil
	})
}

// forget is what an administrator does about wrong passwords (S-26): there were none.
func forget(ctx context.Context, tx store.Tx, u ident.User) error {
	folded, _ := ident.FoldLogin(u.Login)
	return tx.ForgetGuesses(ctx, folded)
}

// findGroup finds a group by its name or by its id.
func findGroup(ctx context.Context, tx store.Tx, name string) (ident.Group, error) {
	folded, ok := ident.FoldGroup(name)
	err := store.ErrNotFound
	var g ident.Group
	if ok {
		g, err = tx.GroupByName(ctx, folded)
	}
	if errors.Is(err, store.ErrNotFound) && strings.HasPrefix(name, "00g") {
		all, err := tx.Groups(ctx)
		if err != nil {
			return g, err
		}
		if i := slices.IndexFunc(all, func(g ident.Group) bool { return string(g.ID) == name }); i >= 0 {
			return all[i], nil
		}
	}
	return g, because(err, store.ErrNotFound, "there is no group %q", name)
}
