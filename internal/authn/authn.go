// Package authn owns the interface between the frame of a sign-in and its authenticators.
//
// An [Authenticator] is one kind of proof. It computes and never waits: time, randomness and what is
// stored come in, a verdict goes out. The frame, not the plug-in, enforces tries, expiry, single use and
// audit, so that a new factor cannot forget them.
package authn

import (
	"time"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/secret"
)

// An Authenticator is one kind of proof.
type Authenticator interface {
	Kind() ident.Kind
	// Enroll judges the data of a new authenticator and says what is stored once it is proved, and what
	// to send. Data that will not do is a fault.
	Enroll(In) (Out, error)
	// Challenge says what to send to verify something enrolled.
	Challenge(In) (Out, error)
	// Verify judges an answer.
	Verify(In) (Verdict, error)
}

// In is everything a plug-in may know.
type In struct {
	Now        time.Time
	User       ident.User
	Enrollment ident.Enrollment // verifying; zero if the user has none (password of an unknown name)
	Method     ident.Method
	Data       secret.Text // enrolling: what was typed (a phone number)
	Challenge  Challenge   // answering: what went out
	Answer     secret.Text
}

// Challenge is what the frame remembers between sending and answering.
type Challenge struct {
	Number  secret.Text
	Binding string // id, flow, user, kind and number in one string: a code opens only what it was made for (S-12)
	Nonce   [16]byte
	Expires time.Time
}

// Out says what to send, and what to keep.
type Out struct {
	Secret secret.Text // kept once proved: the number that a code goes to, a password's hash
	Hint   string      // what may be shown of it
	Proved bool        // the number is an enrolled one
}

// A Verdict is the judgement of an answer.
type Verdict struct {
	OK bool
	// Replace is a new secret for the enrollment: a password hashed again with today's parameters.
	Replace secret.Text
}

// A Coder is an authenticator that sends codes; it derives them, so that they need not be stored.
type Coder interface {
	Code(Challenge) secret.Text
	// Country is the region that a number belongs to (DE), for prices and budgets.
	Country(number secret.Text) string
}
