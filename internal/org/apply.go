package org

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/strict"
)

// How says how a file is applied.
type How struct {
	DryRun bool // change nothing, and say what would be
	Prune  bool // of each kind of object that the file speaks of, delete those that it does not; no self-registered application
}

// Apply makes the organisation what the file says, in one transaction, and returns what that took. A file that
// is applied again changes nothing. Objects that the file does not name are left alone, unless it prunes. The
// error is [strict.Problems] for a file that does not fit this organisation, and then nothing is changed.
func (o *Org) Apply(ctx context.Context, f File, how How) (Plan, error) {
	var p *planner
	work := func(tx store.Tx) error {
		p = &planner{org: o, ctx: ctx, file: f, how: how, problems: &strict.Problems{File: f.name, Lines: f.lines}}
		if err := p.look(tx); err != nil {
			return err
		}
		if err := p.think(tx); err != nil {
			return err
		}
		return p.problems.Err()
	}
	if how.DryRun {
		err := o.Store.View(ctx, work)
		return p.plan, err
	}
	err := o.Store.Update(ctx, func(tx store.Tx) error {
		if err := o.turn(ctx, tx); err != nil {
			return err
		}
		if err := work(tx); err != nil {
			return err
		}
		for _, do := range p.steps {
			if err := do(tx); err != nil {
				return err
			}
		}
		return tx.Record(ctx, p.events...)
	})
	if err != nil {
		return Plan{}, err
	}
	p.plan.Applied = true
	return p.plan, nil
}

// A planner compares a file with an organisation.
type planner struct {
	org      *Org
	ctx      context.Context
	file     File
	how      How
	problems *strict.Problems

	servers        []oauth.Server
	authenticators []ident.Authenticator
	groups         []ident.Group
	clients        []oauth.Client

	founded int // servers that were not in the file

	plan   Plan
	steps  []func(store.Tx) error
	events []audit.Event
}

func (p *planner) look(tx store.Tx) (err error) {
	if p.servers, err = tx.Servers(p.ctx); err != nil {
		return err
	}
	if p.authenticators, err = tx.Authenticators(p.ctx); err != nil {
		return err
	}
	if p.groups, err = tx.Groups(p.ctx); err != nil {
		return err
	}
	p.clients, err = tx.Clients(p.ctx)
	return err
}

func (p *planner) think(tx store.Tx) error {
	for _, s := range Founding().Servers { // one that is missing comes with the next file, as after an upgrade
		there := slices.ContainsFunc(p.servers, func(have oauth.Server) bool { return have.ID == s.ID })
		if !there && !slices.ContainsFunc(p.file.Servers, func(want Server) bool { return want.ID == s.ID }) {
			p.file.Servers, p.founded = append(p.file.Servers, s), p.founded+1
		}
	}
	if len(p.authenticators)+len(p.file.Authenticators) == 0 {
		p.file.Authenticators = Founding().Authenticators
	}
	p.thinkServers()
	p.thinkAuthenticators()
	if err := p.thinkGroups(tx); err != nil {
		return err
	}
	p.thinkApps()
	return nil
}

// change notes what is to be done to one object.
func (p *planner) change(c Change, t audit.Type, do func(store.Tx) error) {
	if p.how.DryRun && c.Action == Create && c.Kind == "group" {
		c.ID = "" // another one would be made the next time
	}
	p.plan.Changes = append(p.plan.Changes, c)
	p.steps = append(p.steps, do)
	e := audit.Event{Target: c.Kind + " " + c.Name, Reason: fieldNames(c)}
	if c.Kind == "app" {
		e.Client = c.ID
	}
	p.events = append(p.events, p.org.event(p.ctx, t, e))
}

// fieldNames are what the audit log says of a change: which fields it was in. Their values are in the file.
func fieldNames(c Change) (names string) {
	if c.Action != Alter {
		return ""
	}
	for i, f := range c.Fields {
		if i > 0 {
			names += ", "
		}
		names += f.Name
	}
	return names
}

