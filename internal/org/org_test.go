package org_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/authn"
	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/org"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/postgres"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/store/storetest"
	"latchkey.dev/internal/strict"
	"latchkey.dev/internal/testkit"
)

var (
	ctx   = context.Background()
	cheap = password.Params{Memory: 64, Time: 1, Threads: 1}
	now   = time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)
)

func keys(t testing.TB) *secret.Keys {
	t.Helper()
	k, err := secret.NewKeys([secret.KeySize]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// onBoth runs a test on an empty database of each kind.
func onBoth(t *testing.T, f func(t *testing.T, o *org.Org)) {
	t.Run("sqlite", func(t *testing.T) { f(t, over(openSQLite(t))) })
	t.Run("postgres", func(t *testing.T) {
		db, err := postgres.Open(ctx, storetest.Schema(t), keys(t), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		f(t, over(db))
	})
}

func openSQLite(t testing.TB) store.DB {
	t.Helper()
	db, err := sqlite.Open(ctx, t.TempDir(), keys(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func over(db store.DB) *org.Org {
	return org.New(org.Config{Store: db, Passwords: cheap, Now: func() time.Time { return now }, Actor: "prompt:tester"})
}

func read(t testing.TB, name, text string) org.File {
	t.Helper()
	f, err := org.Read(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func apply(t testing.TB, o *org.Org, text string, how org.How) org.Plan {
	t.Helper()
	p, err := o.Apply(ctx, read(t, "org.yaml", text), how)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func export(t testing.TB, o *org.Org) string {
	t.Helper()
	f, err := o.Export(ctx)
	if err != nil {
		t.Fatal(err)
	}
	text, err := f.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// refused holds an error to be a refusal that says so.
func refused(t testing.TB, err error, want string) {
	t.Helper()
	var r *org.Refusal
	if !errors.As(err, &r) || !strings.Contains(r.Said, want) {
		t.Errorf("got %v, want a refusal with %q", err, want)
	}
}

func user(t testing.TB, o *org.Org, login string, groups ...string) org.Person {
	t.Helper()
	p, err := o.AddUser(ctx, org.Profile{Login: &login}, "purple tractor 91", groups)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// events are the types of what was recorded.
func events(t testing.TB, o *org.Org) (all []audit.Event) {
	t.Helper()
	return storetest.Events(t, o.Store)
}

func types(all []audit.Event) (names []audit.Type) {
	for _, e := range all {
		names = append(names, e.Type)
	}
	return names
}

const small = `
groups:
  - name: staff
    description: those who work here
apps:
  - name: Portal
    type: public
    redirect_uris: [https://portal.example/callback]
    origins: [https://portal.example]
    policy: {require: [password, phone]}
  - name: Back Office
    type: confidential
    redirect_uris: [https://office.example/callback]
    policy: {require: [password], offer: [phone], identifier_first: true}
`

func TestS06_AnEmptyDatabaseLetsNobodyIn(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		if got := export(t, o); got != "{}\n" {
			t.Errorf("an empty database holds\n%s", got)
		}
		users, err := o.Users(ctx, org.UserFilter{N: 10})
		if err != nil || len(users.Users) != 0 {
			t.Errorf("there are users: %v, %v", users, err)
		}
		f := org.Founding()
		if len(f.Apps)+len(f.Groups) != 0 {
			t.Error("an organisation begins with applications or groups")
		}
	})
}

func TestApply(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		dry := apply(t, o, small, org.How{DryRun: true})
		if dry.Applied || len(dry.Changes) != 7 || len(dry.Secrets) != 0 || export(t, o) != "{}\n" {
			t.Fatalf("a dry run: %+v\n%s", dry, export(t, o))
		}
		made := apply(t, o, small, org.How{})
		if ids := regexp.MustCompile(`  \(.*\)`); !made.Applied || ids.ReplaceAllString(made.String(), "") != dry.String() {
			t.Errorf("the dry run said\n%s\nand what was done is\n%s", dry, made)
		}
		again := apply(t, o, small, org.How{})
		if len(again.Changes) != 0 || again.String() != "" {
			t.Errorf("applied twice:\n%s", again)
		}
		var changed audit.Event
		apply(t, o, strings.Replace(small, "[password, phone]", "[password]", 1), org.How{})
		for _, e := range events(t, o) {
			if e.Actor != "prompt:tester" || !e.OK || !e.At.Equal(now) {
				t.Errorf("S-71: an event without who, when or outcome: %+v", e)
			}
			changed = e
		}
		want := []audit.Type{audit.ServerCreated, audit.ServerCreated, audit.AuthenticatorSet, audit.AuthenticatorSet, audit.GroupCreated, audit.AppCreated, audit.AppCreated, audit.AppChanged}
		if got := types(events(t, o)); !slices.Equal(got, want) {
			t.Errorf("S-71: recorded %v, want %v", got, want)
		}
		if changed.Target != "app Portal" || changed.Reason != "policy.require" || changed.Client == "" {
			t.Errorf("S-71: the change is told as %+v", changed)
		}
	})
}

func TestS58_SecretsAreMadeHereAndShownOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		made := apply(t, o, small, org.How{})
		if len(made.Secrets) != 1 || made.Secrets[0].App != "Back Office" || len(made.Secrets[0].Secret.Reveal()) != 43 {
			t.Fatalf("secrets of %+v", made.Secrets)
		}
		value := made.Secrets[0].Secret
		c, err := o.App(ctx, made.Secrets[0].ID)
		if err != nil || !c.Knows(value) || !c.AuthenticatesAtInteract {
			t.Errorf("the client does not know its secret: %+v, %v", c, err)
		}
		if strings.Contains(export(t, o), value.Reveal()) || strings.Contains(made.String(), value.Reveal()) {
			t.Error("the secret is printed")
		}
		if j, err := json.Marshal(made); err != nil || !strings.Contains(string(j), value.Reveal()) {
			t.Errorf("the one answer that shows it does not: %s, %v", j, err)
		}
		// Another application keeps the secret it has by its digest.
		d := secret.DigestOf(secret.ClientSecret, "a value of 256 random bits from elsewhere")
		text := strings.Replace(small, "type: confidential\n", "type: confidential\n    secret_digests: [\""+hexOf(d)+"\"]\n", 1)
		p := apply(t, o, text, org.How{})
		if len(p.Secrets) != 0 || len(p.Changes) != 1 {
			t.Errorf("a digest made %s", p)
		}
		if c, _ = o.App(ctx, "back office"); !c.Knows("a value of 256 random bits from elsewhere") || c.Knows(value) {
			t.Error("the digest in the file is not the client's secret")
		}
		if p := apply(t, o, text, org.How{}); len(p.Changes) != 0 {
			t.Errorf("applied twice: %s", p)
		}
		_, err = org.Read("org.yaml", []byte(strings.Replace(small, "type: confidential\n", "type: confidential\n    secret_digests: [hunter2-hunter2]\n", 1)))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a secret in the file: %v", err)
		}
	})
}

func hexOf(d secret.Digest) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for _, v := range d {
		b.WriteByte(digits[v>>4])
		b.WriteByte(digits[v&15])
	}
	return b.String()
}

func TestS58_Rotation(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		first := apply(t, o, small, org.How{}).Secrets[0].Secret
		rotate := func(r org.Rotation) secret.Text {
			t.Helper()
			_, made, err := o.RotateSecret(ctx, "Back Office", r)
			if err != nil {
				t.Fatal(err)
			}
			return made
		}
		knows := func(want bool, s secret.Text) {
			t.Helper()
			if c, err := o.App(ctx, "Back Office"); err != nil || c.Knows(s) != want {
				t.Errorf("the client knows: %v, want %v; %v", !want, want, err)
			}
		}
		second := rotate(org.Begin)
		knows(true, first)
		knows(true, second)
		rotate(org.Finish)
		knows(false, first)
		knows(true, second)
		_, _, err := o.RotateSecret(ctx, "Back Office", org.Finish)
		refused(t, err, "no older secret")
		third := rotate(org.AtOnce)
		knows(false, second)
		knows(true, third)
	})
}

