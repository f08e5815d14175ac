// Package gateway owns the interface between the delivery worker and what carries a message.
//
// A [Gateway] carries one text to one person and says whether it was taken. It knows nothing of flows,
// codes or storage; retries, order and circuit breakers are deliver's.
package gateway

import (
	"context"
	"errors"
	"net/url"
	"time"

	"latchkey.dev/internal/secret"
)

// ErrRefused says that this number will not get this message, now or later, by this gateway: it is no
// phone, it is barred, it is in a country that the account may not send to. Any other error may pass by
// itself. What follows from the number alone has to be a refusal: as a failure of the gateway it would let
// a stranger who types numbers put the gateway to rest for everybody.
var ErrRefused = errors.New("gateway: refused the number")

// A Text is what is to be carried.
type Text struct {
	ID       string // idempotency key: the same text twice is one message
	Channel  string // sms, email
	To       secret.Text
	Body     secret.Text // of an e-mail the first line is the subject
	NotAfter time.Time   // of no use to anybody after this; zero if it keeps
	Report   string      // where a [Reporter]'s carrier may say what became of it; empty if nobody wants to know
}

// Life is how long the text is still of use at now: whole units rounded up, for carriers that count in them,
// at least least and at most most, which is what they take. It is zero for a text that keeps.
func (t Text) Life(now time.Time, unit, least, most time.Duration) time.Duration {
	if t.NotAfter.IsZero() {
		return 0
	}
	left := t.NotAfter.Sub(now)
	left = (left + unit - 1).Truncate(unit)
	return min(max(left, least), most)
}

// ErrForged refuses a report that is not the carrier's.
var ErrForged = errors.New("gateway: not a report of this carrier")

// A Report is what a carrier says later about a text it took, as the HTTP request that it came by.
type Report struct {
	Address string // Text.Report, to which it was sent
	Header  map[string][]string
	Query   url.Values
	Body    []byte
}

// An Outcome is what became of a text.
type Outcome int

// The outcomes. Pending is none yet.
const (
	Pending Outcome = iota
	Arrived
	Lost
)

// A Reporter is a gateway whose carrier reports.
type Reporter interface {
	Gateway
	// Read judges a report; [ErrForged] if it is not the carrier's or means nothing. That its address was handed
	// out for this text is the caller's to check.
	Read(r Report) (Outcome, error)
}

// A Gateway carries texts.
type Gateway interface {
	Name() string
	// Send returns nil once the text was taken. It honours ctx.
	Send(ctx context.Context, t Text) error
}
