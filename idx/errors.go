package idx

import (
	"errors"
	"time"
)

// What went wrong, for errors.Is.
var (
	ErrExpired       = errors.New("idx: the transaction has expired or is finished")
	ErrNoTransaction = errors.New("idx: there is no such transaction")
	ErrRateLimited   = errors.New("idx: too many requests")
	ErrDenied        = errors.New("idx: access denied")
	ErrNotOffered    = errors.New("idx: the engine does not offer this now")
	ErrAmbiguous     = errors.New("idx: more than one choice fits")
	ErrStateMismatch = errors.New("idx: the callback belongs to another sign-in")
	ErrOtherBrowser  = errors.New("idx: the link was opened in another browser")
	ErrUntrustedURL  = errors.New("idx: the address is not the issuer's")
	ErrIDToken       = errors.New("idx: the ID token does not hold")
)

// A RejectedError means that the engine answered no. Transaction is where the person stands now.
type RejectedError struct {
	Transaction *Transaction
	Step        string
	Messages    []Message
	RetryAfter  time.Duration // of a rate limit, if the engine said so
}

func (e *RejectedError) Error() string { return "" }

// A ServerError means that the answer was no IDX document at all: an OAuth error, an API error, a proxy's page.
type ServerError struct {
	Op         string // what was being done: interact, introspect, token, ...
	Code       string // OAuth error, API error code or message key
	Summary    string
	RequestID  string
	Status     int
	RetryAfter time.Duration
}

func (e *ServerError) Error() string { return "" }

// An InputError was caught here; nothing was sent. Transaction is where the person stands, unchanged.
type InputError struct {
	Transaction *Transaction
	Step        string
	Path        string
	Reason      string
}

func (e *InputError) Error() string { return "" }

// Retryable is true only if the request surely had no effect: it was never sent, or was refused with 429.
func Retryable(err error) bool { return false }
