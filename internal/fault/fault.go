// Package fault owns errors that have two readers: the person (a text key) and the operator (a cause).
//
// What is not a [Fault] is Internal and shows one fixed text, so forgetting is safe. No key may tell
// whether an account exists.
package fault

import (
	"errors"
	"fmt"
	"time"

	"latchkey.dev/internal/msg"
)

// Kind says what the caller can do about it.
type Kind int

// The kinds, in the order of the HTTP statuses that the faces give them.
const (
	Internal    Kind = iota // 500: nothing; the zero value, so that forgetting is safe
	Invalid                 // 400: send something else
	Denied                  // 401: prove better
	Expired                 // 401: begin again
	Forbidden               // 403: give up
	Throttled               // 429: wait
	Unavailable             // 503: wait, it is us
	Notice                  // 200: not a failure, but worth a word (idx.unknown.user)
)

// A Fault is a refusal.
type Fault struct {
	Kind   Kind
	Key    msg.Key
	Params []string
	Field  string        // the form field at fault; empty is the whole form
	Bare   bool          // answer without forms: the client must not go on from here (S-09)
	Retry  time.Duration // when to come back; zero says nothing
	cause  error
}

// New makes a Fault; format and args say why, for the log only.
func New(k Kind, key msg.Key, format string, args ...any) *Fault {
	return &Fault{Kind: k, Key: key, cause: fmt.Errorf(format, args...)}
}

// At names the field at fault.
func (f *Fault) At(field string) *Fault { f.Field = field; return f }

// With adds the parameters of the text.
func (f *Fault) With(params ...string) *Fault { f.Params = params; return f }

// Alone makes the answer carry no forms.
func (f *Fault) Alone() *Fault { f.Bare = true; return f }

// After says when trying again makes sense.
func (f *Fault) After(d time.Duration) *Fault { f.Retry = d; return f }

func (f *Fault) Error() string { return f.cause.Error() }
func (f *Fault) Unwrap() error { return errors.Unwrap(f.cause) }

// As returns the Fault in err; an error that has none is Internal.
func As(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return &Fault{Kind: Internal, Key: msg.InternalError, cause: err}
}
