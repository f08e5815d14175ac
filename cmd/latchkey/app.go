package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/org"
	"latchkey.dev/internal/secret"
)

type appCommand struct {
	Add               appAdd               `cmd:"" help:"Register an application. The secret of a confidential one is made here and shown once."`
	Show              appShow              `cmd:"" help:"Show an application."`
	List              appList              `cmd:"" help:"List the applications."`
	Set               appSet               `cmd:"" help:"Change an application. A list that is given replaces the one before."`
	Delete            appDelete            `cmd:"" help:"Remove an application, and end all tokens that it has."`
	RegistrationToken appRegistrationToken `cmd:"" help:"Make a token with which applications register themselves at {origin}/oauth2/v1/clients. It is shown once."`
	RotateSecret      appRotateSecret      `cmd:"" help:"Give an application a new secret; the one before stays good until --finish."`
}

// settings are what can be said of an application.
type settings struct {
	GrantType              []string `help:"authorization_code, interaction_code, refresh_token, client_credentials, or the URN of the device grant or of token exchange."`
	RedirectURI            []string `name:"redirect-uri" sep:"none" help:"Where people go after signing in; may be said several times."`
	PostLogoutRedirectURI  []string `name:"post-logout-redirect-uri" sep:"none" help:"Where people may go after signing out."`
	Origin                 []string `sep:"none" help:"Whose pages may call us, like https://app.example."`
	Scope                  []string `help:"What it may ask for: openid, profile, email, phone, groups, offline_access."`
	Require                []string `help:"What a sign-in must prove, in this order: password, phone."`
	Offer                  []string `help:"What a person is invited to set up, and may skip: phone."`
	IdentifierFirst        *bool    `negatable:"" help:"Ask for the name alone on the first page."`
	AuthenticateAtInteract *bool    `negatable:"" help:"Confidential: prove itself at interact, too. Off for clients that cannot."`
	Disabled               *bool    `negatable:"" help:"Let nobody sign in to it. Disabling ends all tokens that it has."`
}

func (s settings) onto(a *org.App) {
	replace(&a.GrantTypes, s.GrantType)
	replace(&a.RedirectURIs, s.RedirectURI)
	replace(&a.PostLogoutURIs, s.PostLogoutRedirectURI)
	replace(&a.Origins, s.Origin)
	replace(&a.Scopes, s.Scope)
	replace(&a.Policy.Require, s.Require)
	replace(&a.Policy.Offer, s.Offer)
	if s.IdentifierFirst != nil {
		a.Policy.IdentifierFirst = *s.IdentifierFirst
	}
	if s.AuthenticateAtInteract != nil {
		a.AuthenticateAtInteract = s.AuthenticateAtInteract
	}
	if s.Disabled != nil {
		a.Disabled = *s.Disabled
	}
}

// replace takes a list that was given; the empty word empties it.
func replace[T ~string](to *[]T, given []string) {
	if given == nil {
		return
	}
	*to = nil
	for _, v := range given {
		if v != "" {
			*to = append(*to, T(v))
		}
	}
}

type appAdd struct {
	managed
	Name string `arg:"" help:"What it is called."`
	Type string `required:"" enum:"public,confidential" help:"public, or confidential for one that can keep a secret."`
	ID   string `help:"Its client id; one is made otherwise." name:"client-id"`
	settings
}

// Run registers an application.
func (c appAdd) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(o *org.Org) error {
		a := org.App{ID: c.ID, Name: c.Name, Type: org.Type(c.Type), Policy: org.Policy{Require: []ident.Kind{ident.Password, ident.Phone}}}
		c.onto(&a)
		made, value, err := o.AddApp(ctx, a)
		if err != nil {
			return err
		}
		return c.app(out, made, value)
	})
}

// registered is a command about one application.
type registered struct {
	managed
	App string `arg:"" help:"Client id or name."`
}

type appShow struct{ registered }

// Run shows an application.
func (c appShow) Run(ctx context.Context, out io.Writer) error {
	return c.about(ctx, out, func(o *org.Org) (oauth.Client, secret.Text, error) {
		found, err := o.App(ctx, c.App)
		return found, "", err
	})
}

// about does something to an application, and shows which it was.
func (r registered) about(ctx context.Context, out io.Writer, f func(*org.Org) (oauth.Client, secret.Text, error)) error {
	return r.with(ctx, func(o *org.Org) error {
		c, made, err := f(o)
		if err != nil {
			return err
		}
		return r.app(out, c, made)
	})
}

type appList struct{ managed }

// Run lists the applications.
func (c appList) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(o *org.Org) error {
		all, err := o.Apps(ctx)
		if err != nil {
			return err
		}
		shown := struct {
			Apps []shownApp `json:"apps"`
		}{[]shownApp{}}
		for _, a := range all {
			shown.Apps = append(shown.Apps, showApp(a, ""))
		}
		return c.answer(out, shown, func(t *tabwriter.Writer) {
			fmt.Fprintln(t, "NAME\tTYPE\tREQUIRES\tOFFERS\tCLIENT ID\tSTATUS")
			for _, a := range shown.Apps {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", a.Name, a.Type, list(a.Policy.Require), list(a.Policy.Offer), a.ID,
					map[bool]string{true: "disabled"}[a.Disabled])
			}
		})
	})
}

type appSet struct {
	registered
	Name *string `help:"What it is called from now on."`
	settings
}

// Run changes an application.
func (c appSet) Run(ctx context.Context, out io.Writer) error {
	return c.about(ctx, out, func(o *org.Org) (oauth.Client, secret.Text, error) {
		changed, err := o.SetApp(ctx, c.App, func(a *org.App) {
			if c.Name != nil {
				a.Name = *c.Name
			}
			c.onto(a)
		})
		return changed, "", err
	})
}

type appDelete struct{ registered }

// Run removes an application.
func (c appDelete) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(o *org.Org) error {
		if err := o.DeleteApp(ctx, c.App); err != nil {
			return err
		}
		return c.said(out, "The application %s is deleted.", c.App)
	})
}

type appRotateSecret struct {
	registered
	Finish bool `xor:"how" help:"Make no new one, and end all but the newest."`
	AtOnce bool `xor:"how" help:"End the ones before at once: somebody knows one who should not."`
}

// Run changes an application's secret.
func (c appRotateSecret) Run(ctx context.Context, out io.Writer) error {
	step := org.Begin
	switch {
	case c.Finish:
		step = org.Finish
	case c.AtOnce:
		step = org.AtOnce
	}
	return c.about(ctx, out, func(o *org.Org) (oauth.Client, secret.Text, error) { return o.RotateSecret(ctx, c.App, step) })
}

type appRegistrationToken struct {
	managed
	For  time.Duration `default:"24h" help:"How long it is good."`
	Uses int           `default:"1" help:"How many applications may register with it."`
}

// Run makes a token for registrations.
func (c appRegistrationToken) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(o *org.Org) error {
		value, made, err := o.NewRegistrationToken(ctx, c.For, c.Uses)
		if err != nil {
			return err
		}
		shown := struct {
			Token   string    `json:"registration_token"`
			Expires time.Time `json:"expires"`
			Uses    int       `json:"uses"`
		}{value.Reveal(), made.Expires, made.Uses}
		return c.answer(out, shown, func(t *tabwriter.Writer) {
			line(t, "registration token", shown.Token)
			line(t, "", "It is shown once and kept nowhere.")
			line(t, "expires", shown.Expires.Format(time.RFC3339))
			line(t, "uses", fmt.Sprint(shown.Uses))
		})
	})
}
