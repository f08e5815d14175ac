package store

import (
	"time"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/secret"
)

// mailKeeps is how long it is tried to hand an e-mail over.
const mailKeeps = 24 * time.Hour

// NewMail is an e-mail to be sent by whichever node is first. The first line of the body is the subject.
func NewMail(to string, body secret.Text, now time.Time) Message {
	return Message{
		ID: ident.NewID("msg"), Channel: "email", To: secret.Text(to), Body: body,
		Created: now, NotAfter: now.Add(mailKeeps), Status: Waiting, Due: now,
	}
}
