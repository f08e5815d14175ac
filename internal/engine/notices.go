package engine

import (
	"context"

	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/notice"
	"latchkey.dev/internal/store"
)

// tell writes the person an e-mail about a change to their account, in the transaction of the change, if they
// have an address that is known to be theirs.
func (e *Engine) tell(ctx context.Context, tx store.Tx, sc scene, c notice.Change, hint string) error {
	u := sc.user
	if !e.Mail || u.Email == "" || !u.EmailVerified {
		return nil
	}
	mail := notice.Mail{
		Change: c, Name: u.Name(), Login: u.Login, Hint: hint, Host: e.host, At: sc.now, Zone: u.Zone, Lang: msg.Match(localeTag(u.Locale)),
	}
	return tx.AddMessage(ctx, store.NewMail(u.Email, mail.Text(), sc.now))
}

// localeTag makes a language tag of a locale: en-US of en_US.
func localeTag(locale string) string {
	tag := []byte(locale)
	for i, b := range tag {
		if b == '_' {
			tag[i] = '-'
		}
	}
	return string(tag)
}