func TestAFileIsAppliedWholeOrNotAtAll(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		apply(t, o, small, org.How{})
		before := export(t, o)
		broken := small + `  - name: Third
    type: public
    redirect_uris: [https://third.example/callback]
    scopes: [openid, pets]
    policy: {require: [password]}
`
		broken = strings.Replace(broken, "description: those who work here", "members: [nobody@example.com]", 1)
		f := read(t, "org.yaml", broken)
		for _, dry := range []bool{true, false} {
			_, err := o.Apply(ctx, f, org.How{DryRun: dry})
			var p *strict.Problems
			if !errors.As(err, &p) || len(p.All) != 2 || p.All[0].Line != 4 || p.All[1].Line != 18 {
				t.Fatalf("dry run %v: %v", dry, err)
			}
		}
		if after := export(t, o); after != before {
			t.Errorf("it changed\n%s\ninto\n%s", before, after)
		}
	})
}

func TestPrune(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		apply(t, o, small+`
servers:
  - {id: default, audience: "api://default"}
  - {id: partners}
`, org.How{})
		kept := "apps:\n  - {name: Portal, type: public, redirect_uris: [https://portal.example/callback], origins: [https://portal.example], policy: {require: [password, phone]}}\n"
		if p := apply(t, o, kept, org.How{}); len(p.Changes) != 0 {
			t.Errorf("what the file does not name was touched:\n%s", p)
		}
		grant := oauth.Grant{ID: "oar1", Server: "default", User: user(t, o, "ada").User.ID, Expires: now.Add(time.Hour)}
		office, _ := o.App(ctx, "Back Office")
		grant.Client = office.ID
		must(t, o.Store.Update(ctx, func(tx store.Tx) error { return tx.AddGrant(ctx, grant) }))
		p := apply(t, o, kept, org.How{Prune: true})
		if len(p.Changes) != 1 || p.Changes[0].Action != org.Delete || p.Changes[0].Name != "Back Office" {
			t.Errorf("pruning a file that speaks of apps:\n%s", p)
		}
		if err := holds(o, grant); !errors.Is(err, store.ErrSpent) {
			t.Errorf("S-79: a token of a client that is gone: %v", err)
		}
		if p := apply(t, o, "servers: [{id: default, audience: 'api://default'}]\n", org.How{Prune: true}); len(p.Changes) != 1 || p.Changes[0].Name != "partners" {
			t.Errorf("pruning servers:\n%s", p)
		}
		_, err := o.Apply(ctx, read(t, "org.yaml", kept+"authenticators: [{kind: password}]\n"), org.How{Prune: true})
		if err == nil || !strings.Contains(err.Error(), "no phone authenticator") {
			t.Errorf("an authenticator that a policy asks for went away: %v", err)
		}
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func holds(o *org.Org, g oauth.Grant) error {
	return o.Store.View(ctx, func(tx store.Tx) error { _, err := tx.TokenHolder(ctx, g.User, g.ID, "jti"); return err })
}

func TestMembersInAFile(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		for _, login := range []string{"Ada", "bob", "carol"} {
			user(t, o, login)
		}
		crew := func(members string) string { return "groups:\n  - name: crew\n    members: [" + members + "]\n" }
		in := func() (all []string) {
			t.Helper()
			got, err := o.Users(ctx, org.UserFilter{Group: "crew", N: 10})
			must(t, err)
			for _, u := range got.Users {
				all = append(all, u.Login)
			}
			return all
		}
		apply(t, o, crew("ada, BOB"), org.How{})
		if got := in(); !slices.Equal(got, []string{"Ada", "bob"}) {
			t.Fatalf("in the group are %v", got)
		}
		if p := apply(t, o, crew("bob, ada"), org.How{}); len(p.Changes) != 0 {
			t.Errorf("in another order and spelling:\n%s", p)
		}
		p := apply(t, o, crew("carol, bob"), org.How{})
		if got := in(); !slices.Equal(got, []string{"bob", "carol"}) || !strings.Contains(p.String(), "- Ada") || !strings.Contains(p.String(), "+ carol") {
			t.Errorf("in the group are %v after\n%s", got, p)
		}
		apply(t, o, "groups: [{name: Crew}]\n", org.How{})
		if got := in(); len(got) != 2 {
			t.Errorf("a file that says nothing of members left %v", got)
		}
		apply(t, o, crew(""), org.How{})
		if got := in(); len(got) != 0 {
			t.Errorf("a file that says nobody left %v", got)
		}
	})
}