func (p *planner) at(path, format string, args ...any) {
	p.problems.At(path, format, args...)
}

func (p *planner) thinkServers() {
	ctx := p.ctx
	for i, want := range p.file.Servers {
		p.fitRules(fmt.Sprintf("servers[%d]", i), want)
		put := func(tx store.Tx) error { return tx.PutServer(ctx, want.server()) }
		i := slices.IndexFunc(p.servers, func(s oauth.Server) bool { return s.ID == want.ID })
		if i < 0 {
			p.change(Change{Create, "server", want.ID, want.ID, said(want)[1:]}, audit.ServerCreated, put)
		} else if fields := compare(serverOf(p.servers[i]), want); len(fields) > 0 {
			p.change(Change{Alter, "server", want.ID, want.ID, fields}, audit.ServerChanged, put)
		}
	}
	if !p.pruningServers() {
		return
	}
	for _, s := range p.servers {
		if founding(s.ID) || slices.ContainsFunc(p.file.Servers, func(want Server) bool { return want.ID == s.ID }) {
			continue
		}
		p.change(Change{Delete, "server", s.ID, s.ID, nil}, audit.ServerDeleted, func(tx store.Tx) error { return tx.DropServer(ctx, s.ID) })
	}
}

// pruningServers: a file that does not speak of servers deletes none, even if one is founded on the way.
func (p *planner) pruningServers() bool { return p.how.Prune && len(p.file.Servers) > p.founded }

// founding reports whether a server is one of those that are there without being named.
func founding(id string) bool {
	return slices.ContainsFunc(oauth.FoundingServers(), func(s oauth.Server) bool { return s.ID == id })
}

// fitRules finds rules about applications that there will not be.
func (p *planner) fitRules(path string, s Server) {
	for i, r := range s.Rules {
		for j, id := range r.Apps {
			inFile := slices.ContainsFunc(p.file.Apps, func(a App) bool { return a.ID == string(id) })
			stays := slices.ContainsFunc(p.clients, func(c oauth.Client) bool { return c.ID == id && !p.prunes(c) })
			if !inFile && !stays {
				p.at(fmt.Sprintf("%s.rules[%d].apps[%d]", path, i, j), "there is no app with the id %q", id)
			}
		}
	}
}

func (p *planner) thinkAuthenticators() {
	ctx := p.ctx
	for _, want := range p.file.Authenticators {
		i := slices.IndexFunc(p.authenticators, func(a ident.Authenticator) bool { return a.Kind == want.Kind })
		id := ident.AuthenticatorID(ident.NewID("aut"))
		if i >= 0 {
			id = p.authenticators[i].ID
		}
		put := func(tx store.Tx) error { return tx.PutAuthenticator(ctx, want.authenticator(id)) }
		if i < 0 {
			p.change(Change{Create, "authenticator", string(want.Kind), "", said(want)[1:]}, audit.AuthenticatorSet, put)
		} else if fields := compare(authenticatorOf(p.authenticators[i]), want); len(fields) > 0 {
			p.change(Change{Alter, "authenticator", string(want.Kind), string(id), fields}, audit.AuthenticatorSet, put)
		}
	}
	if !p.how.Prune || len(p.file.Authenticators) == 0 {
		return
	}
	for _, a := range p.authenticators {
		if slices.ContainsFunc(p.file.Authenticators, func(want Authenticator) bool { return want.Kind == a.Kind }) {
			continue
		}
		p.change(Change{Delete, "authenticator", string(a.Kind), string(a.ID), nil}, audit.AuthenticatorGone,
			func(tx store.Tx) error { return tx.DropAuthenticator(ctx, a.ID) })
	}
}

