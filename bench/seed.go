//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey.dev/internal/authn/phone"
	"latchkey.dev/internal/dev"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlite"
)

// A machine is an application that asks for tokens for itself.
const (
	machineID     = "0oabenchmachine"
	machineSecret = "bench-bench-bench-bench-bench-bench-bench-b"
	machineScope  = "bench"
)

// seedMachine adds one to the data directory of a dev house that is not running.
func seedMachine(data string) (err error) {
	return seeding(data, func(ctx context.Context, db store.DB, _ dev.Org) error {
		return db.Update(ctx, func(tx store.Tx) error {
			servers, err := tx.Servers(ctx)
			if err != nil {
				return err
			}
			for _, s := range servers {
				if s.ID == oauth.DefaultServer().ID {
					s.Scopes = append(s.Scopes, machineScope)
					if err := tx.PutServer(ctx, s); err != nil {
						return err
					}
				}
			}
			return tx.PutClient(ctx, oauth.Client{
				ID: machineID, Label: "Machine", SecretDigests: []secret.Digest{secret.DigestOf(secret.ClientSecret, machineSecret)},
				Grants: []oauth.GrantType{oauth.ClientCredentials}, Scopes: []string{machineScope}, Policy: policy.PasswordOnly, Created: time.Now().UTC(),
			})
		})
	})
}

// seeding opens the database of a house that is not running.
func seeding(data string, do func(context.Context, store.DB, dev.Org) error) (err error) {
	ctx := context.Background()
	dir, err := dev.OpenDir(data, false)
	if err != nil {
		return err
	}
	defer dir.Close()
	db, err := sqlite.Open(ctx, dir.Database(), dir.Keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return do(ctx, db, dir.Org)
}

// seedBatch is how many users go into one commit.
const seedBatch = 5000

// loginOf is the name of the i-th user that seed adds.
func loginOf(i int) string { return fmt.Sprintf("user%07d@example.com", i) }

// seed adds n users to the data directory of a dev house that is not running. They have phones of their
// own and the password of a user who is there: a million hashes would take a day.
func seed(data, like string, n int) error {
	return seeding(data, func(ctx context.Context, db store.DB, org dev.Org) error {
		var hash ident.Enrollment
		err := db.View(ctx, func(tx store.Tx) error {
			u, err := tx.UserByLogin(ctx, like)
			if err != nil {
				return err
			}
			all, err := tx.Enrollments(ctx, u.ID)
			hash, _ = ident.Find(all, ident.Password)
			return err
		})
		if err != nil {
			return err
		}
		for batch := range slices.Chunk(names(n), seedBatch) {
			err := db.Update(ctx, func(tx store.Tx) error {
				for _, who := range batch {
					if err := addUser(ctx, tx, who, hash.Secret, org); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// A name is the ids of the i-th user and of what they sign in with.
type name struct {
	i                     int
	user, password, phone string
}

// names chooses ids and sorts them: what comes in the order of its key is quick to insert. To look up it is the same.
func names(n int) []name {
	ids := func(prefix string) []string {
		all := make([]string, n)
		for i := range all {
			all[i] = ident.NewID(prefix)
		}
		slices.Sort(all)
		return all
	}
	users, passwords, phones := ids("00u"), ids("lae"), ids("sms")
	all := make([]name, n)
	for i := range all {
		all[i] = name{i, users[i], passwords[i], phones[i]}
	}
	return all
}

func addUser(ctx context.Context, tx store.Tx, who name, hash secret.Text, org dev.Org) error {
	now, i := time.Now().UTC(), who.i
	u := ident.User{
		ID: ident.UserID(who.user), Login: loginOf(i), Status: ident.Active, GivenName: "User", FamilyName: fmt.Sprint(i),
		Email: loginOf(i), EmailVerified: true, Locale: "en_US", Zone: "Europe/Zurich", Created: now, Updated: now,
	}
	if err := tx.AddUser(ctx, u); err != nil {
		return err
	}
	err := tx.AddEnrollment(ctx, ident.Enrollment{
		ID: ident.EnrollmentID(who.password), User: u.ID, Authenticator: org.PasswordID,
		Kind: ident.Password, Method: ident.MethodPassword, Secret: hash, Created: now,
	})
	if err != nil {
		return err
	}
	number := fmt.Sprintf("+1202%07d", i)
	return tx.AddEnrollment(ctx, ident.Enrollment{
		ID: ident.EnrollmentID(who.phone), User: u.ID, Authenticator: org.PhoneID,
		Kind: ident.Phone, Method: ident.MethodSMS, Secret: secret.Text(number), Hint: phone.Mask(number), Created: now,
	})
}