func TestExportIsAppliedUnchanged(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		apply(t, o, small, org.How{})
		text := export(t, o)
		if p := apply(t, o, text, org.How{Prune: true}); len(p.Changes) != 0 {
			t.Errorf("the export is not what is there:\n%s\n%s", p, text)
		}
		other := over(openSQLite(t))
		p := apply(t, other, text, org.How{})
		if len(p.Secrets) != 0 {
			t.Errorf("a confidential client lost its secret on the way")
		}
		if got := export(t, other); got != text {
			t.Errorf("moved, it became\n%s\nfrom\n%s", got, text)
		}
	})
}

func TestTwoWhoApplyAtOnceMakeOne(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		f := read(t, "org.yaml", small)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if _, err := o.Apply(ctx, f, org.How{}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if apps, err := o.Apps(ctx); err != nil || len(apps) != 2 {
			t.Errorf("there are %d applications, %v", len(apps), err)
		}
	})
}

// TestProblems: everything that is wrong is said at once, each with its line.
func TestProblems(t *testing.T) {
	text, err := os.ReadFile("testdata/wrong.yaml")
	must(t, err)
	_, err = org.Read("wrong.yaml", text)
	var p *strict.Problems
	if !errors.As(err, &p) {
		t.Fatalf("got %v", err)
	}
	golden(t, "testdata/wrong.txt", []byte(p.Error()+"\n"))
	// What could be decoded but makes no sense is told apart, and again all of it.
	text, err = os.ReadFile("testdata/senseless.yaml")
	must(t, err)
	_, err = org.Read("senseless.yaml", text)
	if !errors.As(err, &p) {
		t.Fatalf("got %v", err)
	}
	golden(t, "testdata/senseless.txt", []byte(p.Error()+"\n"))
}

