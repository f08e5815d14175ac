package org

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/authn/phone"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// A row is somebody as a line of JSON, or as a line of CSV under the same names.
type row struct {
	ID            ident.UserID `json:"id,omitempty"`
	Login         string       `json:"login"`
	Status        ident.Status `json:"status,omitempty"`
	GivenName     string       `json:"given_name,omitempty"`
	FamilyName    string       `json:"family_name,omitempty"`
	Email         string       `json:"email,omitempty"`
	EmailVerified bool         `json:"email_verified,omitempty"`
	Locale        string       `json:"locale,omitempty"`
	Zone          string       `json:"zoneinfo,omitempty"`
	Phone         string       `json:"phone,omitempty"`         // E.164, proved to the system it comes from
	PasswordHash  string       `json:"password_hash,omitempty"` // as another system made it
	Groups        []string     `json:"groups,omitempty"`        // by name; in CSV between semicolons
	Created       *time.Time   `json:"created,omitempty"`
}

// columns are what a row may hold.
var columns = []string{"id", "login", "status", "given_name", "family_name", "email", "email_verified", "locale", "zoneinfo",
	"phone", "password_hash", "groups", "created"}

// maxRow is how long a line may be.
const maxRow = 64 << 10

// parseJSON reads a line of JSON, strictly: a key that we do not know is something that would be lost.
func parseJSON(line []byte) (r row, err error) {
	if !utf8.Valid(line) {
		return r, errors.New("is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, plain(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return r, errors.New("there is more than one JSON object on the line")
	}
	return r, nil
}

// plain says what encoding/json found without its name for our type.
func plain(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%s: is a %s, and cannot be", wrong.Field, wrong.Value)
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

// parseCSV reads a record under its header.
func parseCSV(header, record []string) (r row, err error) {
	if len(record) != len(header) {
		return r, fmt.Errorf("there are %d columns, and %d names of columns", len(record), len(header))
	}
	for i, value := range record {
		if value == "" {
			continue
		}
		if !utf8.ValidString(value) {
			return r, fmt.Errorf("%s: is not UTF-8", header[i])
		}
		if err := r.set(header[i], value); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (r *row) set(column, value string) (err error) {
	switch column {
	case "id":
		r.ID = ident.UserID(value)
	case "login":
		r.Login = value
	case "status":
		r.Status = ident.Status(value)
	case "given_name":
		r.GivenName = value
	case "family_name":
		r.FamilyName = value
	case "email":
		r.Email = value
	case "email_verified":
		if r.EmailVerified, err = strconv.ParseBool(value); err != nil {
			return errors.New("email_verified: wants true or false")
		}
	case "locale":
		r.Locale = value
	case "zoneinfo":
		r.Zone = value
	case "phone":
		r.Phone = value
	case "password_hash":
		r.PasswordHash = value
	case "groups":
		r.Groups = strings.Split(value, ";")
	case "created":
		t, err := time.Parse(time.RFC3339, value)
		if err != nil {
			return errors.New("created: wants a time such as 2024-05-06T12:00:00Z")
		}
		r.Created = &t
	}
	return nil
}

// checkHeader judges the first line of a CSV file.
func checkHeader(header []string) error {
	for i, name := range header {
		if !slices.Contains(columns, name) {
			return refuse("the first line names the columns, and there is no column %q; there are %s", name, strings.Join(columns, ", "))
		}
		if slices.Contains(header[:i], name) {
			return refuse("the column %q is named twice", name)
		}
	}
	if !slices.Contains(header, "login") {
		return refuse("the first line names the columns, and there is no login among them")
	}
	return nil
}

var userID = regexp.MustCompile(`^00u[0-9A-Za-z]{17}$`)

// A reception turns rows into people.
type reception struct {
	org      *Org
	password ident.Authenticator
	phone    ident.Authenticator
	groups   map[string]ident.GroupID // by folded name
}

// person judges a row. The error says what is wrong with it, and repeats no hash and no number.
func (c *reception) person(r row) (store.Person, error) {
	now := c.org.Now().UTC()
	u := ident.User{
		ID: r.ID, Login: strings.TrimSpace(r.Login), Status: r.Status, GivenName: r.GivenName, FamilyName: r.FamilyName, Email: r.Email,
		EmailVerified: r.EmailVerified, Locale: r.Locale, Zone: r.Zone, Created: now, Updated: now,
	}
	if r.Created != nil {
		u.Created = r.Created.UTC()
	}
	if u.Status == "" {
		u.Status = ident.Active
	}
	found := checkUser(u)
	if u.ID == "" {
		u.ID = ident.UserID(ident.NewID("00u"))
	} else if !userID.MatchString(string(u.ID)) {
		found.at("id", "%q is not 00u and 17 letters and digits", u.ID)
	}
	p := store.Person{User: u}
	if r.PasswordHash != "" {
		kept, err := password.Adopt(r.PasswordHash)
		if err != nil {
			found.at("password_hash", "%v", err)
		}
		if c.password.ID == "" {
			found.at("password_hash", "the organisation has no password authenticator")
		}
		p.Enrollments = append(p.Enrollments, c.org.enrollment(c.password, u.ID, ident.MethodPassword, kept, ""))
	}
	if r.Phone != "" {
		number, err := c.org.phones.Number(r.Phone)
		if err != nil {
			found.at("phone", "cannot be texted: %s", strings.TrimPrefix(err.Error(), "phone number: "))
		}
		if c.phone.ID == "" {
			found.at("phone", "the organisation has no phone authenticator")
		}
		p.Enrollments = append(p.Enrollments, c.org.enrollment(c.phone, u.ID, ident.MethodSMS, secret.Text(number), phone.Mask(number)))
	}
	for _, name := range r.Groups {
		folded, _ := ident.FoldGroup(name)
		g, known := c.groups[folded]
		switch {
		case !known:
			found.at("groups", "there is no group %q", name)
		case slices.Contains(p.Groups, g):
			found.at("groups", "%q is there twice", name)
		default:
			p.Groups = append(p.Groups, g)
		}
	}
	return p, found.err()
}

// receive looks up what rows refer to, and sets up what an organisation begins with.
func (o *Org) receive(ctx context.Context) (*reception, error) {
	c := &reception{org: o}
	err := o.Store.Update(ctx, func(tx store.Tx) (err error) {
		for _, a := range []struct {
			kind ident.Kind
			to   *ident.Authenticator
		}{{ident.Password, &c.password}, {ident.Phone, &c.phone}} {
			refused := (*Refusal)(nil) // then a row that has one is refused, and no other
			if *a.to, err = need(ctx, tx, a.kind); err != nil && !errors.As(err, &refused) {
				return err
			}
		}
		groups, err := tx.Groups(ctx)
		c.groups = map[string]ident.GroupID{}
		for _, g := range groups {
			folded, _ := ident.FoldGroup(g.Name)
			c.groups[folded] = g.ID
		}
		return err
	})
	return c, err
}

// ExportUsers writes everybody as lines of JSON that an import takes, by login, and returns how many they are.
// Hashes and numbers are in it only if secrets are asked for.
func (o *Org) ExportUsers(ctx context.Context, w io.Writer, secrets bool) (n int, err error) {
	err = o.update(ctx, func(store.Tx) ([]audit.Event, error) {
		reason := "without hashes and numbers"
		if secrets {
			reason = "with hashes and numbers"
		}
		return o.one(ctx, audit.UsersExported, audit.Event{Reason: reason}), nil
	})
	if err != nil {
		return 0, err
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for after := ""; ; {
		rows, next, err := o.rows(ctx, after, secrets)
		if err != nil || len(rows) == 0 {
			return n, err
		}
		for _, r := range rows {
			if err := e.Encode(r); err != nil {
				return n, err
			}
			n++
		}
		after = next
	}
}

// rows reads the page of people behind a folded login.
func (o *Org) rows(ctx context.Context, after string, secrets bool) (all []row, next string, err error) {
	err = o.Store.View(ctx, func(tx store.Tx) error {
		all = nil
		users, err := tx.Users(ctx, store.UserQuery{After: after, N: page})
		if err != nil {
			return err
		}
		for _, u := range users {
			r := row{ID: u.ID, Login: u.Login, Status: u.Status, GivenName: u.GivenName, FamilyName: u.FamilyName, Email: u.Email,
				EmailVerified: u.EmailVerified, Locale: u.Locale, Zone: u.Zone, Created: &u.Created}
			groups, err := tx.GroupsOf(ctx, u.ID)
			if err != nil {
				return err
			}
			for _, g := range groups {
				r.Groups = append(r.Groups, g.Name)
			}
			if secrets {
				if err := r.reveal(ctx, tx); err != nil {
					return err
				}
			}
			all = append(all, r)
			next, _ = ident.FoldLogin(u.Login)
		}
		return nil
	})
	return all, next, err
}

func (r *row) reveal(ctx context.Context, tx store.Tx) error {
	enrollments, err := tx.Enrollments(ctx, r.ID)
	for _, e := range enrollments {
		switch e.Kind {
		case ident.Password:
			r.PasswordHash = e.Secret.Reveal()
		case ident.Phone:
			r.Phone = e.Secret.Reveal()
		}
	}
	return err
}
