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
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlite"
)

// seedBatch is how many users go into one commit.
const seedBatch = 5000

// loginOf is the name of the i-th user that seed adds.
func loginOf(i int) string { return fmt.Sprintf("user%07d@example.com", i) }

// seed adds n users to the data directory of a dev house that is not running. They have phones of their
// own and the password of a user who is there: a million hashes would take a day.
func seed(data, like string, n int) (err error) {
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
	var hash ident.Enrollment
	err = db.View(ctx, func(tx store.Tx) error {
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
	for batch := range slices.Chunk(numbers(n), seedBatch) {
		err := db.Update(ctx, func(tx store.Tx) error {
			for _, i := range batch {
				if err := addUser(ctx, tx, i, hash.Secret, dir.Org); err != nil {
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
}

func addUser(ctx context.Context, tx store.Tx, i int, hash secret.Text, org dev.Org) error {
	now := time.Now().UTC()
	u := ident.User{
		ID: ident.UserID(ident.NewID("00u")), Login: loginOf(i), Status: ident.Active, GivenName: "User", FamilyName: fmt.Sprint(i),
		Email: loginOf(i), EmailVerified: true, Locale: "en_US", Zone: "Europe/Zurich", Created: now, Updated: now,
	}
	if err := tx.AddUser(ctx, u); err != nil {
		return err
	}
	err := tx.AddEnrollment(ctx, ident.Enrollment{
		ID: ident.EnrollmentID(ident.NewID("lae")), User: u.ID, Authenticator: org.PasswordID,
		Kind: ident.Password, Method: ident.MethodPassword, Secret: hash, Created: now,
	})
	if err != nil {
		return err
	}
	number := fmt.Sprintf("+1202%07d", i)
	return tx.AddEnrollment(ctx, ident.Enrollment{
		ID: ident.EnrollmentID(ident.NewID("sms")), User: u.ID, Authenticator: org.PhoneID,
		Kind: ident.Phone, Method: ident.MethodSMS, Secret: secret.Text(number), Hint: phone.Mask(number), Created: now,
	})
}

func numbers(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}