func TestDiff(t *testing.T) {
	o := over(openSQLite(t))
	before, err := os.ReadFile("testdata/before.yaml")
	must(t, err)
	after, err := os.ReadFile("testdata/after.yaml")
	must(t, err)
	first := apply(t, o, string(before), org.How{})
	golden(t, "testdata/create.txt", []byte(first.String()))
	golden(t, "testdata/change.txt", []byte(apply(t, o, string(after), org.How{Prune: true}).String()))
	if p := apply(t, o, string(after), org.How{Prune: true}); len(p.Changes) != 0 {
		t.Errorf("applied twice:\n%s", p)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	testkit.Golden(t, name, regexp.MustCompile(`00g\w{17}`).ReplaceAll(got, []byte("00g...")))
}

// FuzzRead: no text breaks anything, and what is taken is the same after it was written and read again.
func FuzzRead(f *testing.F) {
	f.Add([]byte(small))
	for _, name := range []string{"before", "after", "wrong", "senseless"} {
		text, err := os.ReadFile("testdata/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("apps: &a [*a]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := org.Read("org.yaml", text)
		if err != nil {
			return
		}
		once, err := file.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := org.Read("org.yaml", once)
		if err != nil {
			t.Fatalf("%v in\n%s", err, once)
		}
		if twice, _ := again.Marshal(); !bytes.Equal(once, twice) {
			t.Errorf("%s\nbecame\n%s", once, twice)
		}
	})
}

func TestS28_OneNameWhicheverWayItIsWritten(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		u := user(t, o, "Straße@Example.com")
		for _, name := range []string{"straße@example.com", " STRASSE@EXAMPLE.COM ", "ｓｔｒａｓｓｅ@example.com", string(u.User.ID)} {
			if got, err := o.User(ctx, name); err != nil || got.User.ID != u.User.ID {
				t.Errorf("%q: %v, %v", name, got.User.ID, err)
			}
			if name != string(u.User.ID) {
				_, err := o.AddUser(ctx, org.Profile{Login: &name}, "", nil)
				refused(t, err, "already")
			}
		}
		for _, name := range []string{"mаry", "ma\u200bry", "mary\u202e", "two words", "", "a\x00b"} {
			_, err := o.AddUser(ctx, org.Profile{Login: &name}, "", nil)
			refused(t, err, "cannot be anybody's")
		}
	})
}

func TestUsers(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		_, err := o.AddGroup(ctx, "staff", "")
		must(t, err)
		p := user(t, o, "ada@example.com", "Staff")
		if len(p.Factors) != 1 || p.Factors[0].Enrollment.Kind != ident.Password || p.Factors[0].Enrollment.Secret != "" || !slices.Equal(p.Groups, []string{"staff"}) {
			t.Errorf("made %+v", p)
		}
		login, weak := "bob@example.com", secret.Text("password")
		_, err = o.AddUser(ctx, org.Profile{Login: &login}, weak, nil)
		refused(t, err, "common")
		_, err = o.AddUser(ctx, org.Profile{Login: &login}, "purple tractor 91", []string{"nobodies"})
		refused(t, err, "no group")
		_, err = o.User(ctx, login)
		refused(t, err, "no user")

		given, email, yes := " Ada ", "ada@example.org", true
		got, err := o.SetUser(ctx, "ADA@example.com", org.Profile{GivenName: &given, Email: &email, EmailVerified: &yes})
		if err != nil || got.User.GivenName != "Ada" || got.User.Email != email || !got.User.EmailVerified {
			t.Errorf("set to %+v, %v", got.User, err)
		}
		other := "ada@example.net"
		if got, err = o.SetUser(ctx, string(p.User.ID), org.Profile{Email: &other}); err != nil || got.User.EmailVerified {
			t.Errorf("a new address is verified: %+v, %v", got.User, err)
		}
		wrong := "not an address"
		_, err = o.SetUser(ctx, "ada@example.com", org.Profile{Email: &wrong})
		refused(t, err, "no address")
		n := len(events(t, o))
		if _, err = o.SetUser(ctx, "ada@example.com", org.Profile{Email: &other}); err != nil || len(events(t, o)) != n {
			t.Errorf("changing nothing was recorded, or refused: %v", err)
		}
		must(t, o.DeleteUser(ctx, "ada@example.com"))
		refused(t, o.DeleteUser(ctx, "ada@example.com"), "no user")
		for _, e := range events(t, o) {
			if e.Type != audit.GroupCreated && e.User != string(p.User.ID) {
				t.Errorf("S-71: whom is this about? %+v", e)
			}
		}
		want := []audit.Type{audit.GroupCreated, audit.UserCreated, audit.PasswordSet, audit.MemberAdded, audit.UserChanged, audit.UserChanged, audit.UserDeleted}
		if got := types(events(t, o)); !slices.Equal(got, want) {
			t.Errorf("S-71: recorded %v, want %v", got, want)
		}
	})
}

