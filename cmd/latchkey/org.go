package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/org"
	"latchkey.dev/internal/secret"
)

// managed is what the commands share that change the organisation, or show it.
type managed struct {
	configured
	JSON bool `help:"Answer in JSON."`
}

// with opens the organisation for f. It may run while servers do: the database is all they share.
func (m managed) with(ctx context.Context, f func(*org.Org) error) error {
	settings, _, db, err := m.open(ctx, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return err
	}
	host := settings.Origin
	if u, err := url.Parse(settings.Origin); err == nil {
		host = u.Hostname()
	}
	err = f(org.New(org.Config{
		Store: db, Passwords: password.DefaultParams(), Now: time.Now, Actor: actor(), Mail: settings.Messages.Mail != nil, Host: host,
	}))
	return errors.Join(err, db.Close())
}

// actor is who the audit log says it was: the account at the prompt, behind sudo the one in front of it.
func actor() string {
	name := os.Getenv("SUDO_USER")
	if name == "" {
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
	}
	return "prompt:" + strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, name)
}

// answer prints v as JSON, or else what text prints for people.
func (m managed) answer(out io.Writer, v any, text func(*tabwriter.Writer)) error {
	if m.JSON {
		return printJSON(out, v)
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	text(t)
	return t.Flush()
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// said answers a command that has nothing to show but that it was done.
func (m managed) said(out io.Writer, format string, args ...any) error {
	if m.JSON {
		return printJSON(out, map[string]bool{"done": true})
	}
	_, err := fmt.Fprintf(out, format+"\n", args...)
	return err
}

// shownUser is a user in JSON.
type shownUser struct {
	ID             ident.UserID  `json:"id"`
	Login          string        `json:"login"`
	Status         ident.Status  `json:"status"`
	GivenName      string        `json:"given_name,omitempty"`
	FamilyName     string        `json:"family_name,omitempty"`
	Email          string        `json:"email,omitempty"`
	EmailVerified  bool          `json:"email_verified,omitempty"`
	Locale         string        `json:"locale,omitempty"`
	Zone           string        `json:"zoneinfo,omitempty"`
	Created        time.Time     `json:"created"`
	Updated        time.Time     `json:"updated"`
	Groups         []string      `json:"groups,omitempty"`
	Authenticators []shownFactor `json:"authenticators,omitempty"`
}

type shownFactor struct {
	ID        ident.EnrollmentID `json:"id"`
	Kind      ident.Kind         `json:"kind"`
	Method    ident.Method       `json:"method"`
	Hint      string             `json:"hint,omitempty"`
	Created   time.Time          `json:"created"`
	Suspended bool               `json:"suspended,omitempty"`
}

func showUser(u ident.User) shownUser {
	return shownUser{ID: u.ID, Login: u.Login, Status: u.Status, GivenName: u.GivenName, FamilyName: u.FamilyName, Email: u.Email,
		EmailVerified: u.EmailVerified, Locale: u.Locale, Zone: u.Zone, Created: u.Created, Updated: u.Updated}
}

func showPerson(p org.Person) shownUser {
	s := showUser(p.User)
	s.Groups = p.Groups
	for _, f := range p.Factors {
		e := f.Enrollment
		s.Authenticators = append(s.Authenticators, shownFactor{e.ID, e.Kind, e.Method, e.Hint, e.Created, f.Suspended})
	}
	return s
}

// person prints somebody, a line for each thing that is known.
func (m managed) person(out io.Writer, p org.Person) error {
	return m.answer(out, showPerson(p), func(t *tabwriter.Writer) {
		u := p.User
		line(t, "id", string(u.ID))
		line(t, "login", u.Login)
		line(t, "status", string(u.Status))
		line(t, "name", u.Name())
		if u.Email != "" {
			line(t, "email", u.Email+map[bool]string{true: " (verified)", false: " (not verified)"}[u.EmailVerified])
		}
		line(t, "locale", u.Locale)
		line(t, "zoneinfo", u.Zone)
		line(t, "groups", strings.Join(p.Groups, ", "))
		for _, f := range p.Factors {
			words := []string{f.Enrollment.Hint, "since " + f.Enrollment.Created.Format(time.DateOnly)}
			if f.Suspended {
				words = append(words, "suspended after too many wrong codes")
			}
			line(t, string(f.Enrollment.Kind), strings.TrimSpace(strings.Join(words, " ")))
		}
		line(t, "created", u.Created.Format(time.RFC3339))
		line(t, "updated", u.Updated.Format(time.RFC3339))
	})
}

// line prints a name and a value, if there is one.
func line(t io.Writer, name, value string) {
	if value != "" {
		fmt.Fprintf(t, "%s\t%s\n", name, value)
	}
}

// shownApp is an application in JSON: what a file says of it without its digests, and the secret that was just made.
type shownApp struct {
	org.App
	Created time.Time `json:"created"`
	Secrets int       `json:"secrets"` // that are good
	Secret  string    `json:"client_secret,omitempty"`
}

func showApp(c oauth.Client, made secret.Text) shownApp {
	s := shownApp{App: org.AppOf(c), Created: c.Created, Secrets: len(c.SecretDigests), Secret: made.Reveal()}
	s.SecretDigests = nil
	return s
}

// app prints an application; made is the secret that it was just given, to be seen here and never again.
func (m managed) app(out io.Writer, c oauth.Client, made secret.Text) error {
	return m.answer(out, showApp(c, made), func(t *tabwriter.Writer) {
		a := org.AppOf(c)
		line(t, "client id", a.ID)
		line(t, "name", a.Name)
		line(t, "type", string(a.Type))
		if a.Disabled {
			line(t, "status", "disabled")
		}
		line(t, "grant types", list(a.GrantTypes))
		line(t, "redirect URIs", list(a.RedirectURIs))
		line(t, "after logout", list(a.PostLogoutURIs))
		line(t, "origins", list(a.Origins))
		line(t, "scopes", list(a.Scopes))
		line(t, "requires", list(a.Policy.Require))
		line(t, "offers", list(a.Policy.Offer))
		if a.Policy.IdentifierFirst {
			line(t, "first page", "the name alone")
		}
		if n := len(c.SecretDigests); n > 1 {
			line(t, "secrets", fmt.Sprintf("%d are good; app rotate-secret --finish ends the older", n))
		}
		line(t, "created", c.Created.Format(time.RFC3339))
		line(t, "client secret", made.Reveal())
		if made != "" {
			line(t, "", "It is shown once and kept nowhere.")
		}
	})
}

func list[T ~string](all []T) string {
	var words []string
	for _, v := range all {
		words = append(words, string(v))
	}
	return strings.Join(words, ", ")
}

// passwordFrom reads a password from a file, or from what is piped in. It is never an argument: those are for
// everybody on the machine to see.
func passwordFrom(name string) (secret.Text, error) {
	in := os.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	} else if terminal(in) {
		return "", errors.New("a terminal would show the password: pipe it in, or name a file with --password-file")
	}
	text, err := io.ReadAll(io.LimitReader(in, 4096))
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", errors.New("there is no password on the first line of what was read")
	}
	return secret.Text(line), nil
}

func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