func (p *planner) thinkGroups(tx store.Tx) error {
	for i, want := range p.file.Groups {
		folded, _ := ident.FoldGroup(want.Name)
		at := slices.IndexFunc(p.groups, func(g ident.Group) bool { return sameGroup(g, folded) })
		g := ident.Group{ID: ident.GroupID(ident.NewID("00g")), Created: p.org.Now().UTC()}
		have := Group{}
		if at >= 0 {
			g = p.groups[at]
			have = Group{Name: g.Name, Description: g.Description}
		}
		g.Name, g.Description = want.Name, want.Description
		in, out, err := p.members(tx, i, &have, &want, g.ID, at >= 0)
		if err != nil {
			return err
		}
		if at < 0 {
			p.change(Change{Create, "group", g.Name, string(g.ID), said(want)[1:]}, audit.GroupCreated, p.putGroup(g, store.Tx.AddGroup, in, out))
		} else if fields := compare(have, want); len(fields) > 0 {
			p.change(Change{Alter, "group", g.Name, string(g.ID), fields}, audit.GroupChanged, p.putGroup(g, store.Tx.PutGroup, in, out))
		}
	}
	if !p.how.Prune || len(p.file.Groups) == 0 {
		return nil
	}
	for _, g := range p.groups {
		if slices.ContainsFunc(p.file.Groups, func(want Group) bool { f, _ := ident.FoldGroup(want.Name); return sameGroup(g, f) }) {
			continue
		}
		p.change(Change{Delete, "group", g.Name, string(g.ID), nil}, audit.GroupDeleted,
			func(tx store.Tx) error { return tx.DropGroup(p.ctx, g.ID) })
	}
	return nil
}

func sameGroup(g ident.Group, folded string) bool {
	have, _ := ident.FoldGroup(g.Name)
	return have == folded
}

func (p *planner) putGroup(g ident.Group, put func(store.Tx, context.Context, ident.Group) error, in, out []ident.UserID) func(store.Tx) error {
	return func(tx store.Tx) error {
		if err := put(tx, p.ctx, g); err != nil {
			return err
		}
		for _, u := range in {
			if err := tx.AddMember(p.ctx, g.ID, u); err != nil {
				return err
			}
		}
		for _, u := range out {
			if err := tx.DropMember(p.ctx, g.ID, u); err != nil {
				return err
			}
		}
		return nil
	}
}

// members compares who is in a group with who is to be, if the file says so: then the lists of both are put in
// one order and in the words of the database, so that they compare.
func (p *planner) members(tx store.Tx, at int, have, want *Group, g ident.GroupID, exists bool) (in, out []ident.UserID, err error) {
	if want.Members == nil {
		return nil, nil, nil
	}
	var now []ident.User
	if exists {
		if now, err = everyone(p.ctx, tx, store.UserQuery{Group: g}); err != nil {
			return nil, nil, err
		}
	}
	var logins, wanted []string
	member := map[ident.UserID]bool{}
	for _, u := range now {
		member[u.ID] = true
		logins = append(logins, u.Login)
	}
	stays := map[ident.UserID]bool{}
	for i, login := range *want.Members {
		u, err := findUser(p.ctx, tx, login)
		if errors.Is(err, store.ErrNotFound) {
			p.at(fmt.Sprintf("groups[%d].members[%d]", at, i), "there is no user %q", login)
			continue
		} else if err != nil {
			return nil, nil, err
		}
		wanted = append(wanted, u.Login)
		if stays[u.ID] = true; !member[u.ID] {
			in = append(in, u.ID)
		}
	}
	for _, u := range now {
		if !stays[u.ID] {
			out = append(out, u.ID)
		}
	}
	slices.Sort(logins)
	slices.Sort(wanted)
	have.Members, want.Members = &logins, &wanted
	return in, out, nil
}