func TestUsersAPageAtATime(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		for _, login := range []string{"dan", "Ada", "carol", "bob", "eve"} {
			user(t, o, login)
		}
		_, err := o.Disable(ctx, "bob")
		must(t, err)
		list := func(f org.UserFilter) (all []string) {
			t.Helper()
			for {
				p, err := o.Users(ctx, f)
				must(t, err)
				for _, u := range p.Users {
					all = append(all, u.Login)
				}
				if f.After = p.Next; p.Next == "" {
					return all
				}
			}
		}
		for n := 1; n < 7; n++ {
			if got := list(org.UserFilter{N: n}); !slices.Equal(got, []string{"Ada", "bob", "carol", "dan", "eve"}) {
				t.Errorf("by %d: %v", n, got)
			}
		}
		if got := list(org.UserFilter{N: 2, Status: ident.Active}); !slices.Equal(got, []string{"Ada", "carol", "dan", "eve"}) {
			t.Errorf("the active ones: %v", got)
		}
	})
}

// TestS79_WhoIsSentAwayHoldsNothing: every way to end somebody's right to be here ends what was granted.
func TestS79_WhoIsSentAwayHoldsNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		apply(t, o, small, org.How{})
		for name, end := range map[string]func(login string) error{
			"disabled":     func(login string) error { _, err := o.Disable(ctx, login); return err },
			"new password": func(login string) error { _, err := o.SetPassword(ctx, login, "green tractor 19"); return err },
			"phone reset":  func(login string) error { _, err := o.ResetPhone(ctx, login); return err },
			"deleted":      func(login string) error { return o.DeleteUser(ctx, login) },
		} {
			t.Run(name, func(t *testing.T) {
				login := strings.ReplaceAll(name, " ", ".") + "@example.com"
				p := user(t, o, login)
				g := oauth.Grant{ID: oauth.GrantID(ident.NewID("oar")), Server: "default", Client: "0oa1", User: p.User.ID, Expires: now.Add(time.Hour)}
				code := store.Code{Digest: secret.DigestOf(secret.InteractionCode, name), Expires: now.Add(time.Minute), Grant: g}
				code.Grant.ID = "oar" + oauth.GrantID(ident.NewID(""))
				must(t, o.Store.Update(ctx, func(tx store.Tx) error {
					return errors.Join(tx.AddGrant(ctx, g), tx.AddCode(ctx, code), tx.AddEnrollment(ctx, ident.Enrollment{
						ID: ident.EnrollmentID(ident.NewID("sms")), User: p.User.ID, Kind: ident.Phone, Method: ident.MethodSMS, Secret: "+12025550143", Hint: "+1 XXX-XXX-0143", Created: now}))
				}))
				must(t, holds(o, g))
				must(t, end(login))
				if err := holds(o, g); !errors.Is(err, store.ErrSpent) && !errors.Is(err, store.ErrNotFound) {
					t.Errorf("a token still has a holder: %v", err)
				}
				err := o.Store.Update(ctx, func(tx store.Tx) error { _, err := tx.SpendCode(ctx, code.Digest, now); return err })
				if !errors.Is(err, store.ErrNotFound) {
					t.Errorf("a code can still be redeemed: %v", err)
				}
			})
		}
		// Whoever comes back begins again.
		_, err := o.Enable(ctx, "disabled@example.com")
		must(t, err)
	})
}

func TestS38_AnOperatorBeginsAnewAndSetsNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		p := user(t, o, "ada")
		_, err := o.ResetPhone(ctx, "ada")
		refused(t, err, "no phone")
		must(t, o.Store.Update(ctx, func(tx store.Tx) error {
			return tx.AddEnrollment(ctx, ident.Enrollment{ID: "sms1", User: p.User.ID, Kind: ident.Phone, Secret: "+12025550143", Hint: "+1 XXX-XXX-0143", Created: now})
		}))
		if got, err := o.User(ctx, "ada"); err != nil || len(got.Factors) != 2 || got.Factors[1].Enrollment.Secret != "" {
			t.Errorf("S-37: an operator sees %+v, %v", got.Factors, err)
		}
		got, err := o.ResetPhone(ctx, "ada")
		if err != nil || len(got.Factors) != 1 {
			t.Errorf("left are %+v, %v", got.Factors, err)
		}
		if e := last(events(t, o)); e.Type != audit.FactorReset || e.Target != "+1 XXX-XXX-0143" {
			t.Errorf("recorded %+v", e)
		}
	})
}

