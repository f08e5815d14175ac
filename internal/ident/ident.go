// Package ident owns the words for people and their authenticators.
//
// It knows what a [User], an [Authenticator] and an [Enrollment] are and how they are named and
// compared. How a proof is checked is the business of the authn rooms; what is asked for, of policy.
package ident

import (
	"math/big"
	"strings"
	"time"

	"latchkey.dev/internal/secret"
)

type (
	// UserID names a user: 00u…, never reused, tells nothing about the person.
	UserID string
	// AuthenticatorID names an authenticator of the organisation: aut….
	AuthenticatorID string
	// EnrollmentID names one user's binding to an authenticator: sms…, lae….
	EnrollmentID string
)

// A Kind is one kind of proof.
type Kind string

// The kinds there are. A kind is a constant here, a folder below authn, and a line in wire.go.
const (
	Password Kind = "password"
	Phone    Kind = "phone"
)

// A Method is one way to use an authenticator.
type Method string

// Methods of the kinds above.
const (
	MethodPassword Method = "password"
	MethodSMS      Method = "sms"
)

// Status is where a user stands in their life here.
type Status string

// Only an active user can sign in; all others answer like a wrong password (S-24).
const (
	Staged    Status = "staged"
	Active    Status = "active"
	Suspended Status = "suspended"
	Locked    Status = "locked"
)

// A User is the subscriber behind a sign-in, once we know who is claiming it.
type User struct {
	ID            UserID
	Login         string // as typed at creation; compared by FoldLogin
	Status        Status
	GivenName     string
	FamilyName    string
	Email         string
	EmailVerified bool
	Locale        string // en_US
	Zone          string // IANA time zone
	Created       time.Time
	Updated       time.Time
}

// Name is what the person is called.
func (u User) Name() string { return strings.TrimSpace(u.GivenName + " " + u.FamilyName) }

// An Authenticator is a kind of proof that the organisation has set up.
type Authenticator struct {
	ID      AuthenticatorID
	Kind    Kind
	Key     string // what clients dispatch on: okta_password, phone_number
	Methods []Method
}

// An Enrollment binds an authenticator to a user.
type Enrollment struct {
	ID            EnrollmentID
	User          UserID
	Authenticator AuthenticatorID
	Kind          Kind
	Method        Method
	Secret        secret.Text // a password's PHC string, a phone's E.164 number
	Hint          string      // what may be shown: +1 XXX-XXX-1234 (S-37)
	Created       time.Time
}

// GroupID names a group: 00g….
type GroupID string

// A Group is a set of users that has a name. Applications read it from the groups claim.
type Group struct {
	ID          GroupID
	Name        string // as typed at creation; compared by FoldGroup
	Description string
	Created     time.Time
}

// Find returns the first enrollment of a kind.
func Find(all []Enrollment, k Kind) (Enrollment, bool) {
	for _, e := range all {
		if e.Kind == k {
			return e, true
		}
	}
	return Enrollment{}, false
}

// NewID returns prefix and 17 random letters and digits, the shape that clients expect (00u…, 0oa…, aut…).
func NewID(prefix string) string { return IDFrom(prefix, secret.Bytes(20)) }

// IDFrom is NewID over given bytes, for ids that must come out the same again.
func IDFrom(prefix string, b []byte) string {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	const n = 17 // 101 bits
	v := new(big.Int).SetBytes(b)
	base, digit := big.NewInt(int64(len(letters))), new(big.Int)
	id := make([]byte, n)
	for i := range id {
		v.DivMod(v, base, digit)
		id[i] = letters[digit.Int64()]
	}
	return prefix + string(id)
}