func (p *planner) thinkApps() {
	for i, want := range p.file.Apps {
		path := fmt.Sprintf("apps[%d]", i)
		for _, one := range p.unfit(want) {
			p.at(path+"."+one.path, "%s", one.said)
		}
		if at := slices.IndexFunc(p.clients, want.means); at >= 0 {
			p.alterApp(path, p.clients[at], want)
			continue
		}
		p.createApp(i, want)
	}
	p.unique()
	for _, c := range p.clients {
		if !p.prunes(c) {
			continue
		}
		for _, s := range p.servers {
			if p.untouched(s) && ruledBy(c.ID)(s) { // of one in the file, the rules to come have been judged
				p.at("apps", "%s (%s) is not among them, but a rule of the server %s names it", c.Label, c.ID, s.ID)
			}
		}
		p.change(Change{Delete, "app", c.Label, string(c.ID), nil}, audit.AppDeleted,
			func(tx store.Tx) error { return dropApp(p.ctx, tx, c.ID) })
	}
}

// means is by id, or by name where the file gives none; but whoever registers an application chooses its name, so one
// that registered itself is meant by its id alone.
func (a App) means(c oauth.Client) bool {
	if a.ID != "" {
		return string(c.ID) == a.ID
	}
	return c.Registration.IsZero() && foldName(c.Label) == foldName(a.Name)
}

func (p *planner) named(c oauth.Client) bool {
	return slices.ContainsFunc(p.file.Apps, func(a App) bool { return a.means(c) })
}

// prunes reports whether an application goes because the file, which speaks of others, does not name it. Those that
// registered themselves were never in a file, so that says nothing about them.
func (p *planner) prunes(c oauth.Client) bool {
	return p.how.Prune && len(p.file.Apps) > 0 && c.Registration.IsZero() && !p.named(c)
}

// unique refuses a name that an application has which stays and is not the one meant.
func (p *planner) unique() {
	for i, want := range p.file.Apps {
		for _, c := range p.clients {
			if p.named(c) || p.prunes(c) || foldName(c.Label) != foldName(want.Name) {
				continue
			}
			path := fmt.Sprintf("apps[%d].name", i)
			if c.Registration.IsZero() {
				p.at(path, "the application %s has that name already", c.ID)
			} else {
				p.at(path, "the application %s, which registered itself, has that name already: take it over by its id, or delete it", c.ID)
			}
		}
	}
}

// untouched reports whether a server stays as it is.
func (p *planner) untouched(s oauth.Server) bool {
	return !slices.ContainsFunc(p.file.Servers, func(want Server) bool { return want.ID == s.ID }) && (!p.pruningServers() || founding(s.ID))
}

// unfit finds what an application asks for that the organisation, as it will be, does not have.
func (p *planner) unfit(a App) (found flaws) {
	var scopes []string
	for _, s := range p.servers {
		if p.untouched(s) {
			scopes = append(scopes, s.Scopes...)
		}
	}
	for _, s := range p.file.Servers {
		scopes = append(scopes, s.Scopes...)
	}
	kinds := map[ident.Kind]bool{}
	for _, have := range p.authenticators {
		kinds[have.Kind] = !(p.how.Prune && len(p.file.Authenticators) > 0)
	}
	for _, want := range p.file.Authenticators {
		kinds[want.Kind] = true
	}
	return a.unfit(scopes, kinds)
}

func (a App) unfit(scopes []string, kinds map[ident.Kind]bool) (found flaws) {
	for i, s := range a.Scopes {
		if !slices.Contains(scopes, s) {
			found.at(fmt.Sprintf("scopes[%d]", i), "no authorization server knows the scope %q", s)
		}
	}
	for path, list := range map[string][]ident.Kind{"policy.require": a.Policy.Require, "policy.offer": a.Policy.Offer} {
		for i, k := range list {
			if !kinds[k] {
				found.at(fmt.Sprintf("%s[%d]", path, i), "the organisation has no %s authenticator", k)
			}
		}
	}
	return found
}