// TestS38_WhoseAccountAnOperatorChangesIsTold holds S-04, too: an address that is known to be theirs hears of it.
func TestS38_WhoseAccountAnOperatorChangesIsTold(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		o.Host = "id.example"
		p := user(t, o, "ada")
		told := func() (all []string) {
			t.Helper()
			must(t, o.Store.Update(ctx, func(tx store.Tx) error {
				all = nil
				waiting, err := tx.LeaseMessages(ctx, "test", now, now.Add(time.Minute), 10)
				for _, m := range waiting {
					all = append(all, m.To.Reveal()+": "+m.Body.Reveal())
				}
				return err
			}))
			return all
		}
		change := func() {
			t.Helper()
			must(t, o.Store.Update(ctx, func(tx store.Tx) error {
				return tx.AddEnrollment(ctx, ident.Enrollment{ID: ident.EnrollmentID(ident.NewID("sms")), User: p.User.ID, Kind: ident.Phone, Secret: "+12025550143", Hint: "+1 XXX-XXX-0143", Created: now})
			}))
			_, err := o.ResetPhone(ctx, "ada")
			must(t, err)
			_, err = o.SetPassword(ctx, "ada", "green tractor 19")
			must(t, err)
		}
		set := func(verified bool) {
			t.Helper()
			u := p.User
			u.Email, u.EmailVerified = "ada@example.com", verified
			must(t, o.Store.Update(ctx, func(tx store.Tx) error { return tx.PutUser(ctx, u) }))
		}
		set(true)
		if change(); len(told()) != 0 {
			t.Error("a mail waits, and there is no mail server")
		}
		o.Mail = true
		set(false)
		if change(); len(told()) != 0 {
			t.Error("an address that nobody has shown to be theirs was written to")
		}
		set(true)
		change()
		got := told()
		slices.Sort(got)
		if len(got) != 2 || !strings.Contains(strings.Join(got, ""), "the phone +1 XXX-XXX-0143 was removed from ada at id.example") ||
			!strings.Contains(strings.Join(got, ""), "the password of ada at id.example was changed") || !strings.HasPrefix(got[0], "ada@example.com: ") {
			t.Errorf("told %q", got)
		}
	})
}

func last[T any](all []T) T { return all[len(all)-1] }

func TestUnlock(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		p := user(t, o, "ada")
		p.User.Status = ident.Locked
		l := limit.Codes{PerFactor: 1, HardStop: 1}
		must(t, o.Store.Update(ctx, func(tx store.Tx) error {
			_, _, err := tx.CountFailure(ctx, p.User.ID, ident.Phone, now, l)
			return errors.Join(err, tx.PutUser(ctx, p.User))
		}))
		got, err := o.Unlock(ctx, "ada")
		if err != nil || got.User.Status != ident.Active {
			t.Errorf("%+v, %v", got.User, err)
		}
		must(t, o.Store.View(ctx, func(tx store.Tx) error {
			until, err := tx.Suspended(ctx, p.User.ID, ident.Phone)
			if !until.IsZero() {
				t.Errorf("the phone is still suspended until %s", until)
			}
			return err
		}))
		_, err = o.Disable(ctx, "ada")
		must(t, err)
		if got, err = o.Unlock(ctx, "ada"); err != nil || got.User.Status != ident.Suspended {
			t.Errorf("unlocking let in who was disabled: %+v, %v", got.User, err)
		}
	})
}

func TestSetPassword(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		p := user(t, o, "marianne@example.com")
		_, err := o.SetPassword(ctx, "marianne@example.com", "Marianne1984")
		refused(t, err, "known of the person")
		_, err = o.SetPassword(ctx, "marianne@example.com", "green tractor 19")
		must(t, err)
		for pass, want := range map[secret.Text]bool{"green tractor 19": true, "purple tractor 91": false} {
			if verify(t, o, p.User.ID, pass).OK != want {
				t.Errorf("%q: %v", pass.Reveal(), !want)
			}
		}
	})
}

func verify(t testing.TB, o *org.Org, u ident.UserID, pass secret.Text) authn.Verdict {
	t.Helper()
	var all []ident.Enrollment
	must(t, o.Store.View(ctx, func(tx store.Tx) (err error) { all, err = tx.Enrollments(ctx, u); return err }))
	e, _ := ident.Find(all, ident.Password)
	v, err := password.New(cheap).Verify(authn.In{Enrollment: e, Answer: pass})
	must(t, err)
	return v
}

