package org

import (
	"context"
	"strings"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/notice"
	"latchkey.dev/internal/store"
)

// tell writes somebody an e-mail about what was done to their account, in the transaction that does it (S-04, S-38): it may
// not have been their administrator. A running server carries it.
func (o *Org) tell(ctx context.Context, tx store.Tx, u ident.User, c notice.Change, hint string) error {
	if !o.Mail || u.Email == "" || !u.EmailVerified {
		return nil
	}
	at := o.Now().UTC()
	mail := notice.Mail{
		Change: c, Name: u.Name(), Login: u.Login, Hint: hint, Host: o.Host, At: at, Zone: u.Zone,
		Lang: msg.Match(strings.ReplaceAll(u.Locale, "_", "-")),
	}
	return tx.AddMessage(ctx, store.NewMail(u.Email, mail.Text(), at))
}
