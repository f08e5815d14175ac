package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/org"
	"latchkey.dev/internal/secret"
)

type userCommand struct {
	Add         userAdd         `cmd:"" help:"Add a user."`
	Show        userShow        `cmd:"" help:"Show a user."`
	List        userList        `cmd:"" help:"List users, a page at a time."`
	Set         userSet         `cmd:"" help:"Change what is known of a user."`
	Disable     userDisable     `cmd:"" help:"Keep a user out, and end all their tokens."`
	Enable      userEnable      `cmd:"" help:"Let a user in again."`
	Delete      userDelete      `cmd:"" help:"Remove a user with all that is theirs."`
	SetPassword userSetPassword `cmd:"" help:"Give a user a password, and end all their tokens."`
	ResetPhone  userResetPhone  `cmd:"" help:"Forget a user's phone: the next sign-in that asks for one has one set up. Ends all their tokens."`
	Unlock      userUnlock      `cmd:"" help:"Forget a user's wrong passwords and codes."`
}

// named is a command about one user.
type named struct {
	managed
	User string `arg:"" help:"Login or id."`
}

// profile is what can be said of a user.
type profile struct {
	GivenName     *string `help:"Given name."`
	FamilyName    *string `help:"Family name."`
	Email         *string `help:"Address; a new one is not verified."`
	EmailVerified *bool   `negatable:"" help:"Whether the address is known to be theirs."`
	Locale        *string `help:"Such as en_US."`
	Zoneinfo      *string `help:"Such as Europe/Berlin."`
}

func (p profile) as(login *string) org.Profile {
	return org.Profile{Login: login, GivenName: p.GivenName, FamilyName: p.FamilyName, Email: p.Email, EmailVerified: p.EmailVerified,
		Locale: p.Locale, Zone: p.Zoneinfo}
}

type userAdd struct {
	managed
	Login string `arg:"" help:"What they sign in with."`
	profile
	Group        []string `help:"A group to be in; may be said several times."`
	PasswordFile string   `help:"Where the password is, on its first line; - is standard input. Without it nobody can sign in as them until one is set." placeholder:"FILE"`
}

// Run adds somebody.
func (c userAdd) Run(ctx context.Context, out io.Writer) error {
	var pass secret.Text
	if c.PasswordFile != "" {
		var err error
		if pass, err = passwordFrom(c.PasswordFile); err != nil {
			return err
		}
	}
	return c.with(ctx, func(o *org.Org) error {
		p, err := o.AddUser(ctx, c.as(&c.Login), pass, c.Group)
		if err != nil {
			return err
		}
		return c.person(out, p)
	})
}

type userShow struct{ named }

// Run shows somebody.
func (c userShow) Run(ctx context.Context, out io.Writer) error {
	return c.about(ctx, out, (*org.Org).User)
}

// about does something to a user, and shows who it was.
func (n named) about(ctx context.Context, out io.Writer, f func(*org.Org, context.Context, string) (org.Person, error)) error {
	return n.with(ctx, func(o *org.Org) error {
		p, err := f(o, ctx, n.User)
		if err != nil {
			return err
		}
		return n.person(out, p)
	})
}

type userList struct {
	managed
	Group  string `help:"Members of that group alone."`
	Status string `enum:",staged,active,suspended,locked" default:"" help:"Those with that status alone."`
	After  string `help:"Go on behind that login."`
	Limit  int    `default:"100" help:"How many on a page; at most 1000."`
}

// Run lists a page of users.
func (c userList) Run(ctx context.Context, out io.Writer) error {
	if c.Limit < 1 || c.Limit > 1000 {
		return fmt.Errorf("--limit %d is not between 1 and 1000", c.Limit)
	}
	return c.with(ctx, func(o *org.Org) error {
		p, err := o.Users(ctx, org.UserFilter{After: c.After, Group: c.Group, Status: ident.Status(c.Status), N: c.Limit})
		if err != nil {
			return err
		}
		page := struct {
			Users []shownUser `json:"users"`
			Next  string      `json:"next,omitempty"`
		}{Users: []shownUser{}, Next: p.Next}
		for _, u := range p.Users {
			page.Users = append(page.Users, showUser(u))
		}
		return c.answer(out, page, func(t *tabwriter.Writer) {
			fmt.Fprintln(t, "LOGIN\tSTATUS\tNAME\tID")
			for _, u := range p.Users {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", u.Login, u.Status, u.Name(), u.ID)
			}
			if p.Next != "" {
				fmt.Fprintf(t, "\nThere are more: --after %s\n", p.Next)
			}
		})
	})
}

type userSet struct {
	named
	Login *string `help:"What they sign in with from now on."`
	profile
}

// Run changes a profile.
func (c userSet) Run(ctx context.Context, out io.Writer) error {
	return c.about(ctx, out, func(o *org.Org, ctx context.Context, name string) (org.Person, error) {
		return o.SetUser(ctx, name, c.as(c.Login))
	})
}

type userDisable struct{ named }

// Run keeps somebody out.
func (c userDisable) Run(ctx context.Context, out io.Writer) error {
	return c.about(ctx, out, (*org.Org).Disable)
}

type userEnable struct{ named }

// Run lets somebody in again.
func (c userEnable) Run(ctx context.Context, out io.Writer) error {
	return c.about(ctx, out, (*org.Org).Enable)
}

type userDelete struct{ named }

// Run removes somebody.
func (c userDelete) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(o *org.Org) error {
		if err := o.DeleteUser(ctx, c.User); err != nil {
			return err
		}
		return c.said(out, "%s is deleted.", c.User)
	})
}

type userSetPassword struct {
	named
	PasswordFile string `default:"-" help:"Where the password is, on its first line; - is standard input." placeholder:"FILE"`
}

// Run gives somebody a password.
func (c userSetPassword) Run(ctx context.Context, out io.Writer) error {
	pass, err := passwordFrom(c.PasswordFile)
	if err != nil {
		return err
	}
	return c.about(ctx, out, func(o *org.Org, ctx context.Context, name string) (org.Person, error) {
		return o.SetPassword(ctx, name, pass)
	})
}

type userResetPhone struct{ named }

// Run begins somebody's phone anew.
func (c userResetPhone) Run(ctx context.Context, out io.Writer) error {
	return c.about(ctx, out, (*org.Org).ResetPhone)
}

type userUnlock struct{ named }

// Run forgets somebody's wrong answers.
func (c userUnlock) Run(ctx context.Context, out io.Writer) error {
	return c.about(ctx, out, (*org.Org).Unlock)
}
