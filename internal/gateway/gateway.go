// Package gateway owns the interface between the delivery worker and what carries a message.
//
// A [Gateway] carries one text to one person and says whether it was taken. It knows nothing of flows,
// codes or storage; retries, order and circuit breakers are deliver's.
package gateway

import (
	"context"
	"errors"

	"latchkey.dev/internal/secret"
)

// ErrRefused says that this number will not get this message, now or later, by this gateway: it is no
// phone, it is barred. Any other error may pass by itself.
var ErrRefused = errors.New("gateway: refused the number")

// A Text is what is to be carried.
type Text struct {
	ID      string // idempotency key: the same text twice is one message
	Channel string // sms
	To      secret.Text
	Body    secret.Text
}

// A Gateway carries texts.
type Gateway interface {
	Name() string
	// Send returns nil once the text was taken. It honours ctx.
	Send(ctx context.Context, t Text) error
}
