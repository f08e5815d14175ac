package idx

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// What went wrong, for [errors.Is].
var (
	ErrExpired       = errors.New("idx: the transaction, code or token has expired or is used up")
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
	Status      int           // of the HTTP answer
	RetryAfter  time.Duration // of a rate limit, if the engine said so

	text  string // for Error, with secrets taken out
	later bool   // an earlier step of the same call went through
}

func (e *RejectedError) Error() string {
	text := e.text
	if text == "" {
		text = describe(e.Messages, nil)
	}
	return fmt.Sprintf("idx: %s: the engine said no: %s", clip(e.Step), text)
}

// Is matches ErrExpired, ErrDenied and ErrRateLimited by message key.
func (e *RejectedError) Is(target error) bool {
	if target == ErrRateLimited && e.Status == http.StatusTooManyRequests {
		return true
	}
	for _, m := range e.Messages {
		if meaning(m.Key) == target && target != nil {
			return true
		}
	}
	return false
}

// meaning is the one table of message keys that the package acts on; all others are data.
func meaning(key string) error {
	switch key = strings.TrimPrefix(key, "errors."); key {
	case "idx.session.expired":
		return ErrExpired
	case "tooManyRequests", "E0000047", "E0000150", "E0000151":
		return ErrRateLimited
	case "security.access_denied", "security.access_denied_custom_message", "access_denied",
		"idx.error.code.user_not_assigned", "idx.error.user.not.assigned.to.app",
		"oie.assurance.unsatisfiable", "authfactor.challenge.suspended_factor":
		return ErrDenied
	}
	if strings.HasPrefix(key, "idx.error.code.access_denied") {
		return ErrDenied
	}
	return nil
}

// describe names messages by their keys, which is what a log wants. Only a message without one shows its text.
func describe(messages []Message, secrets []string) string {
	var words []string
	for _, m := range messages {
		switch {
		case !refusal(m) && m.Class != "":
		case m.Key != "":
			words = append(words, clip(m.Key))
		default:
			words = append(words, fmt.Sprintf("%q", scrub(m.Text, secrets)))
		}
	}
	if words == nil {
		return "no reason given"
	}
	return strings.Join(words, ", ")
}

// A ServerError means that the answer was no IDX document at all: an OAuth error, an API error, a proxy's page.
type ServerError struct {
	Op         string // what was being done: interact, introspect, token, ... or the step's name
	Code       string // OAuth error, API error code or message key
	Summary    string // in the server's words
	RequestID  string
	Status     int
	RetryAfter time.Duration
	later      bool // an earlier step of the same call went through
}

func (e *ServerError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "idx: %s: status %d", clip(e.Op), e.Status)
	for _, part := range []string{e.Code, e.Summary} {
		if part != "" {
			b.WriteString(": " + part)
		}
	}
	if e.RequestID != "" {
		b.WriteString(" (request " + e.RequestID + ")")
	}
	return b.String()
}

// Is matches ErrRateLimited, ErrDenied and ErrExpired.
func (e *ServerError) Is(target error) bool {
	switch target {
	case ErrRateLimited:
		return e.Status == http.StatusTooManyRequests
	case ErrExpired:
		return e.Code == "invalid_grant" || meaning(e.Code) == ErrExpired
	case ErrDenied:
		return meaning(e.Code) == ErrDenied
	}
	return false
}

// An InputError was caught here; nothing was sent for the step. Transaction is where the person stands, unchanged.
type InputError struct {
	Transaction *Transaction
	Step        string
	Path        string // dotted path of the input, if it is about one
	Reason      string
	cause       error
}

func (e *InputError) Error() string {
	where := clip(e.Step)
	if e.Path != "" {
		where += ", " + clip(e.Path)
	}
	if where == "" {
		return "idx: " + e.Reason
	}
	return "idx: " + where + ": " + e.Reason
}

// Unwrap gives ErrNotOffered, ErrAmbiguous or ErrUntrustedURL, where it is one of these.
func (e *InputError) Unwrap() error { return e.cause }

// A transportError means that no answer came.
type transportError struct {
	op     string
	err    error
	text   string
	unsent bool
	later  bool // an earlier step of the same call went through
}

func (e *transportError) Error() string { return "idx: " + clip(e.op) + ": " + e.text }
func (e *transportError) Unwrap() error { return e.err }

// Retryable is true only if the call surely had no effect: it was never sent, or was refused with 429.
func Retryable(err error) bool {
	var no *RejectedError
	var se *ServerError
	var te *transportError
	switch {
	case errors.As(err, &no):
		return no.Status == http.StatusTooManyRequests && !no.later
	case errors.As(err, &se):
		return se.Status == http.StatusTooManyRequests && !se.later
	case errors.As(err, &te):
		return te.unsent && !te.later
	}
	return false
}

// afterSteps marks an error of a call that has already changed something: repeating the call would repeat that too.
func afterSteps(err error) error {
	var no *RejectedError
	var se *ServerError
	var te *transportError
	switch {
	case errors.As(err, &no):
		no.later = true
	case errors.As(err, &se):
		se.later = true
	case errors.As(err, &te):
		te.later = true
	}
	return err
}
