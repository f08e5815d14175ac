// Package notice owns what we tell people: the words of a text message, and of an e-mail about their account.
package notice

import (
	"strconv"
	"time"

	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/secret"
)

// Code is the text that carries a one-time code.
type Code struct {
	App      string
	Code     secret.Text
	Lifetime time.Duration
	Host     string // where the code may be typed, for the phone's autofill; empty leaves the line out
	Lang     msg.Lang
}

// maxApp keeps the text within one segment of 160 letters.
const maxApp = 24

// Text writes the message: the application, the code, how long it works, do not share; no link. The
// last line binds the code to the host, in the form that phones understand for autofill (S-15).
func (c Code) Text() secret.Text {
	app := []rune(c.App)
	if len(app) > maxApp {
		app = append(app[:maxApp-1], '.')
	}
	text := msg.Text(c.Lang, msg.CodeText, string(app), c.Code.Reveal(), strconv.Itoa(int(c.Lifetime.Minutes())))
	if c.Host != "" {
		text += "\n\n@" + c.Host + " #" + c.Code.Reveal()
	}
	return secret.Text(text)
}