func (p *planner) createApp(i int, want App) {
	// Those of one file are told apart in lists by when they were made: in its order.
	c := want.onto(oauth.Client{ID: oauth.ClientID(want.ID), Created: p.org.Now().UTC().Add(time.Duration(i) * time.Microsecond)})
	if c.ID == "" {
		c.ID = oauth.ClientID(ident.NewID("0oa"))
	}
	fields := slices.DeleteFunc(said(want), func(f Field) bool { return f.Name == "id" || f.Name == "name" })
	c.SecretDigests = want.digests()
	if want.Type == Confidential && !c.Confidential() {
		fields = append(fields, Field{Name: "secret", To: []string{"made by the server"}})
		if !p.how.DryRun {
			value := secret.Random()
			c.SecretDigests = []secret.Digest{secret.DigestOf(secret.ClientSecret, value.Reveal())}
			p.plan.Secrets = append(p.plan.Secrets, Made{c.Label, string(c.ID), value})
		}
	}
	shown := string(c.ID)
	if p.how.DryRun {
		shown = want.ID // another one would be made the next time
	}
	p.change(Change{Create, "app", c.Label, shown, fields}, audit.AppCreated, func(tx store.Tx) error { return tx.PutClient(p.ctx, c) })
}

func (a App) digests() (all []secret.Digest) {
	for _, s := range a.SecretDigests {
		d, _ := digestOf(s) // checked before
		all = append(all, d)
	}
	return all
}

func (p *planner) alterApp(path string, c oauth.Client, want App) {
	have := AppOf(c)
	if want.Type == Confidential && len(want.SecretDigests) == 0 && want.Keys == "" && len(c.SecretDigests) == 0 {
		p.at(path+".type", "%s has no secret yet; one comes with latchkey app rotate-secret, or by its digest here", c.Label)
		return
	}
	if want.ID == "" {
		want.ID = have.ID
	}
	changed := want.onto(c)
	switch {
	case want.Type == Public:
		changed.SecretDigests = nil
		have.SecretDigests = nil // that they go is said by the type
	case len(want.SecretDigests) > 0 || want.Keys != "": // one that signs has a secret only if it is here
		changed.SecretDigests = want.digests()
	default:
		want.SecretDigests = have.SecretDigests
	}
	fields := compare(have, want)
	if !c.Registration.IsZero() { // from now on it is the file that says what is registered of it
		changed.Registration = secret.Digest{}
		fields = append(fields, Field{Name: "registration", From: []string{"its own"}, To: []string{"the operator's"}})
	}
	if len(fields) == 0 {
		return
	}
	p.change(Change{Alter, "app", want.Name, string(c.ID), fields}, audit.AppChanged, func(tx store.Tx) error {
		if err := tx.AlterClient(p.ctx, changed); err != nil || !changed.Disabled || c.Disabled {
			return err
		}
		_, err := tx.RevokeGrantsOf(p.ctx, "", c.ID)
		return err
	})
}

// dropApp deletes an application with all that was granted to it.
func dropApp(ctx context.Context, tx store.Tx, id oauth.ClientID) error {
	if _, err := tx.RevokeGrantsOf(ctx, "", id); err != nil {
		return err
	}
	return tx.DropClient(ctx, id)
}

// Export returns the organisation as a file that says all of it but its people, and the applications that registered
// themselves: a file that named those would take them over.
func (o *Org) Export(ctx context.Context) (f File, err error) {
	err = o.Store.View(ctx, func(tx store.Tx) error {
		f = File{}
		p := planner{ctx: ctx}
		if err := p.look(tx); err != nil {
			return err
		}
		for _, s := range p.servers {
			f.Servers = append(f.Servers, serverOf(s))
		}
		for _, a := range p.authenticators {
			f.Authenticators = append(f.Authenticators, authenticatorOf(a))
		}
		for _, g := range p.groups {
			f.Groups = append(f.Groups, Group{Name: g.Name, Description: g.Description})
		}
		for _, c := range p.clients {
			if c.Registration.IsZero() {
				f.Apps = append(f.Apps, AppOf(c))
			}
		}
		return nil
	})
	return f, err
}