func TestGroups(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		user(t, o, "ada")
		made, err := o.AddGroup(ctx, "Night Crew", "by night")
		must(t, err)
		_, err = o.AddGroup(ctx, "night  crew", "")
		refused(t, err, "already")
		_, err = o.AddGroup(ctx, "", "")
		refused(t, err, "no name")
		must(t, o.AddMember(ctx, "night crew", "ada"))
		refused(t, o.AddMember(ctx, "night crew", "ada"), "already")
		refused(t, o.AddMember(ctx, "night crew", "bob"), "no user")
		refused(t, o.AddMember(ctx, "day crew", "ada"), "no group")
		if g, err := o.Group(ctx, string(made.Group.ID)); err != nil || g.Members != 1 {
			t.Errorf("%+v, %v", g, err)
		}
		must(t, o.RemoveMember(ctx, "NIGHT CREW", "ada"))
		refused(t, o.RemoveMember(ctx, "night crew", "ada"), "not in the group")
		must(t, o.DeleteGroup(ctx, "night crew"))
		refused(t, o.DeleteGroup(ctx, "night crew"), "no group")
	})
}

func TestApps(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		app := org.App{Name: "Portal", Type: org.Confidential, RedirectURIs: []string{"https://portal.example/callback"}, Policy: org.Policy{Require: []ident.Kind{ident.Password}}}
		c, made, err := o.AddApp(ctx, app)
		if err != nil || !c.Knows(made) {
			t.Fatalf("%+v, %v", c, err)
		}
		_, _, err = o.AddApp(ctx, app)
		refused(t, err, "already")
		bad := app
		bad.Name, bad.RedirectURIs, bad.Scopes = "Other", []string{"http://portal.example/", "https://portal.example/#x"}, []string{"openid", "pets"}
		_, _, err = o.AddApp(ctx, bad)
		refused(t, err, "without TLS")
		refused(t, err, "no fragment")
		bad.RedirectURIs = app.RedirectURIs
		_, _, err = o.AddApp(ctx, bad)
		refused(t, err, "pets")
		got, err := o.SetApp(ctx, "portal", func(a *org.App) { a.Name, a.Disabled = "Door", true })
		if err != nil || got.Label != "Door" || !got.Disabled || !got.Knows(made) {
			t.Errorf("%+v, %v", got, err)
		}
		_, err = o.SetApp(ctx, "door", func(a *org.App) { a.Policy.Require = nil })
		refused(t, err, "begins with the password")
		must(t, o.DeleteApp(ctx, "Door"))
		refused(t, o.DeleteApp(ctx, "Door"), "no app")
	})
}

func TestS60_GraceComesFromTheFile(t *testing.T) {
	o := over(openSQLite(t))
	f, err := org.Read("org.yaml", []byte("servers:\n  - id: default\n    refresh_token: {grace: 20s}\n"))
	must(t, err)
	_, err = o.Apply(ctx, f, org.How{})
	must(t, err)
	out, err := o.Export(ctx)
	must(t, err)
	if got := out.Servers[0].RefreshToken; got.Grace != org.Span(20*time.Second) || got.Idle != org.Span(7*24*time.Hour) {
		t.Errorf("%+v", got)
	}
	plan, err := o.Apply(ctx, f, org.How{})
	if err != nil || len(plan.Changes) != 0 {
		t.Errorf("applied again: %+v, %v", plan, err)
	}
}

// TestServicesInAFile: an application that nobody signs in to needs no policy and no way back, and is confidential.
func TestServicesInAFile(t *testing.T) {
	f, err := org.Read("org.yaml", []byte("apps:\n  - {name: Stock, type: confidential, grant_types: [client_credentials], scopes: [stock]}\n"))
	must(t, err)
	o := over(openSQLite(t))
	if _, err := o.Apply(ctx, f, org.How{}); err == nil {
		t.Error("a scope that no server knows was taken")
	}
	f.Servers = append(f.Servers, org.Founding().Servers...)
	f.Servers[0].Scopes = append(f.Servers[0].Scopes, "stock")
	plan, err := o.Apply(ctx, f, org.How{})
	must(t, err)
	if len(plan.Secrets) != 1 {
		t.Errorf("%+v", plan)
	}
	_, err = org.Read("org.yaml", []byte("apps:\n  - {name: Stock, type: public, grant_types: [client_credentials], scopes: [stock]}\n"))
	if err == nil || !strings.Contains(err.Error(), "client_credentials is for a confidential application") {
		t.Errorf("got %v", err)
	}
}

// TestS58_KeysInAFile: a set as it is or as a text, without a secret beside it, and nothing that only its owner may have.
func TestS58_KeysInAFile(t *testing.T) {
	const (
		key  = `"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"` // RFC 7515 A.3
		mine = `,"d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"`
	)
	file := func(kind, keys string) string {
		return "apps:\n  - {name: Office, type: " + kind + ", redirect_uris: [https://office.example/], policy: {require: [password]}, " + keys + "}\n"
	}
	onBoth(t, func(t *testing.T, o *org.Org) {
		p := apply(t, o, file("confidential", `keys: {"keys":[{`+key+`}]}`), org.How{})
		if len(p.Secrets) != 0 {
			t.Errorf("a secret was made for an application that signs: %+v", p)
		}
		c, err := o.App(ctx, "Office")
		must(t, err)
		if !c.Confidential() || c.Keys == "" || len(c.SecretDigests) != 0 || !c.AuthenticatesAtInteract {
			t.Errorf("%+v", c)
		}
		if p := apply(t, o, file("confidential", `keys: '{"keys":[{`+key+`,"use":"sig"}]}'`), org.How{}); len(p.Changes) != 1 {
			t.Errorf("another set changed nothing: %s", p)
		}
		if p := apply(t, o, export(t, o), org.How{}); len(p.Changes) != 0 {
			t.Errorf("the export is not what is there: %s", p)
		}
		_, err = o.Apply(ctx, read(t, "org.yaml", file("confidential", "")), org.How{})
		if err == nil || !strings.Contains(err.Error(), "has no secret yet") {
			t.Errorf("it was left with nothing to prove itself by: %v", err)
		}
		_, _, err = o.RotateSecret(ctx, "Office", org.Begin)
		must(t, err)
		apply(t, o, file("confidential", `keys: {"keys":[{`+key+`}]}`), org.How{})
		if c, err = o.App(ctx, "Office"); err != nil || len(c.SecretDigests) != 0 {
			t.Errorf("a secret that is not in the file stays good: %+v, %v", c, err)
		}
	})
	for text, want := range map[string]string{
		file("confidential", `keys: {"keys":[{`+key+mine+`}]}`):           "apps[0].keys: key 1 holds its private part (d)",
		file("confidential", `keys: {"keys":[{"kty":"oct","k":"c2Vj"}]}`): "apps[0].keys: key 1 is symmetric",
		file("confidential", `keys: [1]`):                                 "apps[0].keys: is text, not a list or a section",
		file("confidential", `keys: ""`):                                  "",
		file("public", `keys: {"keys":[{`+key+`}]}`):                      "apps[0].keys: a public application has nothing to prove itself by",
	} {
		if _, err := org.Read("org.yaml", []byte(text)); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		} else if err != nil && strings.Contains(err.Error(), "jpsQnn") {
			t.Errorf("S-72: the private part is repeated: %v", err)
		}
	}
}

func TestWhereAnAppIsToldOfLogoutsComesFromTheFile(t *testing.T) {
	o := over(openSQLite(t))
	const text = "apps:\n  - {name: Portal, type: public, redirect_uris: [https://portal.example/], policy: {require: [password]}"
	apply(t, o, text+", frontchannel_logout_uri: https://portal.example/front, backchannel_logout_uri: https://portal.example/back}\n", org.How{})
	c, err := o.App(ctx, "Portal")
	must(t, err)
	if c.FrontChannelLogout != "https://portal.example/front" || c.BackChannelLogout != "https://portal.example/back" {
		t.Errorf("%+v", c)
	}
	if p := apply(t, o, export(t, o), org.How{}); len(p.Changes) != 0 {
		t.Errorf("the export is not what is there: %s", p)
	}
	for _, uri := range []string{"http://portal.example/", "com.example.app:/out", "javascript:alert(1)", "https://portal.example/#x"} {
		for _, key := range []string{"frontchannel_logout_uri", "backchannel_logout_uri"} {
			if _, err := org.Read("org.yaml", []byte(text+", "+key+": \""+uri+"\"}\n")); err == nil || !strings.Contains(err.Error(), key) {
				t.Errorf("%s: %s: %v", key, uri, err)
			}
		}
	}
}

// TestHowAnAppAsksComesFromTheFile: pushed requests, and tokens that are bound to a key.
func TestHowAnAppAsksComesFromTheFile(t *testing.T) {
	o := over(openSQLite(t))
	const text = "apps:\n  - {name: Portal, type: public, redirect_uris: [https://portal.example/], policy: {require: [password]}"
	apply(t, o, text+", require_pushed_authorization_requests: true, dpop_bound_access_tokens: true}\n", org.How{})
	c, err := o.App(ctx, "Portal")
	must(t, err)
	if !c.RequiresPAR || !c.BindsTokens {
		t.Errorf("%+v", c)
	}
	if p := apply(t, o, export(t, o), org.How{}); len(p.Changes) != 0 {
		t.Errorf("the export is not what is there: %s", p)
	}
	apply(t, o, text+"}\n", org.How{})
	if c, err = o.App(ctx, "Portal"); err != nil || c.RequiresPAR || c.BindsTokens {
		t.Errorf("%+v, %v", c, err)
	}
}
